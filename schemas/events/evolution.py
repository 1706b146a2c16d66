"""Whether records of one schema can be read by another. Source: Apache Avro 1.12 specification,
schema resolution."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from freshet.schemas.avro.leaves import wire
from freshet.schemas.avro.programs import path_of
from freshet.schemas.avro.resolution import Obstacle, branch_for, source_of
from freshet.schemas.avro.resolution import obstacles as between
from freshet.schemas.avro.tree import Array, Map, Record, Type, Union, is_null, joined, told
from freshet.schemas.errors import SchemaError
from freshet.schemas.events.schema import EventSchema

__all__ = ["Obstacle", "breaks", "obstacles", "require_readable"]


def obstacles(writer: EventSchema, reader: EventSchema) -> list[Obstacle]:
    """What keeps `reader` from reading every record of `writer`; empty where it can.

    One thing keeps it that Avro would allow: a column is read as arrays (or maps) of one type, so
    branches of a writer's union that are one record to the reader must not have them of several.
    """
    return between(writer.tree, reader.tree) or _of_several_types(writer.tree, reader.tree)


BACKWARD = "backward (new readers, old records)"
FORWARD = "forward (old readers, new records)"
BOTH = "both ways"


def breaks(old: EventSchema, new: EventSchema) -> list[tuple[str, Obstacle]]:
    """What breaks when `old` becomes `new`, by direction; empty where nothing does.

    A backward break means that new readers cannot read old records: never acceptable. A forward
    break means that readers which still have the old schema cannot read new records: acceptable
    where readers are updated first.
    """
    found = [(BACKWARD, obstacle) for obstacle in obstacles(old, new)]
    found += [(FORWARD, obstacle) for obstacle in obstacles(new, old)]
    # Readers tell schemas apart by the id alone: under one id they would take one for the other.
    if old.schema_id == new.schema_id and _written(old) != _written(new):
        change = f"other fields are written under the same schema_id {old.schema_id}"
        fix = f'Give the new schema an id of its own, such as "schema_id": {old.schema_id + 1}.'
        found.append((BOTH, Obstacle("", change, fix)))
    return found


def _of_several_types(writer: Type, reader: Type) -> list[Obstacle]:
    found: dict[str, Array | Map] = {}
    refused: dict[str, Obstacle] = {}
    for path, written in _lists(writer, reader, ""):
        first = found.setdefault(path, written)
        if path not in refused and wire(written) != wire(first):
            refused[path] = Obstacle(
                path,
                f"is {_named(first)} in one branch of the writers' union and {_named(written)} in "
                "another, and one column for readers",
                "Give the branches' records names of their own, and readers a union of them, too.",
            )
    return list(refused.values())


def _lists(writer: Type, reader: Type, path: str) -> Iterator[tuple[str, Array | Map]]:
    """Each array and map that a reader reads, by its path, as some branch was written."""
    if isinstance(writer, Union):
        for branch in writer.branches:
            yield from _lists(branch, reader, path)
        return
    chosen = branch_for(writer, reader)
    if chosen is None or is_null(writer):
        return
    at = path_of(chosen, reader, path)
    if isinstance(writer, Record) and isinstance(chosen, Record):
        for own in chosen.fields:
            source = source_of(own, writer)
            if source is not None:
                yield from _lists(source.type, own.type, joined(at, f".{own.name}"))
    elif isinstance(writer, Array) and isinstance(chosen, Array):
        yield at, writer
        yield from _lists(writer.items, chosen.items, joined(at, "[]"))
    elif isinstance(writer, Map) and isinstance(chosen, Map):
        yield at, writer
        yield from _lists(writer.values, chosen.values, joined(at, "{}"))


def _named(written: Array | Map) -> str:
    items = written.items if isinstance(written, Array) else written.values
    return f"{written.kind} of {told(items)}"


def _written(schema: EventSchema) -> Any:
    """All that the bytes of records depend on, and the names of what is in them."""
    return wire(schema.tree)


def require_readable(writer: EventSchema, reader: EventSchema) -> None:
    """Raises `SchemaError`, naming field, change and fix, unless `reader` can read every record of
    `writer`."""
    found = obstacles(writer, reader)
    if found:
        after = f"after version {writer.version} (schema_id {writer.schema_id})"
        first = found[0]
        raise SchemaError(
            f"{reader.name} version {reader.version} {after}",
            f"{BACKWARD}: {first.cause}",
            first.fix,
            field=first.field,
            breaks=[f"{BACKWARD}: {obstacle}" for obstacle in found],
        )
