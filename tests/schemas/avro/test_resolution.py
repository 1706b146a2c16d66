"""Whether one schema can read another is what the specification says, and on random pairs what
fastavro then does."""

from __future__ import annotations

import io
from collections import Counter
from typing import Any

import fastavro
import pytest
from fastavro.read import SchemaResolutionError
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.schemas.avro.parse import parse
from freshet.schemas.avro.resolution import obstacles
from tests.schemas.avro.strategies import near, samples, schemas

PAIRS = 1_200
verdicts: Counter[object] = Counter()


def found(writer: Any, reader: Any) -> list[str]:
    return [str(one) for one in obstacles(parse(writer, "writer"), parse(reader, "reader"))]


def record(*fields: Any, name: str = "event", **more: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields), **more}


def field(type_: Any, name: str = "a", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": type_, **more}


def of_fastavro(writer: Any, reader: Any) -> bool | None:
    """Whether it reads a value of every kind that the writer may write; None where it fails by a
    fault of its own."""
    written = fastavro.parse_schema(writer)
    read = fastavro.parse_schema(reader)
    for value in samples(parse(writer, "writer")):
        try:
            fastavro.schemaless_reader(io.BytesIO(value), written, read)
        except SchemaResolutionError:
            return False
        # Names of types that stand where it looks for types: it says "unhashable", or "indices".
        except (TypeError, KeyError, AttributeError):
            return None
    return True


# ------------------------------------------------------------ against another reader
@settings(max_examples=PAIRS, deadline=None)
@given(st.data())
def test_on_random_pairs_of_schemas_the_verdict_is_what_fastavro_does(data: st.DataObject) -> None:
    writer = data.draw(schemas())
    reader = data.draw(near(writer))
    try:
        fastavro.parse_schema(reader)
    except (fastavro.schema.UnknownType, fastavro.schema.SchemaParseException):
        return  # a type was renamed that is named elsewhere, or stands twice in a union
    theirs = of_fastavro(writer, reader)
    texts = found(writer, reader)
    verdicts[theirs] += 1
    # It reads the digits of one decimal as those of any other, and any text as some.
    if theirs is not None and not any("decimal" in text for text in texts):
        assert (not texts) == theirs, texts


def test_there_were_pairs_enough_of_either_verdict() -> None:
    """Of the test before; a run of this one alone has nothing to say."""
    if sum(verdicts.values()) > PAIRS // 2:
        assert verdicts[True] > PAIRS // 10
        assert verdicts[False] > PAIRS // 10
        assert verdicts[None] < PAIRS // 5


# ------------------------------------------------------------ as the specification says
ENUM = {"type": "enum", "name": "Letter", "symbols": ["A", "B"]}


@pytest.mark.parametrize(
    ("writer", "reader", "says"),
    [
        (field("int"), field("long"), None),
        (field("long"), field("int"), "'a' is long for writers and int for readers. Keep its type"),
        (field("string"), field("bytes"), None),
        (field("bytes"), field("string"), None),
        (field("int"), field(["null", "double", "string"]), None),
        (field("int"), field(["null", "string"]), "'a' is int for writers and string for readers"),
        (field(["null", "int"]), field("int"), "'a' may be null for writers but not for readers"),
        (field(["int"]), field("int"), None),
        (field(["int", "string"]), field(["string", "int", "null"]), None),
        (field(["int", "string"]), field("int"), "'a.string' is string for writers and int"),
        (field(ENUM), field({**ENUM, "symbols": ["A"]}), "symbols that readers lack: B"),
        (field(ENUM), field({**ENUM, "symbols": ["A"], "default": "A"}), None),
        (field(ENUM), field({**ENUM, "name": "other"}), "'a' is enum 'Letter' for writers"),
        (field(ENUM), field({**ENUM, "name": "other", "aliases": ["n.Letter"]}), None),
        (
            field({"type": "fixed", "name": "F", "size": 2}),
            field({"type": "fixed", "name": "F", "size": 3}),
            "has 2 bytes for writers and 3 for readers",
        ),
        # By their names these are equal to fastavro.
        (field(ENUM), field({"type": "fixed", "name": "Letter", "size": 1}), "is enum 'Letter'"),
        (
            field({"type": "array", "items": "long"}),
            field({"type": "array", "items": "int"}),
            "'a' is array of long for writers and array of int for readers",
        ),
        (
            field({"type": "map", "values": ["null", "int"]}),
            field({"type": "map", "values": ["int", "string"]}),
            "'a{}' may be null for writers",
        ),
        (
            field({"type": "array", "items": record(field("int", "x"), name="Item")}),
            field({"type": "array", "items": record(field("int", "y"), name="Item")}),
            "'a[].y' is not written and has no default",
        ),
        (
            field(record(field("int", "old"), name="Inner")),
            field(record(field("long", "new", aliases=["old"]), name="Inner")),
            None,
        ),
        (
            field(["null", record(field("string", "x"), name="Inner")]),
            field(["null", record(field("int", "x"), name="Inner")]),
            "'a.x' is string for writers and int for readers",
        ),
        (
            field({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}),
            field({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 3}),
            "is a decimal of precision 9 and scale 2 for writers and of 9 and 3 for readers",
        ),
        (
            field({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}),
            field({"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 2}),
            None,
        ),
        (
            field("string"),
            field({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}),
            "'a' is text for writers and a decimal for readers",
        ),
    ],
)
def test_what_is_between_two_fields_is_told_by_path(
    writer: Any, reader: Any, says: str | None
) -> None:
    texts = found(record(writer), record(reader))
    if says is None:
        assert texts == []
    else:
        assert len(texts) == 1
        assert says in texts[0]


def test_schemas_that_are_no_records_are_compared_as_well() -> None:
    assert found("int", "double") == []
    assert found("string", "int")[0].startswith("the schema is string for writers and int for")
    assert found(["null", "int"], "int")[0].startswith("the schema may be null for writers")
    assert found(ENUM, {**ENUM, "aliases": ["x"]}) == []


def node(value: str, *more: Any) -> dict[str, Any]:
    """A list, each of which is a value and the rest."""
    return record(field(value, "v"), field(["null", "node"], "next"), *more, name="node")


def test_recursive_types_are_compared_to_their_ends() -> None:
    assert found(node("int"), node("long")) == []
    texts = found(node("string"), node("int", field("int", "more")))
    assert len(texts) == 2
    assert "'v' is string for writers and int for readers" in texts[0]
    assert "'more' is not written and has no default" in texts[1]


def test_two_recursive_types_that_never_meet_again_end_as_well() -> None:
    """The reader's list holds another one within."""
    inner = record(field("int", "v"), field(["null", "node"], "next"), name="node")
    outer = record(field(inner, "head"), field(["null", "node"], "tail"))
    assert found(outer, outer) == []
