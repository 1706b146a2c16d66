"""The fates of a source topic's records, by name; a record's fate code is the index of its name.
Where a record is several events each of them has a fate of its own."""

from __future__ import annotations

from freshet.schemas.events.decode import REASONS
from freshet.schemas.topics.topic import Topic

FIRST_FILTER = 3  # the code of the first of a topic's own filters: `dropped:late` is before them

EMPTY = "empty"  # a record whose array holds nothing, and which is no event


def fates(topic: Topic) -> tuple[str, ...]:
    """`applied`, `deduplicated`, `dropped:<filter>`, `ignored` (or `erased`: tombstones), of
    a topic whose records are more than one event `empty` (those without any), and `dead:<reason>`,
    in code order."""
    dropped = ("late", *topic.drop)
    return (
        "applied",
        "deduplicated",
        *(f"dropped:{name}" for name in dropped),
        tombstone_fate(topic),
        *_of_no_event(topic),
        *(f"dead:{reason}" for reason in REASONS[1:]),
    )


def tombstone_fate(topic: Topic) -> str:
    """What becomes of its records without a value."""
    if topic.tombstone == "delete":
        return "erased"
    return "ignored"


def tombstone_code(topic: Topic) -> int:
    """After all filters."""
    return FIRST_FILTER + len(topic.drop)


def _of_no_event(topic: Topic) -> tuple[str, ...]:
    if topic.explode is None:
        return ()
    return (EMPTY,)


def empty_code(topic: Topic) -> int:
    """Of a topic whose records are exploded: after tombstones."""
    return tombstone_code(topic) + 1


def first_dead(topic: Topic) -> int:
    """The code of the first dead-letter reason (reason 1 of `REASONS`)."""
    return tombstone_code(topic) + 1 + len(_of_no_event(topic))
