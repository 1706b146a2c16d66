"""A registered schema as a tree of Avro types, and what makes two schemas one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from freshet.schemas.avro.parse import parse
from freshet.schemas.avro.tree import Type
from freshet.schemas.errors import SchemaError
from freshet.schemas.registry.client import AVRO, Reference, Registered
from freshet.schemas.registry.inlined import stand_alone


def tree_of(schema: Registered, find: Callable[[Reference], Registered], name: str) -> Type:
    """The type of a schema with all that it refers to.

    Raises:
        SchemaError: it is no Avro, or no schema; the text says where and what to do.
    """
    if schema.kind != AVRO:
        raise SchemaError(name, f"is {schema.kind}, not Avro", "Register an Avro schema.")
    try:
        return parse(stand_alone(schema, find, name), name)
    except RecursionError as error:
        raise SchemaError(name, "has too many types within types", "Flatten it.") from error


def identity(schema: Registered, normalised: bool = False) -> str:
    """Equal for schemas that are the same but for white space and the order of attributes;
    `normalised` also but for types that only wrap a name, and the order of references."""
    raw = json.loads(schema.text)
    references = [[each.name, each.subject, each.version] for each in schema.references]
    if normalised:
        raw = unwrapped(raw)
        references.sort()
    return json.dumps([schema.kind, raw, references], sort_keys=True)


def unwrapped(raw: Any) -> Any:
    """The schema with `{"type": "int"}` as `"int"`, wherever nothing else is said."""
    if isinstance(raw, list):
        return [unwrapped(part) for part in raw]
    if not isinstance(raw, dict):
        return raw
    if set(raw) == {"type"}:
        return unwrapped(raw["type"])
    # Of defaults, symbols and what people add every word is meant as it stands.
    types = ("type", "items", "values", "fields")
    return {name: unwrapped(part) if name in types else part for name, part in raw.items()}
