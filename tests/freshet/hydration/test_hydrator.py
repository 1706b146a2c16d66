"""Views that are built from the past: what was declared from the start and what was added later
come to the same rows."""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import freshet as fr
from freshet import testing
from freshet.features.cold.memory import RowMemory
from freshet.features.reading.api import FeatureReader, FeaturesRequest
from freshet.features.stores.marks import KEY_PREFIX
from freshet.hydration import past_reader, record
from freshet.hydration.hydrator import Hydrator
from freshet.hydration.past_redrive import PastRedrive
from freshet.roles.plans import redrive_plans
from freshet.schemas.wire.messages import Setting
from freshet.streams.archive.log import ArchivedLog
from freshet.streams.intake.task import IntakeTask
from freshet.streams.log.contract import Batch
from freshet.streams.operators.task import Outputs
from freshet.streams.redrive.records import Again, blocks_of
from freshet.streams.redrive.task import RedriveTask
from freshet.streams.sqlite.log import SqliteLog
from freshet.testing import LocalRun, MemoryStore
from tests.streams.archive.toy_archive import ToyArchive

HOUR = 3_600_000
STEPS = 12
CHANGED_AT = 8
VERSION = 16  # bytes
SHOPS = ("a", "b", "c")
SCHEMA = {
    "type": "record",
    "name": "visit",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": "long"},
        {"name": "user", "type": "string"},
        {"name": "shop", "type": "string"},
        {"name": "x", "type": ["null", "double"], "range": [0, 100]},
    ],
}
MEAN = fr.mean("x", over="3h")
DECAYED = fr.decayed_mean("x", half_life="2h")
COUNT = fr.count(over="6h")


class Sent(list[tuple[int, dict[str, Any]]]):
    """Events, each with the time of its record."""

    def split(self, partitions: int) -> list[Sent]:
        return [Sent(self[first::partitions]) for first in range(partitions)]

    def runs(self) -> list[tuple[int, list[bytes]]]:
        return [(time_ms, [json.dumps(event).encode()]) for time_ms, event in self]


def topic(name: str, partitions: int, dedup_by: str = "partition") -> fr.Topic:
    return fr.Topic(
        name,
        SCHEMA,
        event_id="id",
        event_time="at",
        drop={"low": pl.col("x") < 1},
        impute={"x": fr.impute.median(by="shop")},
        freshness=fr.Freshness(lateness="30m"),
        partitions=partitions,
        dedup="1h",
        dedup_by=dedup_by,
    )


def app(features: Mapping[str, Any], partitions: int = 1, key: str = "user", **more: Any) -> fr.App:
    """An app with a view that stays, and with `of` (if it has features)."""
    visits = topic("visits", partitions, more.pop("dedup_by", "partition"))
    calls = topic("calls", partitions)
    stays = fr.View("stays", visits, key="shop", features={"n": COUNT})
    over = [visits, calls] if more.pop("both", False) else visits
    views = [stays]
    for name in more.pop("names", ("of",)):
        if features:
            views.append(fr.View(name, over, key=key, features=features, **more))
    return fr.App("past", topics=[visits, calls], views=views)


def sent(step: int) -> dict[str, Sent]:
    """With repeats, late ones, gaps, and records that are none."""
    chance = random.Random(step)
    found = {}
    for name in ("visits", "calls"):
        events = Sent()
        for at in sorted(step * HOUR + chance.randrange(HOUR) for _ in range(40)):
            shown = at - chance.choice([0, 0, 0, 20 * 60_000, 50 * 60_000])
            named = chance.choice([chance.randrange(step * 30, step * 30 + 60)] * 9 + [0])
            event: dict[str, Any] = {
                # The last one comes again after it was forgotten.
                "id": f"{name}{named}",
                "at": max(shown, 1),
                "user": f"u{chance.randrange(9)}",
                "shop": chance.choice(SHOPS),
                "x": chance.choice([None, 0.5, 101.0, chance.random() * 50]),
            }
            events.append((at, event))
        found[name] = events
    return found


def letters(step: int) -> list[Again]:
    """What a person sends again of a topic, mended, in this step: some of it twice, some that is no
    good this time, either, and one that is given up."""
    found = []
    for place in (0, 1, 1, 2, 3, 4, 5):
        # Of hours ago, as other events are not.
        at = (step - 3) * HOUR + place
        event = {
            "id": f"mended{step}-{place % 5}",
            "at": at,
            "user": f"u{place % 3}",
            "shop": SHOPS[place % 3],
            "x": [0.1 * step, None, 101.0, 7.7, 0.5][place % 5],
        }
        found.append(Again(0, 10_000 * step + place, 0, at, json.dumps(event).encode()))
    return [*found, Again(0, 10_000 * step + 6, 0, HOUR, None)]


def send_again(local: LocalRun, step: int) -> None:
    """In records of several blocks."""
    writer = local.log.writer()
    every = letters(step)
    for name in ("visits", "calls"):
        for part in (every[:3], every[2:]):
            values = blocks_of(name, part)
            writer.append(local.app.redriven_log, 0, values, step * HOUR)
    writer.flush()
    writer.close()


def played(
    declared: fr.App,
    folder: Path,
    store: MemoryStore,
    steps: range,
    set_at: int | None = None,
    again_at: Collection[int] = (),
) -> None:
    """Where letters are sent again, nothing else is: what comes first of both, chance decides."""
    with LocalRun(declared, folder, store) as local:
        for step in steps:
            if step == set_at:
                local._tell([Setting("visits", "lateness", "10m", "a test", step * HOUR)])
            events = sent(step)
            if step in again_at:
                events = {}
                send_again(local, step)
            local.step(step * HOUR, (step + 1) * HOUR, {}, events)


def both(
    tmp_path: Path, was: fr.App, now: fr.App, again_at: Collection[int] = ()
) -> tuple[MemoryStore, MemoryStore]:
    """The store of a run that had all from the start, and of one in which it came later."""
    always, later = MemoryStore(), MemoryStore()
    played(now, tmp_path / "always", always, range(1, STEPS), again_at=again_at)
    played(was, tmp_path / "later", later, range(1, CHANGED_AT), again_at=again_at)
    played(now, tmp_path / "later", later, range(CHANGED_AT, STEPS), again_at=again_at)
    return always, later


def rows(declared: fr.App, store: MemoryStore) -> dict[tuple[str, bytes], bytes]:
    """But for their versions."""
    own = {declared.stored_as(view) for view in declared.views}
    return {
        key: row[VERSION:]
        for key, row in store.rows.items()
        if key[0] in own and not key[1].startswith(KEY_PREFIX)
    }


CHANGES: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "view added": ({}, {"mean": MEAN, "n": COUNT, "decayed": DECAYED}),
    "feature added": ({"n": COUNT}, {"n": COUNT, "mean": MEAN}),
    "window changed": ({"mean": MEAN}, {"mean": fr.mean("x", over="8h")}),
    "view removed": ({"mean": MEAN}, {}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_added_later_has_the_rows_of_what_was_there_from_the_start(
    tmp_path: Path, change: str
) -> None:
    was, now = (app(features) for features in CHANGES[change])
    always, later = both(tmp_path, was, now)
    expected = rows(now, always)
    assert len(expected) >= len(SHOPS)
    assert rows(now, later) == expected


def test_a_view_by_another_key_and_with_an_end_is_the_same(tmp_path: Path) -> None:
    now = app({"mean": MEAN}, key="shop", keep="6h")
    always, later = both(tmp_path, app({}), now)
    assert rows(now, later) == rows(now, always)


@pytest.mark.parametrize("keep", [None, "6h"])
@pytest.mark.parametrize("again_at", [(5, CHANGED_AT, 10), (10,)])
def test_it_has_what_was_sent_again_of_dead_letters_before_and_after_it_was_added(
    tmp_path: Path, again_at: Collection[int], keep: str | None
) -> None:
    now = app({"mean": MEAN, "n": COUNT, "decayed": DECAYED}, keep=keep)
    always, later = both(tmp_path, app({}), now, again_at)
    expected = rows(now, always)
    assert rows(now, later) == expected
    without = MemoryStore()
    played(now, tmp_path / "without", without, range(1, STEPS))
    assert rows(now, without) != expected


def test_only_who_sent_something_again_of_a_topic_is_waited_for() -> None:
    now = app({"n": COUNT})
    again = PastRedrive(now.name, redrive_plans(now, lambda topic: {}))
    assert again.origins() == []
    (value,) = blocks_of("visits", letters(5))
    data = np.frombuffer(value, np.uint8)
    edges = np.array([0, len(data)])
    at = np.zeros(1, np.int64)
    again.apply(Batch(now.redriven_log, 0, data, edges[:1], edges[1:], at, at))
    assert again.origins() == [("again:visits", 0)]


def test_letters_on_which_intake_crashed_are_settled_by_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where they were sent once more, later."""
    took = RedriveTask._take

    def take(self: RedriveTask, record: Batch, out: Outputs) -> None:
        if record.offsets[0] == 0:
            raise RuntimeError("this one")
        took(self, record, out)

    monkeypatch.setattr(RedriveTask, "_take", take)
    now = app({"mean": MEAN, "n": COUNT})
    always, later = both(tmp_path, app({}), now, again_at=[5])
    assert rows(now, later) == rows(now, always)


@pytest.mark.parametrize("dedup_by", ["partition", "topic"])
def test_what_was_set_meanwhile_held_for_the_past_from_the_same_record_on(
    tmp_path: Path, dedup_by: str
) -> None:
    """Where that was, chance has decided: so both views are of one run."""
    features = {"n": COUNT, "mean": MEAN}
    store = MemoryStore()
    was = app(features, dedup_by=dedup_by)
    now = app(features, dedup_by=dedup_by, names=("of", "twin"))
    played(was, tmp_path, store, range(1, CHANGED_AT), set_at=5)
    played(now, tmp_path, store, range(CHANGED_AT, STEPS))
    by_view: dict[str, dict[bytes, bytes]] = {}
    for (view, key), row in rows(now, store).items():
        by_view.setdefault(view.split(":")[1], {})[key] = row
    assert len(by_view["of"]) > 2
    assert by_view["twin"] == by_view["of"]


def values(declared: fr.App, store: MemoryStore) -> np.ndarray[Any, Any]:
    reader = FeatureReader([(view, declared.stored_as(view)) for view in declared.views], {})
    (view,) = (view for view in declared.views if view.name == "of")
    users = [f"u{i}" for i in range(9)]
    asked = FeaturesRequest({"user": users}, [f"of:{feature}" for feature in view.features])
    answer = reader.answer(asked, store, STEPS * HOUR)
    return np.array([result.values for result in answer.results[1:]], np.float64)


@pytest.mark.parametrize("is_both", [False, True])
def test_over_several_partitions_and_topics_values_are_equal(tmp_path: Path, is_both: bool) -> None:
    features = {"n": COUNT, "mean": MEAN, "decayed": DECAYED, "most": fr.max("x", over="6h")}
    now = app(features, partitions=3, both=is_both)
    always, later = both(tmp_path, app({}, partitions=3), now)
    found, expected = values(now, later), values(now, always)
    np.testing.assert_array_equal(found[[0, 3]], expected[[0, 3]])
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_nothing_is_built_where_nothing_was_before(tmp_path: Path) -> None:
    declared = app({"mean": MEAN})
    played(declared, tmp_path, MemoryStore(), range(1, 3))
    played(declared, tmp_path, MemoryStore(), range(3, 5))
    url = str(tmp_path / "checkpoints")
    assert all(record.of(url, view) is None for view in declared.views)


def test_killed_anywhere_it_goes_on_from_its_last_save_to_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = app({"mean": MEAN, "n": COUNT}, partitions=2)
    store = MemoryStore()
    played(app({}, partitions=2), tmp_path, store, range(1, CHANGED_AT), again_at=[3, 5])
    monkeypatch.setattr(past_reader, "MAX_RECORDS", 7)
    chance = random.Random(1)
    saved = 0
    with LocalRun(now, tmp_path, store) as local:
        for _ in range(12):
            (hydrator,) = local._hydrators
            assert hydrator.records == saved, "no more is read again than since the last save"
            for _ in range(chance.randrange(9)):
                hydrator.step(0.02, 0)
            if chance.random() < 0.5:
                hydrator.save()
                saved = hydrator.records
            else:
                cut_off_while_saving(hydrator)
            hydrator.close()
            local._hydrators = local._hydrations()
        assert saved > 7
        for step in range(CHANGED_AT, STEPS):
            local.step(step * HOUR, (step + 1) * HOUR, {}, sent(step))
    always = MemoryStore()
    played(now, tmp_path / "always", always, range(1, STEPS), again_at=[3, 5])
    np.testing.assert_allclose(values(now, store), values(now, always), rtol=1e-9)


def cut_off_while_saving(hydrator: Hydrator) -> None:
    """Its parts are there, and nothing says that they count."""

    class Cut(Exception):
        pass

    def cut(*given: object, **more: object) -> None:
        raise Cut

    hydrator._commits.save = cut  # type: ignore[method-assign]
    with pytest.raises(Cut):
        hydrator.save()


def test_what_the_log_has_forgotten_is_read_from_the_archive(tmp_path: Path) -> None:
    now = app({"mean": MEAN, "n": COUNT})
    always, store = MemoryStore(), MemoryStore()
    played(now, tmp_path / "always", always, range(1, STEPS))
    played(app({}), tmp_path / "later", store, range(1, CHANGED_AT))
    live = SqliteLog(str(tmp_path / "later" / "log"))
    archive = ToyArchive()
    for source in ("past.visits", "past.calls"):
        _, end = live.bounds(source).spans[0]
        archive.copy(live, (source, 0), end)
        live.delete_before(source, {0: end - 3})
    with LocalRun(now, tmp_path / "later", store, log=ArchivedLog(live, archive)) as local:
        for step in range(CHANGED_AT, STEPS):
            local.step(step * HOUR, (step + 1) * HOUR, {}, sent(step))
    assert archive.reads
    assert rows(now, store) == rows(now, always)


def test_rows_that_memory_has_no_room_for_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rocksdict")
    now = app({"mean": MEAN, "n": COUNT})
    store, always = MemoryStore(), MemoryStore()
    played(now, tmp_path / "always", always, range(1, STEPS))
    played(app({}), tmp_path / "later", store, range(1, CHANGED_AT))
    monkeypatch.setattr(testing, "RowMemory", lambda: RowMemory(tmp_path / "rows", 2_000))
    played(now, tmp_path / "later", store, range(CHANGED_AT, STEPS))
    assert list((tmp_path / "later" / "checkpoints" / "hydrate").glob("of.*/0/files/*"))
    assert rows(now, store) == rows(now, always)


def test_a_record_that_crashed_intake_is_left_out_and_tried_by_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    took = IntakeTask.take

    def take(self: IntakeTask, batch: Batch, out: Outputs, moved: Any = None) -> None:
        if batch.topic == "past.visits" and 50 in batch.offsets:
            raise RuntimeError("this one")
        took(self, batch, out, moved)

    monkeypatch.setattr(IntakeTask, "take", take)
    now = app({"mean": MEAN, "n": COUNT})
    always, later = both(tmp_path, app({}), now)
    assert rows(now, later) == rows(now, always)
