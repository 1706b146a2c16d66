"""Records of a source topic, as they came, in blocks of a log of freshet's own: made of what was
read there, and read back.

Beside `_offset`, where it stood in its source partition, a row has

    value      its bytes (binary; null: it had none)
    time       when it was appended, ms (int64)
    key        the bytes of its key (binary; only where a record of the block has no value)
    header.0   … those headers that the topic reads, in its order (binary)
    refused    why it could not be moved as it was (uint8, an index of REASONS; 0: it was), and of
               what is too large the first 64 KiB are there; only where one of the block could not
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.schemas.events.columns import OK, TOO_LARGE
from freshet.schemas.sizes import BLOCK_BYTES, RECORD_BYTES
from freshet.schemas.text.columns import Texts
from freshet.streams.log.contract import Batch, joined
from freshet.streams.log.moved import Moved
from freshet.streams.operators.dead_letters import KEPT_BYTES

# A block of one record is a record itself, with a header and a schema, which take some kilobytes.
LARGEST = RECORD_BYTES - BLOCK_BYTES
I64 = npt.NDArray[np.int64]
HEADER = "header."


class Rows(NamedTuple):
    """Records that were moved, and where from."""

    batch: Batch
    moved: Moved


def rows_of(batch: Batch, refused: npt.NDArray[np.uint8] | None = None) -> pa.RecordBatch:
    """All records of a batch, as rows of blocks. Those that are `refused` for another reason than
    their size bear that."""
    ends = batch.end
    if refused is None:
        refused = np.zeros(len(batch), np.uint8)
    large = ends - batch.start > LARGEST
    if large.any():
        refused = np.where(large & (refused == OK), TOO_LARGE, refused).astype(np.uint8)
        # All that a dead letter keeps of it.
        ends = np.where(large, batch.start + KEPT_BYTES, ends)
    there = np.ones(len(batch), np.bool_)
    if batch.nulls is not None:
        there = ~batch.nulls
    columns: dict[str, pa.Array] = {
        "value": _bytes(Texts(batch.data, batch.start, ends, there)),
        "time": pa.array(batch.times),
        "_offset": pa.array(batch.offsets),
        "_index": pa.array(np.zeros(len(batch), np.int32)),
    }
    if batch.keys is not None:
        columns["key"] = _bytes(batch.keys)
    for number, header in enumerate(batch.headers):
        columns[f"{HEADER}{number}"] = _bytes(header)
    if refused.any():
        columns["refused"] = pa.array(refused)
    return pa.RecordBatch.from_pydict(columns)


def read(rows: pa.RecordBatch, source: int, place: Batch, first: int = 0) -> Rows:
    """The rows of a block from `first` on, which came from partition `source`, as records. The
    block is the only record of the batch `place`."""
    rows = rows.slice(first)
    count = rows.num_rows
    values = Texts.from_arrow(rows.column("value"))
    names = rows.schema.names
    keys = None
    nulls = None
    if "key" in names:
        keys = Texts.from_arrow(rows.column("key"))
        nulls = ~values.valid
    headers = [name for name in names if name.startswith(HEADER)]
    refused = np.zeros(count, np.uint8)
    if "refused" in names:
        refused = rows.column("refused").to_numpy()
    batch = Batch(
        place.topic,
        place.partition,
        values.data,
        values.start,
        values.end,
        np.full(count, place.offsets[0]),
        rows.column("time").to_numpy().copy(),  # of the kind that kernels are compiled for
        nulls,
        keys,
        tuple(Texts.from_arrow(rows.column(name)) for name in headers),
    )
    moved = Moved(
        np.arange(first, first + count, dtype=np.int32),
        np.full(count, source),
        rows.column("_offset").to_numpy(),
        refused,
    )
    return Rows(batch, moved)


def together(parts: Sequence[Rows]) -> Rows:
    """Rows of several blocks of one partition, in order."""
    if len(parts) == 1:
        return parts[0]
    (batch,) = joined([part.batch for part in parts])
    return Rows(batch, Moved(*(np.concatenate(columns) for columns in zip(*map(_columns, parts)))))


def part(rows: Rows, first: int, after: int) -> Rows:
    """Rows `first` to `after` (exclusive)."""
    columns = (column[first:after] for column in _columns(rows))
    return Rows(rows.batch.rows(first, after), Moved(*columns))


def _columns(rows: Rows) -> tuple[npt.NDArray[Any], ...]:
    moved = rows.moved
    return moved.indices, moved.partitions, moved.offsets, moved.refused


def _bytes(texts: Texts) -> pa.Array:
    """Whatever bytes they are."""
    return texts.to_arrow().view(pa.binary())
