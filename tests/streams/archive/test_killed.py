"""The archive's operator over a real log, killed again and again at any point of its work, and
while the log is shortened to what is archived."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import Block
from freshet.streams.archive import manifest
from freshet.streams.archive.folder import ArchiveFolder
from freshet.streams.archive.layout import task_of
from freshet.streams.archive.log import ArchivedLog
from freshet.streams.archive.stored import StoredArchive, batch_of
from freshet.streams.archive.task import ArchivePlan, ArchiveTask, Rhythm, Start
from freshet.streams.archive.trimming import Rule, Trimmer
from freshet.streams.log.contract import joined
from freshet.streams.log.spans import PartitionSpans
from freshet.streams.operators import loop
from freshet.streams.operators.checkpoints import Checkpoints
from freshet.streams.operators.loop import Job, Operator, Place
from freshet.streams.sqlite.log import SqliteLog
from tests.streams.operators.deaths import CHANNELS, Killed

PARTITIONS = 2
KILLS = 200
HOUR_MS = 3_600_000
KEEP_MS = 20 * HOUR_MS
READER = "view:v:{}"
PLAN = ArchivePlan("app", "examples", "examples", blocks=True)


class Fate:
    """Decides at each piece of work whether the process ends before it, after it, or not."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.left = KILLS

    def at(self, work: Callable[..., Any], *given: Any) -> Any:
        what = self.draw.random()
        if self.left and what < 0.1:
            self.left -= 1
            raise Killed
        result = work(*given)
        if self.left and what > 0.9:
            self.left -= 1
            raise Killed
        return result


def killing(
    monkeypatch: pytest.MonkeyPatch, fate: Fate, points: Sequence[tuple[type, Sequence[str]]]
) -> None:
    """At each of these pieces of work, by the class that does it."""
    for kind, names in points:
        for name in names:
            work = getattr(kind, name)
            monkeypatch.setattr(
                kind,
                name,
                lambda self, *given, work=work, **more: fate.at(lambda: work(self, *given, **more)),
            )


class Shop:
    """What an archive, a reader and whoever shortens the log do in turn, each of which ends and is
    made anew at any point."""

    def __init__(self, folder: Path, fate: Fate) -> None:
        self._fate = fate
        self._archive_url = str(folder / "archive")
        self._url = str(folder / "checkpoints")
        self.log = SqliteLog(folder / "log")
        for topic, count in (("examples", PARTITIONS), ("control", 1), ("reports", 1)):
            self.log.ensure(topic, count)
        self._identity = self.log.bounds("examples").identity
        self._writer = self.log.writer()
        self._operator: Operator | None = None
        self._trimmer: Trimmer | None = None
        self.appended: list[list[bytes]] = [[] for _ in range(PARTITIONS)]
        self.now_ms = 1

    def turn(self, more: bool = True) -> None:
        if more:
            self._append()
        for work in (self._archive, self._read, self._shorten):
            try:
                work()
            except Killed:
                # Nothing of any of them is left but what they wrote.
                self._operator = None
                self._trimmer = None

    def _append(self) -> None:
        for partition, appended in enumerate(self.appended):
            values = [
                blocks.encode(Block(blocks.EXAMPLES, "a", partition, None, self.now_ms + i))
                for i in range(self._fate.draw.randint(0, 3))
            ]
            for value in values:
                self._writer.append("examples", partition, [value], self.now_ms)
            appended += values
        self._writer.flush()
        # Days pass: files of those that are over are joined.
        self.now_ms += HOUR_MS

    def _archive(self) -> None:
        if self._operator is None:
            place = Place(self.log, CHANNELS, self._url, lambda: 7)
            job = Job("archive", ["examples"], self._made)
            rhythm = loop.Rhythm(checkpoint_seconds=0.0)
            self._operator = Operator(job, place, None, rhythm)
        self._operator.step(0.0)

    def _made(self, topic: str, partition: int) -> ArchiveTask:
        first, _ = self.log.bounds(topic).spans[partition]
        start = Start(partition, first, self._identity)
        return ArchiveTask(PLAN, start, ArchiveFolder(self._archive_url), Rhythm(age_seconds=0.0))

    def _read(self) -> None:
        """A reader's checkpoint somewhere behind the end: what stands before it may go."""
        for partition, appended in enumerate(self.appended):
            saved = Checkpoints(self._url, READER.format(partition), self._identity)
            found = saved.load()
            before = 0 if found is None else found[0]
            at = self._fate.draw.randint(before, len(appended))
            saved.save(at, {"at": np.array([at])}, full=True, again=True)

    def _shorten(self) -> None:
        if self._trimmer is None:
            self._trimmer = Trimmer(self.log, self.archive, self._url, lambda: self.now_ms)
        self._trimmer.trim(Rule("examples", KEEP_MS, lambda partition: [READER.format(partition)]))

    @property
    def archive(self) -> StoredArchive:
        return StoredArchive(self._archive_url, self._url, "app", {"examples": "examples"})

    def check(self) -> list[int]:
        """All that was acknowledged is there; how much of it the live log has forgotten."""
        live = self.log.bounds("examples")
        over = ArchivedLog(self.log, self.archive)
        for partition, appended in enumerate(self.appended):
            with PartitionSpans(over, "examples", partition) as spans:
                found = [
                    bytes(batch.value(i))
                    for batch in spans.read(0, spans.after)
                    for i in range(len(batch))
                ]
            assert found == appended
        kept_from = self.log.since("examples", self.now_ms - KEEP_MS)
        assert all(live.spans[p][0] <= kept_from[p] for p in range(PARTITIONS))
        return [first for first, _ in live.spans.values()]

    def archived(self) -> list[list[bytes]]:
        """What the files have that count, by partition."""
        folder = ArchiveFolder(self._archive_url)
        found = []
        for partition in range(PARTITIONS):
            task = task_of("examples", "examples", partition)
            files = manifest.named_files(self._url, task, self._identity)
            place = PLAN.place(partition)
            batches = [batch_of(folder.read(place, file), "examples", partition) for file in files]
            (whole,) = joined(batches)
            assert whole.offsets.tolist() == list(range(len(whole)))
            found.append([bytes(whole.value(i)) for i in range(len(whole))])
        return found


def test_two_hundred_kills_lose_nothing_and_repeat_nothing_while_the_log_is_shortened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fate = Fate(12)
    killing(
        monkeypatch,
        fate,
        [
            (ArchiveFolder, ("write", "read", "remove", "sweep")),
            (Checkpoints, ("save",)),
            (StoredArchive, ("verify",)),
            (SqliteLog, ("delete_before",)),
        ],
    )
    shop = Shop(tmp_path, fate)
    rounds = 0
    while fate.left or rounds < 20:
        rounds += not fate.left
        shop.turn()
        if shop.now_ms % (20 * HOUR_MS) == 0:
            shop.check()
    shop.turn(more=False)
    forgotten = shop.check()
    # Nobody was held up by what somebody else had left.
    assert min(forgotten) > 0.5 * len(shop.appended[0])
    assert shop.archived() == shop.appended
    shop.log.close()
