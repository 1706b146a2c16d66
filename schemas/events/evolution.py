"""Whether records of one schema can be read by another. Source: Apache Avro 1.12 specification,
schema resolution."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from freshet.schemas.errors import SchemaError
from freshet.schemas.events.field import Field
from freshet.schemas.events.schema import EventSchema

# Avro's own, but for those between bytes and texts: no field here is of bytes.
PROMOTIONS = {
    ("int", "long"),
    ("int", "float"),
    ("int", "double"),
    ("long", "float"),
    ("long", "double"),
    ("float", "double"),
}


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why some record cannot be read: the field, what is between writer and reader, and how to mend
    it."""

    field: str
    change: str
    fix: str

    @property
    def cause(self) -> str:
        return f"field {self.field!r} {self.change}" if self.field else self.change

    def __str__(self) -> str:
        return f"{self.cause}. {self.fix}"


def source_of(reader: Field, writer: EventSchema) -> int | None:
    """The index of the writer's field that a reader's field is read from: by name, else by one of
    its aliases."""
    for name in (reader.name, *reader.aliases):
        if name in writer.positions:
            return writer.positions[name]
    return None


def obstacles(writer: EventSchema, reader: EventSchema) -> list[Obstacle]:
    """What keeps `reader` from reading every record of `writer`; empty where it can."""
    found: list[Obstacle] = []
    if writer.name != reader.name and writer.name not in reader.aliases:
        found.append(
            Obstacle(
                "",
                f"the record is named {writer.name!r} for writers and {reader.name!r} for readers",
                f'Keep the name, or add "aliases": ["{writer.name}"] to the record.',
            )
        )
    for field in reader.fields:
        at = source_of(field, writer)
        if at is not None:
            found += _between(writer.fields[at], field)
        elif not field.has_default:
            found.append(
                Obstacle(
                    field.name,
                    "is not written and has no default",
                    "Give it a default, such as null.",
                )
            )
    return found


def _between(writer: Field, reader: Field) -> Iterator[Obstacle]:
    """What keeps one field from being read as another."""
    if writer.nullable and not reader.nullable:
        yield Obstacle(
            reader.name,
            "may be null for writers but not for readers",
            'Keep it a union with null; to refuse nulls set "required": true.',
        )
    if writer.type != reader.type and (writer.type, reader.type) not in PROMOTIONS:
        yield Obstacle(
            reader.name,
            f"is {writer.type} for writers and {reader.type} for readers",
            "Keep its type, or add a field of another name.",
        )
    if writer.type != "enum" or reader.type != "enum":
        return
    if writer.enum_name != reader.enum_name and writer.enum_name not in reader.enum_aliases:
        yield Obstacle(
            reader.name,
            f"is enum {writer.enum_name!r} for writers and {reader.enum_name!r} for readers",
            "Keep the enum's name, or add the old one to its aliases.",
        )
    unknown = [symbol for symbol in writer.symbols if symbol not in reader.symbols]
    if unknown and reader.fallback is None:
        yield Obstacle(
            reader.name,
            f"has symbols that readers lack: {', '.join(unknown)}",
            "Keep the symbols, or give the readers' enum a default symbol.",
        )


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
    written_before = [field.wire for field in old.fields]
    written_now = [field.wire for field in new.fields]
    # Readers tell schemas apart by the id alone: under one id they would take one for the other.
    if old.schema_id == new.schema_id and written_before != written_now:
        change = f"other fields are written under the same schema_id {old.schema_id}"
        fix = f'Give the new schema an id of its own, such as "schema_id": {old.schema_id + 1}.'
        found.append((BOTH, Obstacle("", change, fix)))
    return found


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
