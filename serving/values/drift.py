"""Which hours of a topic are unlike the ones they are compared with, by bounds that are learned.

An hour is compared with the same hour of the week in the four weeks before, and the hours beside
it, by the Jensen–Shannon distance (see `comparison`). What that distance usually is differs: of a
carrier it is .28, of a delay .40, and .9 in a storm. So each field of each source has a bound of
its own: the largest distance that it had so far, and `MARGIN` more. It is told of from the ninth
week on; what was told of is not learned, so it goes on being told of while it lasts, until the
weeks that are compared with are like it.

On the flights of 2013 that tells of three hours in the year, no two in one month; of twenty events
an hour it tells only of what is far from all that was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping

import msgspec

from freshet.schemas.durations import HOUR_MS
from freshet.serving.status.status import DriftFigures
from freshet.serving.values.history import Cell, Period, Sketches, by_cell
from freshet.streams.sketches.comparison import Comparison, compared
from freshet.streams.sketches.sketch import Sketch

WEEK = 7 * 24  # hours
WEEKS = 4
BESIDE = 1  # hours before and after
# Of fewer the distance says little: it is large by chance alone.
LEAST_EVENTS = 10
LEARN_WEEKS = 8
MARGIN = 0.1
OTHER = "(other)"
SOURCES = "(sources)"  # in place of a field: who brought how much


class Learned(msgspec.Struct):
    """What is usual of one field of one source: since which hour it is compared, how often it was,
    and the largest distance of those that were not told of."""

    since: int
    highest: float = 0.0
    hours: int = 0

    @property
    def bound(self) -> float:
        """Beyond every distance where that comes near to 1 by itself."""
        return self.highest + MARGIN

    def weeks_missing(self, hour: int) -> int:
        """Until it is known well enough."""
        return max(0, LEARN_WEEKS - (hour - self.since) // WEEK)


def judged(
    read: Callable[[Period], Sketches], hour: int, learned: dict[Cell, Learned]
) -> dict[Cell, DriftFigures | None]:
    """What there is to tell of the fields of an hour that have enough events, by source; None of
    those that are as usual, which are learned from."""
    found: dict[Cell, DriftFigures | None] = {}
    for cell, comparison in _comparisons(read, hour):
        known = learned.setdefault(cell, Learned(hour))
        known.hours += 1
        distance = comparison.jensen_shannon
        if not known.weeks_missing(hour) and distance > known.bound:
            found[cell] = _told(cell, hour, comparison, known.bound)
        else:
            known.highest = max(known.highest, distance)
            found[cell] = None
    return found


def _comparisons(
    read: Callable[[Period], Sketches], hour: int
) -> Iterator[tuple[Cell, Comparison]]:  # fmt: skip
    now = _with_sources(read(Period(hour, 1)))
    enough = {cell for cell, sketch in now.items() if sketch.rows >= LEAST_EVENTS}
    if not enough:
        return
    usual = dict(by_cell(_references(read, hour, enough)))
    for cell in sorted(enough & usual.keys(), key=str):
        # With fewer it would itself be a matter of chance.
        if usual[cell].rows < 2 * LEAST_EVENTS:
            continue
        comparison = compared(now[cell], usual[cell])
        if comparison is not None:
            yield cell, comparison


def _references(
    read: Callable[[Period], Sketches], hour: int, wanted: set[Cell]
) -> Iterator[Sketches]:  # fmt: skip
    """The same hours of the weeks before."""
    for week in range(1, WEEKS + 1):
        for beside in range(-BESIDE, BESIDE + 1):
            found = _with_sources(read(Period(hour - week * WEEK + beside, 1)))
            yield {cell: found[cell] for cell in found.keys() & wanted}


def _with_sources(sketches: Sketches) -> Sketches:
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


def _told(cell: Cell, hour: int, comparison: Comparison, bound: float) -> DriftFigures:
    source, field = cell
    moved = comparison.most_moved
    return DriftFigures(
        field=field,
        source=source,
        hour_ms=hour * HOUR_MS,
        distance=comparison.jensen_shannon,
        bound=bound,
        psi=comparison.psi,
        largest=comparison.largest,
        events=comparison.now,
        reference_events=comparison.reference,
        moved=moved.name,
        share=moved.now / comparison.now,
        usual_share=moved.reference / comparison.reference,
    )
