"""Tables as files of Parquet: how columns are written, and what a file says of itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

FACTS = b"freshet"
# By measurement of flights' records: 3 is 2 % smaller, and takes half as much again in all.
LEVEL = 1
ROWS_PER_GROUP = 1 << 18
# What files are looked for by. Other columns have no least and greatest value in a file: keeping
# them takes a fifth of the time that writing takes.
_SOUGHT = ("offset", "time")
# So many rows say whether the values of a column repeat: of more distinct ones a dictionary costs
# more time than it saves room.
_SAMPLE = 2048
_FEW = _SAMPLE // 4
_SHORT = 32  # bytes
Bytes = bytes | memoryview


class Draft:
    """A file that is made piece by piece, each of which is a group of rows: while one is encoded
    all of it stays in the processor's caches, and what is kept is as small as the file. The first
    piece decides how columns are written."""

    def __init__(self) -> None:
        self._sink = pa.BufferOutputStream()
        self._writer: pq.ParquetWriter | None = None
        self._schema: pa.Schema | None = None
        self.rows = 0

    def add(self, table: pa.Table) -> None:
        """The rows that come next; all tables have the columns of the first."""
        if self._writer is None:
            self._writer = writer_of(table, self._sink)
            self._schema = table.schema
        self._writer.write_table(table, ROWS_PER_GROUP)
        self.rows += table.num_rows

    @property
    def schema(self) -> pa.Schema:
        """What its columns are, once there are any."""
        assert self._schema is not None
        return self._schema

    def finished(self, facts: Mapping[str, Any]) -> memoryview:
        """The whole file, with facts in its metadata; at least one table was added."""
        assert self._writer is not None
        self._writer.add_key_value_metadata({FACTS: json.dumps(facts).encode()})
        self._writer.close()
        return memoryview(self._sink.getvalue())


def writer_of(table: pa.Table, sink: pa.BufferOutputStream) -> pq.ParquetWriter:
    """A writer of tables that look as this one does."""
    repeated = []
    encodings = {}
    codecs: dict[str, str] = {}
    for field in table.schema:
        codecs |= dict.fromkeys(_leaves(field.name, field.type), "zstd")
        sample = table[field.name].slice(0, _SAMPLE)
        is_whole = pa.types.is_int32(field.type) or pa.types.is_int64(field.type)
        if field.name in _SOUGHT:
            encodings[field.name] = "DELTA_BINARY_PACKED"
        elif not pa.types.is_nested(field.type) and _repeats(sample):
            repeated.append(field.name)
            if _is_short(sample):
                codecs[field.name] = "none"
        elif is_whole:
            encodings[field.name] = "DELTA_BINARY_PACKED"
        elif pa.types.is_string(field.type) and _is_of_one_length(sample):
            encodings[field.name] = "DELTA_LENGTH_BYTE_ARRAY"
    return pq.ParquetWriter(
        sink,
        table.schema,
        compression=codecs,
        compression_level={name: LEVEL for name, codec in codecs.items() if codec == "zstd"},
        use_dictionary=repeated,
        column_encoding=encodings,
        write_statistics=list(_SOUGHT),
    )


def _leaves(name: str, kind: pa.DataType) -> Iterator[str]:
    """The columns that a field becomes in a file, where it is more than one."""
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        yield from _leaves(f"{name}.list.element", kind.value_type)
    elif pa.types.is_struct(kind):
        for field in kind:
            yield from _leaves(f"{name}.{field.name}", field.type)
    else:
        yield name


def _is_short(sample: pa.ChunkedArray) -> bool:
    """Whether a dictionary of such values is small, and what refers to it nearly all: of bits that
    are packed already zstd makes little, and takes as long as for what it does make smaller."""
    if pa.types.is_string(sample.type) or pa.types.is_binary(sample.type):
        longest = pc.max(pc.binary_length(sample)).as_py()
        return longest is None or longest <= _SHORT
    return True


def _is_of_one_length(sample: pa.ChunkedArray) -> bool:
    """As ids are. A length before each of them would keep zstd busy for nothing: apart from them
    they take half the time."""
    bounds = pc.min_max(pc.binary_length(sample)).as_py()
    return bool(bounds["min"] == bounds["max"])


def _repeats(sample: pa.ChunkedArray) -> bool:
    # Of a few rows, whatever they hold, a dictionary is small.
    most = min(_FEW, max(1, len(sample) // 2))
    return bool(pc.count_distinct(sample).as_py() <= most)


def table_of(data: Bytes) -> pa.Table:
    """What `parquet` was given, facts in its metadata."""
    return file_of(data).read()


def file_of(data: Bytes) -> pq.ParquetFile:
    """The same, of which not all columns need be read."""
    return pq.ParquetFile(pa.BufferReader(data))


def facts_of(schema: pa.Schema) -> dict[str, Any]:
    """The facts of a file, by its schema."""
    found: dict[str, Any] = json.loads(schema.metadata[FACTS])
    return found


def groups_of(data: Bytes) -> Iterator[pa.Table]:
    """A file's groups of rows, one after the other."""
    file = file_of(data)
    for number in range(file.num_row_groups):
        yield file.read_row_group(number)
