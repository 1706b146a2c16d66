"""An event schema is read as written, or refused with the field's name and what to do."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import fastavro
import pytest

from freshet.schemas.errors import SchemaError
from freshet.schemas.events.schema import EventSchema
from tests.schemas.events.strategies import ENUM, TIMESTAMP, avro


def one(**field: Any) -> EventSchema:
    return EventSchema.parse(avro([{"name": "a", "type": "string", **field}]), "events")


def test_fields_are_read_with_types_nulls_defaults_rules_and_descriptions() -> None:
    schema = EventSchema.parse(
        json.dumps(
            avro(
                [
                    {"name": "id", "type": "string", "required": True, "doc": "Its id."},
                    {"name": "at", "type": ["null", TIMESTAMP], "default": None},
                    {"name": "x", "type": ["double", "null"], "default": 1, "range": [-1, 2.5]},
                    {
                        "name": "g",
                        "type": {**ENUM, "namespace": "n"},
                        "domain": ["A"],
                        "default": "A",
                    },
                    {"name": "h", "type": ["null", "n.Letter"]},
                ],
                schema_id=3,
                version=2,
                namespace="flights",
                doc="Events.",
            )
        ),
        "events",
    )
    assert (schema.name, schema.schema_id, schema.version, schema.description) == (
        "event",
        3,
        2,
        "Events.",
    )
    id_, at, x, g, h = schema.fields
    assert (id_.type, id_.nullable, id_.required, id_.has_default, id_.description) == (
        "string",
        False,
        True,
        False,
        "Its id.",
    )
    assert (at.type, at.null_branch, at.logical, at.has_default, at.default) == (
        "long",
        0,
        "timestamp-millis",
        True,
        None,
    )
    assert (x.type, x.null_branch, x.default, x.range) == ("double", 1, 1.0, (-1, 2.5))
    assert (g.type, g.symbols, g.domain, g.default) == ("enum", ("A", "BB", "C_3"), ("A",), "A")
    assert (h.type, h.symbols, h.null_branch) == ("enum", ("A", "BB", "C_3"), 0)
    assert schema["x"] is x
    assert pickle.loads(pickle.dumps(schema)) == schema


@pytest.mark.parametrize(
    "record", [{}, {"namespace": "n"}, {"name": "n.event"}, {"name": "m.event", "namespace": "n"}]
)
@pytest.mark.parametrize(
    "defined", [{}, {"namespace": "n"}, {"namespace": ""}, {"name": "n.Letter"}]
)
@pytest.mark.parametrize("meant", ["Letter", "n.Letter", "m.Letter"])
def test_names_resolve_as_they_do_for_another_reader(
    record: dict[str, str], defined: dict[str, str], meant: str
) -> None:
    fields = [{"name": "g", "type": {**ENUM, **defined}}, {"name": "h", "type": ["null", meant]}]
    raw = avro(fields, **record)
    try:
        fastavro.parse_schema(raw)
    except fastavro.schema.UnknownType:
        with pytest.raises(SchemaError, match=f"field 'h': type '{meant}' is not supported"):
            EventSchema.parse(raw, "events")
        return
    assert EventSchema.parse(raw, "events").fields[1].symbols == ("A", "BB", "C_3")


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ({"type": {"type": "record", "name": "r", "fields": []}}, "Flatten it"),
        ({"type": {"type": "array", "items": "int"}}, "one event for each item"),
        ({"type": {"type": "map", "values": "int"}}, "a field of its own"),
        ({"type": {"type": "fixed", "name": "f", "size": 4}}, "as a string"),
        ({"type": "bytes"}, "as a string"),
        ({"type": ["null", "bytes"]}, "as a string"),
        ({"type": "null"}, "union"),
        ({"type": ["null", "int", "string"]}, "union of 3"),
        ({"type": ["int", "string"]}, "union of 2"),
        ({"type": ["null"]}, "null"),
        ({"type": ["string"]}, "union of 1"),
        ({"type": []}, "union of 0"),
        ({"type": "strnig"}, "Use one of string"),
        ({"type": None}, "not supported"),
        ({"type": 3}, "not supported"),
        ({"type": "enum"}, "not supported"),
        ({"type": {"type": "enum", "symbols": ["A"]}}, "without a name"),
        ({"type": {**ENUM, "symbols": []}}, "symbols"),
        ({"type": {**ENUM, "symbols": ["A", "A"]}}, "symbols"),
        ({"type": {**ENUM, "symbols": ["a b"]}}, "symbol"),
        ({"type": {**ENUM, "default": "Z"}}, "'Z'"),
        (
            {"type": {"type": "int", "logicalType": "timestamp-micros"}},
            "or use date or time-millis",
        ),
        ({"type": {"type": "long", "logicalType": "date"}}, "timestamp-millis or timestamp-micros"),
        ({"type": {"type": "string", "logicalType": "date"}}, "or use uuid"),
        ({"type": {"type": "double", "logicalType": "date"}}, "one on a long, an int or a string"),
        ({"type": {"type": "long", "logicalType": "decimal"}}, "logicalType 'decimal' on long"),
        ({"range": [0, 1]}, "domain"),
        ({"type": "boolean", "range": [0, 1]}, "Only numbers"),
        ({"type": "int", "domain": ["a"]}, "Only texts"),
        ({"type": "int", "range": [2, 1]}, "lower one first"),
        ({"type": "int", "range": [1]}, "two numbers"),
        ({"type": "int", "range": "1-2"}, "two numbers"),
        ({"type": "double", "range": [0, float("inf")]}, "two numbers"),
        ({"type": "double", "range": [True, 2]}, "two numbers"),
        ({"domain": []}, "list of texts"),
        ({"domain": [1]}, "list of texts"),
        ({"type": ENUM, "domain": ["A", "Z"]}, "Z"),
        ({"required": "yes"}, "true or false"),
        ({"type": "int", "default": "1"}, "default '1' is no int"),
        ({"type": "int", "default": 1 << 31}, "is no int"),
        ({"type": "int", "default": True}, "is no int"),
        ({"type": "int", "default": None}, "is no int"),
        ({"type": "float", "default": 1e300}, "is no float"),
        ({"type": ENUM, "default": "Z"}, "is no enum"),
        ({"aliases": "b"}, "list of names"),
        ({"aliases": ["a"]}, "already names a field"),
    ],
)
def test_what_is_not_supported_is_refused_by_field_with_what_to_do(
    field: dict[str, Any], says: str
) -> None:
    with pytest.raises(SchemaError, match="events, field 'a'") as caught:
        one(**field)
    assert says in str(caught.value)
    assert caught.value.next_step


@pytest.mark.parametrize(
    "source",
    [
        "",
        "[1",
        "[" * 100_000,
        "3",
        "{}",
        b"\xff",
        {"type": "record", "name": "n", "fields": []},
        {"type": "record", "name": "n", "fields": [3]},
        {"type": "record", "name": "a b", "fields": [{"name": "a", "type": "int"}]},
        {"type": "record", "fields": [{"name": "a", "type": "int"}]},
        avro([{"name": "a-b", "type": "int"}]),
        avro([{"type": "int"}]),
        avro([{"name": "a", "type": "int"}] * 2),
        avro([{"name": "a", "type": "int"}], schema_id=-1),
        avro([{"name": "a", "type": "int"}], schema_id=True),
        avro([{"name": "a", "type": "int"}], version=0),
    ],
    ids=range(16),
)
def test_what_is_no_flat_record_is_refused(source: Any) -> None:
    with pytest.raises(SchemaError, match="events"):
        EventSchema.parse(source, "events")


def test_the_digest_follows_meaning_not_wording() -> None:
    plain = one()
    assert one(doc="said otherwise").digest == plain.digest
    for change in (
        {"type": "int"},
        {"required": True},
        {"domain": ["x"]},
        {"default": "x"},
        {"type": ["null", "string"]},
    ):
        assert one(**change).digest != plain.digest
    assert (
        EventSchema.parse(
            avro([{"name": "a", "type": "string"}], schema_id=9, version=4), "e"
        ).digest
        == plain.digest
    )


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"gone\.avsc cannot|gone\.avsc: cannot be read"):
        EventSchema.load(tmp_path / "gone.avsc")
    (tmp_path / "here.avsc").write_text(json.dumps(avro([{"name": "a", "type": "int"}])))
    assert EventSchema.load(tmp_path / "here.avsc").fields[0].name == "a"
