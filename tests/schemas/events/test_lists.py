"""Arrays and maps are lists of what was written, by whatever schema."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest

from freshet.schemas.events.decode import EventCodec, decode, encode
from freshet.schemas.events.schema import EventSchema
from tests.schemas.events.strategies import avro, columns_of

UUID = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
ITEM = {
    "type": "record",
    "name": "Item",
    "fields": [
        {"name": "sku", "type": "string"},
        {
            "name": "price",
            "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
        },
        {
            "name": "id",
            "type": [
                "null",
                {"type": "fixed", "name": "Id", "size": 16, "logicalType": "uuid"},
            ],
        },
        {"name": "sizes", "type": {"type": "array", "items": "int"}},
        {"name": "gate", "type": {"type": "enum", "name": "Gate", "symbols": ["A", "B"]}},
        {"name": "note", "type": ["null", "string", "long"]},
        {"name": "seen", "type": {"type": "map", "values": ["null", "double"]}},
    ],
}
PAN = {
    "sku": "pan",
    "price": Decimal("19.90"),
    "id": UUID,
    "sizes": [1, 2],
    "gate": "B",
    "note": {"string": "x", "long": None},
    "seen": [{"key": "k", "value": 0.5}],
}
POT = {
    "sku": "",
    "price": Decimal("-0.01"),
    "id": None,
    "sizes": [],
    "gate": "A",
    "note": {"string": None, "long": 7},
    "seen": [],
}


def sent(item: dict[str, Any]) -> dict[str, Any]:
    """An item as a producer writes it."""
    note = {name: value for name, value in item["note"].items() if value is not None}
    return {**item, "note": note, "seen": {one["key"]: one["value"] for one in item["seen"]}}


def schema(type_: Any, schema_id: int = 7, **more: Any) -> EventSchema:
    fields = [{"name": "n", "type": "int"}, {"name": "a", "type": type_, **more}]
    return EventSchema.parse(avro(fields, schema_id), "event")


def lists(values: list[bytes], codec: EventCodec, rows: Any = None) -> Any:
    columns = columns_of(values, codec)
    assert not columns.reason.any()
    every = np.arange(columns.n) if rows is None else np.array(rows, np.int64)
    return columns.arrow("a", every).to_pylist()


def test_items_of_any_type_nested_as_they_are() -> None:
    own = schema({"type": "array", "items": ITEM})
    events = [[], [sent(PAN)], [sent(POT), sent(PAN), sent(POT)]]
    values = encode(own, [{"n": 1, "a": event} for event in events])
    codec = EventCodec(own)
    assert lists(values, codec) == [[], [PAN], [POT, PAN, POT]]
    assert lists(values, codec, [2, 0, 2]) == [[POT, PAN, POT], [], [POT, PAN, POT]]
    assert lists(values, codec, []) == []


def test_missing_arrays_are_null_and_arrays_of_arrays_nest() -> None:
    inner = {"type": "array", "items": {"type": "array", "items": ["null", "long"]}}
    own = schema(["null", {"type": "array", "items": inner}])
    events = [None, [], [[]], [[[1, None], []], [[2]]]]
    values = encode(own, [{"n": 1, "a": event} for event in events])
    assert lists(values, EventCodec(own)) == events


def test_blocks_with_their_size_and_several_blocks_are_read() -> None:
    """As writers of long arrays write them."""
    own = schema({"type": "array", "items": "int"})
    body = b"\2" + b"\3\4\2\4" + b"\2\6" + b"\0"
    assert lists([b"\0\0\0\0\7" + body], EventCodec(own)) == [[1, 2, 3]]


def test_items_are_resolved_from_the_schema_that_wrote_them() -> None:
    old = {"type": "record", "name": "Item", "fields": [{"name": "size", "type": "int"}]}
    new = {
        "type": "record",
        "name": "Item",
        "fields": [
            {"name": "tag", "type": "string", "default": "none"},
            {"name": "length", "type": "double", "aliases": ["size"]},
        ],
    }
    before = schema({"type": "array", "items": old}, 6)
    now = schema({"type": "array", "items": new})
    values = encode(before, [{"n": 1, "a": [{"size": 3}, {"size": 4}]}])
    values += encode(now, [{"n": 2, "a": [{"tag": "x", "length": 0.5}]}, {"n": 3, "a": []}])
    found = lists(values, EventCodec(now, {6: before}))
    assert found == [
        [{"tag": "none", "length": 3.0}, {"tag": "none", "length": 4.0}],
        [{"tag": "x", "length": 0.5}],
        [],
    ]


def test_a_default_is_read_as_the_reader_has_it() -> None:
    """Beside records of a writer that wrote the field as another type."""
    without = EventSchema.parse(avro([{"name": "n", "type": "int"}], 5), "event")
    narrow = schema({"type": "array", "items": "int"}, 6)
    own = schema({"type": "array", "items": "double"}, default=[0.5, 2])
    values = encode(without, [{"n": 1}]) + encode(narrow, [{"n": 2, "a": [3]}])
    values += encode(own, [{"n": 3, "a": [1.5]}])
    assert lists(values, EventCodec(own, {5: without, 6: narrow})) == [[0.5, 2.0], [3.0], [1.5]]


def test_a_decimal_in_a_list_with_too_many_digits_is_missing() -> None:
    decimal = {"type": "bytes", "logicalType": "decimal", "precision": 2, "scale": 0}
    own = schema({"type": "array", "items": decimal})
    body = b"\2" + b"\4" + b"\2\7" + b"\4\1\0" + b"\0"
    assert lists([b"\0\0\0\0\7" + body], EventCodec(own)) == [[Decimal(7), None]]


@pytest.mark.parametrize("at", range(1, 60))
def test_a_torn_list_is_undecodable(at: int) -> None:
    own = schema({"type": "array", "items": ITEM})
    (whole,) = encode(own, [{"n": 1, "a": [sent(PAN), sent(POT)]}])
    columns = columns_of([whole, whole[:-at], whole], EventCodec(own))
    assert columns.reason.tolist() == [0, 1, 0]
    assert columns.arrow("a", np.arange(3)).to_pylist() == [[PAN, POT], None, [PAN, POT]]


def test_more_items_than_there_are_bytes_are_none() -> None:
    """Of 2^62 of them nobody should wait for the end."""
    own = schema({"type": "array", "items": "int"})
    many = b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f"
    for count in (many, b"\xfe" + many[1:], b"\xff" * 9 + b"\1"):
        columns = columns_of([b"\0\0\0\0\7\2" + count + b"\2\0"], EventCodec(own))
        assert columns.reason.tolist() == [1]


def test_text_in_a_list_is_held_to_utf8_when_the_record_is_read() -> None:
    own = schema({"type": "map", "values": "string"})
    columns = columns_of([b"\0\0\0\0\7\2\2\2a\2\xff\0"], EventCodec(own))
    assert columns.reason.tolist() == [1]


def test_expressions_see_lists() -> None:
    own = schema({"type": "array", "items": "string"})
    values = encode(own, [{"n": 1, "a": ["x", "y"]}, {"n": 2, "a": []}])
    data = np.frombuffer(b"".join(values), np.uint8)
    ends = np.cumsum([len(value) for value in values])
    columns = decode(data, np.array([0, ends[0]]), ends, EventCodec(own))
    frame = columns.frame(["a"], np.arange(2))
    found = frame.select(
        pl.col("a").list.len().alias("n"), pl.col("a").list.contains("y").alias("y")
    )
    assert found.rows() == [(2, True), (0, False)]
