"""Records of freshet's own logs, which are blocks of rows, as columns of an archived file, and
back: a row of the file for each row of a block, one for a block that has none.

    offset, time        of the record, as in `records`
    block.kind          what its rows are (int32; null: the record is no block)
    block.origin        where they came from, `block.partition` of that, and how many
    block.partitions    partitions that had (string, int32, int32)
    block.tick          the time that follows them (timestamp(ms, UTC), null: none)
    block.columns       which of the file's `blocks` says what columns they have (int32, null: none)
    row.*               the row, by the names of its columns; null where its block has no such one
    record              the record's bytes, where they cannot be made again of all that (binary)

Columns of one name and several types in one file bear the type in their names, but for the first.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.schemas.errors import SchemaError
from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import Block
from freshet.streams.archive.records import TIME
from freshet.streams.log.contract import Batch

BLOCKS = b"freshet.blocks"
ROW = "row."
NO_ROWS = -1


class _Row(NamedTuple):
    """What the rows of one record have in common."""

    kind: int | None
    origin: str | None
    partition: int | None
    partitions: int | None
    tick: int | None
    columns: int | None


class _Shapes:
    """The columns that blocks have, each of them once."""

    def __init__(self) -> None:
        self.schemas: list[pa.Schema] = []
        self.names: list[list[str]] = []  # of its columns in the file, by schema
        self.types: dict[str, pa.DataType] = {}  # of the file's columns
        self._known: dict[bytes, int] = {}

    def number(self, schema: pa.Schema) -> int:
        """The place of a schema among them."""
        # Equal schemas may differ in their metadata, which is bytes of a record, too.
        key = schema.serialize().to_pybytes()
        found = self._known.get(key)
        if found is None:
            found = len(self.schemas)
            self._known[key] = found
            self.schemas.append(schema)
            self.names.append([self._name(field) for field in schema])
        return found

    def _name(self, field: pa.Field) -> str:
        plain = f"{ROW}{field.name}"
        kind = _in_file(field.type)
        if self.types.setdefault(plain, kind) == kind:
            return plain
        typed = f"{plain}:{kind}"
        self.types[typed] = kind
        return typed

    def as_metadata(self) -> bytes:
        found = [schema.serialize().to_pybytes() for schema in self.schemas]
        return json.dumps([base64.b64encode(one).decode() for one in found]).encode()


def _in_file(kind: pa.DataType) -> pa.DataType:
    """Parquet has no values of a fixed length of 0, which versions of no view's rows are."""
    if kind == pa.binary(0):
        return pa.binary()
    return kind


def _typed(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """As it is, but for what `_in_file` had to change."""
    if column.type == kind:
        return column
    return column.cast(kind)


def table_of(batch: Batch) -> pa.Table:
    """All records of a batch; of none of them the bytes, but of those that are no blocks."""
    shapes = _Shapes()
    common: list[_Row] = []
    rows: list[pa.RecordBatch | None] = []
    kept: list[bytes | None] = []
    for i in range(len(batch)):
        block = _block(batch.value(i))
        kept.append(None if block is not None else bytes(batch.value(i)))
        rows.append(None if block is None else block.rows)
        common.append(_common(block, shapes))
    counts = np.array([1 if one is None else one.num_rows for one in rows], np.int64)
    which = np.repeat(np.arange(len(batch)), counts)
    columns = {
        "offset": pa.array(batch.offsets[which]),
        "time": pa.array(batch.times[which]).cast(TIME),
    }
    types = (pa.int32(), pa.string(), pa.int32(), pa.int32(), TIME, pa.int32())
    for at, (name, kind) in enumerate(zip(_Row._fields, types)):
        own = pa.array([one[at] for one in common], kind)
        columns[f"block.{name}"] = own.take(pa.array(which))
    for name, kind in shapes.types.items():
        columns[name] = pa.chunked_array(_pieces(name, kind, rows, common, shapes), kind)
    # Only here, as every role that knows the archive imports this.
    import pyarrow.compute as pc

    # Once, though a record may be several rows.
    first = np.diff(which, prepend=-1) != 0
    bytes_of = pa.array(kept, pa.binary()).take(pa.array(which))
    columns["record"] = pc.if_else(
        pa.array(first),
        bytes_of,
        pa.scalar(None, pa.binary()),
    )
    made = pa.table(columns)
    return made.replace_schema_metadata({BLOCKS: shapes.as_metadata()})


def differing(table: pa.Table, batch: Batch) -> list[int]:
    """Which records of a batch a table that was read back gives otherwise than they were."""
    found = _records(table.combine_chunks())
    return [i for i, (_, value) in enumerate(found) if value != batch.value(i)]


def batch_of(table: pa.Table, topic: str, partition: int) -> Batch:
    """The records of a table as they were read."""
    table = table.combine_chunks()
    found = list(_records(table))
    firsts = np.array([first for first, _ in found], np.int64)
    values = [value for _, value in found]
    edges = np.zeros(len(values) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, values), np.int64, len(values)), out=edges[1:])
    offsets = table["offset"].to_numpy()
    times = table["time"].cast(pa.int64()).to_numpy()
    return Batch(
        topic,
        partition,
        np.frombuffer(bytearray().join(values), np.uint8),
        edges[:-1],
        edges[1:],
        offsets[firsts],
        times[firsts],
    )


def with_records(table: pa.Table, batch: Batch, wrong: Sequence[int]) -> pa.Table:
    """The table of a batch with the bytes of its records `wrong`, too."""
    kept: list[bytes | None] = table["record"].to_pylist()
    firsts = _firsts(table)
    for i in wrong:
        kept[firsts[i]] = bytes(batch.value(i))
    at = table.schema.get_field_index("record")
    return table.set_column(
        at,
        "record",
        pa.array(kept, pa.binary()),
    )


def _block(value: memoryview) -> Block | None:
    try:
        return blocks.decode(value)
    except SchemaError:
        return None


def _common(block: Block | None, shapes: _Shapes) -> _Row:
    if block is None:
        return _Row(None, None, None, None, None, None)
    tick = None if block.tick == blocks.NO_TICK else block.tick
    columns = None if block.rows is None else shapes.number(block.rows.schema)
    return _Row(
        block.kind,
        block.origin,
        block.partition,
        block.partitions,
        tick,
        columns,
    )


def _pieces(
    name: str,
    kind: pa.DataType,
    rows: Sequence[pa.RecordBatch | None],
    common: Sequence[_Row],
    shapes: _Shapes,
) -> list[pa.Array]:
    """A column of the file, record by record."""
    places = [names.index(name) if name in names else -1 for names in shapes.names]
    pieces = []
    missing = 0
    for one, shared in zip(rows, common):
        place = -1 if shared.columns is None else places[shared.columns]
        if one is None or place < 0:
            missing += 1 if one is None else one.num_rows
            continue
        if missing:
            pieces.append(pa.nulls(missing, kind))
            missing = 0
        pieces.append(_typed(one.column(place), kind))
    if missing:
        pieces.append(pa.nulls(missing, kind))
    return pieces


def _firsts(table: pa.Table) -> npt.NDArray[np.intp]:
    """Where each record's rows begin."""
    return np.flatnonzero(np.diff(table["offset"].to_numpy(), prepend=-1))


def _records(table: pa.Table) -> Iterator[tuple[int, bytes]]:
    """Each record: its first row, and its bytes."""
    shapes = _Shapes()
    for one in json.loads(table.schema.metadata[BLOCKS]):
        shapes.number(pa.ipc.read_schema(pa.py_buffer(base64.b64decode(one))))
    firsts = _firsts(table)
    edges = [*firsts.tolist(), table.num_rows]
    heads = table.take(pa.array(firsts)).select(_HEAD).to_pylist() if len(firsts) else []
    (rows,) = table.to_batches() or [None]
    for first, after, head in zip(edges, edges[1:], heads):
        if head["record"] is not None:
            yield first, head["record"]
        else:
            yield first, blocks.encode(_made_again(head, rows, first, after, shapes))


_HEAD = [*(f"block.{name}" for name in _Row._fields if name != "tick"), "block.tick", "record"]


def _made_again(
    head: dict[str, Any], table: pa.RecordBatch, first: int, after: int, shapes: _Shapes
) -> Block:
    rows = None
    number = head["block.columns"]
    if number is not None:
        names = shapes.names[number]
        # Each in buffers of its own: of a slice's, Arrow writes more than belongs to it.
        columns = [
            pa.concat_arrays([table.column(name).slice(first, after - first)]) for name in names
        ]
        schema = shapes.schemas[number]
        typed = [_typed(column, kind) for column, kind in zip(columns, schema.types)]
        rows = pa.RecordBatch.from_arrays(typed, schema=schema)
    tick = head["block.tick"]
    return Block(
        head["block.kind"],
        head["block.origin"],
        head["block.partition"],
        rows,
        blocks.NO_TICK if tick is None else round(tick.timestamp() * 1000),
        head["block.partitions"],
    )
