"""A log that deletes by itself is watched: how old what is not archived is, beside how long it
stays."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from freshet.runs.retention_watch import RetentionWatch
from freshet.serving.status.archived import archive_figures
from freshet.serving.status.promises import archived_in_time
from freshet.streams.archive.folder import ArchiveFolder
from freshet.streams.archive.layout import SOURCE, task_of
from freshet.streams.archive.task import ArchivePlan, ArchiveTask, Start
from freshet.streams.archive.task import Rhythm as ArchiveRhythm
from freshet.streams.catalog import open_log
from freshet.streams.clock import wall_now_ms
from freshet.streams.control.channels import Channels
from freshet.streams.operators import loop
from freshet.streams.operators.checkpoints import Checkpoints
from freshet.streams.operators.loop import Job, Operator, Place
from freshet.streams.sqlite.log import SqliteLog

KEPT_MS = 1_000


class Deleting(SqliteLog):
    """It has one record a millisecond, and says that it deletes after `KEPT_MS`."""

    def retention_ms(self, topic: str) -> int | None:
        return KEPT_MS


@pytest.mark.parametrize(
    ("archived", "now_ms", "expected"),
    [
        (100, 1_000, {"spent": 0.0, "lost": 0}),  # all of it
        (40, 540, {"spent": 0.0, "lost": 0}),
        (40, 541, {"spent": 0.5, "lost": 0}),
        (40, 841, {"spent": 0.8, "lost": 0}),
        (10, 1_011, {"spent": 0.8, "lost": 10}),
        (None, 501, {"spent": 0.0, "lost": 0}),
    ],
)
def test_it_says_how_much_of_the_retention_is_spent_and_what_is_lost(
    tmp_path: Path, archived: int | None, now_ms: int, expected: Mapping[str, float]
) -> None:
    log = Deleting(tmp_path / "log")
    log.ensure("theirs", 1)
    writer = log.writer()
    for at in range(100):
        writer.append("theirs", 0, [b"x"], at)
    writer.flush()
    log.delete_before("theirs", {0: 20})
    url = str(tmp_path / "checkpoints")
    if archived is not None:
        saved = Checkpoints(url, task_of(SOURCE, "theirs", 0), log.bounds("theirs").identity)
        saved.save(archived, {"a": np.zeros(1)}, full=True)
    watch = RetentionWatch(url)
    assert watch.of(("theirs", 0)) == {}
    watch.look(log, "theirs", now_ms)
    assert watch.of(("theirs", 0)) == {"retention_ms": KEPT_MS, **expected}
    writer.close()
    log.close()


HOUR_MS = 3_600_000
MINUTE_MS = 60_000


class Theirs:
    """A topic of others on a real Kafka, which deletes after an hour; the archive's own operator
    over it, and its light."""

    def __init__(self, kafka: str, folder: Path) -> None:
        self.name = f"theirs.{uuid.uuid4().hex[:8]}"
        admin = AdminClient({"bootstrap.servers": kafka})
        hour = NewTopic(self.name, 1, 1, config={"retention.ms": str(HOUR_MS)})
        admin.create_topics([hour])[self.name].result()
        self.log = open_log(f"kafka://{kafka}")
        self._channels = Channels(f"{self.name}.control", "")
        self.log.ensure(self._channels.control, 1)
        self._url = str(folder / "checkpoints")
        self._folder = ArchiveFolder(str(folder / "archive"))
        self._watch = RetentionWatch(self._url)
        self._task: ArchiveTask | None = None
        self.now_ms = wall_now_ms()

    def append(self, minutes_ago: int) -> None:
        writer = self.log.writer()
        writer.append(self.name, 0, [b"x"], self.now_ms - minutes_ago * MINUTE_MS)
        writer.flush()
        writer.close()

    def archive(self) -> None:
        """Up to the end of it."""
        job = Job("archive", [self.name], self._made, group=f"{self.name}.archive")
        place = Place(self.log, self._channels, self._url, lambda: 7)
        operator = Operator(job, place, None, loop.Rhythm(checkpoint_seconds=0.0))
        _, end = self.log.bounds(self.name).spans[0]
        while self._task is None or self._task.facts()["archive"]["archived"] < end:
            operator.step(0.1)
        operator.close()

    def _made(self, log: str, partition: int) -> ArchiveTask:
        start = Start(partition, 0, self.log.bounds(log).identity)
        rhythm = ArchiveRhythm(age_seconds=0.0)
        plan = ArchivePlan("app", SOURCE, log)
        self._task = ArchiveTask(plan, start, self._folder, rhythm)
        self._task.retention = lambda: self._watch.of((log, partition))
        return self._task

    def light(self, minutes_later: int = 0) -> tuple[str, str]:
        """As the page has it, so many minutes later."""
        self._watch.look(self.log, self.name, self.now_ms + minutes_later * MINUTE_MS)
        assert self._task is not None
        (promise,) = archived_in_time(
            archive_figures({f"source.{self.name}": [self._task.facts()]})
        )
        return promise.state, promise.reason.replace(self.name, "theirs")


def test_on_kafka_the_light_turns_before_the_retention_of_others_takes_what_is_not_archived(
    tmp_path: Path, kafka: str
) -> None:
    theirs = Theirs(kafka, tmp_path)
    theirs.append(minutes_ago=20)
    theirs.archive()
    assert theirs.light() == ("green", "theirs deletes nothing that is not archived")
    # However old it grows: it is archived.
    assert theirs.light(minutes_later=50)[0] == "green"
    theirs.append(minutes_ago=10)
    assert theirs.light()[0] == "green"
    amber = "theirs deletes after 1h; for 50% of that something has waited"
    assert theirs.light(minutes_later=25) == ("amber", amber)
    red = "theirs deletes after 1h; for 80% of that something has waited"
    assert theirs.light(minutes_later=45) == ("red", red)
    # What the broker does of itself once the hour is over.
    theirs.log.delete_before(theirs.name, {0: 2})
    gone = "theirs deleted 1 offsets after 1h, and they are not archived"
    assert theirs.light(minutes_later=51) == ("red", gone)
    theirs.log.close()
