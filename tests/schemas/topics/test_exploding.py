"""An array's elements as events: what they are called, and that they are what fastavro and a loop
make of them."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from freshet.schemas.avro.tree import Array, Map, Record, Type, Union, is_null, joined
from freshet.schemas.errors import DefinitionError
from freshet.schemas.events.columns import OUT_OF_RANGE, REASONS
from freshet.schemas.events.decode import EventCodec, encode
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.topics.exploding import Exploded, Exploding, explode, exploding
from tests.schemas.avro.strategies import (
    flattened,
    is_told_apart,
    near,
    promotes_within,
    samples,
    schemas,
    untagged,
)
from tests.schemas.avro.test_programs import decoded, obstacles, of_fastavro, parsed, rows
from tests.schemas.events.strategies import avro, columns_of, rows_of, same

LINE = {
    "type": "record",
    "name": "Line",
    "fields": [
        {"name": "sku", "type": "string", "domain": ["pan", "pot"]},
        {"name": "amount", "type": ["null", "int"], "range": [1, 9], "required": True},
        {"name": "sizes", "type": {"type": "array", "items": "int"}},
        {"name": "gate", "type": ["null", {"type": "enum", "name": "Gate", "symbols": ["A", "B"]}]},
        {
            "name": "price",
            "type": {"type": "bytes", "logicalType": "decimal", "precision": 3, "scale": 2},
        },
    ],
}


def schema(type_: Any, **more: Any) -> EventSchema:
    fields = [
        {"name": "n", "type": "int"},
        {"name": "a", "type": type_, **more},
        {"name": "end", "type": ["null", "string"], "default": None},
    ]
    return EventSchema.parse(avro(fields), "event")


def line(sku: str, amount: int | None = 1, **more: Any) -> dict[str, Any]:
    known = {"sizes": [], "gate": None, "price": Decimal("1.00")}
    return {"sku": sku, "amount": amount, **known, **more}


def events(own: EventSchema, path: str, *arrays: Any) -> Exploded:
    values = encode(own, [{"n": i, "a": array} for i, array in enumerate(arrays)])
    return explode(columns_of(values, EventCodec(own)), exploding(own, path, "topic orders"))


def test_fields_of_elements_are_named_by_their_paths_and_others_repeat() -> None:
    own = schema(["null", {"type": "array", "items": LINE}])
    pan = line("pan", 2, sizes=[1, 2], gate="B", price=Decimal("9.99"))
    found = events(own, "a", [pan, line("pot")], None, [], [line("pot", 3, sizes=[7])])
    assert list(found.schema.positions) == [
        "n",
        "a.sku",
        "a.amount",
        "a.sizes",
        "a.gate",
        "a.price",
        "end",
    ]
    assert found.parents.tolist() == [0, 0, 1, 2, 3]
    assert found.places.tolist() == [0, 1, 0, 0, 0]
    # A record without an element has a row, so that it has a fate, with nothing of one in it.
    assert found.empty.tolist() == [2, 3]
    got = rows_of(found)
    of_pan = {"a.sku": "pan", "a.amount": 2, "a.sizes": [1, 2], "a.gate": "B"}
    assert got[0] == {"n": 0, **of_pan, "a.price": Decimal("9.99"), "end": None}
    assert (got[2]["n"], got[3]["n"]) == (1, 2)
    nothing = {value for name, value in got[2].items() if name.startswith("a.")}
    assert nothing == {None}
    assert got[4]["a.sizes"] == [7]
    # Any of its rows may be asked for, in any order.
    assert found.arrow("a.sizes", np.array([4, 2, 0])).to_pylist() == [[7], None, [1, 2]]
    assert found.arrow("a.sizes", np.array([2], np.int64)).to_pylist() == [None]


def test_plain_values_have_the_arrays_own_name_and_maps_have_keys_and_values() -> None:
    texts = events(schema({"type": "array", "items": ["null", "string"]}), "a", ["x", None], ["y"])
    assert rows_of(texts)[1] == {"n": 0, "a": None, "end": None}
    assert texts.text("a").to_arrow().to_pylist() == ["x", None, "y"]
    counts = events(schema({"type": "map", "values": "long"}), "a", {"k": 1, "é": 2})
    assert rows_of(counts) == [
        {"n": 0, "a.key": "k", "a.value": 1, "end": None},
        {"n": 0, "a.key": "é", "a.value": 2, "end": None},
    ]
    inner = events(
        schema({"type": "array", "items": {"type": "array", "items": "int"}}), "a", [[1]]
    )
    assert inner.arrow("a", np.arange(1)).to_pylist() == [[1]]


def test_an_array_within_records_is_there_with_all_that_it_is_in() -> None:
    order = {
        "type": "record",
        "name": "Order",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "lines", "type": {"type": "array", "items": LINE}},
        ],
    }
    own = schema(["null", order])
    how = exploding(own, "a.lines", "topic orders")
    assert how.events["a.id"].nullable is False
    assert own["a.id"].nullable is True
    found = events(own, "a.lines", None, {"id": "1", "lines": [line("pan"), line("pot")]})
    assert found.empty.tolist() == [0]
    assert [row["a.lines.sku"] for row in rows_of(found)[1:]] == ["pan", "pot"]


def test_rules_of_fields_of_elements_are_rules_of_events() -> None:
    how = exploding(schema({"type": "array", "items": LINE}), "a", "topic orders")
    assert how.events["a.sku"].domain == ("pan", "pot")
    assert how.events["a.amount"].required is True
    assert how.events["a.amount"].bounds == (1, 9)
    assert how.events.digest != schema({"type": "array", "items": LINE}).digest


def test_an_element_with_a_decimal_of_too_many_digits_is_refused_alone() -> None:
    # Of four digits, where there may be three: whoever wrote it declared otherwise.
    wide = {**LINE["fields"][4]["type"], "precision": 4}  # type: ignore[index]
    fields = [*LINE["fields"][:4], {"name": "price", "type": wide}]  # type: ignore[index]
    written = schema({"type": "array", "items": {**LINE, "fields": fields}})
    values = encode(written, [{"n": 0, "a": [line("pan"), line("pan", price=Decimal("10.00"))]}])
    own = schema({"type": "array", "items": LINE})
    found = explode(columns_of(values, EventCodec(own)), exploding(own, "a", "topic orders"))
    assert found.reason.tolist() == [0, OUT_OF_RANGE]
    assert found.at_fault(np.arange(2)) == [None, "a.price"]


def test_a_record_that_cannot_be_read_is_refused_as_a_whole() -> None:
    own = schema({"type": "array", "items": LINE})
    (value,) = encode(own, [{"n": 0, "a": [line("pan"), line("pan")]}])
    records = [value, value[:-9], b"{}", b"", b'{"n": 1, "a": [7]}']
    columns = columns_of(records, EventCodec(own))
    found = explode(columns, exploding(own, "a", "topic orders"))
    assert found.parents.tolist() == [0, 0, 1, 2, 3, 4]
    reasons = [REASONS[reason] for reason in found.reason.tolist()]
    assert reasons[:4] == ["ok", "ok", "undecodable", "missing_required"]
    assert reasons[4:] == ["undecodable", "wrong_type"]
    assert found.at_fault(np.arange(6))[2:] == [None, "n", None, "a"]
    assert not len(found.empty)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("n", "explode='n' is of type int, no array. Its arrays and maps are a, u.array."),
        ("b", "explode='b' is not in its schema. Its arrays and maps are a, u.array."),
        ("u.array", "explode='u.array' is an array in a union of several types."),
        ("r", "explode='r' is made of fields, and no array. Its arrays and maps are a, u.array."),
    ],
)
def test_what_is_no_array_is_refused_by_name(path: str, text: str) -> None:
    inner = {"type": "record", "name": "R", "fields": [{"name": "x", "type": "int"}]}
    fields = [
        {"name": "n", "type": "int"},
        {"name": "a", "type": {"type": "array", "items": "int"}},
        {"name": "u", "type": ["string", {"type": "array", "items": "int"}]},
        {"name": "r", "type": inner},
    ]
    own = EventSchema.parse(avro(fields), "event")
    with pytest.raises(DefinitionError) as caught:
        exploding(own, path, "topic orders")
    assert str(caught.value).startswith(f"definition topic orders: {text}")


# ----------------------------------------------------------------------------- by another reader
def paths(record: Record, above: str = "") -> Iterator[str]:
    """Of all arrays and maps that stand in no union of several types."""
    for own in record.fields:
        path = joined(above, f".{own.name}")
        type_ = there(own.type)
        if isinstance(type_, Record):
            yield from paths(type_, path)
        elif isinstance(type_, Array | Map):
            yield path


def there(type_: Type) -> Type | None:
    if not isinstance(type_, Union):
        return type_
    others = [branch for branch in type_.branches if not is_null(branch)]
    return others[0] if len(others) == 1 else None


def at(value: Any, record: Record, path: str) -> tuple[Any, Array | Map]:
    """What stands at a path of a value that fastavro read, and its type."""
    name, _, rest = path.partition(".")
    own = next(own for own in record.fields if own.name == name)
    inner = there(own.type)
    found = untagged(untagged(value)[name]) if untagged(value) is not None else None
    if isinstance(inner, Array | Map):
        return found, inner
    assert isinstance(inner, Record)
    return at(found, inner, rest)


def exploded_slowly(value: Any, tree: Record, path: str) -> list[dict[str, Any]]:
    """The events of a record, one element after the other."""
    shared = flattened(value, tree)
    del shared[path]
    elements, type_ = at(value, tree, path)
    if isinstance(type_, Array):
        own = [flattened(item, type_.items, path) for item in elements or []]
    else:
        own = [
            {f"{path}.key": key} | flattened(item, type_.values, f"{path}.value")
            for key, item in (elements or {}).items()
        ]
    return [shared | element for element in own]


def told_apart(how: Exploding) -> bool:
    return is_told_apart(how.events.tree)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_events_of_random_schemas_are_what_fastavro_and_a_loop_make(data: st.DataObject) -> None:
    raw = data.draw(schemas())
    own = parsed(raw)
    found = list(paths(own.tree))
    assume(found)
    path = data.draw(st.sampled_from(found))
    how = exploding(own, path, "topic orders")
    assume(told_apart(how) and is_told_apart(own.tree))
    bodies = samples(own.tree)
    got = explode(decoded(bodies, EventCodec(own)), how)
    expected = [exploded_slowly(of_fastavro(body, raw, raw), own.tree, path) for body in bodies]
    every = rows(got)
    for parent, events_of_one in enumerate(expected):
        mine = np.flatnonzero(got.parents == parent).tolist()
        if not events_of_one:
            assert [row in got.empty for row in mine] == [True]
            continue
        assert got.places[mine].tolist() == list(range(len(events_of_one)))
        for row, event in zip(mine, events_of_one, strict=True):
            assert same(every[row], {name: event[name] for name in how.events.positions})


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.data())
def test_events_are_resolved_from_the_schema_that_wrote_them(data: st.DataObject) -> None:
    raw = data.draw(schemas())
    writer = parsed(raw, 2)
    changed = data.draw(near(raw))
    own = parsed({**changed, "name": "event"}, 1)
    assume(not obstacles(writer.tree, own.tree))
    found = list(paths(own.tree))
    assume(found)
    path = data.draw(st.sampled_from(found))
    how = exploding(own, path, "topic orders")
    assume(told_apart(how) and is_told_apart(own.tree) and not promotes_within(own.tree))
    assume(not promotes_within(writer.tree))
    bodies = samples(writer.tree)
    columns = decoded(bodies, EventCodec(own, {2: writer}), b"\0\0\0\0\2")
    assume(not columns.reason.any())
    got = explode(columns, how)
    every = rows(got)
    for parent, body in enumerate(bodies):
        value = of_fastavro(body, raw, {**changed, "name": "event"})
        expected = exploded_slowly(value, own.tree, path)
        mine = np.flatnonzero(got.parents == parent).tolist()
        if not expected:
            assert [row in got.empty for row in mine] == [True]
            continue
        for row, event in zip(mine, expected, strict=True):
            assert same(every[row], {name: event[name] for name in how.events.positions})
