"""A schema that refers to others made one that stands alone: each type that it refers to is put
where it is first named.

Source: Apache Avro 1.12 specification, names; Confluent Schema Registry, "Schema references".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from freshet.schemas.avro.parse import full_name
from freshet.schemas.avro.tree import PRIMITIVES
from freshet.schemas.errors import SchemaError
from freshet.schemas.registry.client import Reference, Registered

MOST_REFERENCES = 200  # of one schema, with those of what it refers to
COMPLEX = ("record", "error", "enum", "fixed", "array", "map")
DEEPEST = 60  # types within types: Python's own stack bounds what can be read


def stand_alone(schema: Registered, find: Callable[[Reference], Registered], name: str) -> Any:
    """The JSON of a schema with all that it refers to in it.

    Args:
        schema: Of Avro.
        find: The schema that a reference names.
        name: How errors call the schema.

    Raises:
        SchemaError: it is no JSON, or refers to too much, or to itself.
    """
    types: dict[str, Any] = {}
    _gather(schema, find, name, types, ())
    raw = _read(schema.text, name)
    if not types:
        return raw
    return _Inliner(types).of(raw, "", 0)


def _gather(
    schema: Registered,
    find: Callable[[Reference], Registered],
    name: str,
    types: dict[str, Any],
    inside: Sequence[Reference],
) -> None:
    """The JSON of every type that is referred to, by full name."""
    for reference in schema.references:
        told = f"{reference.subject} version {reference.version}"
        if reference in inside:
            raise SchemaError(name, f"refers to itself by way of {told}", "Register it anew.")
        if len(types) >= MOST_REFERENCES:
            raise SchemaError(
                name, f"refers to more than {MOST_REFERENCES} others", "Refer to fewer."
            )
        if reference.name in types:
            continue
        found = find(reference)
        types[reference.name] = _read(found.text, f"{name}, {told}")
        _gather(found, find, name, types, (*inside, reference))


def _read(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise SchemaError(name, "has too many types within types", "Flatten it.") from error
    except ValueError as error:
        # The Avro specification's shortest schemas; registries give them without quotes, too.
        if text.strip() in PRIMITIVES:
            return text.strip()
        raise SchemaError(name, f"is not JSON ({error})", "Register it anew.") from error


class _Inliner:
    """Puts each type in once, where it is first named: thereafter its name is known."""

    def __init__(self, types: Mapping[str, Any]) -> None:
        self._waiting = dict(types)

    def of(self, raw: Any, namespace: str, depth: int) -> Any:
        if depth > DEEPEST:
            raise SchemaError("schema", "has too many types within types", "Flatten it.")
        if isinstance(raw, list):
            return [self.of(branch, namespace, depth + 1) for branch in raw]
        if isinstance(raw, str):
            return self._named(raw, namespace, depth)
        if not isinstance(raw, Mapping):
            return raw
        return self._complex(dict(raw), namespace, depth)

    def _named(self, name: str, namespace: str, depth: int) -> Any:
        full = full_name(name, namespace)
        found = self._waiting.pop(full, None)
        if found is None:
            return name
        if isinstance(found, dict):
            # Where it was written no namespace was around it: here one may be.
            found = {"namespace": "", **found}
        return self.of(found, "", depth + 1)

    def _complex(self, raw: dict[str, Any], namespace: str, depth: int) -> Any:
        kind = raw.get("type")
        inner = namespace
        if isinstance(raw.get("name"), str) and kind in ("record", "error", "enum", "fixed"):
            full = full_name(raw["name"], raw.get("namespace", namespace))
            inner = full.rpartition(".")[0]
        for part in ("items", "values"):
            if part in raw:
                raw[part] = self.of(raw[part], inner, depth + 1)
        if isinstance(raw.get("fields"), list):
            raw["fields"] = [self._field(field, inner, depth) for field in raw["fields"]]
        # A type that only wraps another, or its name.
        if isinstance(kind, list | dict) or kind not in COMPLEX:
            raw["type"] = self.of(kind, namespace, depth + 1)
        return raw

    def _field(self, field: Any, namespace: str, depth: int) -> Any:
        if not isinstance(field, Mapping) or "type" not in field:
            return field
        return {**field, "type": self.of(field["type"], namespace, depth + 1)}
