"""What the values of a topic were like in a span of time, beside those of the weeks before."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Literal, NamedTuple

import msgspec

from freshet.schemas.durations import EARLIEST_MS, HOUR_MS, LATEST_MS
from freshet.schemas.errors import RequestError
from freshet.schemas.events.field import INTEGERS
from freshet.serving.status.status import DriftFigures
from freshet.serving.values.history import Sketches, by_cell
from freshet.serving.values.topic import TopicStatistics
from freshet.streams.sketches.comparison import compared
from freshet.streams.sketches.sketch import Sketch, merged, quantile, top

SHARES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
MOST_VALUES = 20
# More than one hour of one source has: of a span there are more texts, and room for them.
REPORT_BOUND = 1_024
DAY = 24  # hours


class Asked(NamedTuple):
    """`field` and `source` are those that are wanted, None: all of them, and of sources all
    together. A span is from `first_ms` to `after_ms` (event time), by default the newest day."""

    field: str | None = None
    source: str | None = None
    first_ms: int | None = None
    after_ms: int | None = None


class BinReport(msgspec.Struct, frozen=True):
    """Events of the span and of the reference that have a value like this."""

    name: str
    events: int
    reference_events: int


class ComparisonReport(msgspec.Struct, frozen=True):
    """How far the values have moved from those of the reference: population stability index,
    Jensen–Shannon distance (0 to 1), and the largest difference of a bin's share (L∞)."""

    psi: float
    jensen_shannon: float
    largest: float
    events: int
    reference_events: int
    bins: list[BinReport]


class FieldReport(msgspec.Struct, frozen=True, kw_only=True):
    """One field. `min` to `quantiles` (by share) are of numbers, `top` (value and count) of texts.
    `distinct` is exact where few are, else an estimate. Of what is neither it is only known how
    often it is there."""

    name: str
    kind: Literal["numbers", "texts", "presence"]
    events: int
    present: int
    missing: int
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    deviation: float | None = None
    quantiles: dict[str, float] = {}
    distinct: float | None = None
    top: list[tuple[str, int]] = []
    compared: ComparisonReport | None = None


class SourceReport(msgspec.Struct, frozen=True):
    """A source, null of those that are not told apart, and how many events of the span it
    brought."""

    name: str | None
    events: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of the applied events of a topic, as they were sent, from `from_ms` to `to_ms`
    (event time, whole hours; of what is older than four weeks whole days). `drifts` are the newest
    hours that were unlike the `reference`, in the whole history."""

    topic: str
    source: str | None
    from_ms: int
    to_ms: int
    weeks_missing: int | None
    sources: list[SourceReport]
    fields: list[FieldReport]
    drifts: list[DriftFigures]
    reference: str


def report(statistics: TopicStatistics, asked: Asked) -> Report:
    """Raises `RequestError` for a field, a source or a span that the topic does not have."""
    topic = statistics.topic
    types = {field.name: field.type for field in topic.events.fields}
    names = list(types)
    if asked.field is not None and asked.field not in names:
        raise RequestError(
            f"field {asked.field!r}",
            f"is none of topic {topic.name}",
            f"Its fields are {', '.join(names)}.",
            status=404,
        )
    first, after = _span(statistics, asked)
    now = _read(statistics, first, after)
    sources = _sources(now)
    found = _of_source(now, asked, sources)
    reference = _of_source(statistics.reference(first, after), asked, None)
    figures = statistics.figures()
    return Report(
        topic=topic.name,
        source=asked.source,
        from_ms=first * HOUR_MS,
        to_ms=after * HOUR_MS,
        weeks_missing=figures.weeks_missing,
        sources=[SourceReport(name, events) for name, events in sources.items()],
        fields=[
            _field(name, types[name], found[name], reference.get(name, Sketch()))
            for name in names
            if name in found
        ],
        drifts=figures.drifts,
        reference=figures.reference,
    )


def _span(statistics: TopicStatistics, asked: Asked) -> tuple[int, int]:
    """In hours."""
    newest = statistics.newest_hour or 0
    after = newest + 1
    if asked.after_ms is not None:
        # An hour that begins within the span is of it.
        after = math.ceil(asked.after_ms / HOUR_MS)
    first = after - DAY
    if asked.first_ms is not None:
        first = asked.first_ms // HOUR_MS
    if first >= after:
        raise RequestError(
            "span", "ends before it begins", "Give from before to, or leave both out."
        )
    return first, after


def _read(statistics: TopicStatistics, first: int, after: int) -> list[Sketches]:
    return [statistics.sketches(period) for period in statistics.periods(first, after)]


def _sources(parts: Iterable[Sketches]) -> dict[str | None, int]:
    """Events by source, most first."""
    found: dict[str | None, int] = {}
    for part in parts:
        # Each field has the same: its events are those of the source.
        brought: dict[str | None, int] = {}
        for (source, _), sketch in part.items():
            brought[source] = max(brought.get(source, 0), sketch.rows)
        for source, events in brought.items():
            found[source] = found.get(source, 0) + events
    return dict(sorted(found.items(), key=lambda each: (-each[1], str(each[0]))))


def _of_source(
    parts: Iterable[Sketches], asked: Asked, known: Mapping[str | None, int] | None
) -> dict[str, Sketch]:
    """By field. `known` are the sources there are, None: it is not asked whether this is one."""
    if asked.source is not None and known and asked.source not in known:
        raise RequestError(
            f"source {asked.source!r}",
            "has no events in this span, or is not told apart in it",
            f"Its sources are {', '.join(name for name in known if name) or 'not told apart'}.",
            status=404,
        )
    chosen = [
        {
            cell: sketch
            for cell, sketch in part.items()
            if asked.source in (None, cell[0]) and asked.field in (None, cell[1])
        }
        for part in parts
    ]
    fields: dict[str, list[Sketch]] = {}
    for (_, field), sketch in by_cell(chosen, REPORT_BOUND):
        fields.setdefault(field, []).append(sketch)
    return {field: merged(sketches, REPORT_BOUND) for field, sketches in fields.items()}


def _field(name: str, type_: str, sketch: Sketch, reference: Sketch) -> FieldReport:
    kind: Literal["numbers", "texts", "presence"] = "presence"
    if sketch.names is not None:
        kind = "texts"
    elif sketch.keys:
        kind = "numbers"
    return FieldReport(
        name=name,
        kind=kind,
        events=sketch.rows,
        present=sketch.present,
        missing=sketch.missing,
        min=_finite(sketch.lowest),
        max=_finite(sketch.highest),
        mean=_mean(sketch),
        deviation=sketch.deviation,
        quantiles=_quantiles(sketch, type_ in INTEGERS),
        distinct=sketch.distinct,
        top=top(sketch, MOST_VALUES),
        compared=_compared(sketch, reference),
    )


def _mean(sketch: Sketch) -> float | None:
    if sketch.lowest is None:
        return None  # of no numbers
    return _finite(sketch.mean)


def _quantiles(sketch: Sketch, are_whole: bool) -> dict[str, float]:
    found: dict[str, float] = {}
    for share in SHARES:
        value = _finite(quantile(sketch, share))
        if value is None:
            continue
        # A bucket reaches beyond its numbers: 13 lies in one from 13 to 13.01.
        if are_whole:
            value = float(round(value))
        found[f"{share:g}"] = value
    return found


def _finite(value: float | None) -> float | None:
    """None for what JSON has no number for."""
    if value is None or not math.isfinite(value):
        return None
    return value


def _compared(sketch: Sketch, reference: Sketch) -> ComparisonReport | None:
    found = compared(sketch, reference)
    if found is None:
        return None
    return ComparisonReport(
        found.psi,
        found.jensen_shannon,
        found.largest,
        found.now,
        found.reference,
        [BinReport(*each) for each in found.bins],
    )


def moment_of(text: str | None, name: str) -> int | None:
    """A moment of ISO 8601 (without a zone: UTC), or milliseconds since 1970.

    >>> moment_of("2013-02-01", "from")
    1359676800000

    Raises:
        RequestError: it is neither.
    """
    if not text:
        return None
    try:
        if text.lstrip("-").isdecimal():
            found = int(text)
        else:
            moment = datetime.fromisoformat(text)
            found = round(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1_000)
    except (ValueError, OverflowError) as error:
        raise _no_moment(text, name) from error
    if not EARLIEST_MS <= found <= LATEST_MS:
        raise _no_moment(text, name)
    return found


def _no_moment(text: str, name: str) -> RequestError:
    return RequestError(
        f"{name}={text}",
        "is no moment",
        'Write one of ISO 8601, such as "2026-01-31T12:00", or milliseconds since 1970.',
    )
