"""What a new version of a schema must keep to, by a subject's level.

Source: Confluent Schema Registry, "Schema Evolution and Compatibility". Whether one schema can read
another is Avro's own resolution, so a verdict is what a reader meets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from freshet.schemas.avro.resolution import obstacles
from freshet.schemas.avro.tree import Type

BACKWARD = "BACKWARD"
FORWARD = "FORWARD"
FULL = "FULL"
NONE = "NONE"
_TRANSITIVE = "_TRANSITIVE"
LEVELS = (
    NONE,
    *(level + suffix for level in (BACKWARD, FORWARD, FULL) for suffix in ("", _TRANSITIVE)),
)


class Earlier(NamedTuple):
    """A version that is there already."""

    version: int
    type: Type


def breaks(level: str, earlier: Sequence[Earlier], new: Type, version: int) -> list[str]:
    """How a schema would break a level as `version`; empty where it does not.

    Args:
        level: One of `LEVELS`.
        earlier: The versions that it follows, oldest first. Without `_TRANSITIVE` the last of them
            counts alone.
        new: The schema.
        version: The number that it would have.

    Returns:
        A sentence each: the rule, both versions, the field by its path, and how to mend it.
    """
    rule = level.removesuffix(_TRANSITIVE)
    held_to = earlier if level.endswith(_TRANSITIVE) else earlier[-1:]
    found = []
    for old in held_to:
        if rule in (BACKWARD, FULL):
            found += _unreadable(level, old.type, new, f"version {version} (the new one)", old)
        if rule in (FORWARD, FULL):
            found += _unreadable(level, new, old.type, f"version {old.version}", old, version)
    return found


def _unreadable(
    level: str, writer: Type, reader: Type, who: str, old: Earlier, new: int | None = None
) -> list[str]:
    whose = f"version {old.version}" if new is None else f"version {new} (the new one)"
    return [
        f"{level}: {who} could not read what {whose} writes: {obstacle}"
        for obstacle in obstacles(writer, reader)
    ]
