"""What may become of a schema, and how a refusal says what to do."""

from __future__ import annotations

from typing import Any

import pytest

from freshet.schemas.errors import SchemaError
from freshet.schemas.events.codec import EventCodec
from freshet.schemas.events.evolution import FORWARD, breaks, obstacles, require_readable
from freshet.schemas.events.schema import EventSchema
from tests.schemas.events.strategies import ENUM, avro

BASE = [
    {"name": "id", "type": "string"},
    {"name": "delay", "type": ["null", "float"], "default": None},
]


def check(old: EventSchema, new: EventSchema) -> list[str]:
    """What breaks, as texts."""
    return [f"{direction}: {obstacle}" for direction, obstacle in breaks(old, new)]


def schema(
    *fields: dict[str, Any], schema_id: int = 1, version: int = 1, **more: Any
) -> EventSchema:
    return EventSchema.parse(avro(fields, schema_id=schema_id, version=version, **more), "event")


OLD = schema(*BASE)


def after(*fields: dict[str, Any], **more: Any) -> list[str]:
    return check(OLD, schema(*fields, schema_id=2, version=2, **more))


def test_the_same_schema_is_compatible() -> None:
    assert check(OLD, OLD) == []
    assert after(*BASE) == []
    assert after(*BASE[::-1]) == []


def test_rules_and_descriptions_may_change_freely() -> None:
    assert (
        check(OLD, schema({**BASE[0], "domain": ["a"], "doc": "x"}, {**BASE[1], "range": [0, 1]}))
        == []
    )


def test_an_added_field_needs_a_default() -> None:
    assert after(*BASE, {"name": "x", "type": "int", "default": 0}) == []
    (found,) = after(*BASE, {"name": "x", "type": "int"})
    assert found.startswith("backward")
    assert "'x' is not written and has no default" in found


def test_a_removed_field_hurts_readers_that_have_no_default_for_it() -> None:
    assert after(BASE[0]) == []
    (found,) = after(BASE[1])
    assert found.startswith("forward")
    assert "'id'" in found


PRIMITIVES = ("string", "int", "long", "float", "double", "boolean")
WIDENS = {"int": {"long", "float", "double"}, "long": {"float", "double"}, "float": {"double"}}


@pytest.mark.parametrize("before", PRIMITIVES)
@pytest.mark.parametrize("now", PRIMITIVES)
def test_types_widen_as_avro_promotes_them_and_no_further(before: str, now: str) -> None:
    found = check(
        schema({"name": "a", "type": before}), schema({"name": "a", "type": now}, schema_id=2)
    )
    backward, forward = (
        before == now or now in WIDENS.get(before, ()),
        before == now or before in WIDENS.get(now, ()),
    )
    assert any(o.startswith("backward") for o in found) is not backward
    assert any(o.startswith("forward") for o in found) is not forward


def test_null_may_be_added_but_not_taken_away() -> None:
    (found,) = after(BASE[0], {"name": "delay", "type": "float", "default": 0.0})
    assert found.startswith("backward")
    assert '"required": true' in found
    (found,) = after({"name": "id", "type": ["null", "string"]}, BASE[1])
    assert found.startswith("forward")


def test_an_enum_may_grow_where_readers_have_a_default_symbol() -> None:
    grown = {**ENUM, "symbols": [*ENUM["symbols"], "NEW"]}
    old, new = (
        schema({"name": "g", "type": ENUM}),
        schema({"name": "g", "type": grown}, schema_id=2),
    )
    (found,) = check(old, new)
    assert found.startswith("forward")
    assert "NEW" in found
    assert check(schema({"name": "g", "type": {**ENUM, "default": "A"}}), new) == []
    (found, _) = check(old, schema({"name": "g", "type": {**ENUM, "name": "Other"}}, schema_id=2))
    assert "enum 'Letter'" in found


def test_a_renamed_field_or_record_needs_an_alias() -> None:
    renamed = {"name": "key", "type": "string", "aliases": ["id"]}
    assert obstacles(OLD, schema(renamed, BASE[1])) == []
    assert [o.field for o in obstacles(OLD, schema({**renamed, "aliases": []}, BASE[1]))] == ["key"]
    other = EventSchema.parse({**avro(BASE), "name": "other"}, "event")
    assert "other" in str(obstacles(OLD, other)[0])
    assert (
        obstacles(
            OLD, EventSchema.parse({**avro(BASE), "name": "other", "aliases": ["ns.event"]}, "e")
        )
        == []
    )


def test_other_fields_need_another_id() -> None:
    (found,) = check(OLD, schema(*BASE, {"name": "x", "type": "int", "default": 0}))
    assert "schema_id 1" in found


def test_a_refusal_names_field_change_and_fix() -> None:
    new = schema({"name": "id", "type": "int"}, BASE[1], schema_id=2, version=2)
    says = r"event version 2 after version 1.*field 'id' is string for writers and int for readers\. Keep its type"
    with pytest.raises(SchemaError, match=says) as caught:
        require_readable(OLD, new)
    assert caught.value.facts["field"] == "id"


def test_what_only_old_readers_cannot_read_is_a_forward_break() -> None:
    wider = schema(
        BASE[0], {"name": "delay", "type": ["null", "double"], "default": None}, schema_id=2
    )
    assert [direction for direction, _ in breaks(OLD, wider)] == [FORWARD]
    require_readable(OLD, wider)


def twins(first: Any, second: Any) -> Any:
    """A union of two records of one last name, each with a field `v`."""
    return [
        {"type": "record", "name": "R", "namespace": space, "fields": [{"name": "v", "type": v}]}
        for space, v in (("a", first), ("b", second))
    ]


def lists(items: Any, kind: str) -> dict[str, Any]:
    return {"type": kind, "items" if kind == "array" else "values": items}


@pytest.mark.parametrize("kind", ["array", "map"])
@pytest.mark.parametrize("nested", [False, True])
def test_what_is_one_column_was_written_as_lists_of_one_type(kind: str, nested: bool) -> None:
    """Wherever it lies, in lists too: of bytes that were written by one type another makes other
    values."""

    def pair(first: Any, second: Any, read: Any) -> tuple[EventSchema, EventSchema]:
        types = [twins(lists(first, kind), lists(second, kind))]
        types.append(twins(lists(read, kind), lists(read, kind))[0])
        if nested:
            types = [lists(each, "array") for each in types]
        old, new = (
            schema(*BASE, {"name": "x", "type": each}, schema_id=number)
            for number, each in enumerate(types, 1)
        )
        return old, new

    path = "x[].v" if nested else "x.v"
    old, new = pair("int", "float", "double")
    (found,) = obstacles(old, new)
    assert found.field == path
    assert found.change.startswith(f"is {kind} of int in one branch of the writers' union and")
    with pytest.raises(SchemaError, match="and one column for readers"):
        EventCodec(new, {1: old})
    for same in (pair("int", "int", "double"), pair(["null", "int"], ["null", "int"], "int")):
        assert not [each for each in obstacles(*same) if "column" in each.change]
    old, new = pair("int", "int", "double")
    assert obstacles(old, new) == []
    # By names of their own each has a column of its own.
    union = twins(lists("int", kind), lists("float", kind))
    union[1]["name"] = "Q"
    assert obstacles(*[schema(*BASE, {"name": "x", "type": union})] * 2) == []
