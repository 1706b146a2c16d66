"""What a registry has, as freshet reads it: of a writer's schema only what its bytes depend on, and
whole schemas as files of a topic.

A foreign schema may use words that are freshet's own in a schema file (`version`, `required`,
`range`, `domain`, `unit`, `schema_id`) for something else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from freshet.schemas.errors import SchemaError
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.registry.client import AVRO, Reference, Registered, Version
from freshet.schemas.registry.inlined import stand_alone

# Of a record and its fields. Defaults and aliases are the reader's alone: what a writer says of
# them decides nothing, and need not even be right.
_OWN = ("schema_id", "version", "required", "range", "domain", "unit")
_OF_READERS = ("default", "aliases", "doc")


# Of what is kept and is no schema: why, and of what kind it is.
CAUSE = "cause"
KIND = "schemaType"


def as_written(raw: Any) -> Any:
    """A schema's JSON with nothing but what says how its bytes are laid out, and what they mean."""
    if isinstance(raw, list):
        return [as_written(branch) for branch in raw]
    if not isinstance(raw, Mapping):
        return raw
    left_out = (*_OWN, *_OF_READERS)
    return {name: _part(name, value) for name, value in raw.items() if name not in left_out}


def _part(name: str, value: Any) -> Any:
    # Elsewhere words are meant as they stand: symbols, properties of people's own.
    if name in ("type", "items", "values", "fields"):
        return as_written(value)
    return value


def writer_of(
    schema_id: int, version: int | None, schema: Registered, find: Callable[[Reference], Registered]
) -> dict[str, Any]:
    """A writer's schema as it is kept: it stands alone, under its id. Of one that is no Avro, of
    what kind it is."""
    named: dict[str, Any] = {"schema_id": schema_id}
    if version is not None:
        named["version"] = version
    if schema.kind != AVRO:
        return {**named, KIND: schema.kind}
    try:
        raw = as_written(stand_alone(schema, find, f"schema {schema_id}"))
    except SchemaError as error:
        # It was registered all the same: records under it are there, and cannot be read.
        return {**named, CAUSE: error.cause}
    if not isinstance(raw, dict):
        return {**named, "type": raw}
    # Foreign schemas have properties of any name.
    own = {name: value for name, value in raw.items() if name not in (CAUSE, KIND)}
    return {**own, **named}


def read_writer(kept: Mapping[str, Any], subject: str) -> EventSchema:
    """A writer's schema out of what is kept.

    Raises:
        SchemaError: it is none that a topic's records could have; the text says why.
    """
    name = f"{kept['schema_id']} (subject {subject})"
    if KIND in kept:
        raise SchemaError(name, f"is {kept[KIND]}, not Avro", "Write Avro.")
    if CAUSE in kept:
        raise SchemaError(name, kept[CAUSE], "Register one that can be read.")
    return EventSchema.parse(kept, name)


def as_file(found: Version, find: Callable[[Reference], Registered]) -> bytes:
    """A version as a schema file of a topic.

    Raises:
        SchemaError: it is no Avro, or cannot be read.
    """
    name = f"{found.subject} version {found.version}"
    if found.schema.kind != AVRO:
        raise SchemaError(name, f"is {found.schema.kind}, not Avro", "Name an Avro subject.")
    raw = stand_alone(found.schema, find, name)
    if not isinstance(raw, Mapping):
        raise SchemaError(name, "is not an Avro record", "Name the subject of a record.")
    own = {
        key: value for key, value in raw.items() if key not in ("schema_id", "version", "fields")
    }
    # The fields last, as people read it.
    numbers = {"schema_id": found.id, "version": found.version}
    whole = {**own, **numbers, "fields": raw.get("fields")}
    return json.dumps(whole, indent=2, ensure_ascii=False).encode() + b"\n"
