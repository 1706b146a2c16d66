"""Random flat Avro schemas, records that fit them, and fastavro as the oracle of what their bytes
mean."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import fastavro
import numpy as np
from hypothesis import strategies as st

from freshet.schemas.events.decode import Columns, EventCodec, decode
from freshet.schemas.events.schema import EventSchema

SYMBOLS = ("A", "BB", "C_3")
ENUM = {"type": "enum", "name": "Letter", "symbols": list(SYMBOLS)}
TIMESTAMP = {"type": "long", "logicalType": "timestamp-millis"}
TYPES = ("string", "int", "long", "float", "double", "boolean", "enum")
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(max_size=12) | st.sampled_from(["", "JFK", "Zürich", "日本", "🛫"]),
    "int": st.integers(-(1 << 31), (1 << 31) - 1),
    "long": st.integers(-(1 << 63), (1 << 63) - 1),
    "float": st.floats(width=32),
    "double": st.floats(),
    "boolean": st.booleans(),
    "enum": st.sampled_from(SYMBOLS),
}
DEFAULTS = {
    "string": "Zürich",
    "int": -3,
    "long": 1 << 40,
    "float": 1.5,
    "double": 0.1,
    "boolean": True,
    "enum": "BB",
}


def avro(fields: Sequence[Mapping[str, Any]], schema_id: int = 7, **more: Any) -> dict[str, Any]:
    return {
        "type": "record",
        "name": "event",
        "schema_id": schema_id,
        "fields": list(fields),
        **more,
    }


def avro_type(kind: str, null: int | None, name: str) -> Any:
    one: Any = {**ENUM, "name": f"Enum_{name}"} if kind == "enum" else kind
    return one if null is None else [one, "null"] if null else ["null", one]


@st.composite
def schemas(draw: st.DrawFn, defaults: bool = False) -> dict[str, Any]:
    """A schema's JSON; with defaults, some fields have one."""
    fields = []
    for i in range(draw(st.integers(1, 8))):
        kind, null = draw(st.sampled_from(TYPES)), draw(st.sampled_from([None, 0, 1]))
        field = {"name": f"f{i}", "type": avro_type(kind, null, f"f{i}")}
        if defaults and draw(st.booleans()):
            field["default"] = None if null == 0 else DEFAULTS[kind]
        fields.append(field)
    return avro(fields)


def records(schema: EventSchema) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            f.name: (st.none() | VALUES[f.type]) if f.nullable else VALUES[f.type]
            for f in schema.fields
        }
    )


def columns_of(values: Sequence[bytes], codec: EventCodec) -> Columns:
    ends = np.cumsum([len(v) for v in values], dtype=np.int64)
    starts = ends - np.array([len(v) for v in values], np.int64)
    return decode(np.frombuffer(b"".join(values), np.uint8), starts, ends, codec)


def rows_of(columns: Columns) -> list[dict[str, Any]]:
    """What the columns hold, as Python values."""
    every = np.arange(columns.n)
    lists = {f.name: columns.arrow(f.name, every).to_pylist() for f in columns.schema.fields}
    return [{name: values[i] for name, values in lists.items()} for i in range(columns.n)]


def nothing(schema: EventSchema) -> dict[str, Any]:
    return dict.fromkeys(schema.positions)


def oracle(
    value: bytes, writers: Mapping[int, EventSchema], reader: EventSchema
) -> dict[str, Any] | None:
    """What fastavro makes of a record, as the reader's types hold it; None where it refuses it or
    leaves bytes over."""
    if len(value) < 5 or value[0] != 0 or int.from_bytes(value[1:5], "big") not in writers:
        return None
    writer = writers[int.from_bytes(value[1:5], "big")]
    stream = io.BytesIO(value[5:])
    try:
        event: Any = fastavro.schemaless_reader(
            stream, plain(writer), plain(reader) if writer != reader else None
        )
    except Exception:  # its errors share no root
        return None
    if stream.read(1):
        return None
    return {f.name: narrowed(event[f.name], f.type) for f in reader.fields}


def narrowed(value: Any, kind: str) -> Any:
    if value is None or kind not in ("float", "double"):
        return value
    with np.errstate(over="ignore"):
        return float(np.float32(value)) if kind == "float" else float(value)


def plain(schema: EventSchema) -> Any:
    """The schema for fastavro, with timestamps left as numbers."""
    return fastavro.parse_schema(without_logical_types(schema.avro))


def without_logical_types(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {k: without_logical_types(v) for k, v in node.items() if k != "logicalType"}
    return [without_logical_types(v) for v in node] if isinstance(node, list) else node


def same(a: Mapping[str, Any] | None, b: Mapping[str, Any] | None) -> bool:
    """Equal, types included, where NaN equals NaN and -0.0 is not 0.0."""
    if a is None or b is None:
        return a is b
    return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)


def _same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (
            a == b and math.copysign(1, a) == math.copysign(1, b)
        )
    return bool(a == b)
