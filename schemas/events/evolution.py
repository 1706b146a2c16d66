"""Whether records of one schema can be read by another. Source: Apache Avro 1.12 specification,
schema resolution."""

from __future__ import annotations

from typing import Any

from freshet.schemas.avro.leaves import wire
from freshet.schemas.avro.resolution import Obstacle
from freshet.schemas.avro.resolution import obstacles as between
from freshet.schemas.errors import SchemaError
from freshet.schemas.events.schema import EventSchema

__all__ = ["Obstacle", "breaks", "obstacles", "require_readable"]


def obstacles(writer: EventSchema, reader: EventSchema) -> list[Obstacle]:
    """What keeps `reader` from reading every record of `writer`; empty where it can."""
    return between(writer.tree, reader.tree)


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
