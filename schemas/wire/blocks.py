"""Blocks: how freshet's own logs carry rows. One record is a header and one Arrow IPC stream of one
batch.

    0   4   magic "FRB2"
    4   4   kind of rows (int32, one of the constants below)
    8   8   tick that follows the rows (int64 ms, NO_TICK: none)
    16  4   partition of the origin (int32)
    20  4   how many partitions the origin had at the tick (int32)
    24  4   length of the origin's name (int32)
    28  …   origin (UTF-8), zeros up to a multiple of 8, then Arrow IPC bytes (none: a tick alone);
            or a zstd frame of those, which begins otherwise than any of them

All rows of a block have one origin (a source topic, or a scorer instance) and say their place in it
in the columns `_offset` (int64) and `_index` (int32), rising in (offset, index). A tick says that
all which its origin's partition held at that time stands before it; it is intake that says so, and
no source topic carries one.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import pyarrow as pa

from freshet.schemas.errors import SchemaError
from freshet.schemas.sizes import BLOCK_BYTES

MAGIC = b"FRB2"
# Of blocks whose keys and categories were joined so that some could not be told apart.
EARLIER_MAGIC = b"FRB1"
# Before all times, so that the newest of several ticks needs no question whether there is one.
NO_TICK = -(1 << 63)
# Kinds of rows.
CLEAN = 1
PREDICTIONS = 2
LABELS = 3
EXAMPLES = 4
DEAD = 5
RECORDS = 6  # of a source topic, as they came
STATISTICS = 7
FATES = 8  # of a source topic's records, as runs
# before the names of an event's fields in a clean block: one may be called `key` or `t`
FIELD = "field."
# A boolean column of a clean block, where any row of it is no event: it erases the row of its key.
ERASED = "_erased"
# Of a row whose `_offset` is that of another log than its event came from: where the event stands.
SOURCE_PARTITION = "_source_partition"
SOURCE_OFFSET = "_source_offset"
# Before the name of a topic, as origin of what was made of its dead letters that were sent again:
# their places are those of another log than those of its records.
SENT_AGAIN = "again:"
_HEAD = struct.Struct("<4siqiii")
# How Arrow's messages begin: with a mark, and the size of what follows.
# Source: arrow.apache.org/docs/format/Columnar.html, "Encapsulated message format".
_CONTINUES = b"\xff\xff\xff\xff"
_MESSAGE = struct.Struct("<4si")
_END_OF_STREAM = _CONTINUES + bytes(4)
_ZSTD = b"\x28\xb5\x2f\xfd"  # RFC 8878; Arrow's bytes begin with FF FF FF FF
_zstd = pa.Codec("zstd")


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of one origin (None: no rows), followed by a tick (`NO_TICK`: none).

    `partitions` are those that the origin had at the tick: whoever reads waits for the ticks of all
    of them.
    """

    kind: int
    origin: str
    partition: int
    rows: pa.RecordBatch | None
    tick: int = NO_TICK
    partitions: int = 1


def topic_of(origin: str) -> str:
    """The topic that clean events or labels of this origin are of."""
    return origin.removeprefix(SENT_AGAIN)


def encode(block: Block, compressed: bool = False) -> bytes:
    """As a record's bytes; `compressed` where it is kept long and read once: of a few short rows
    Arrow's own description is most."""
    name = block.origin.encode()
    head = _HEAD.pack(MAGIC, block.kind, block.tick, block.partition, block.partitions, len(name))
    head += name
    # Arrow's buffers lie at multiples of 8, so that columns can be read where they are.
    head += bytes(-len(head) % 8)
    if block.rows is None or not block.rows.num_rows:
        return head
    schema = block.rows.schema.serialize().to_pybytes()
    if _schema_of(schema) is None:
        parts: list[Any] = [_as_stream(block.rows)]
    else:
        # The same bytes; Arrow's own stream takes ten times as long to write a small batch.
        parts = [schema, block.rows.serialize(), _END_OF_STREAM]
    if compressed:
        parts = [_zstd.compress(b"".join(parts), asbytes=True)]
    return b"".join([head, *parts])


def _as_stream(rows: pa.RecordBatch) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_batch(rows)
    return sink.getvalue()


@lru_cache(maxsize=256)
def _schema_of(message: bytes) -> pa.Schema | None:
    """What a message says that is a schema; None where rows of it need dictionaries, which are
    messages of their own."""
    schema = pa.ipc.read_schema(pa.py_buffer(message))
    if "dictionary<" in schema.to_string():
        return None
    return schema


def _rows_of(stream: memoryview | bytes) -> pa.RecordBatch:
    """The one batch of a stream, which may be compressed."""
    if bytes(stream[: len(_ZSTD)]) == _ZSTD:
        opened = pa.CompressedInputStream(pa.BufferReader(pa.py_buffer(stream)), "zstd")
        return pa.ipc.open_stream(opened).read_next_batch()
    end_of_schema = 0
    if len(stream) > _MESSAGE.size:
        mark, size = _MESSAGE.unpack_from(stream)
        if mark == _CONTINUES and 0 < size < len(stream) - _MESSAGE.size:
            end_of_schema = _MESSAGE.size + size
    if end_of_schema:
        schema = _schema_of(bytes(stream[:end_of_schema]))
        if schema is not None:
            return pa.ipc.read_record_batch(pa.py_buffer(stream[end_of_schema:]), schema)
    return pa.ipc.open_stream(pa.py_buffer(stream)).read_next_batch()


def encode_parts(block: Block, most_bytes: int = BLOCK_BYTES) -> list[bytes]:
    """A block as one record, or as several of about `most_bytes` where its rows are more than that.
    The tick follows the last. Readers pass over rows that they have had by their origins, so where
    a block was cut changes nothing."""
    rows = block.rows
    if rows is None or rows.num_rows < 2:
        return [encode(block)]
    # What its buffers have is no less than what it has of them, and is told sooner.
    if rows.get_total_buffer_size() <= most_bytes or rows.nbytes <= most_bytes:
        return [encode(block)]
    middle = rows.num_rows // 2
    # Without a tick: it says that nothing before it is missing.
    first = Block(block.kind, block.origin, block.partition, rows.slice(0, middle))
    last = replace(block, rows=rows.slice(middle))
    return [*encode_parts(first, most_bytes), *encode_parts(last, most_bytes)]


def decode(value: memoryview | bytes) -> Block:
    """Raises `SchemaError` for bytes that are no block, or not a whole one. Rows are views of the
    bytes."""
    if bytes(value[:4]) == EARLIER_MAGIC:
        raise SchemaError(
            "block",
            "was written by an earlier version of freshet, which encoded keys otherwise",
            "Remove all topics of the app that no producer writes, and start in another folder.",
        )
    if len(value) < _HEAD.size or bytes(value[:4]) != MAGIC:
        raise SchemaError(
            "block", f"{len(value)} bytes do not start a block", "Is this topic freshet's own?"
        )
    _, kind, tick, partition, partitions, size = _HEAD.unpack_from(value)
    at = _HEAD.size + size
    body = at + -at % 8
    try:
        if not _HEAD.size <= at <= body <= len(value):
            raise ValueError(f"a header of {body} bytes")
        origin = bytes(value[_HEAD.size : at]).decode()
        rows = None
        if len(value) > body:
            rows = _rows_of(value[body:])
    except (ValueError, OSError, StopIteration) as error:  # pyarrow's own errors are ValueErrors
        raise SchemaError(
            "block", f"{len(value)} bytes are not a whole one ({error})", "Was it cut off?"
        ) from error
    return Block(kind, origin, partition, rows, tick, partitions)
