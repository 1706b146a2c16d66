"""A topic's figures, from what the intake tasks of its partitions told: counts add up, means are
combined."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from freshet.schemas.topics.topic import Topic
from freshet.schemas.wire.blocks import NO_TICK
from freshet.serving.status.status import (
    FieldFigures,
    LateFigures,
    SourceFigures,
    TopicFigures,
)
from freshet.streams.intake.fates import EMPTY, tombstone_fate

OTHER = "(other)"
MOST_LATE = 5  # sources that are told of for being late
MOST_SCHEMAS = 5  # that are told of for what cannot be read of them
Facts = Mapping[str, Any]


def topic_figures(topic: Topic, told: Sequence[Facts]) -> TopicFigures:
    """What follows from `told`, the facts of each partition's intake, alone: neither rate nor
    lag."""
    fates = _sums(f.get("fates", {}) for f in told)
    return TopicFigures(
        name=topic.name,
        records=records(told),
        applied=fates.get("applied", 0),
        deduplicated=fates.get("deduplicated", 0),
        dropped=_under("dropped", fates),
        dead=_under("dead", fates),
        tombstones=fates.get(tombstone_fate(topic), 0),
        empty=fates.get(EMPTY, 0),
        partitions=topic.partitions,
        owner=topic.owner,
        description=topic.description,
        newest_ms=_of(max, told, "newest_ms"),
        newest_event_ms=_of(max, told, "newest_event_ms"),
        newest_applied_ms=_of(max, told, "newest_applied_ms"),
        silent_ms=_silent_ms(topic, told),
        fields=_fields(topic, told),
        sources=_sources(told),
        late_sources=_late_sources(told),
        start=str(topic.start),
        starts=_starts(told),
        unreadable_schemas=_unreadable_schemas(told),
    )


def _silent_ms(topic: Topic, told: Sequence[Facts]) -> int | None:
    """Between the newest event and the time up to which all partitions are known to have no later
    one; None before all have told, and where none has ever had an event."""
    newest = _of(max, told, "newest_applied_ms")
    reached = [facts["finished"] for facts in told if facts.get("finished", NO_TICK) != NO_TICK]
    if newest is None or len(reached) < topic.partitions:
        return None
    # Told at different moments, the oldest counts: so nothing is silent that merely told earlier.
    return int(max(0, min(reached) - newest))


def _starts(told: Iterable[Facts]) -> dict[str, int]:
    """First offsets by partition, of those that do not begin at their first record."""
    found: dict[int, int] = {}
    for facts in told:
        if "start" in facts:
            partition, offset = facts["start"]
            found[partition] = offset
    # Parts are told in the order in which they were given out.
    return {str(partition): found[partition] for partition in sorted(found)}


def records(told: Iterable[Facts]) -> int:
    """How many records were read."""
    return sum(sum(f.get("fates", {}).values()) for f in told)


def _fields(topic: Topic, told: Sequence[Facts]) -> list[FieldFigures]:
    kinds = {f.name: f.type for f in topic.events.fields}
    parts = {
        name: [f["fields"][name] for f in told if name in f.get("fields", {})] for name in kinds
    }
    return [_field(name, kinds[name], found) for name, found in parts.items() if found]


def _field(name: str, kind: str, parts: Sequence[Facts]) -> FieldFigures:
    mean, deviation = _moments(
        [(p["seen"] - p["missing"], p.get("mean"), p.get("std")) for p in parts if "mean" in p]
    )
    values = _sums(p["values"] for p in parts if "values" in p)
    other = sum(p.get("other", 0) for p in parts)
    missing = sum(p["missing"] for p in parts)
    return FieldFigures(
        name=name,
        kind=kind,
        # A part counts every event; here only those that had the field.
        seen=sum(p["seen"] for p in parts) - missing,
        missing=missing,
        imputed=sum(p["imputed"] for p in parts),
        min=_of(min, parts, "min"),
        max=_of(max, parts, "max"),
        mean=mean,
        deviation=deviation,
        values=values | ({OTHER: other} if other else {}),
    )


def _moments(
    parts: Sequence[tuple[int, float | None, float | None]],
) -> tuple[float | None, float | None]:
    """Mean and deviation of all values, from count, mean and deviation of each part (Chan et al.,
    1979)."""
    known = [(n, m, d) for n, m, d in parts if n > 0 and m is not None and d is not None]
    # A part may have values and no mean: it is beyond a float64. Then none is told of the whole.
    if not known or len(known) < sum(n > 0 for n, _, _ in parts):
        return None, None
    total = sum(n for n, _, _ in known)
    # Shares first: the sum of all values may be beyond a float64.
    mean = sum(n / total * m for n, m, _ in known)
    # By products, not powers: of values near the end of doubles those are infinite, these an error.
    return mean, math.sqrt(sum(n / total * (d * d + (m - mean) * (m - mean)) for n, m, d in known))


def _sources(told: Sequence[Facts]) -> list[SourceFigures]:
    """In order of first sight, then those that had no place."""
    parts: dict[str, list[Facts]] = {}
    for f in told:
        for name, facts in f.get("sources", {}).items():
            parts.setdefault(name, []).append(facts)
    out = [_source(name, found) for name, found in parts.items()]
    other = _source(OTHER, [f["other_sources"] for f in told if "other_sources" in f])
    return [*out, other] if other.events or other.late or other.dead else out


def _late_sources(told: Sequence[Facts]) -> list[LateFigures]:
    """Those with the largest shares. A source's events may come in several partitions."""
    parts: dict[str | None, list[Facts]] = {}
    for facts in told:
        for late in facts.get("late_sources", ()):
            parts.setdefault(late["source"], []).append(late)
    out = [
        LateFigures(
            source=source,
            judged=sum(late["judged"] for late in found),
            late=sum(late["late"] for late in found),
            late_ms=max(late["late_ms"] for late in found),
        )
        for source, found in parts.items()
    ]
    return sorted(out, key=lambda late: -late.share)[:MOST_LATE]


def _unreadable_schemas(told: Sequence[Facts]) -> list[str]:
    """Each once, whichever partitions met it."""
    found = dict.fromkeys(text for facts in told for text in facts.get("unreadable_schemas", ()))
    return list(found)[-MOST_SCHEMAS:]


def _source(name: str, parts: Sequence[Facts]) -> SourceFigures:
    return SourceFigures(
        name=name,
        events=sum(p["events"] for p in parts),
        late=sum(p["late"] for p in parts),
        dead=sum(p["dead"] for p in parts),
        newest_ms=_of(max, parts, "newest_ms"),
        rate_per_hour=_of(sum, parts, "rate_per_hour"),
    )


def _of(fold: Any, parts: Iterable[Facts], name: str) -> Any:
    """Of the parts that know it; None if none does."""
    known = [p[name] for p in parts if p.get(name) is not None]
    return fold(known) if known else None


def _sums(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    out: dict[str, int] = {}
    for part in counts:
        for name, n in part.items():
            out[name] = out.get(name, 0) + n
    return out


def _under(kind: str, fates: Mapping[str, int]) -> dict[str, int]:
    """The fates of a kind that occurred, such as `dropped:late`, by what follows the colon."""
    return {
        fate.split(":", 1)[1]: n for fate, n in fates.items() if fate.startswith(kind + ":") and n
    }
