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

INNER = {"type": "record", "name": "inner", "fields": [{"name": "x", "type": "int"}]}
# A list: a value and, perhaps, the rest.
NODE = {
    "type": "record",
    "name": "node",
    "fields": [{"name": "v", "type": "int"}, {"name": "next", "type": ["null", "node"]}],
}


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
        with pytest.raises(SchemaError, match=f"field 'h': type '{meant}' is not known"):
            EventSchema.parse(raw, "events")
        return
    assert EventSchema.parse(raw, "events").fields[1].symbols == ("A", "BB", "C_3")


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ({"type": []}, "union of nothing"),
        ({"type": ["int", "string", "int"]}, "a union that has int twice"),
        ({"type": ["null", ["int"]]}, "a union within a union"),
        ({"type": [ENUM, {**ENUM, "name": "Letter"}]}, "defined twice"),
        ({"type": "strnig"}, "Use one of null"),
        ({"type": None}, "not known"),
        ({"type": 3}, "not known"),
        ({"type": "enum"}, "not known"),
        ({"type": {"type": "fixed", "name": "F", "size": -1}}, "how many bytes"),
        ({"type": {"type": "array", "items": "null"}}, "an array of nothing"),
        ({"type": NODE}, "record 'node' holds itself"),
        ({"type": INNER, "required": True}, "has 'required', but is a record"),
        ({"type": ["null", INNER], "range": [0, 1]}, "has 'range', but is a record"),
        ({"type": ["null", "int", "string"], "required": True}, "one of several types"),
        ({"type": {"type": "enum", "symbols": ["A"]}}, "without a name"),
        ({"type": {**ENUM, "symbols": []}}, "symbols"),
        ({"type": {**ENUM, "symbols": ["A", "A"]}}, "symbols"),
        ({"type": {**ENUM, "symbols": ["a b"]}}, "symbol"),
        ({"type": {**ENUM, "default": "Z"}}, "'Z'"),
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
    with pytest.raises(SchemaError, match=r"events, field 'a(\.\w+|\[\])*'") as caught:
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
def test_what_is_no_record_is_refused(source: Any) -> None:
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


# ------------------------------------------------------------ nested ones
def record(name: str, *fields: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields)}


def columns(*fields: Any) -> dict[str, tuple[str, bool]]:
    """Of each column its type, and whether it may be missing."""
    schema = EventSchema.parse(avro(fields), "events")
    return {own.name: (own.type, own.nullable) for own in schema.fields}


def test_each_value_of_a_nested_record_is_a_column_named_by_its_path() -> None:
    geo = record(
        "geo", {"name": "lat", "type": "double"}, {"name": "note", "type": ["null", "string"]}
    )
    address = record(
        "address", {"name": "city", "type": "string"}, {"name": "geo", "type": ["null", geo]}
    )
    assert columns({"name": "id", "type": "long"}, {"name": "address", "type": address}) == {
        "id": ("long", False),
        "address.city": ("string", False),
        "address.geo.lat": ("double", True),
        "address.geo.note": ("string", True),
    }


def test_of_a_union_of_several_types_each_has_a_column() -> None:
    card = record("Card", {"name": "number", "type": "string"})
    cash = record("Cash", {"name": "paid", "type": "boolean"})
    assert columns(
        {"name": "value", "type": ["null", "string", "long"]},
        {"name": "payment", "type": [card, cash]},
        {"name": "tags", "type": [{"type": "array", "items": "string"}, "string"]},
    ) == {
        "value.string": ("string", True),
        "value.long": ("long", True),
        "payment.Card.number": ("string", True),
        "payment.Cash.paid": ("boolean", True),
        "tags.array": ("array", True),
        "tags.string": ("string", True),
    }


@pytest.mark.parametrize(
    ("union", "kind"),
    [
        (["int", "long"], "long"),
        (["int", "float"], "double"),
        (["null", "long", "double"], "double"),
        (["float"], "float"),
        (["int", "null", "long", "float", "double"], "double"),
    ],
)
def test_numbers_of_several_types_are_one_column_of_the_widest(union: Any, kind: str) -> None:
    assert columns({"name": "x", "type": union}) == {"x": (kind, "null" in union)}


def test_records_of_one_name_in_two_namespaces_are_told_apart_by_all_of_it() -> None:
    one = {**record("Card", {"name": "n", "type": "int"}), "namespace": "a"}
    two = {**record("Card", {"name": "n", "type": "int"}), "namespace": "b"}
    assert [*columns({"name": "x", "type": [one, two]})] == ["x.a.Card.n", "x.b.Card.n"]


def test_two_columns_of_one_name_are_refused_by_it() -> None:
    enum = {"type": "enum", "name": "map", "symbols": ["A"]}
    with pytest.raises(SchemaError, match=r"field 'x\.map': is the name of two columns"):
        columns({"name": "x", "type": [enum, {"type": "map", "values": "int"}]})


def test_bytes_decimals_uuids_and_lists_are_columns_of_their_own_types() -> None:
    decimal = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
    schema = EventSchema.parse(
        avro(
            [
                {"name": "raw", "type": "bytes"},
                {"name": "hash", "type": {"type": "fixed", "name": "H", "size": 4}},
                {"name": "price", "type": decimal},
                {
                    "name": "id",
                    "type": {"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"},
                },
                {"name": "tags", "type": {"type": "array", "items": "string"}},
                {"name": "counts", "type": {"type": "map", "values": "long"}},
                {"name": "nothing", "type": "null"},
            ]
        ),
        "events",
    )
    assert [(own.name, own.type) for own in schema.fields] == [
        ("raw", "bytes"),
        ("hash", "bytes"),
        ("price", "decimal"),
        ("id", "string"),
        ("tags", "array"),
        ("counts", "map"),
    ]
    assert (schema["price"].precision, schema["price"].scale) == (9, 2)
    assert schema["id"].logical == "uuid"
    assert pickle.loads(pickle.dumps(schema)) == schema


def test_types_that_unfold_without_end_are_refused_before_they_are_unfolded() -> None:
    """Each of thirty records holds the one before it twice: a billion columns."""
    fields = [{"name": "f0", "type": record("r0", {"name": "x", "type": "int"})}]
    for i in range(1, 31):
        both = [{"name": side, "type": f"r{i - 1}"} for side in ("left", "right")]
        fields.append({"name": f"f{i}", "type": record(f"r{i}", *both)})
    with pytest.raises(SchemaError, match=r"events: is made of \d+ values") as caught:
        EventSchema.parse(avro(fields), "events")
    assert caught.value.next_step == "Use at most 10000."


def test_types_within_types_are_refused_by_depth() -> None:
    type_: Any = "int"
    for _ in range(60):
        type_ = {"type": "array", "items": type_}
    assert columns({"name": "a", "type": type_}) == {"a": ("array", False)}
    for _ in range(200):
        type_ = {"type": "array", "items": type_}
    with pytest.raises(SchemaError, match="is nested more than 64 deep"):
        columns({"name": "a", "type": type_})


@pytest.mark.parametrize(
    "type_",
    [
        {"type": "long", "logicalType": "date"},
        {"type": "int", "logicalType": "from-elsewhere"},
        {"type": "bytes", "logicalType": "decimal", "precision": 2, "scale": 3},
        {"type": "bytes", "logicalType": "decimal"},
        {
            "type": {
                "type": "fixed",
                "name": "F",
                "size": 1,
                "logicalType": "decimal",
                "precision": 3,
            }
        },
        {"type": {"type": "fixed", "name": "F", "size": 15, "logicalType": "uuid"}},
    ],
)
def test_a_logical_type_that_says_nothing_sound_is_passed_over(type_: Any) -> None:
    """As the specification wants it, of a reader that does not know one."""
    schema = EventSchema.parse(avro([{"name": "a", "type": type_}]), "events")
    assert schema.fields[0].logical is None


def test_the_digest_of_a_flat_schema_is_what_it_has_always_been() -> None:
    fields = [
        {"name": "id", "type": "string", "required": True},
        {"name": "at", "type": ["null", TIMESTAMP], "default": None},
        {"name": "x", "type": ["double", "null"], "default": 1, "range": [-1, 2.5]},
        {"name": "g", "type": {**ENUM, "default": "A"}, "domain": ["A"]},
    ]
    assert EventSchema.parse(avro(fields), "events").digest == "519b0d5784ab9933"
    nested = avro([{"name": "r", "type": record("inner", *fields)}])
    assert (
        EventSchema.parse(nested, "events").digest
        != EventSchema.parse(
            avro([{"name": "r", "type": ["null", record("inner", *fields)]}]), "events"
        ).digest
    )
