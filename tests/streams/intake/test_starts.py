"""Where a topic begins is decided once, and told where it cannot be kept."""

from __future__ import annotations

import os
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from freshet.schemas.errors import CheckpointError, DefinitionError
from freshet.schemas.topics.topic import Topic
from freshet.streams.intake import starts
from freshet.streams.operators.checkpoints import Checkpoints
from freshet.streams.sqlite.log import SqliteLog
from freshet.streams.sqlite.topic import path_of
from tests.streams import toy_events

SOURCE = "toy.landings"
LAST_MS = 1_000 * 7


@dataclass
class Place:
    """A log whose topic of two partitions has a record a second, eight in each, and checkpoints."""

    folder: Path

    def __post_init__(self) -> None:
        self.log = SqliteLog(self.folder / "log")
        self.url = str(self.folder / "checkpoints")
        self.log.ensure(SOURCE, 2)
        self.append(8)

    def append(self, records: int, first_ms: int = 0) -> None:
        writer = self.log.writer()
        for i in range(records):
            for partition in (0, 1):
                writer.append(SOURCE, partition, [b"x"], first_ms + i * 1_000)
        writer.flush()
        writer.close()

    def settle(self, topic: Topic, now_ms: int = LAST_MS) -> starts.Starts:
        found = starts.settle(self.url, self.log, topic, SOURCE, now_ms)
        assert found is not None
        return found

    def trim(self, first: int) -> None:
        with sqlite3.connect(path_of(self.log.directory, SOURCE)) as db:
            db.execute("DELETE FROM records WHERE position < ?", (first,))
        db.close()

    def save(self, topic: Topic, partition: int) -> None:
        """A checkpoint behind its start."""
        task = f"intake:{topic.name}.{topic.digest}:{partition}"
        identity = self.log.bounds(SOURCE).identity
        Checkpoints(self.url, task, identity).save(7, {"a": np.arange(3)}, full=True)

    def recreate(self) -> None:
        for file in self.log.directory.glob(f"{SOURCE}.sqlite*"):
            os.unlink(file)
        self.log.ensure(SOURCE, 2)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_the_first_record_needs_no_decision(place: Place) -> None:
    topic = toy_events.topic()
    assert starts.settle(place.url, place.log, topic, SOURCE, LAST_MS) is None
    assert not Path(place.url).exists()


@pytest.mark.parametrize(
    ("start", "offset"),
    [
        ("latest", 8),
        ("1970-01-01", 0),
        ("1970-01-01T00:00:03Z", 3),
        ("1970-01-01T00:00:02.001Z", 3),
        ("1970-01-01T00:00:07Z", 7),
        ("1960-01-01", 0),
    ],
)
def test_it_is_the_first_record_of_then_or_later(place: Place, start: str, offset: int) -> None:
    found = place.settle(toy_events.topic(start=start))
    assert found.offsets == {0: offset, 1: offset}
    assert found.cut == []


def test_after_the_last_record_is_its_end(place: Place) -> None:
    found = place.settle(toy_events.topic(start="1970-01-01T00:00:08Z"), now_ms=LAST_MS + 2_000)
    assert found.offsets == {0: 8, 1: 8}


def test_what_was_decided_stays_whatever_comes(place: Place) -> None:
    topic = toy_events.topic(start="latest")
    before = place.settle(topic)
    place.append(5, LAST_MS)
    assert place.settle(topic) == before


@pytest.mark.parametrize("start", ["latest", "1970-01-01T00:00:03Z"])
@pytest.mark.parametrize(
    "otherwise",
    [{"dedup": "2m"}, {"source": None}, {"headers": {"tenant": "x-tenant"}}],
)
def test_a_topic_that_is_declared_otherwise_begins_where_it_did(
    place: Place, start: str, otherwise: dict[str, Any]
) -> None:
    """Or what was appended while nobody read would be lost to it."""
    before = place.settle(toy_events.topic(start=start))
    place.append(5, 1_000)
    changed = toy_events.topic(**{"start": start, **otherwise})
    assert changed.digest != toy_events.topic(start=start).digest
    assert place.settle(changed) == before


def test_another_start_is_decided_anew(place: Place) -> None:
    place.settle(toy_events.topic(start="1970-01-01T00:00:03Z"))
    assert place.settle(toy_events.topic(start="latest")).offsets == {0: 8, 1: 8}


def test_which_log_it_is_its_identity_says_not_by_which_brokers_it_was_asked(place: Place) -> None:
    one = {"start": "latest", "log": SOURCE, "cluster": "kafka://a:9092"}
    before = place.settle(toy_events.topic(**one))
    place.append(5, LAST_MS)
    more = toy_events.topic(**{**one, "cluster": "kafka://a:9092,b:9092"})
    assert place.settle(more) == before
    place.recreate()
    with pytest.raises(CheckpointError, match="was recreated since its start was decided"):
        place.settle(toy_events.topic(**one))
    # A log of that name on another cluster is another log, of which nothing was decided.
    assert place.settle(toy_events.topic(start="latest")).offsets == {0: 0, 1: 0}


def test_another_definition_begins_with_what_is_left_of_what_was_read(place: Place) -> None:
    topic = toy_events.topic(start="1970-01-01T00:00:02Z")
    place.settle(topic)
    place.trim(6)
    changed = toy_events.topic(start="1970-01-01T00:00:02Z", dedup="2m")
    # Nobody has read what is gone.
    with pytest.raises(
        CheckpointError, match="the 4 records from its start, offset 2, on are gone"
    ):
        place.settle(changed)
    place.save(topic, 0)
    found = place.settle(changed)
    assert found.offsets == {0: 6, 1: 2}
    assert found.sentence("landings").endswith(
        "records from before offset 6 of partition 0 were not retained."
    )
    # Where it was read first, it goes on from its checkpoint.
    assert place.settle(topic).offsets == {0: 2, 1: 2}


def test_of_many_that_decide_at_once_one_counts(place: Place) -> None:
    topic = toy_events.topic(start="latest")
    found: list[starts.Starts] = []

    def decide(now_ms: int) -> None:
        log = SqliteLog(place.log.directory)
        made = starts.settle(place.url, log, topic, SOURCE, now_ms)
        assert made is not None
        found.append(made)
        log.close()

    threads = [threading.Thread(target=decide, args=(now_ms,)) for now_ms in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 12
    assert len(set(map(repr, found))) == 1
    (file,) = Path(place.url, "starts", SOURCE, "latest").iterdir()
    assert file.name.endswith(".json")


def test_what_another_process_decides_meanwhile_is_no_other_log(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the question whether something was decided and the next one."""
    topic = toy_events.topic(start="latest")
    before = place.settle(topic)
    place.append(5, LAST_MS)
    ask = starts.decided
    asked = iter([True])
    monkeypatch.setattr(
        starts, "decided", lambda *given: None if next(asked, False) else ask(*given)
    )
    assert place.settle(topic) == before


def test_a_moment_that_is_to_come_is_refused(place: Place) -> None:
    with pytest.raises(DefinitionError) as refused:
        place.settle(toy_events.topic(start="1970-01-01T02:00:00Z"))
    assert str(refused.value) == (
        "definition topic landings: start='1970-01-01T02:00:00+00:00' is 1h59m53s from now. "
        'Start it then, or write start="latest".'
    )


def test_what_retention_took_before_a_moment_is_told(place: Place) -> None:
    place.trim(5)
    found = place.settle(toy_events.topic(start="1970-01-01T00:00:02Z"))
    assert found.offsets == {0: 5, 1: 2}
    assert found.sentence("landings") == (
        "topic landings starts at 1970-01-01T00:00:02+00:00, which is offset 5 of partition 0, "
        "2 of 1; records from before offset 5 of partition 0 were not retained."
    )


def test_a_start_that_retention_took_is_refused_until_a_checkpoint_is_behind_it(
    place: Place,
) -> None:
    topic = toy_events.topic(start="1970-01-01T00:00:02Z")
    place.settle(topic)
    place.trim(6)
    with pytest.raises(CheckpointError) as refused:
        place.settle(topic)
    assert str(refused.value).startswith(
        "checkpoint of intake:landings:0: topic toy.landings starts at offset 6: "
        "the 4 records from its start, offset 2, on are gone. Restore them"
    )
    place.save(topic, 0)
    assert place.settle(topic).offsets == {0: 2, 1: 2}


def test_a_topic_made_anew_is_refused(place: Place) -> None:
    topic = toy_events.topic(start="latest")
    place.settle(topic)
    place.recreate()
    with pytest.raises(CheckpointError, match="was recreated since its start was decided"):
        place.settle(topic)


def test_a_torn_decision_is_refused_by_its_path(place: Place) -> None:
    topic = toy_events.topic(start="latest")
    place.settle(topic)
    (file,) = Path(place.url, "starts", SOURCE, "latest").iterdir()
    file.write_text("{")
    with pytest.raises(CheckpointError, match=r"\.json: cannot be read"):
        place.settle(topic)
