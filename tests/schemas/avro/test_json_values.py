"""JSON of every shape that Avro's types have becomes the record that it stands for, or is refused
by path."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from typing import Any

import fastavro
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from freshet.schemas.avro.json_values import LONGEST_PATH
from freshet.schemas.errors import RequestError, SchemaError
from freshet.schemas.events.decode import REASONS, EventCodec, decode, encode
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.events.writer import EventWriter, Misfit
from tests.schemas.avro.strategies import FIELDS, are_unions_of_named, samples, schemas
from tests.schemas.events.strategies import without_logical_types

CARD = {"type": "record", "name": "Card", "fields": [{"name": "number", "type": "string"}]}
PLACE = {
    "type": "record",
    "name": "Place",
    "fields": [
        {"name": "city", "type": "string"},
        {"name": "zip", "type": ["null", "string"], "default": None},
    ],
}
LOOSE = {"type": "record", "name": "Loose", "fields": [{"name": "x", "type": "int", "default": 0}]}
ENUM = {"type": "enum", "name": "E", "symbols": ["A"]}
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2}


def codec_of(type_: Any, **more: Any) -> EventCodec:
    fields = [{"name": "a", "type": type_, **more}]
    return EventCodec(EventSchema.parse({"type": "record", "name": "e", "fields": fields}, "e"))


def read(codec: EventCodec, text: bytes) -> tuple[str, dict[str, Any]]:
    """The reason, and the columns that are not missing."""
    columns = decode(np.frombuffer(text, np.uint8), np.array([0]), np.array([len(text)]), codec)
    first = np.zeros(1, np.int64)
    found = {f.name: columns.arrow(f.name, first).to_pylist()[0] for f in codec.schema.fields}
    there = {name: value for name, value in found.items() if value is not None}
    return REASONS[columns.reason[0]], there


@pytest.mark.parametrize(
    ("type_", "value", "columns"),
    [
        (PLACE, {"city": "Bonn"}, {"a.city": "Bonn"}),
        (PLACE, {"city": "Bonn", "zip": "53111"}, {"a.city": "Bonn", "a.zip": "53111"}),
        (PLACE, {"city": "Bonn", "zip": {"string": "53111"}}, {"a.city": "Bonn", "a.zip": "53111"}),
        (["null", PLACE], None, {}),
        (["null", PLACE], {"Place": {"city": "Bonn"}}, {"a.city": "Bonn"}),
        (["null", PLACE], {"city": "Bonn"}, {"a.city": "Bonn"}),
        (["null", "string", "long"], "x", {"a.string": "x"}),
        (["null", "string", "long"], 3, {"a.long": 3}),
        (["null", "string", "long"], {"long": 3}, {"a.long": 3}),
        (["null", "string", "long"], None, {}),
        (["string", "double", "long"], 3, {"a.long": 3}),
        (["string", "double", "long"], 3.5, {"a.double": 3.5}),
        (["int", "double"], 3, {"a": 3.0}),
        ([CARD, PLACE], {"city": "Bonn"}, {"a.Place.city": "Bonn"}),
        ([CARD, PLACE], {"Card": {"number": "1"}}, {"a.Card.number": "1"}),
        (["null", LOOSE], {"Loose": {"x": 1}}, {"a.x": 1}),
        (["null", LOOSE], {"x": 1}, {"a.x": 1}),
        ([LOOSE, PLACE], {"city": "Bonn"}, {"a.Place.city": "Bonn"}),
        ([LOOSE, PLACE], {}, {"a.Loose.x": 0}),
        (
            ["null", {"type": "map", "values": "int"}],
            {"map": 1},
            {"a": [{"key": "map", "value": 1}]},
        ),
        (
            ["null", {"type": "map", "values": "int"}],
            {"map": {"k": 1}},
            {"a": [{"key": "k", "value": 1}]},
        ),
        (
            [CARD, {"type": "map", "values": "int"}],
            {"Card": 5},
            {"a.map": [{"key": "Card", "value": 5}]},
        ),
        (
            [ENUM, {"type": "fixed", "name": "F", "size": 2}, {"type": "array", "items": "int"}],
            [1],
            {"a.array": [1]},
        ),
        ([ENUM, {"type": "fixed", "name": "F", "size": 2}], "ab", {"a.F": b"ab"}),
        ([ENUM, {"type": "fixed", "name": "F", "size": 2}], "A", {"a.E": "A"}),
        (
            ["null", {"type": "map", "values": ["long", {**CARD, "namespace": "n.m"}]}],
            {"x": {"n.m.Card": {"number": "1"}}},
            {
                "a": [
                    {"key": "x", "value": {"long": None, "Card": {"number": "1"}}},
                ]
            },
        ),
        ({"type": "array", "items": ["null", "int"]}, [1, None], {"a": [1, None]}),
        ({"type": "array", "items": PLACE}, [], {"a": []}),
        ({"type": "map", "values": "int"}, {"x": 1}, {"a": [{"key": "x", "value": 1}]}),
        ("bytes", "\u00ff\u0000", {"a": b"\xff\x00"}),
        ({"type": "fixed", "name": "F", "size": 2}, "ab", {"a": b"ab"}),
        (DECIMAL, 1.1, {"a": Decimal("1.10")}),
        (DECIMAL, "-999.99", {"a": Decimal("-999.99")}),
        (DECIMAL, 0, {"a": Decimal("0.00")}),
        (DECIMAL, "1e2", {"a": Decimal("100.00")}),
        (
            {**DECIMAL, "type": "fixed", "name": "D", "size": 4},
            -1.5,
            {"a": Decimal("-1.50")},
        ),
        (
            {"type": "fixed", "name": "T", "size": 12, "logicalType": "duration"},
            "x" * 12,
            {"a": b"x" * 12},
        ),
        (
            {"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"},
            "6F9619FF-8B86-D011-B42D-00CF4FC964FF",
            {"a": "6f9619ff-8b86-d011-b42d-00cf4fc964ff"},
        ),
    ],
)
def test_a_value_is_read_as_it_stands(type_: Any, value: Any, columns: dict[str, Any]) -> None:
    assert read(codec_of(type_), json.dumps({"a": value}).encode()) == ("ok", columns)


@pytest.mark.parametrize(
    ("type_", "value", "reason"),
    [
        (PLACE, {}, "missing_required"),
        (PLACE, None, "missing_required"),
        (PLACE, "Bonn", "wrong_type"),
        (PLACE, {"city": 3}, "wrong_type"),
        (["string", "long"], None, "missing_required"),
        (["string", "long"], True, "wrong_type"),
        ({"type": "array", "items": "int"}, [1, "x"], "wrong_type"),
        ({"type": "array", "items": "int"}, {"x": 1}, "wrong_type"),
        ({"type": "map", "values": "int"}, [1], "wrong_type"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, "B", "out_of_domain"),
        ("bytes", "€", "wrong_type"),
        ({"type": "fixed", "name": "F", "size": 2}, "abc", "wrong_type"),
        (DECIMAL, 1.111, "wrong_type"),
        (DECIMAL, 1000, "wrong_type"),
        (DECIMAL, "1e999999999", "wrong_type"),
        (DECIMAL, "NaN", "wrong_type"),
        (DECIMAL, "x", "wrong_type"),
        (DECIMAL, True, "wrong_type"),
        ({"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"}, "6f96", "wrong_type"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_reason(type_: Any, value: Any, reason: str) -> None:
    found, columns = read(codec_of(type_), json.dumps({"a": value}).encode())
    assert (found, columns) == (reason, {})


def test_what_is_nested_may_come_by_its_paths() -> None:
    codec = codec_of(["null", PLACE])
    assert read(codec, b'{"a.city": "Bonn", "a.zip": null}') == ("ok", {"a.city": "Bonn"})
    assert read(codec, b'{"a.city": null, "a.zip": null}') == ("ok", {})
    union = codec_of(["null", "string", CARD])
    assert read(union, b'{"a.string": null, "a.Card.number": "1"}') == (
        "ok",
        {"a.Card.number": "1"},
    )
    assert read(union, b'{"a.string": null, "a.Card.number": null}') == ("ok", {})
    # Two branches at once are no value.
    assert read(union, b'{"a.string": "x", "a.Card.number": "1"}') == ("wrong_type", {})


@pytest.mark.parametrize("parts", [2, 127, 128, 129, 400, 5_000, 200_000])
@pytest.mark.parametrize("value", [None, "x", {}, [1]])
@pytest.mark.parametrize("first", ["a", "b", ""])
def test_a_path_of_whatever_length_is_no_fault(parts: int, value: Any, first: str) -> None:
    """One that no schema can have is a name that nobody knows."""
    place = {"name": "a", "type": ["null", PLACE], "default": None}
    fields = [{"name": "id", "type": "string"}, place]
    codec = codec_of({"type": "record", "name": "E", "fields": fields})
    long = ".".join(["a", first] + ["z"] * (parts - 2))
    told = {"a.id": "x", "a.a.city": "Bonn", long: value, f"a.{long}": value}
    reason, columns = read(codec, json.dumps(told).encode())
    assert reason in ("ok", "wrong_type", "missing_required")
    if parts > LONGEST_PATH:
        assert reason == "ok"
        assert columns == {"a.id": "x", "a.a.city": "Bonn"}


def test_a_producer_is_told_the_path() -> None:
    schema = codec_of(PLACE).schema
    with pytest.raises(RequestError, match=r"record 1, field 'a.city': wrong_type. Send a string"):
        encode(schema, [{"a": {"city": "x"}}, {"a": {"city": 3}}])


@pytest.mark.parametrize(
    ("type_", "default", "columns"),
    [
        (PLACE, {"city": "Bonn"}, {"a.city": "Bonn"}),
        ({"type": "array", "items": "int"}, [1, 2], {"a": [1, 2]}),
        ({"type": "map", "values": PLACE}, {}, {"a": []}),
        ("bytes", "\u00ff", {"a": b"\xff"}),
        (["null", "string", "long"], 3, {"a.long": 3}),
        (["null", PLACE], None, {}),
        (["int", "null"], None, {}),
    ],
)
def test_a_default_of_any_type_is_filled_in_by_writers_and_readers(
    type_: Any, default: Any, columns: dict[str, Any]
) -> None:
    codec = codec_of(type_, default=default)
    assert read(codec, b"{}") == ("ok", columns)
    other = {"type": "record", "name": "e", "fields": [{"name": "b", "type": "int"}]}
    older = EventSchema.parse({**other, "schema_id": 9}, "e")
    value = encode(older, [{"b": 1}])[0]
    assert read(EventCodec(codec.schema, {9: older}), value) == ("ok", columns)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_decimals_of_up_to_38_digits_are_exact_and_their_nearest_doubles_too(
    data: st.DataObject,
) -> None:
    precision = data.draw(st.integers(1, 38))
    scale = data.draw(st.integers(0, precision))
    codec = codec_of({**DECIMAL, "precision": precision, "scale": scale})
    most = 10**precision - 1
    whole = data.draw(st.integers(-most, most))
    sign = int(whole < 0)
    value = Decimal((sign, tuple(map(int, str(abs(whole)))), -scale))
    record = encode(codec.schema, [{"a": value}])[0]
    columns = decode(np.frombuffer(record, np.uint8), np.array([0]), np.array([len(record)]), codec)
    assert columns.arrow("a", np.zeros(1, np.int64)).to_pylist() == [value]
    numbers, valid = columns.numbers("a")
    assert (numbers.tolist(), valid.tolist()) == ([float(value)], [True])


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=20))
def test_bytes_beyond_a_decimals_digits_are_out_of_range(body: bytes) -> None:
    codec = codec_of({**DECIMAL, "precision": 38, "scale": 0})
    record = b"\0\0\0\0\1" + bytes([2 * len(body)]) + body
    whole = int.from_bytes(body, "big", signed=True)
    if abs(whole) < 10**38:
        assert read(codec, record) == ("ok", {"a": Decimal(whole)})
    else:
        assert read(codec, record) == ("out_of_range", {})


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_avros_own_json_encoding_gives_the_bytes_that_it_was_made_of(data: st.DataObject) -> None:
    """As fastavro writes it, of what it reads."""
    raw = without_logical_types(data.draw(schemas()))
    try:
        schema = EventSchema.parse(raw, "event")
    except SchemaError:
        assume(False)
    assume(are_unions_of_named(schema.tree))
    avro = fastavro.parse_schema(raw)
    for body in samples(schema.tree):
        value = fastavro.schemaless_reader(
            io.BytesIO(body), avro, None, return_named_type=True, return_record_name=True
        )
        text = io.StringIO()
        fastavro.json_writer(text, avro, [value])
        assert EventWriter(schema).transcode(text.getvalue().encode())[5:] == body


NAMES = st.sampled_from([*FIELDS, "a.b", "a.string", "string", "long", "R1", "E1", "map", "array"])
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "A", "ab", "1.5", "€", "e"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_any_json_is_a_record_that_can_be_read_or_is_refused(data: st.DataObject) -> None:
    try:
        schema = EventSchema.parse(data.draw(schemas()), "event")
    except SchemaError:
        assume(False)
    event = data.draw(st.dictionaries(NAMES, JSON, max_size=4))
    text = json.dumps(event).encode()
    try:
        record = EventWriter(schema).transcode(text)
    except Misfit:
        return
    columns = decode(
        np.frombuffer(record, np.uint8), np.array([0]), np.array([len(record)]), EventCodec(schema)
    )
    assert columns.reason.tolist() == [0]
