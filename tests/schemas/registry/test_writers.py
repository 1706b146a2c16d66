"""Of a writer's schema only its bytes count: words that are freshet's own elsewhere, and what is
the readers' alone, decide nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from freshet.schemas.errors import SchemaError
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.registry.client import Reference, Registered, Version
from freshet.schemas.registry.writers import as_file, read_writer, writer_of

FOREIGN = {
    "type": "record",
    "name": "Order",
    "namespace": "com.example",
    "version": "1.0-beta",
    "schema_id": "urn:x",
    "cause": {"of": "the event"},
    "schemaType": "event",
    "fields": [
        {"name": "id", "type": "string", "required": "yes", "domain": "example.com"},
        {"name": "n", "type": ["null", "int"], "default": "none", "aliases": ["id"], "range": 3},
        {
            "name": "e",
            "type": {"type": "enum", "name": "E", "symbols": ["version"], "default": "gone"},
        },
    ],
}


def no_reference(reference: Reference) -> Registered:
    raise AssertionError(reference)


def kept(schema: Registered, version: int | None = 4) -> dict[str, Any]:
    # As it comes back from its file.
    found: dict[str, Any] = json.loads(json.dumps(writer_of(17, version, schema, no_reference)))
    return found


def test_a_foreign_schema_with_words_of_its_own_is_read() -> None:
    writer = read_writer(kept(Registered(json.dumps(FOREIGN))), "orders-value")
    plain = {"type": "record", "name": "Order", "fields": [
        {"name": "id", "type": "string"},
        {"name": "n", "type": ["null", "int"]},
        {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["version"]}},
    ]}  # fmt: skip
    assert [f.wire for f in writer.fields] == [f.wire for f in EventSchema.parse(plain, "x").fields]
    assert (writer.schema_id, writer.version) == (17, 4)


@pytest.mark.parametrize(
    ("schema", "cause"),
    [
        (Registered("syntax = proto3", "PROTOBUF"), "17 .subject o.: is PROTOBUF, not Avro"),
        (Registered("{"), "is not JSON"),
        (Registered('"int"'), "is not an Avro record"),
    ],
)
def test_what_no_record_could_be_read_by_says_why_each_time(schema: Registered, cause: str) -> None:
    with pytest.raises(SchemaError, match=cause):
        read_writer(kept(schema), "o")


def test_a_file_for_an_app_says_which_schema_it_is() -> None:
    raw = {**FOREIGN, "fields": [{"name": "id", "type": "string", "doc": "ünique"}]}
    text = as_file(Version("orders-value", 3, 17, Registered(json.dumps(raw))), no_reference)
    found = EventSchema.parse(text, "orders.avsc")
    assert (found.schema_id, found.version, found["id"].description) == (17, 3, "ünique")
    with pytest.raises(SchemaError, match="orders-value version 3: is JSON, not Avro"):
        as_file(Version("orders-value", 3, 17, Registered("{}", "JSON")), no_reference)
