"""What a schema's record holds at its top, where columns of files and names of JSON are found, and
values within it by their path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from freshet.schemas.events.schema import EventSchema


class Top(NamedTuple):
    """A field of the record itself: a value, or something nested. `names` are those it is found
    by."""

    name: str
    names: tuple[str, ...]
    nullable: bool
    has_default: bool
    is_nested: bool


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


def at_path(row: Mapping[str, Any], path: str, lacking: Any = None) -> Any:
    """The value at a path such as `address.city`; `lacking` where something on the way is not
    there.

    >>> at_path({"a": {"b": 1}}, "a.b"), at_path({"a": None}, "a.b"), at_path({"a.b": 2}, "a.b")
    (1, None, 2)
    """
    # A name may have dots, too.
    if path in row:
        return row[path]
    found: Any = row
    for part in path.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return lacking
        found = found[part]
    return found
