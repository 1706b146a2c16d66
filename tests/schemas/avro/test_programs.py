"""Columns of nested records are what fastavro reads, value by value, whatever schema wrote them;
what is cut or altered is flagged, or read as it is read elsewhere."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from freshet.audit.avro import Unreadable, read_values
from freshet.schemas.avro.resolution import obstacles
from freshet.schemas.avro.tree import recursive_at
from freshet.schemas.errors import SchemaError
from freshet.schemas.events.columns import Columns
from freshet.schemas.events.decode import EventCodec, decode
from freshet.schemas.events.schema import EventSchema
from tests.schemas.avro.strategies import (
    flattened,
    is_told_apart,
    near,
    promotes_within,
    samples,
    schemas,
)
from tests.schemas.events.strategies import same

HEAD = b"\0\0\0\0\1"


def parsed(raw: Any, schema_id: int = 1) -> EventSchema:
    """Skips what holds nothing at all."""
    try:
        return EventSchema.parse({**raw, "schema_id": schema_id}, "event")
    except SchemaError:
        assume(False)
        raise


def decoded(bodies: list[bytes], codec: EventCodec, head: bytes = HEAD) -> Columns:
    values = [head + body for body in bodies]
    ends = np.cumsum([len(value) for value in values], dtype=np.int64)
    starts = ends - np.array([len(value) for value in values], np.int64)
    return decode(np.frombuffer(b"".join(values), np.uint8), starts, ends, codec)


def rows(columns: Columns) -> list[dict[str, Any]]:
    every = np.arange(columns.n)
    values = {own.name: columns.arrow(own.name, every).to_pylist() for own in columns.schema.fields}
    return [{name: value[row] for name, value in values.items()} for row in range(columns.n)]


def of_fastavro(body: bytes, writer: Any, reader: Any) -> Any:
    return fastavro.schemaless_reader(
        io.BytesIO(body),
        fastavro.parse_schema(writer),
        fastavro.parse_schema(reader),
        return_named_type=True,
        return_record_name=True,
    )


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_columns_of_random_nested_schemas_are_what_fastavro_reads(data: st.DataObject) -> None:
    raw = data.draw(schemas())
    schema = parsed(raw)
    assume(is_told_apart(schema.tree))
    bodies = samples(schema.tree)
    columns = decoded(bodies, EventCodec(schema))
    assert not columns.reason.any()
    for body, row in zip(bodies, rows(columns)):
        assert same(row, flattened(of_fastavro(body, raw, raw), schema.tree))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_records_of_another_schema_are_read_as_fastavro_reads_them(data: st.DataObject) -> None:
    raw = data.draw(schemas())
    other = data.draw(near(raw))
    try:
        fastavro.parse_schema(other)
    except (fastavro.schema.UnknownType, fastavro.schema.SchemaParseException):
        assume(False)
    writer = parsed(raw)
    reader = parsed(other, 2)
    assume(not obstacles(writer.tree, reader.tree))
    assume(is_told_apart(reader.tree) and not promotes_within(reader.tree))
    bodies = samples(writer.tree)
    columns = decoded(bodies, EventCodec(reader, {1: writer}))
    assert not columns.reason.any()
    for body, row in zip(bodies, rows(columns)):
        assert same(row, flattened(of_fastavro(body, raw, other), reader.tree))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_columns_are_what_the_auditor_reads(data: st.DataObject) -> None:
    """Also where fastavro cannot say of which branch a value is."""
    schema = parsed(data.draw(schemas()))
    bodies = samples(schema.tree)
    columns = decoded(bodies, EventCodec(schema))
    for body, row in zip(bodies, rows(columns)):
        assert same(row, dict(read_values(io.BytesIO(body), schema.tree)))


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_altered_bytes_are_flagged_where_a_slow_reader_flags_them(data: st.DataObject) -> None:
    """The auditor's: it reads byte by byte, and shares nothing with the walker."""
    schema = parsed(data.draw(schemas()))
    assert recursive_at(schema.tree) is None
    body = bytearray(data.draw(st.sampled_from(samples(schema.tree))))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body)))
        if data.draw(st.booleans()):
            del body[at:]
        else:
            body[at : at + 1] = data.draw(st.binary(max_size=11))
    columns = decoded([bytes(body)], EventCodec(schema))
    stream = io.BytesIO(bytes(body))
    try:
        expected = dict(read_values(stream, schema.tree))
    except Unreadable:
        assert columns.reason[0] == 1
        return
    if stream.read(1):
        assert columns.reason[0] == 1
        return
    assert columns.reason[0] == 0
    assert same(rows(columns)[0], expected)
