"""What a schema's record holds at its top, where columns of files and names of JSON are found, and
values within it by their path."""

from __future__ import annotations

from collections.abc import Container
from typing import NamedTuple

from freshet.schemas.events.schema import EventSchema


class Top(NamedTuple):
    """A field of the record itself: a value, or something nested. `names` are those it is found
    by."""

    name: str
    names: tuple[str, ...]
    nullable: bool
    has_default: bool
    is_nested: bool

    def found_in(self, names: Container[str]) -> str | None:
        """The first of its names that is there."""
        return next((name for name in self.names if name in names), None)


def tops(schema: EventSchema) -> list[Top]:
    """The record's own fields in their order, then what is within them: tables have columns of
    such names, where they are there at all."""
    found = []
    for raw in schema.avro["fields"]:
        name = raw["name"]
        kind = raw["type"]
        found.append(
            Top(
                name,
                (name, *raw.get("aliases", ())),
                isinstance(kind, list) and "null" in kind,
                "default" in raw,
                # A value is a field under the name that it has in the record.
                name not in schema.positions,
            )
        )
    own = {top.name for top in found}
    within = (path for path in schema.positions if path not in own)
    return [*found, *(Top(path, (path,), True, True, False) for path in within)]


def leaves_of(schema: EventSchema, top: Top) -> list[Top]:
    """The values within a nested field, by their paths: so are the columns of a file called that
    knows no nesting."""
    within = [field for field in schema.fields if field.name.startswith(f"{top.name}.")]
    return [
        Top(
            field.name,
            (field.name, *field.aliases),
            field.nullable,
            field.has_default,
            False,
        )
        for field in within
        if top.is_nested
    ]
