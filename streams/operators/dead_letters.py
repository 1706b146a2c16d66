"""Dead letters: records that could not be taken, each with its reason, its origin and its bytes
(the first 64 KiB)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import Block
from freshet.streams.log.contract import Batch

KEPT_BYTES = 64 * 1024


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
    longer record than is kept the size is told."""
    values = [bytes(batch.value(i)[:KEPT_BYTES]) for i in rows.tolist()]
    table = {
        "reason": pa.array(reasons, pa.string()),
        "field": pa.array(fields, pa.string()),
        "detail": pa.array(details if details is not None else [None] * len(rows), pa.string()),
        "size": pa.array(batch.end[rows] - batch.start[rows]),
        "value": pa.array(values, pa.binary()),
        "_offset": pa.array(batch.offsets[rows]),
        "_index": pa.array(np.zeros(len(rows), np.int32)),
    }
    made = pa.RecordBatch.from_pydict(table)
    return blocks.encode_parts(Block(blocks.DEAD, origin, batch.partition, made))
