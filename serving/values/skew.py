"""Skew: how far the vectors that a model is asked on are from those that it learned from.

Both are the newest of their kind, so what is compared moves on with time. The reference lags by as
long as labels take, and lacks whatever gets none: that is what models learn from, too.

The requests of an hour are judged once it is over, by what was usual of each feature in all hours
before (see `usual`), or by a bound that is declared. When they are judged follows from the examples
log alone, so whoever reads that again learns the same. Of a year that takes minutes, so what came
of it is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from freshet.schemas.durations import HOUR_MS
from freshet.serving.status.status import DriftFigures, SkewFigures
from freshet.serving.values.drift import LEARN_WEEKS, WEEK, Verdict, drift_told
from freshet.serving.values.usual import HOURS_A_DAY, MEASURES, RECENT, Column, Usual, keys_of
from freshet.streams.sketches.comparison import compared
from freshet.streams.sketches.sketch import Sketch
from freshet.streams.sketches.sketch_kernels import BOUND, HASH_BITS

LEARNED = 5_000
ASKED = 1_000
# Of fewer the distance is large by chance alone.
LEAST = 100
MOST_FEATURES = 100
MOST_PARTS = 32
# Requests of an hour: fewer are judged with those of the hours after it.
JUDGED_FROM = 25
# By then most values have been; what is new in an hour until then says nothing of later ones.
FILLED_WEEKS = 4
LEAST_LEARNED = 10
_NO_HOUR = -(1 << 62)
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Fixed = npt.NDArray[np.void]
Bools = npt.NDArray[np.bool_]


class _Pair(NamedTuple):
    """Sketches of one feature."""

    feature: str
    asked: Sketch
    learned: Sketch


class _Part(NamedTuple):
    """Vectors, and the hour of the day of each."""

    rows: Fixed
    hours: I64


class KeptSkew(msgspec.Struct, frozen=True):
    """What is saved of a model's skew beside its arrays: under which declared `bounds`, the hour of
    the `first` judgement (None: there was none), the newest `hour` that was asked in, how many were
    asked and learned from `since` the newest judgement, and what was beyond a bound."""

    bounds: dict[str, float]
    first: int | None
    hour: int
    since: tuple[int, int]
    told: list[DriftFigures]


class Skew:
    """Of one model. `categories` and `numbers` name its vector's columns in order; `bounds` are the
    declared ones, by feature. `told` are the newest judgements by feature that were beyond its
    bound, the newest first."""

    def __init__(
        self,
        categories: tuple[str, ...],
        numbers: tuple[str, ...],
        bounds: Mapping[str, float] | None = None,
    ) -> None:
        self._categories = categories[:MOST_FEATURES]
        self._numbers = numbers[: MOST_FEATURES - len(self._categories)]
        self._bounds = bounds or {}
        self._asked: list[Fixed] = []
        self._learned: list[Fixed] = []
        self._usual = [
            *(Usual(is_number=False) for _ in self._categories),
            *(Usual(is_number=True) for _ in self._numbers),
        ]
        self._first: int | None = None  # the hour of the first judgement
        self._hour = _NO_HOUR  # the newest that was asked in
        # How many were asked, and learned from, since the newest judgement.
        self._new_asked = 0
        self._new_learned = 0
        self.told: list[DriftFigures] = []

    def take(self, rows: Fixed, asked: Bools, learned: Bools) -> None:
        """Rows in the order of the examples log, and which of them are vectors that were asked on,
        and which are such that were learned from."""
        first = 0
        for after in self._turns(rows, asked):
            self._take(rows, asked, learned, slice(first, after))
            first = after
            if self.is_known:
                self._judge()
            self._new_asked = 0
            self._new_learned = 0
        self._take(rows, asked, learned, slice(first, None))
        places = np.flatnonzero(asked)
        if len(places):
            self._hour = max(self._hour, int(rows["asked_at"][places].max()) // HOUR_MS)

    def kept(self) -> KeptSkew:
        """What `restore` goes on with, beside the `arrays`."""
        since = (self._new_asked, self._new_learned)
        return KeptSkew(dict(self._bounds), self._first, self._hour, since, self.told)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The newest vectors that were asked on and that were learned from, where there are any,
        and what is usual of each feature."""
        found: dict[str, npt.NDArray[Any]] = {}
        if self._asked:
            found["asked"] = _joined(self._asked, ASKED)
        if self._learned:
            found["learned"] = _joined(self._learned, LEARNED)
        for at, usual in enumerate(self._usual):
            for name, array in usual.kept().items():
                found[f"{at}.{name}"] = array
        return found

    def restore(self, kept: KeptSkew, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on with what was saved of the same features and bounds."""
        self._first = kept.first
        self._hour = kept.hour
        self._new_asked, self._new_learned = kept.since
        self.told = kept.told
        self._asked = [arrays["asked"]] if "asked" in arrays else []
        self._learned = [arrays["learned"]] if "learned" in arrays else []
        for at in range(len(self._usual)):
            prefix = f"{at}."
            own = {
                name.removeprefix(prefix): array
                for name, array in arrays.items()
                if name.startswith(prefix)
            }
            self._usual[at] = Usual.restored(at >= len(self._categories), own)

    def _take(self, rows: Fixed, asked: Bools, learned: Bools, part: slice) -> None:
        self._new_asked += int(np.count_nonzero(asked[part]))
        self._new_learned += int(np.count_nonzero(learned[part]))
        self._asked = _newest(self._asked, rows[part][asked[part]], ASKED)
        self._learned = _newest(self._learned, rows[part][learned[part]], LEARNED)

    def _turns(self, rows: Fixed, asked: Bools) -> Iterator[int]:
        """Before which rows it is judged: those that are the first of a later hour, once enough
        were asked. `_hour` is then the one that is over."""
        places = np.flatnonzero(asked)
        newest = np.maximum.accumulate(
            np.concatenate([[self._hour], rows["asked_at"][places] // HOUR_MS])
        )
        begun = -self._new_asked  # since which of the places
        for at in np.flatnonzero(newest[1:] > newest[:-1]).tolist():
            if at - begun < JUDGED_FROM:
                continue
            self._hour = int(newest[at])
            begun = at
            yield int(places[at])

    @property
    def is_known(self) -> bool:
        """Whether there are enough vectors of both to tell anything."""
        return min(_count(self._asked), _count(self._learned)) >= LEAST

    def figures(self) -> list[SkewFigures]:
        """By feature, categories first; none before enough of both are known."""
        if not self.is_known:
            return []
        # Once, and not for each feature: they are thousands of wide rows.
        self._asked = [_joined(self._asked, ASKED)]
        self._learned = [_joined(self._learned, LEARNED)]
        return [self._figures(pair) for pair in self._pairs()]

    def _pairs(self) -> Iterator[_Pair]:
        for at in range(len(self._usual)):
            yield _Pair(self._name(at), *self._sketches(at))

    def _judge(self) -> None:
        if self._first is None:
            self._first = self._hour
        asked = _part(self._asked, ASKED, self._new_asked)
        learned = _part(self._learned, LEARNED, self._new_learned)
        recent = _joined(self._learned, RECENT)
        found = []
        for at, feature in enumerate((*self._categories, *self._numbers)):
            verdict = self._judged(at, self._column(at, asked), self._recent(at, recent))
            if verdict is not None:
                found.append(self._told(at, feature, asked.rows, verdict))
            # Labels are learned whatever is asked: with them it ends that something is told of.
            if len(learned.rows) >= LEAST_LEARNED:
                self._usual[at].learn(self._column(at, learned))
        named = {each.field for each in found}
        self.told = [*found, *(each for each in self.told if each.field not in named)]

    def _judged(self, at: int, asked: Column, recent: F64) -> Verdict | None:
        """What of a feature is beyond which bound; what is not is learned from."""
        usual = self._usual[at]
        is_watched = not self._weeks_missing
        measured = np.zeros(len(MEASURES))
        # Until then nothing is made of it.
        if self._weeks_since >= FILLED_WEEKS:
            measured = usual.measured(asked, recent)
        bounds = usual.bounds
        beyond = measured > bounds
        if not (is_watched and beyond.any()):
            usual.learn(asked)
            # Also while a bound is declared: that may be taken back.
            usual.largest = np.maximum(usual.largest, measured)
        declared = self._bounds.get(self._name(at))
        if declared is not None:
            comparison = compared(*self._sketches(at))
            assert comparison is not None
            distance = comparison.jensen_shannon
            return Verdict("jensen_shannon", distance, declared) if distance > declared else None
        if not (is_watched and beyond.any()):
            return None
        worst = int(np.argmax(np.where(beyond, measured / bounds, 0.0)))
        return Verdict(MEASURES[worst], float(measured[worst]), float(bounds[worst]))

    def _name(self, at: int) -> str:
        return (*self._categories, *self._numbers)[at]

    def _column(self, at: int, part: _Part) -> Column:
        categories = len(self._categories)
        if at < categories:
            return Column.of_categories(part.rows["categories"][:, at], part.hours)
        return Column.of_numbers(part.rows["numbers"][:, at - categories], part.hours)

    def _recent(self, at: int, rows: Fixed) -> F64:
        categories = len(self._categories)
        if at < categories:
            return np.empty(0)
        values = rows["numbers"][:, at - categories].astype(np.float64)
        found: F64 = values[~np.isnan(values)]
        return found

    def _sketches(self, at: int, asked: Fixed | None = None) -> tuple[Sketch, Sketch]:
        """Of the newest asked, or of some of them, and of what was learned from."""
        if asked is None:
            asked = _joined(self._asked, ASKED)
        learned = _joined(self._learned, LEARNED)
        return self._sketch(at, asked), self._sketch(at, learned)

    def _sketch(self, at: int, rows: Fixed) -> Sketch:
        categories = len(self._categories)
        if at < categories:
            return _categories(rows["categories"][:, at])
        return _numbers(rows["numbers"][:, at - categories])

    def _told(self, at: int, feature: str, asked: Fixed, verdict: Verdict) -> DriftFigures:
        """With what is to be seen of the values themselves."""
        of_hour = None if verdict.measure == "jensen_shannon" else asked
        found = compared(*self._sketches(at, of_hour))
        # Both have rows, and all that is known of those is known.
        assert found is not None
        return drift_told((None, feature), self._hour, found, verdict)

    @property
    def _weeks_since(self) -> int:
        return 0 if self._first is None else (self._hour - self._first) // WEEK

    @property
    def _weeks_missing(self) -> int:
        """Until what is usual is known well enough."""
        return max(0, LEARN_WEEKS - self._weeks_since)

    def _figures(self, pair: _Pair) -> SkewFigures:
        found = compared(pair.asked, pair.learned)
        assert found is not None
        bound = self._bounds.get(pair.feature)
        weeks_missing = None
        if bound is None and self._first is not None:
            weeks_missing = self._weeks_missing
        return SkewFigures(
            feature=pair.feature,
            psi=found.psi,
            jensen_shannon=found.jensen_shannon,
            largest=found.largest,
            asked=found.now,
            learned=found.reference,
            bound=bound,
            weeks_missing=weeks_missing,
        )


def _part(kept: list[Fixed], most: int, new: int) -> _Part:
    """The newest of them that are new."""
    rows = _joined(kept, most)
    rows = rows[len(rows) - min(new, len(rows)) :]
    return _Part(rows, rows["asked_at"] // HOUR_MS % HOURS_A_DAY)


def _newest(kept: list[Fixed], given: Fixed, most: int) -> list[Fixed]:
    """Parts of so many rows, and of a few more."""
    if not len(given):
        return kept
    # Copied: they are a view of a whole block of the log.
    found = [*kept, given[-most:].copy()]
    # Joined now and then: each time would copy thousands of rows for each one that comes.
    if len(found) > MOST_PARTS:
        return [_joined(found, most)]
    return found


def _count(parts: list[Fixed]) -> int:
    return sum(map(len, parts))


def _joined(parts: list[Fixed], most: int) -> Fixed:
    # Not copied: nobody changes what is kept.
    if len(parts) == 1:
        return parts[0][-most:]
    return np.concatenate(parts)[-most:]


def _categories(hashes: npt.NDArray[Any]) -> Sketch:
    """Hashes of categories as a sketch of texts; nobody is told their names."""
    keys = np.ascontiguousarray(hashes).astype(np.uint64) >> np.uint64(64 - HASH_BITS)
    values, counts = np.unique(keys.astype(np.int64), return_counts=True)
    names = [""] * len(values)
    rows = len(hashes)
    return Sketch(rows, rows, keys=values.tolist(), counts=counts.tolist(), names=names)


def _numbers(column: npt.NDArray[Any]) -> Sketch:
    """Numbers as `sketch_kernels.count_numbers` makes a sketch of them, but for the moments."""
    values = np.ascontiguousarray(column).astype(np.float64) + 0.0  # which gives zero one sign
    there = values[~np.isnan(values)]
    if not len(there):
        return Sketch(len(values))
    keys, counts = np.unique(keys_of(there), return_counts=True)
    level = _level(keys)
    if level:
        keys, counts = _coarser(keys, counts, level)
    return Sketch(
        len(values),
        len(there),
        float(there.min()),
        float(there.max()),
        level=level,
        keys=keys.tolist(),
        counts=counts.tolist(),
    )


def _level(keys: I64) -> int:
    """The finest at which there are few enough: neighbours are one from the level on that drops
    all bits in which they differ."""
    if len(keys) <= BOUND:
        return 0
    differing = keys[1:] ^ keys[:-1]
    # Exact: they have fewer bits than a double's fraction. Numbers of both signs never are one.
    _, bits = np.frexp(differing.astype(np.float64))
    bits[differing < 0] = 64
    return int(np.partition(bits, -BOUND)[-BOUND])


def _coarser(keys: I64, counts: I64, level: int) -> tuple[I64, I64]:
    # They rise, so those that are one stand together.
    found = keys >> level
    first = np.flatnonzero(np.diff(found, prepend=found[0] - 1))
    return found[first], np.add.reduceat(counts, first)
