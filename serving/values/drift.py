"""Which hours of a topic are unlike the ones they are compared with, by bounds that are learned.

An hour is compared with the same hour of the week in the four weeks before, and the hours beside
it, or with a declared span, in two ways:

- by the Jensen–Shannon distance (see `comparison`). What that usually is differs: of a carrier it
  is .28, of a delay .40, and .9 in a storm;
- by the share of values that the reference never had. Of a field with few different values, such
  as a distance between airports, that is small even of twenty events, and near 1 once its unit is
  another one; of one whose values are all different it is 1 always, and says nothing.

So each field of each source has bounds of its own: the largest that it had so far, and a margin
more. It is told of from the ninth week on; what was told of is not learned, so it goes on being
told of while it lasts, until the weeks that are compared with are like it. Where a bound is
declared, that distance alone is asked for, and from the first hour on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from freshet.schemas.durations import HOUR_MS
from freshet.serving.status.status import DriftFigures, Measure
from freshet.serving.values.history import Cell, Period, Sketches, by_cell
from freshet.streams.sketches.comparison import Comparison, compared, unseen
from freshet.streams.sketches.sketch import Sketch, merged

WEEK = 7 * 24  # hours
WEEKS = 4
BESIDE = 1  # hours before and after
# Of fewer the distance says little: it is large by chance alone.
LEAST_EVENTS = 10
LEARN_WEEKS = 8
MARGIN = 0.1
# Shares of twenty values differ by as much from hour to hour by chance.
UNSEEN_MARGIN = 0.3
LEAST_SEEN = 60  # values of a reference: of fewer most values are new
# Values of a few hours: each has its own bucket, where they are not too many.
REFERENCE_BOUND = 1_024
OTHER = "(other)"
SOURCES = "(sources)"  # in place of a field: who brought how much


class Learned(msgspec.Struct):
    """What is usual of one field of one source: since which hour it is compared, how often it was,
    and the largest distance and share of unseen values of those that were not told of."""

    since: int
    highest: float = 0.0
    hours: int = 0
    unseen: float = 0.0

    @property
    def bound(self) -> float:
        """Beyond every distance where that comes near to 1 by itself."""
        return self.highest + MARGIN

    @property
    def unseen_bound(self) -> float:
        return self.unseen + UNSEEN_MARGIN

    def weeks_missing(self, hour: int) -> int:
        """Until it is known well enough."""
        return max(0, LEARN_WEEKS - (hour - self.since) // WEEK)


class Compared(NamedTuple):
    """A field of an hour beside its reference."""

    comparison: Comparison
    unseen: float


class Verdict(NamedTuple):
    """What is beyond which bound."""

    measure: Measure
    distance: float
    bound: float


def judged(
    hour: int,
    found: Mapping[Cell, Compared],
    learned: dict[Cell, Learned],
    declared: Callable[[Cell], float | None],
) -> list[DriftFigures]:
    """What there is to tell of the fields of an hour, by source; what is as usual is learned from.
    `declared` are bounds that hold in place of those."""
    told = []
    for cell, each in found.items():
        known = learned.setdefault(cell, Learned(hour))
        known.hours += 1
        verdict = _verdict(each, known, declared(cell), hour)
        if verdict is not None:
            told.append(drift_told(cell, hour, each.comparison, verdict))
        else:
            known.highest = max(known.highest, each.comparison.jensen_shannon)
            known.unseen = max(known.unseen, each.unseen)
    return told


def _verdict(
    found: Compared, known: Learned, declared: float | None, hour: int
) -> Verdict | None:  # fmt: skip
    distance = found.comparison.jensen_shannon
    if declared is not None:
        if distance > declared:
            return Verdict("jensen_shannon", distance, declared)
        return None
    if known.weeks_missing(hour):
        return None
    if distance > known.bound:
        return Verdict("jensen_shannon", distance, known.bound)
    if found.unseen > known.unseen_bound:
        return Verdict("unseen", found.unseen, known.unseen_bound)
    return None


def comparisons(
    now: Sketches, usual: Callable[[set[Cell]], Mapping[Cell, Sketch]]
) -> dict[Cell, Compared]:  # fmt: skip
    """The fields of an hour that have enough events, by source, beside what is `usual` of them."""
    enough = {cell for cell, sketch in now.items() if sketch.rows >= LEAST_EVENTS}
    if not enough:
        return {}
    references = usual(enough)
    found = {}
    for cell in sorted(enough & references.keys(), key=str):
        reference = references[cell]
        # With fewer it would itself be a matter of chance.
        if reference.rows < 2 * LEAST_EVENTS:
            continue
        # In as coarse buckets as those of an hour are.
        comparison = compared(now[cell], merged([reference]))
        if comparison is not None:
            found[cell] = Compared(comparison, unseen_share(now[cell], reference))
    return found


def unseen_share(now: Sketch, reference: Sketch) -> float:
    """Of the values, 0 where too few of either are known."""
    # A field may be there in a few events only.
    if now.present < LEAST_EVENTS or reference.present < LEAST_SEEN:
        return 0.0
    return unseen(now, reference)


def weeks_before(
    read: Callable[[Period], Sketches], hour: int, wanted: set[Cell]
) -> dict[Cell, Sketch]:
    """The same hours of the weeks before."""
    return dict(by_cell(_weeks_before(read, hour, wanted), REFERENCE_BOUND))


def _weeks_before(
    read: Callable[[Period], Sketches], hour: int, wanted: set[Cell]
) -> Iterator[Sketches]:  # fmt: skip
    for week in range(1, WEEKS + 1):
        for beside in range(-BESIDE, BESIDE + 1):
            found = with_sources(read(Period(hour - week * WEEK + beside, 1)))
            yield {cell: found[cell] for cell in found.keys() & wanted}


def with_sources(sketches: Sketches) -> Sketches:
    """And how much each source brought, as a field of the whole."""
    rows: dict[str, int] = {}
    for (source, _), sketch in sketches.items():
        rows[source or OTHER] = max(rows.get(source or OTHER, 0), sketch.rows)
    # With one there is nothing to share.
    if len(rows) < 2:
        return sketches
    return {**sketches, (None, SOURCES): of_counts(rows)}


def of_counts(counts: Mapping[str, int]) -> Sketch:
    """Counts by name as a sketch of texts."""
    named = sorted((_key(name), name) for name in counts)
    total = sum(counts.values())
    return Sketch(
        total,
        total,
        keys=[key for key, _ in named],
        counts=[counts[name] for _, name in named],
        names=[name for _, name in named],
    )


def _key(name: str) -> int:
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    # 63 bits, as keys of texts have.
    return int.from_bytes(digest, "big") >> 1


def drift_told(cell: Cell, hour: int, comparison: Comparison, verdict: Verdict) -> DriftFigures:
    """What is told of a field of a source (None: of all) in an hour (since 1970)."""
    source, field = cell
    moved = comparison.most_moved
    return DriftFigures(
        field=field,
        source=source,
        hour_ms=hour * HOUR_MS,
        measure=verdict.measure,
        distance=verdict.distance,
        bound=verdict.bound,
        psi=comparison.psi,
        largest=comparison.largest,
        events=comparison.now,
        reference_events=comparison.reference,
        moved=moved.name,
        share=moved.now / comparison.now,
        usual_share=moved.reference / comparison.reference,
    )
