"""Dead letters: records that could not be taken, each with its reason, its origin and its bytes
(the first 64 KiB)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import Block
from freshet.streams.log.contract import Batch

KEPT_BYTES = 64 * 1024
REFUSED = "refused"  # of rows; see `REASONS`


class RefusedRow(NamedTuple):
    """A row that its store refuses: its key (UTF-8), the record of its view's log that made it and
    its place in that, and why."""

    key: bytes
    offset: int
    place: int
    why: str


def letters_of_rows(rows: Sequence[RefusedRow], origin: str, partition: int) -> list[bytes]:
    """Rows as blocks of dead letters, of which the value is the key; `origin` names their view's
    log."""
    keys = [row.key[:KEPT_BYTES] for row in rows]
    count = len(rows)
    table = {
        "reason": pa.array([REFUSED] * count, pa.string()),
        "field": pa.array([None] * count, pa.string()),
        "detail": pa.array([row.why for row in rows], pa.string()),
        "size": pa.array([len(row.key) for row in rows], pa.int64()),
        "value": pa.array(keys, pa.binary()),
        "_offset": pa.array([row.offset for row in rows], pa.int64()),
        "_index": pa.array([row.place for row in rows], pa.int32()),
    }
    made = pa.RecordBatch.from_pydict(table)
    return blocks.encode_parts(Block(blocks.DEAD, origin, partition, made))


def letters(
    batch: Batch,
    rows: npt.NDArray[np.int64],
    origin: str,
    reasons: Sequence[str],
    fields: Sequence[str | None],
    details: Sequence[str | None] | None = None,
) -> list[bytes]:
    """Records `rows` of a batch as blocks of dead letters. `origin` names where they came from;
    `fields` the field that was wrong, `details` the text of the error, where there is one. Of a
    longer record than is kept the size is told; of several events of a record the first has its
    bytes, so that letters never hold more than the records did."""
    offsets = batch.offsets[rows]
    # None is below 0: the first has its bytes.
    is_first = np.diff(offsets, prepend=-1) != 0
    values = [
        bytes(batch.value(row)[:KEPT_BYTES]) if first else b""
        for row, first in zip(rows.tolist(), is_first.tolist())
    ]
    places = np.zeros(len(rows), np.int32)
    if batch.places is not None:
        places = batch.places[rows]
    table = {
        "reason": pa.array(reasons, pa.string()),
        "field": pa.array(fields, pa.string()),
        "detail": pa.array(details if details is not None else [None] * len(rows), pa.string()),
        "size": pa.array(batch.end[rows] - batch.start[rows]),
        "value": pa.array(values, pa.binary()),
        "_offset": pa.array(offsets),
        "_index": pa.array(places),
    }
    made = pa.RecordBatch.from_pydict(table)
    return blocks.encode_parts(Block(blocks.DEAD, origin, batch.partition, made))
