"""When a view may go on from its past with its own log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from freshet.hydration.live_heads import LiveHeads
from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import CLEAN, Block
from freshet.streams.sqlite.log import SqliteLog


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    log = SqliteLog(str(tmp_path / "log"))
    log.ensure("clean", 2)
    yield log
    log.close()


def tick(origin: int) -> bytes:
    return blocks.encode(Block(CLEAN, "t", origin, None, 5, 2))


def rows(origin: int, *offsets: int) -> bytes:
    table = {"_offset": pa.array(offsets), "_index": pa.array([0] * len(offsets), pa.int32())}
    return blocks.encode(Block(CLEAN, "t", origin, pa.RecordBatch.from_pydict(table)))


def append(log: SqliteLog, partition: int, *values: bytes) -> None:
    writer = log.writer()
    for value in values:
        writer.append("clean", partition, [value], 1)
    writer.flush()
    writer.close()


def test_not_before_every_origin_has_begun_and_every_partition_has_a_record(
    log: SqliteLog,
) -> None:
    heads = LiveHeads(log, "clean")
    limits = {("t", 0): 9, ("t", 1): 9}
    assert not heads.meet(limits, 0.01)
    append(log, 0, tick(0))
    assert not heads.meet(limits, 0.01), "nothing was heard of the second one"
    append(log, 0, tick(1))
    assert not heads.meet(limits, 0.01), "the other partition has no record yet"
    append(log, 1, tick(0))
    assert heads.meet(limits, 0.01)
    assert not heads.meet({**limits, ("t", 2): 0}, 0.01), "one that was added has not begun"
    heads.close()


def test_not_before_the_past_has_all_rows_of_the_first_record(log: SqliteLog) -> None:
    """Rows of the past bear its version."""
    append(log, 0, rows(0, 7, 8), tick(0), rows(0, 20))
    append(log, 1, tick(0))
    heads = LiveHeads(log, "clean")
    assert not heads.meet({("t", 0): 8}, 0.01)
    assert heads.meet({("t", 0): 9}, 0.01)
    heads.close()
