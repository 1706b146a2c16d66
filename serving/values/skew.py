"""Skew: how far the vectors that a model is asked on are from those that it learned from.

Both are the newest of their kind, so what is compared moves on with time. The reference lags by as
long as labels take, and lacks whatever gets none: that is what models learn from, too.

Each feature is judged now and then as fields of topics are (see `drift`): by bounds that are
learned, or by one that is declared. When it is judged follows from the examples log alone, so
whoever reads that again learns the same. Of a year that takes minutes, so what came of it is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from freshet.schemas.durations import HOUR_MS
from freshet.serving.status.status import DriftFigures, SkewFigures
from freshet.serving.values.drift import Compared, Learned, judged, unseen_share
from freshet.serving.values.history import Cell
from freshet.streams.sketches.comparison import compared
from freshet.streams.sketches.sketch import Sketch
from freshet.streams.sketches.sketch_kernels import BOUND, DROPPED_BITS, HASH_BITS

LEARNED = 5_000
ASKED = 1_000
# Of fewer the distance is large by chance alone.
LEAST = 100
MOST_FEATURES = 100
MOST_PARTS = 32
# So many new ones that were asked on, and a new hour: of a busy model it costs no more than that.
JUDGED_EVERY = 100
_NO_HOUR = -(1 << 62)
_MAGNITUDE = np.int64(0x7FFFFFFFFFFFFFFF)
I64 = npt.NDArray[np.int64]
Fixed = npt.NDArray[np.void]
Bools = npt.NDArray[np.bool_]


class _Pair(NamedTuple):
    """Sketches of one feature."""

    feature: str
    asked: Sketch
    learned: Sketch


class KeptSkew(msgspec.Struct, frozen=True):
    """What is saved of a model's skew beside its vectors: what is usual by feature, under which
    declared `bounds`, the hour of the newest judgement and how many were asked after it, and what
    was beyond a bound."""

    learned: list[tuple[str, Learned]]
    bounds: dict[str, float]
    hour: int
    since: int
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
        self._usual: dict[Cell, Learned] = {}
        self._hour = _NO_HOUR  # of the newest judgement
        self._since = 0  # how many were asked after it
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
        self._take(rows, asked, learned, slice(first, None))

    def kept(self) -> KeptSkew:
        """What `restore` goes on with, beside the `vectors`."""
        learned = [
            (feature, msgspec.structs.replace(known)) for (_, feature), known in self._usual.items()
        ]
        return KeptSkew(learned, dict(self._bounds), self._hour, self._since, self.told)

    def vectors(self) -> dict[str, Fixed]:
        """The newest that were asked on and that were learned from, where there are any."""
        found = {}
        if self._asked:
            found["asked"] = _joined(self._asked, ASKED)
        if self._learned:
            found["learned"] = _joined(self._learned, LEARNED)
        return found

    def restore(self, kept: KeptSkew, vectors: Mapping[str, Fixed]) -> None:
        """Go on with what was saved of the same features and bounds."""
        self._usual = {(None, feature): known for feature, known in kept.learned}
        self._hour = kept.hour
        self._since = kept.since
        self.told = kept.told
        self._asked = [vectors["asked"]] if "asked" in vectors else []
        self._learned = [vectors["learned"]] if "learned" in vectors else []

    def _take(self, rows: Fixed, asked: Bools, learned: Bools, part: slice) -> None:
        self._asked = _newest(self._asked, rows[part][asked[part]], ASKED)
        self._learned = _newest(self._learned, rows[part][learned[part]], LEARNED)

    def _turns(self, rows: Fixed, asked: Bools) -> Iterator[int]:
        """After which rows it is judged, as of the hour that `_hour` is then."""
        places = np.flatnonzero(asked)
        hours = rows["asked_at"][places] // HOUR_MS
        at = JUDGED_EVERY - self._since - 1
        self._since += len(places)
        while True:
            at = max(at, 0)
            new = np.flatnonzero(hours[at:] > self._hour)
            if not len(new):
                return
            at += int(new[0])
            self._hour = int(hours[at])
            self._since = len(places) - at - 1
            yield int(places[at]) + 1
            at += JUDGED_EVERY

    @property
    def is_known(self) -> bool:
        """Whether there are enough vectors of both to tell anything."""
        return min(_count(self._asked), _count(self._learned)) >= LEAST

    def figures(self) -> list[SkewFigures]:
        """By feature, categories first; none before enough of both are known."""
        if not self.is_known:
            return []
        return [self._figures(pair) for pair in self._pairs()]

    def _pairs(self) -> Iterator[_Pair]:
        both = (_joined(self._asked, ASKED), _joined(self._learned, LEARNED))
        for at, name in enumerate(self._categories):
            yield _Pair(name, *(_categories(rows["categories"][:, at]) for rows in both))
        for at, name in enumerate(self._numbers):
            yield _Pair(name, *(_numbers(rows["numbers"][:, at]) for rows in both))

    def _judge(self) -> None:
        found: dict[Cell, Compared] = {}
        for feature, asked, learned in self._pairs():
            comparison = compared(asked, learned)
            # Both have rows, and all that is known of those is known.
            assert comparison is not None
            found[None, feature] = Compared(comparison, unseen_share(asked, learned))
        beyond = judged(self._hour, found, self._usual, lambda cell: self._bounds.get(cell[1]))
        named = {each.field for each in beyond}
        self.told = [*beyond, *(each for each in self.told if each.field not in named)]

    def _figures(self, pair: _Pair) -> SkewFigures:
        found = compared(pair.asked, pair.learned)
        assert found is not None
        usual = self._usual.get((None, pair.feature))
        bound = self._bounds.get(pair.feature)
        weeks_missing = None
        if bound is None and usual is not None:
            weeks_missing = usual.weeks_missing(self._hour)
            if not weeks_missing:
                bound = usual.bound
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
    bits = there.view(np.int64)
    ordered = bits ^ ((bits >> 63) & _MAGNITUDE)
    keys, counts = np.unique(ordered >> DROPPED_BITS, return_counts=True)
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
