"""The archive's operator over a real log, killed again and again at any point of its work."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import Block
from freshet.streams.archive import manifest
from freshet.streams.archive.folder import ArchiveFolder
from freshet.streams.archive.layout import task_of
from freshet.streams.archive.stored import batch_of
from freshet.streams.archive.task import ArchivePlan, ArchiveTask, Rhythm, Start
from freshet.streams.log.contract import joined
from freshet.streams.operators import loop
from freshet.streams.operators.checkpoints import Checkpoints
from freshet.streams.operators.loop import Job, Operator, Place
from freshet.streams.sqlite.log import SqliteLog
from tests.streams.operators.deaths import CHANNELS, Killed

PARTITIONS = 2
KILLS = 200


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


def test_two_hundred_kills_lose_nothing_and_repeat_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fate = Fate(2013)
    for kind, names in ((ArchiveFolder, ("write", "remove", "sweep")), (Checkpoints, ("save",))):
        for name in names:
            work = getattr(kind, name)
            monkeypatch.setattr(
                kind,
                name,
                lambda self, *given, work=work, **more: fate.at(lambda: work(self, *given, **more)),
            )
    log = SqliteLog(tmp_path / "log")
    for topic, count in (("examples", PARTITIONS), ("dead", 1), ("control", 1), ("reports", 1)):
        log.ensure(topic, count)
    plan = ArchivePlan("app", "examples", "examples", blocks=True)
    url = str(tmp_path / "checkpoints")
    identity = log.bounds("examples").identity

    def make(topic: str, partition: int) -> ArchiveTask:
        folder = ArchiveFolder(str(tmp_path / "archive"))
        return ArchiveTask(plan, Start(partition, 0, identity), folder, Rhythm(age_seconds=0.0))

    writer = log.writer()
    rhythm = loop.Rhythm(checkpoint_seconds=0.0)
    operator = None
    number = 0
    rounds = 0
    while fate.left or rounds < 20:
        rounds += not fate.left
        for partition in range(PARTITIONS):
            values = [
                blocks.encode(Block(blocks.EXAMPLES, "a", partition, None, number + i))
                for i in range(fate.draw.randint(0, 3))
            ]
            number += len(values)
            writer.append("examples", partition, values, 1 + number * 3_600_000)
        writer.flush()
        try:
            # Also where the one before it ended: nothing of it is left but what it wrote.
            operator = operator or Operator(
                Job("archive", ["examples"], make),
                Place(log, CHANNELS, url, lambda: 7),
                None,
                rhythm,
            )
            operator.step(0.0)
        except Killed:
            operator = None
    assert operator is not None
    operator.step(0.0)
    operator.close()
    folder = ArchiveFolder(str(tmp_path / "archive"))
    for partition in range(PARTITIONS):
        files = manifest.named_files(url, task_of("examples", "examples", partition), identity)
        found = [folder.read(plan.place(partition), file) for file in files]
        (again,) = joined([batch_of(data, "examples", partition) for data in found])
        reader = log.reader(["examples"], None)
        expected = [one for one in reader.poll(1 << 20, 1.0) if one.partition == partition]
        reader.close()
        (live,) = joined(expected)
        assert again.offsets.tolist() == live.offsets.tolist()
        assert again.times.tolist() == live.times.tolist()
        assert [bytes(again.value(i)) for i in range(len(again))] == [
            bytes(live.value(i)) for i in range(len(live))
        ]
    writer.close()
    log.close()
