"""A JSON Schema says of events what its Avro record does, and what it could not say is refused by
name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import freshet as fr
from freshet.schemas.errors import SchemaError
from freshet.schemas.events.codec import EventCodec
from freshet.schemas.events.decode import REASONS, decode
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.events.validation import validate
from freshet.schemas.json_schema.translate import is_json_schema, translated

DRAFT = "https://json-schema.org/draft/2020-12/schema"
UUID = "6fa459ea-ee8a-3ca4-894e-db77e160355e"


def of(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, **more}


def field(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The Avro field of a required property `a`."""
    (made,) = translated(of({"a": schema}, required=["a"], **more), "things")["fields"]
    assert made.pop("name") == "a"
    return dict(made)


FIELDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a text": ({"type": "string"}, {"type": "string"}),
    "a whole number": ({"type": "integer"}, {"type": "long"}),
    "a number": ({"type": "number"}, {"type": "double"}),
    "a truth": ({"type": "boolean"}, {"type": "boolean"}),
    "or null": ({"type": ["string", "null"]}, {"type": ["null", "string"]}),
    "or null, as pydantic has it": (
        {"anyOf": [{"type": "string"}, {"type": "null"}], "title": "A"},
        {"type": ["null", "string"]},
    ),
    "both kinds of numbers": ({"type": ["integer", "number"]}, {"type": "double"}),
    "a uuid": (
        {"type": "string", "format": "uuid"},
        {"type": {"type": "string", "logicalType": "uuid"}},
    ),
    "a time, which is a text": ({"type": "string", "format": "date-time"}, {"type": "string"}),
    "what describes": (
        {"type": "string", "description": "x", "examples": ["y"], "deprecated": True},
        {"type": "string", "doc": "x"},
    ),
    "texts that are listed": ({"enum": ["b", "a"]}, {"type": "string", "domain": ["b", "a"]}),
    "texts or null": (
        {"enum": ["a", None]},
        {"type": ["null", "string"], "domain": ["a"]},
    ),
    "one text": ({"const": "a"}, {"type": "string", "domain": ["a"]}),
    "whole numbers without a gap": ({"enum": [3, 1, 2]}, {"type": "long", "range": [1, 3]}),
    "one whole number": ({"const": 7}, {"type": "long", "range": [7, 7]}),
    "bounds": (
        {"type": "number", "minimum": 0, "maximum": 1.5},
        {"type": "double", "range": [0, 1.5]},
    ),
    "bounds of whole numbers": (
        {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 9.5},
        {"type": "long", "range": [1, 9]},
    ),
    "a single bound": (
        {"type": "integer", "minimum": 0},
        {"type": "long", "range": [0, 2**63 - 1]},
    ),
}


@pytest.mark.parametrize("what", FIELDS)
def test_a_property_is_a_field(what: str) -> None:
    schema, expected = FIELDS[what]
    assert field(schema) == expected


def test_what_may_be_missing_is_null_or_its_default() -> None:
    made = translated(
        of({"a": {"type": "integer"}, "b": {"type": "integer", "default": 3}}), "things"
    )
    assert made["fields"] == [
        {"name": "a", "type": ["null", "long"], "default": None},
        {"name": "b", "type": "long", "default": 3},
    ]


@pytest.mark.parametrize("within", ["$defs", "definitions"])
def test_references_are_followed_and_described_where_they_stand(within: str) -> None:
    more = {
        within: {"city/zone": {"$ref": f"#/{within}/z"}, "z": {"enum": ["a"], "description": "z"}}
    }
    assert field({"$ref": f"#/{within}/city~1zone", "description": "here"}, **more) == {
        "type": "string",
        "domain": ["a"],
        "doc": "here",
    }


def test_the_record_has_the_title_else_the_file_s_name_and_freshet_s_own_attributes() -> None:
    schema = of({"order-id": {"type": "string"}}, schema_id=7, version=3, description="x")
    assert translated({**schema, "title": "Mail order"}, "f.json")["name"] == "Mail_order"
    record = EventSchema.parse(schema, "old/order.schema.json")
    assert (record.name, record.schema_id, record.version) == ("order", 7, 3)
    assert record["order_id"].aliases == ("order-id",)
    assert record.description == "x"


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a pattern": ({"type": "string", "pattern": "x"}, "'pattern' has no counterpart"),
    "a length": ({"type": "string", "minLength": 1}, "'minLength' has no counterpart"),
    "a multiple": ({"type": "number", "multipleOf": 2}, "'multipleOf' has no counterpart"),
    "two branches": (
        {"oneOf": [{"type": "string"}, {"type": "integer"}]},
        "'oneOf' has 2 branches",
    ),
    "two that both hold": ({"allOf": [{"type": "string"}, {"enum": ["a"]}]}, "'allOf' has 2"),
    "any value": ({}, "'type' is not given"),
    "true": (True, "is True, which says nothing of its type"),  # type: ignore[dict-item]
    "null alone": ({"type": "null"}, "'type' is only null"),
    "a type that is none": ({"type": "text"}, "'type' is 'text'"),
    "whole numbers with gaps": ({"enum": [1, 3]}, "'enum' lists 1, 3"),
    "kinds together": ({"enum": ["a", 1]}, "'enum' lists 'a', 1"),
    "one truth": ({"const": True}, "'const' lists True"),
    "bounds that cross": ({"type": "integer", "minimum": 2, "maximum": 1}, "leave nothing"),
    "bounds as of draft-04": (
        {"type": "integer", "minimum": 2, "exclusiveMinimum": True},
        "'exclusiveMinimum' is True",
    ),
    "bounds of a text": ({"type": "string", "minimum": 2}, "'minimum' bounds no string"),
    "another document": ({"$ref": "https://example.org/x.json"}, "in another document"),
    "nowhere": ({"$ref": "#/$defs/none"}, "leads nowhere"),
    "itself": ({"$ref": "#/properties/a"}, "refers to itself"),
    "a list beside null that is none": (
        {"oneOf": [{"type": "string", "enum": 5}, {"type": "null"}]},
        "'enum' is 5",
    ),
    "a bound beyond all numbers": (
        {"type": "integer", "exclusiveMinimum": float("inf")},
        "'exclusiveMinimum' is beyond what a double can be",
    ),
    "a bound that is no number": ({"type": "number", "maximum": float("nan")}, "is beyond what"),
    "a whole bound beyond all doubles": (
        {"type": "number", "exclusiveMinimum": 10**5_000},
        "'exclusiveMinimum' is beyond what a double can be",
    ),
    "beside a reference": (
        {"$ref": "#/$defs/b", "minimum": 1},
        "'minimum' stands beside $ref",
    ),
    "what a nested object says": (
        {"type": "object", "properties": {"b": {"type": "string"}}, "minProperties": 1},
        "'minProperties' has no counterpart",
    ),
    "a list of anything": ({"type": "array"}, "'items' is not given"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_has_no_counterpart_is_refused_by_its_keyword(what: str) -> None:
    schema, why = REFUSED[what]
    with pytest.raises(SchemaError) as error:
        EventSchema.parse(of({"a": schema}, **{"$defs": {"b": {"type": "integer"}}}), "t.json")
    assert why in str(error.value)
    assert "schema t.json, property 'a'" in str(error.value)


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"$schema": DRAFT, "type": "array"}, "'type' is 'array'. An event is an object"),
        (of({}), "'properties' has none"),
        (of({"a": {"type": "string"}}, required=["b"]), "'required' is ['b']"),
        (of({"a": {"type": "string"}}, required=[["a"]]), "'required' is [['a']]"),
        (of({"a": {"type": "string"}}, required="a"), "'required' is 'a'"),
        (of({"a": {"type": "string"}}, required=5), "'required' is 5"),
        (of({"a": {"type": "string"}}, minProperties=1), "'minProperties' has no counterpart"),
    ],
)
def test_what_is_no_event_is_refused(schema: dict[str, Any], why: str) -> None:
    with pytest.raises(SchemaError) as error:
        EventSchema.parse(schema, "t.json")
    assert why in str(error.value)


TOWN = of(
    {"zip-code": {"type": "string"}, "zip_code": {"type": "integer"}, "n": {"type": "number"}}
)
PLAIN = {"zip-code": "1", "zip_code": 2, "n": 3.5}


@pytest.mark.parametrize(
    ("schema", "default", "found"),
    [
        (TOWN, PLAIN, PLAIN),
        (TOWN, {}, dict.fromkeys(PLAIN)),
        (TOWN, {"zip-code": None, "more": 1}, dict.fromkeys(PLAIN)),
        ({"anyOf": [TOWN, {"type": "null"}]}, PLAIN, PLAIN),
        ({"anyOf": [TOWN, {"type": "null"}]}, None, None),
        ({"type": "array", "items": TOWN}, [PLAIN, {}], [PLAIN, dict.fromkeys(PLAIN)]),
        (of({"in-ner": TOWN}), {"in-ner": PLAIN}, {"in-ner": PLAIN}),
    ],
)
def test_a_default_is_that_of_the_properties_whatever_names_their_fields_have(
    schema: dict[str, Any], default: Any, found: Any
) -> None:
    """Held to the event that brings the same values itself."""
    whole = of({"id": {"type": "string"}, "a": {**schema, "default": default}}, required=["id"])
    parsed = EventSchema.parse(whole, "t.json")
    codec = EventCodec(parsed)
    columns = []
    for event in ({"id": "x"}, {"id": "x", "a": found}):
        text = json.dumps(event).encode()
        read = decode(
            np.frombuffer(text, np.uint8), np.zeros(1, np.int64), np.array([len(text)]), codec
        )
        assert REASONS[read.reason[0]] == "ok"
        first = np.zeros(1, np.int64)
        columns.append({own.name: read.arrow(own.name, first).to_pylist() for own in parsed.fields})
    assert columns[0] == columns[1]


NODE = {"$ref": "#/$defs/node"}


@pytest.mark.parametrize(
    "recursive",
    [
        of({"child": NODE}),
        of({"children": {"type": "array", "items": NODE}}),
        of({"child": {"anyOf": [NODE, {"type": "null"}]}}),
        of({"child": {"$ref": "#/$defs/other"}}),
        of({"child": {"$ref": "#"}}),
        of({"child": {"$ref": "#/%24defs/node"}}),
    ],
)
def test_a_definition_within_itself_is_refused_wherever_it_is_named(
    recursive: dict[str, Any],
) -> None:
    definitions = {"node": recursive, "other": of({"back": NODE})}
    with pytest.raises(SchemaError, match="refers to itself"):
        EventSchema.parse(of({"a": NODE}, **{"$defs": definitions}), "t.json")


def test_a_definition_may_be_named_as_often_as_one_likes_beside_itself() -> None:
    definitions = {"node": of({"x": {"type": "integer"}})}
    made = translated(
        of({"a": NODE, "b": of({"c": NODE, "d": NODE})}, **{"$defs": definitions}), "t"
    )
    fastavro.parse_schema(made)


def test_what_is_too_deep_or_too_much_is_refused_before_it_is_written_out() -> None:
    deep: dict[str, Any] = {"type": "string"}
    chain = {f"l{i}": {"$ref": f"#/$defs/l{i + 1}"} for i in range(600)}
    branches: dict[str, Any] = {"type": "string"}
    for _ in range(200):
        deep = of({"x": deep})
        branches = {"allOf": [branches]}
    for schema, why in [
        (of({"a": deep}), "is nested more than 64 deep"),
        (of({"a": branches}), "is behind more than 64 references"),
        (of({"a": {"$ref": "#/$defs/l0"}}, **{"$defs": chain}), "is behind more than 64"),
        (doubled(40), "has more than 10000 properties, with definitions written out"),
    ]:
        with pytest.raises(SchemaError, match=why):
            EventSchema.parse(schema, "t.json")


def doubled(levels: int) -> dict[str, Any]:
    """Definitions each of which names the next one twice."""
    definitions = {
        f"l{i}": of({name: {"$ref": f"#/$defs/l{i + 1}"} for name in ("x", "y")})
        for i in range(levels)
    }
    definitions[f"l{levels}"] = of({"v": {"type": "string"}})
    return of({"a": {"$ref": "#/$defs/l0"}}, **{"$defs": definitions})


def test_nested_objects_and_arrays_become_records_and_arrays() -> None:
    """Whether event schemas take them is for these to say."""
    nested = of({"b": {"type": "integer"}}, required=["b"])
    assert field(nested)["type"] == {
        "type": "record",
        "name": "a_record",
        "fields": [{"name": "b", "type": "long"}],
    }
    two = translated(of({"a": of({"x": nested}), "b": of({"x": nested})}, required=["a", "b"]), "t")
    fastavro.parse_schema(two)
    assert field({"type": "array", "items": {"type": "string"}})["type"] == {
        "type": "array",
        "items": "string",
    }


def test_avro_and_json_schema_are_told_apart_by_content() -> None:
    assert not is_json_schema({"type": "record", "name": "a", "fields": []})
    assert not is_json_schema([1])
    assert is_json_schema({"$schema": DRAFT})
    assert is_json_schema({"$ref": "#/$defs/a"})
    assert is_json_schema(of({"a": {"type": "string"}}))


def test_a_topic_takes_one_as_a_dict_as_json_and_as_a_file(tmp_path: Path) -> None:
    schema = of({"id": {"type": "string"}, "at": {"type": "string"}}, required=["id", "at"])
    path = tmp_path / "order.schema.json"
    path.write_text(json.dumps(schema))
    for given_as in (schema, json.dumps(schema), path, str(path)):
        topic = fr.Topic("orders", given_as, event_id="id", event_time="at")
        assert [own.type for own in topic.events.fields] == ["string", "string"]


NUMBERS = st.integers(-5, 5) | st.sampled_from([0.5, -2.5, 4.25])
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    NUMBERS,
    st.sampled_from(["a", "b", "", UUID, UUID.upper(), UUID[:-1]]),
)
RULES = st.one_of(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["integer", "number"])},
        optional=dict.fromkeys(
            ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"), NUMBERS
        ),
    ),
    st.sampled_from(
        [
            {"type": "string"},
            {"type": "boolean"},
            {"type": "string", "format": "uuid"},
            {"enum": ["a", "b"]},
            {"enum": ["a", None]},
            {"enum": [1, 2, 3]},
            {"const": "a"},
            {"const": 2},
            {"type": ["boolean", "null"]},
            {"type": ["number", "null"], "minimum": 0},
            {"anyOf": [{"type": "integer", "maximum": 3}, {"type": "null"}]},
            {"$ref": "#/$defs/d"},
        ]
    ),
)
DEFINED = {"d": {"type": ["string", "null"], "enum": ["b", None]}}


def is_valid(value: Any, schema: dict[str, Any]) -> bool:
    """By the words of the specification, a keyword at a time. A number with a fraction of 0 is
    none here that is generated."""
    if "$ref" in schema:
        return is_valid(value, DEFINED["d"])
    if "anyOf" in schema:
        return any(is_valid(value, branch) for branch in schema["anyOf"])
    kinds = {
        "null": value is None,
        "boolean": isinstance(value, bool),
        "integer": isinstance(value, int) and not isinstance(value, bool),
        "number": isinstance(value, int | float) and not isinstance(value, bool),
        "string": isinstance(value, str),
    }
    said = schema.get("type", list(kinds))
    if not any(kinds[kind] for kind in ([said] if isinstance(said, str) else said)):
        return False
    listed = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if listed is not None:
        return any(value == one and type(value) is type(one) for one in listed)
    if schema.get("format") == "uuid" and kinds["string"]:
        return [len(part) for part in value.split("-")] == [8, 4, 4, 4, 12]
    if not kinds["number"]:
        return True
    return (
        schema.get("minimum", value) <= value <= schema.get("maximum", value)
        and schema.get("exclusiveMinimum", value - 1) < value
        and value < schema.get("exclusiveMaximum", value + 1)
    )


@given(
    properties=st.dictionaries(st.sampled_from("abc"), RULES, min_size=1),
    required=st.sets(st.sampled_from("abc")),
    events=st.lists(st.dictionaries(st.sampled_from("abcd"), VALUES), min_size=1, max_size=5),
)
def test_an_event_is_applied_just_where_it_is_valid(
    properties: dict[str, Any], required: set[str], events: list[dict[str, Any]]
) -> None:
    """But for one thing, which the docs say: a null of a property that may be missing counts as
    missing."""
    needed = sorted(required & set(properties))
    schema = of(properties, required=needed, **{"$defs": DEFINED})
    try:
        codec = EventCodec(EventSchema.parse(schema, "things"))
    except SchemaError as error:
        assert "leave nothing" in str(error)  # noqa: PT017
        return
    for event in events:
        present = {
            name: value for name, value in event.items() if value is not None or name in needed
        }
        valid = set(needed) <= set(present) and all(
            is_valid(value, properties[name])
            for name, value in present.items()
            if name in properties
        )
        record = np.frombuffer(json.dumps(event).encode(), np.uint8)
        columns = decode(record, np.array([0]), np.array([len(record)]), codec)
        validate(columns, np.zeros(1, np.int64), None, np.zeros(1, np.int64), 1)
        reason = REASONS[columns.reason[0]]
        assert (reason == "ok") == valid, (schema, event, reason)
