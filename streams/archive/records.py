"""Records as they came, as columns of an archived file, and back.

offset     int64, where it stood in its partition
time       timestamp(ms, UTC), when it was appended
key        binary, null where it had none (and where the log keeps none)
value      binary, null where it had none
headers    list of structs of `name` and `value`, both binary; null where the log keeps none
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from freshet.schemas.text.columns import Texts
from freshet.streams.log.contract import Batch, headers_type

TIME = pa.timestamp("ms", "UTC")
COLUMNS = ["offset", "time", "key", "value", "headers"]


def columns_of(batch: Batch) -> dict[str, pa.Array]:
    """All records of a batch, by column."""
    count = len(batch)
    there = np.ones(count, np.bool_)
    if batch.nulls is not None:
        there = ~batch.nulls
    keys = pa.nulls(count, pa.binary())
    if batch.keys is not None:
        keys = binary(batch.keys)
    headers = batch.all_headers
    if headers is None:
        headers = pa.nulls(count, headers_type())
    return {
        "offset": pa.array(batch.offsets),
        "time": pa.array(batch.times).cast(TIME),
        "key": keys,
        "value": binary(Texts(batch.data, batch.start, batch.end, there)),
        "headers": headers,
    }


def batch_of(table: pa.Table, topic: str, partition: int) -> Batch:
    """The records of a table as they were read. Where no record of it is without a value, lacks a
    key or has headers, as of a log that keeps none."""
    values = texts(table["value"])
    nulls = None
    keys = None
    if not values.valid.all() or table["key"].null_count < table.num_rows:
        nulls = ~values.valid
        keys = texts(table["key"])
    headers = None
    if table["headers"].null_count < table.num_rows:
        headers = _one(table["headers"])
    return Batch(
        topic,
        partition,
        values.data,
        values.start,
        values.end,
        _one(table["offset"]).to_numpy().copy(),
        _one(table["time"]).cast(pa.int64()).to_numpy().copy(),
        nulls,
        keys,
        all_headers=headers,
    )


def binary(values: Texts) -> pa.Array:
    """Whatever bytes they are."""
    return values.to_arrow().view(pa.binary())


def texts(column: pa.ChunkedArray) -> Texts:
    """What `binary` was given."""
    found = Texts.from_arrow(_one(column))
    # Kernels are compiled for arrays that can be written to.
    return Texts(
        found.data.copy(),
        found.start,
        found.end,
        found.valid,
    )


def _one(column: pa.ChunkedArray) -> pa.Array:
    found = column.combine_chunks()
    # Of no chunk, or of several, an older pyarrow gives a chunked array again.
    if isinstance(found, pa.ChunkedArray):
        return pa.concat_arrays(found.chunks or [pa.nulls(0, found.type)])
    return found
