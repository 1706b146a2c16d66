"""What the archive's operator wrote is what is read below a log that it was deleted from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import Block
from freshet.streams.archive.folder import ArchiveFolder
from freshet.streams.archive.layout import OUTCOMES, SOURCE, task_of
from freshet.streams.archive.log import ArchivedLog
from freshet.streams.archive.stored import StoredArchive
from freshet.streams.archive.task import ArchivePlan, ArchiveTask, Rhythm, Start
from freshet.streams.archive.trimming import Rule, Trimmer
from freshet.streams.log.spans import PartitionSpans
from freshet.streams.operators.checkpoints import Checkpoints
from freshet.streams.sqlite.log import SqliteLog
from tests.streams.archive.test_log import columns
from tests.streams.archive.test_task import source


def rows(number: int) -> bytes:
    made = pa.record_batch({"id": [f"{number}/{i}" for i in range(number % 4)]})
    return blocks.encode(Block(7, "app.landings", 0, made, 1_000 + number, 1))


PLANS = {
    SOURCE: (source(), lambda number: b"" if number % 5 == 0 else f"{number}".encode()),
    OUTCOMES: (ArchivePlan("app", OUTCOMES, "app.outcomes", blocks=True), rows),
}


@pytest.mark.parametrize("kind", PLANS)
def test_records_are_the_same_once_they_are_in_the_archive_alone(kind: str, tmp_path: Path) -> None:
    plan, value_of = PLANS[kind]
    live = SqliteLog(tmp_path / "log")
    live.ensure(plan.log, 1)
    writer = live.writer()
    for number in range(60):
        writer.append(plan.log, 0, [value_of(number)], number)
    writer.flush()
    writer.close()
    before = whole(live, plan.log)
    identity = live.bounds(plan.log).identity
    url = str(tmp_path / "archive")
    checkpoints_url = str(tmp_path / "checkpoints")
    rhythm = Rhythm(age_seconds=0.0)
    task = ArchiveTask(plan, Start(0, 0, identity), ArchiveFolder(url), rhythm)
    saved = Checkpoints(checkpoints_url, task_of(kind, plan.log, 0), identity)
    with PartitionSpans(live, plan.log) as spans:
        for start in range(0, 60, 20):
            for batch in spans.read(start, start + 20):
                task.apply(batch)
            task.write()
            saved.save(start + 20, task.dump(True), True)
    archive = StoredArchive(url, checkpoints_url, "app", {plan.log: kind})
    trimmer = Trimmer(live, archive, checkpoints_url, lambda: 60)
    trimmer.trim(Rule(plan.log, 10, lambda partition: []))
    assert live.bounds(plan.log).spans == {0: (50, 60)}
    log = ArchivedLog(live, archive)
    assert log.bounds(plan.log).spans == {0: (0, 60)}
    assert whole(log, plan.log) == before
    assert len(before) == 60
    log.close()


def whole(log: Any, topic: str) -> list[tuple[Any, ...]]:
    with PartitionSpans(log, topic) as spans:
        return [row for batch in spans.read(0, 1 << 40) for row in columns(batch)]
