"""From records to columns: events in the Confluent wire format or in JSON, of the topic's schema or of older ones.

No row ever raises: a row that cannot be decoded says so in `reason`, and its neighbours are untouched.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import fastavro
import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas import avro_kernels as kernels
from schemas.errors import SchemaError
from schemas.event_schema import EventSchema
from schemas.event_schema import Field as EventField
from schemas.text import Texts

if TYPE_CHECKING:
    import polars as pl

REASONS = (
    "ok",
    "undecodable",
    "unknown_type",
    "wrong_type",
    "missing_required",
    "out_of_domain",
    "out_of_range",
    "far_future",
    "crash",
)
WRONG_TYPE, MISSING_REQUIRED = REASONS.index("wrong_type"), REASONS.index("missing_required")
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
_GROUP = {"string": 0, "enum": 0, "int": 1, "long": 1, "boolean": 1, "float": 2, "double": 2}
_OPS = {
    "string": kernels.TEXT,
    "enum": kernels.ENUM,
    "int": kernels.LONG,
    "long": kernels.LONG,
    "boolean": kernels.BOOLEAN,
    "float": kernels.FLOAT,
    "double": kernels.DOUBLE,
}
_PYTHON: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "enum": (str,),
    "int": (int,),
    "long": (int,),
    "boolean": (bool,),
    "float": (int, float),
    "double": (int, float),
}
_INTEGER_BOUND = {"int": 1 << 31, "long": 1 << 63}


class EventCodec:
    """How a topic's records are read: into `schema`, from that and from older schemas by their wire id.

    Raises:
        SchemaError: an older schema cannot be read as the new one.
    """

    def __init__(self, schema: EventSchema, older: Mapping[int, EventSchema] | None = None) -> None:
        self.schema = schema
        writers = {**(older or {}), schema.schema_id: schema}
        counts = [0, 0, 0]
        self.slots: dict[str, int] = {}
        for f in schema.fields:
            self.slots[f.name] = counts[_GROUP[f.type]]
            counts[_GROUP[f.type]] += 1
        self.counts = tuple(counts)
        self.ids = np.array(list(writers), np.int64)
        most = max(len(w.fields) for w in writers.values())
        self.lengths = np.array([len(w.fields) for w in writers.values()])
        self.programs = np.zeros((len(writers), most, 4), np.int64)
        words = [s for w in writers.values() for f in w.fields for s in f.symbols]
        words += [f.default for f in schema.fields if isinstance(f.default, str)]
        self.arena = "".join(words).encode()
        longest = max([len(f.symbols) for w in writers.values() for f in w.fields] or [0])
        self.symbols = np.full((len(writers), most, max(1, longest), 2), -1, np.int64)
        for k, writer in enumerate(writers.values()):
            self._program(k, writer)

    def _program(self, k: int, writer: EventSchema) -> None:
        index = {f.name: i for i, f in enumerate(self.schema.fields)}
        at = 0
        for i, f in enumerate(writer.fields):
            reader = self.schema.fields[index[f.name]] if f.name in index else None
            op = _OPS[f.type]
            if reader is not None and reader.type != f.type:
                op = _promoted(writer.name, f, reader)
            slot = self.slots[f.name] if reader is not None else 0
            self.programs[k, i] = op, slot, index.get(f.name, -1), -1 if f.null_branch is None else f.null_branch
            at = self.arena.find("".join(f.symbols).encode()) if f.symbols else 0
            for j, s in enumerate(f.symbols):
                self.symbols[k, i, j] = at, at + len(s.encode())
                at += len(s.encode())

    def default(self, f: EventField) -> Any:
        """A field's default, None for null."""
        return f.default if f.has_default else None


def _promoted(schema: str, writer: EventField, reader: EventField) -> int:
    """The op that reads one type as another (Avro's promotions)."""
    pair = writer.type, reader.type
    if pair in (("int", "long"), ("string", "enum"), ("enum", "string"), ("float", "double")):
        return _OPS[writer.type]
    if writer.type in ("int", "long") and reader.type in ("float", "double"):
        return kernels.LONG_AS_DOUBLE
    raise SchemaError(
        f"{schema}.{writer.name}",
        f"was {writer.type} and is now {reader.type}, which old events cannot be read as",
        "Add a field of another name instead.",
    )


class Columns:
    """Decoded rows as columns. `reason` uint8 `[n]` indexes `REASONS`; `detail_field` int16 `[n]` the field (-1: none)."""

    def __init__(self, codec: EventCodec, n: int, data: npt.NDArray[np.uint8]) -> None:
        self.schema, self.n = codec.schema, n
        self._codec, self._data = codec, data
        texts, longs, doubles = codec.counts
        self.starts, self.ends = np.zeros((texts, n), np.int64), np.zeros((texts, n), np.int64)
        self.longs, self.doubles = np.zeros((longs, n), np.int64), np.zeros((doubles, n))
        self.valid = np.zeros((len(codec.schema.fields), n), np.bool_)
        self.reason, self.detail_field = np.zeros(n, np.uint8), np.full(n, -1, np.int16)
        self._index = {f.name: i for i, f in enumerate(codec.schema.fields)}
        self._replaced: dict[str, tuple[Any, Bools]] = {}

    @property
    def data(self) -> npt.NDArray[np.uint8]:
        """The bytes that texts are spans of."""
        return self._data

    def text(self, name: str) -> Texts:
        if name in self._replaced:
            texts: Texts = self._replaced[name][0]
            return texts
        slot = self._codec.slots[name]
        return Texts(self._data, self.starts[slot], self.ends[slot], self.valid[self._index[name]])

    def integers(self, name: str) -> tuple[I64, Bools]:
        if name in self._replaced:
            values, valid = self._replaced[name]
            return values.astype(np.int64), valid
        return self.longs[self._codec.slots[name]], self.valid[self._index[name]]

    def numbers(self, name: str) -> tuple[F64, Bools]:
        """Any number field as float64."""
        if name in self._replaced:
            values, valid = self._replaced[name]
            return values, valid
        f = self.schema.fields[self._index[name]]
        table = self.longs if _GROUP[f.type] == 1 else self.doubles
        return table[self._codec.slots[name]].astype(np.float64, copy=False), self.valid[self._index[name]]

    def replace(self, name: str, values: Any, valid: Bools) -> None:
        """Put other values in a column: `Texts` for a text field, float64 `[n]` for a number."""
        self._replaced[name] = values, valid

    def arrow(self, name: str, rows: I64) -> pa.Array:
        """The chosen rows as an Arrow array: utf8, int64, float64 or bool."""
        f = self.schema.fields[self._index[name]]
        if _GROUP[f.type] == 0:
            return self.text(name).to_arrow(rows)
        if f.type == "boolean":
            values, valid = self.integers(name)
            return pa.array(values[rows] != 0, mask=_mask(valid[rows]))
        if _GROUP[f.type] == 1:
            values, valid = self.integers(name)
            return pa.array(values[rows], mask=_mask(valid[rows]))
        doubles, valid = self.numbers(name)
        return pa.array(doubles[rows], mask=_mask(valid[rows]))

    def frame(self, names: list[str], rows: I64) -> pl.DataFrame:
        """The chosen rows of some fields, for users' expressions."""
        import polars as pl

        return pl.DataFrame({n: pl.Series(n, pl.from_arrow(self.arrow(n, rows))) for n in names}, height=len(rows))


def _mask(valid: Bools) -> Bools | None:
    return None if valid.all() else ~valid


def decode(data: npt.NDArray[np.uint8], start: I64, end: I64, codec: EventCodec) -> Columns:
    """Decode records `data[start[i]:end[i]]`, uint8 and int64 `[n]`."""
    start, end = np.ascontiguousarray(start, np.int64), np.ascontiguousarray(end, np.int64)
    n = len(start)
    json_rows = _json_rows(data, start, end)
    reasons: dict[int, int] = {}
    if len(json_rows):
        data, start, end, reasons = _transcode(data, start.copy(), end.copy(), json_rows, codec.schema)
    base = len(data)
    if codec.arena:
        data = np.concatenate([data, np.frombuffer(codec.arena, np.uint8)])
    columns = Columns(codec, n, _writable(data))
    symbols = np.where(codec.symbols >= 0, codec.symbols + base, -1)
    _fill_defaults(columns, codec, base)
    words = columns.doubles.view(np.uint64)
    singles = np.zeros(n, np.float32)
    kernels.walk(
        columns.data, start, end, codec.ids, codec.programs, codec.lengths, symbols, columns.starts, columns.ends,
        columns.longs, words, singles.view(np.uint32), columns.doubles, singles, columns.valid, columns.reason,
    )  # fmt: skip
    for row, reason in reasons.items():
        columns.reason[row] = reason
    return columns


def _writable(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """numba compiles once more for read-only arrays: give it one kind."""
    if data.flags.writeable and data.flags.c_contiguous:
        return data
    out = data.view()
    if not out.flags.owndata:
        try:
            out.flags.writeable = True
            return out
        except ValueError:
            pass
    return data.copy()


def _fill_defaults(columns: Columns, codec: EventCodec, base: int) -> None:
    """What rows of older schemas have in the fields that those do not."""
    if len(codec.ids) == 1:
        return
    for i, f in enumerate(codec.schema.fields):
        value = codec.default(f)
        if value is None:
            continue
        columns.valid[i] = True
        slot = codec.slots[f.name]
        if isinstance(value, str):
            at = base + codec.arena.find(value.encode())
            columns.starts[slot], columns.ends[slot] = at, at + len(value.encode())
        elif _GROUP[f.type] == 1:
            columns.longs[slot] = int(value)
        else:
            columns.doubles[slot] = float(value)


def _json_rows(data: npt.NDArray[np.uint8], start: I64, end: I64) -> I64:
    """Rows that begin like a JSON object."""
    some = np.flatnonzero(end > start)
    return some[data[start[some]] == ord("{")]


def _transcode(
    data: npt.NDArray[np.uint8], start: I64, end: I64, rows: I64, schema: EventSchema
) -> tuple[npt.NDArray[np.uint8], I64, I64, dict[int, int]]:
    """JSON rows as Avro after the other bytes, so that all rows take one path; reasons of those that cannot be."""
    reasons: dict[int, int] = {}
    added: list[bytes] = []
    at = len(data)
    for r in rows.tolist():
        avro, reason = _avro_of(bytes(memoryview(data)[start[r] : end[r]]), schema)
        if reason:
            reasons[r] = reason
            continue
        added.append(avro)
        start[r], end[r] = at, at + len(avro)
        at += len(avro)
    return np.concatenate([data, np.frombuffer(b"".join(added), np.uint8)]), start, end, reasons


def _avro_of(text: bytes, schema: EventSchema) -> tuple[bytes, int]:
    """A JSON event in the wire format, or the reason why it has none."""
    try:
        event = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return b"", kernels.UNDECODABLE
    out: dict[str, Any] = {}
    for f in schema.fields:
        value = event.get(f.name)
        if value is None and f.name not in event and f.has_default:
            value = f.default
        if value is None:
            if f.null_branch is None:
                return b"", MISSING_REQUIRED
        elif not _fits(value, f):
            return b"", WRONG_TYPE
        out[f.name] = value
    try:
        return encode(schema, [out])[0], 0
    except (SchemaError, UnicodeEncodeError):
        return b"", WRONG_TYPE


def _fits(value: Any, f: EventField) -> bool:
    if not isinstance(value, _PYTHON[f.type]) or (isinstance(value, bool) and f.type != "boolean"):
        return False
    bound = _INTEGER_BOUND.get(f.type)
    if bound is not None and not -bound <= value < bound:
        return False
    return f.type != "enum" or value in f.symbols


def warm() -> None:
    """Compile the walker."""
    schema = EventSchema.parse({"type": "record", "name": "w", "fields": [{"name": "a", "type": "string"}]}, "w")
    value = encode(schema, [{"a": "x"}])[0]
    data = np.frombuffer(value, np.uint8)
    decode(data, np.array([0]), np.array([len(value)]), EventCodec(schema))


def encode(schema: EventSchema, events: Iterable[Mapping[str, Any]]) -> list[bytes]:
    """Events in the wire format. Raises `SchemaError` for one that does not fit."""
    out = []
    for event in events:
        stream = io.BytesIO()
        stream.write(b"\0" + schema.schema_id.to_bytes(4, "big"))
        try:
            fastavro.schemaless_writer(stream, schema.avro, dict(event))
        except Exception as error:
            raise SchemaError(schema.name, f"event does not fit: {error}", "Check its fields and types.") from error
        out.append(stream.getvalue())
    return out
