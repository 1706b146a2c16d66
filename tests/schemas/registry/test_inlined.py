"""Types of other subjects are put where they are first named, and mean there what they meant."""

from __future__ import annotations

import json
from typing import Any

import fastavro
import pytest

from freshet.schemas.avro.parse import parse
from freshet.schemas.avro.resolution import obstacles
from freshet.schemas.errors import SchemaError
from freshet.schemas.registry.client import Reference, Registered
from freshet.schemas.registry.inlined import stand_alone

PLAIN = {"type": "enum", "name": "paint.Colour", "symbols": ["RED"]}
CITY = {"type": "record", "name": "City", "namespace": "geo", "fields": [{"name": "n", "type": "string"}]}  # fmt: skip
ADDRESS = {
    "type": "record",
    "name": "geo.Address",
    "fields": [
        {"name": "city", "type": "City"},
        {"name": "paint", "type": ["null", "paint.Colour"]},
    ],
}
SUBJECTS = {"colour": PLAIN, "city": CITY, "address": ADDRESS}
REFERENCES = {"address": (Reference("geo.City", "city", 1), Reference("paint.Colour", "colour", 1))}


def find(reference: Reference) -> Registered:
    text = json.dumps(SUBJECTS[reference.subject])
    return Registered(text, references=REFERENCES.get(reference.subject, ()))


def alone(raw: Any, *references: Reference) -> Any:
    return stand_alone(Registered(json.dumps(raw), references=references), find, "it")


def test_each_is_put_in_once_in_its_own_namespace() -> None:
    fields = [
        {"name": "home", "type": "geo.Address"},
        {"name": "all", "type": {"type": "array", "items": "geo.Address"}},
        {"name": "by", "type": {"type": "map", "values": "geo.City"}},
    ]
    raw = {"type": "record", "name": "shop.Order", "fields": fields}
    made = alone(raw, Reference("geo.Address", "address", 1))
    # Two readers of Avro take it, and call its types as they were called.
    fastavro.parse_schema(made)
    text = json.dumps(made)
    assert text.count('"fields"') == 3
    assert text.count('"symbols"') == 1
    by_hand = {
        **raw,
        "fields": [
            {
                "name": "home",
                "type": {
                    **ADDRESS,
                    "fields": [
                        {"name": "city", "type": CITY},
                        {"name": "paint", "type": ["null", PLAIN]},
                    ],
                },
            },
            *fields[1:],
        ],
    }
    assert obstacles(parse(made, "made"), parse(by_hand, "by hand")) == []


def test_a_type_without_a_namespace_is_put_into_none() -> None:
    inner = {"type": "fixed", "name": "Key", "size": 2}
    raw = {"type": "record", "name": "Order", "fields": [{"name": "k", "type": "Key"}]}
    made = stand_alone(
        Registered(json.dumps(raw), references=(Reference("Key", "key", 1),)),
        lambda _: Registered(json.dumps(inner)),
        "it",
    )
    assert made["fields"][0]["type"] == {**inner, "namespace": ""}
    fastavro.parse_schema(made)


def test_without_references_it_stays_as_it_is() -> None:
    assert alone(ADDRESS) == ADDRESS
    assert stand_alone(Registered("string"), find, "it") == "string"


@pytest.mark.parametrize(
    ("schema", "cause"),
    [
        (Registered("{"), "it: is not JSON"),
        (Registered("[" * 100_000), "too many types within types"),
        (Registered('"a"', references=(Reference("a", "loop", 1),)), "refers to itself by way of"),
    ],
)
def test_what_cannot_be_put_together_is_told(schema: Registered, cause: str) -> None:
    def looping(reference: Reference) -> Registered:
        return Registered('"int"', references=(Reference("b", "loop", 1), reference))

    with pytest.raises(SchemaError, match=cause):
        stand_alone(schema, looping, "it")
