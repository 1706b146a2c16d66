"""What records of a source topic say, as columns of an archived file beside their bytes.

schema_id    the wire id of the schema that the record was written by (int32, null: none)
reason       why it could not be decoded (string, null: it was, or it has no value)
event.*      its fields by the topic's schema, null where it was not decoded
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.schemas.events.columns import OK, REASONS
from freshet.schemas.events.decode import EventCodec, decode
from freshet.schemas.topics import headers
from freshet.streams.intake.task import IntakePlan
from freshet.streams.log.contract import Batch, Bools

EVENT = "event."
HEADER_BYTES = 5  # of the wire format: a zero, then the id, big endian
_REASONS = pa.array([None, *REASONS[1:]], pa.string())
_CRASH = REASONS.index("crash")


def codec_of(source: IntakePlan) -> EventCodec:
    """How records of a topic are read, by all writers' schemas that are known by now."""
    if source.writers is not None:
        return source.writers.codec
    return source.codec


def columns_of(batch: Batch, source: IntakePlan, untouched: Bools) -> dict[str, pa.Array]:
    """The events of all records of a batch of a topic. Records that are `untouched` (bool `[n]`)
    are not looked into: decoding them has crashed."""
    codec = codec_of(source)
    ends = np.where(untouched, batch.start, batch.end)
    columns = decode(batch.data, batch.start, ends, codec)
    if batch.headers:
        headers.fill(
            columns,
            list(source.topic.headers),
            batch.headers,
        )
    reason = np.where(untouched, _CRASH, columns.reason)
    if batch.nulls is not None:
        reason[batch.nulls] = OK
    made = {
        "schema_id": _schema_ids(batch),
        "reason": _reasons(reason),
    }
    for field in codec.schema.fields:
        made[f"{EVENT}{field.name}"] = columns.arrow(field.name)
    return made


def _reasons(reason: npt.NDArray[np.uint8]) -> pa.Array:
    # By far the most often.
    if not reason.any():
        return pa.nulls(len(reason), pa.string())
    return _REASONS.take(pa.array(reason))


def _schema_ids(batch: Batch) -> pa.Array:
    long_enough = batch.end - batch.start >= HEADER_BYTES
    # Of records without a byte there is none to look at.
    if not long_enough.any():
        return pa.nulls(len(batch), pa.int32())
    starts = batch.start
    if not long_enough.all():
        # There is a long one, so there are bytes at the beginning.
        starts = np.where(long_enough, starts, 0)
    # Every row's header in one copy.
    heads = np.lib.stride_tricks.sliding_window_view(batch.data, HEADER_BYTES)[starts]
    has_id = long_enough & (heads[:, 0] == 0)
    found = np.ascontiguousarray(heads[:, 1:]).view(">i4")[:, 0].astype(np.int32)
    return pa.array(found, mask=~has_id)
