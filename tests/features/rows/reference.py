"""Feature rows the slow and obvious way: plain Python, all events of a key, each put into its tile
when the row is finished.

The kernels are held to this bit for bit, so it does the same float operations in the same order:
within a tile in the order of the log, across tiles from the oldest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal

from freshet.features.aggregates import (
    Age,
    Aggregate,
    DecayedMean,
    DecayedTotal,
    First,
    Last,
    Ratio,
    TimeSince,
    Window,
    windows_of,
)
from freshet.features.inputs import Input

NAN = math.nan
ROOTS = [float(Decimal(2) ** (Decimal(-j) / 64)) for j in range(64)]
LN_2 = float(Decimal(2).ln())


def halved(elapsed: int, half_life: int) -> float:
    """2 ** (-elapsed / half_life)."""
    y = elapsed / half_life * 64.0
    if y >= 64000.0:
        return 0.0
    n = int(y + 0.5)
    u = (n - y) * (LN_2 / 64.0)
    v = u * u
    rest = (1.0 + u) + v * ((0.5 + u * (1.0 / 6.0)) + v * (1.0 / 24.0 + u * (1.0 / 120.0)))
    return math.ldexp(ROOTS[n % 64] * rest, -(n // 64))


def own_width(over_ms: int) -> int:
    """Of a window whose view declares no tile: the narrowest that divides it into 16 to 32."""
    for tiles in range(32, 15, -1):
        if over_ms % tiles == 0:
            return over_ms // tiles
    return max(1, over_ms // 32)


def variance(tiles: list[list[float]]) -> float:
    """Of a sample: within a tile value by value, then tile by tile."""
    count, centre, squares = 0, 0.0, 0.0
    for tile in tiles:
        n, mean, apart2 = 0, 0.0, 0.0
        for x in tile:
            apart = x - mean
            apart2 += apart * (apart * (n / (n + 1)))
            mean += apart / (n + 1)
            n += 1
        apart = mean - centre
        squares += apart2 + apart * (apart * (count * n / (count + n)))
        centre += apart * (n / (count + n))
        count += n
    found = squares / (count - 1) if count > 1 else NAN
    return found if math.isfinite(found) else NAN


class ReferenceRow:
    """All that was ever seen of one key; an event is what there is of it by input."""

    def __init__(
        self, features: Mapping[str, Aggregate], tile_ms: int | None, keep_ms: int | None = None
    ) -> None:
        self.features, self.tile_ms = features, tile_ms
        # Of windows alone, for as long as the longest; all else is kept for ever.
        ends = all(isinstance(a, Window | Ratio) for a in features.values())
        if keep_ms is None and ends:
            keep_ms = max(w.over_ms for a in features.values() for w in windows_of(a))
        self.keep_ms = keep_ms
        self.version = (0, 0)
        self._begin()

    def _begin(self) -> None:
        self.events: list[tuple[int, Mapping[str, float]]] = []
        self.decayed: dict[tuple[Input, int], tuple[float, float, int]] = {}
        self.lasts: dict[str, tuple[int, float]] = {}
        self.firsts: dict[str, tuple[int, float]] = {}

    @property
    def newest(self) -> int:
        return max(t for t, _ in self.events)

    def width(self, a: Window) -> int:
        return self.tile_ms or own_width(a.over_ms)

    def kept(self, width: int) -> int:
        """How many tiles of this width a row has: those of the longest window that uses them."""
        windows = [w for a in self.features.values() for w in windows_of(a)]
        return max(a.over_ms // width for a in windows if self.width(a) == width)

    def is_over(self, t: int, keep_ms: int | None) -> bool:
        return bool(self.events) and keep_ms is not None and t - self.newest > keep_ms

    def fold(
        self,
        t: int,
        event: Mapping[str, float],
        version: tuple[int, int],
        clock: int | None = None,
    ) -> None:
        """`clock` is how far the log is at the event; None: nobody knows."""
        hold_ms = None if self.keep_ms is None else self.keep_ms + 60_000
        if self.is_over(t, self.keep_ms) or (clock is not None and self.is_over(clock, hold_ms)):
            self._begin()
        self.version = version
        self.events.append((t, event))
        for field, x in event.items():
            if not math.isfinite(x):
                continue
            if field not in self.lasts or t >= self.lasts[field][0]:
                self.lasts[field] = (t, x)
            if field not in self.firsts or t < self.firsts[field][0]:
                self.firsts[field] = (t, x)
        for a in {
            (a.input, a.half_life_ms): a
            for a in self.features.values()
            if isinstance(a, DecayedMean | DecayedTotal)
        }.values():
            x = event[a.input.name]
            if math.isfinite(x):
                self._decay(a, t, x)

    def _decay(self, a: DecayedMean | DecayedTotal, t: int, x: float) -> None:
        total, weight, as_of = self.decayed.get((a.input, a.half_life_ms), (0.0, 0.0, t))
        if t > as_of:
            share = halved(t - as_of, a.half_life_ms)
            total, weight, as_of = total * share + x, weight * share + 1.0, t
        else:
            share = halved(as_of - t, a.half_life_ms)
            total, weight = total + x * share, weight + share
        self.decayed[a.input, a.half_life_ms] = total, weight, as_of

    def finish(self, as_of: int) -> list[float]:
        if self.is_over(as_of, self.keep_ms):
            return [NAN] * len(self.features)
        return [self._value(a, as_of) for a in self.features.values()]

    def _value(self, a: Aggregate, as_of: int) -> float:
        if isinstance(a, Age):
            return (as_of - self.newest) / 1000.0
        if isinstance(a, Last):
            return self.lasts[a.input.name][1] if a.input.name in self.lasts else NAN
        if isinstance(a, DecayedMean):
            return self._decayed_mean(a, as_of)
        if isinstance(a, First):
            return self.firsts[a.input.name][1] if a.input.name in self.firsts else NAN
        if isinstance(a, TimeSince):
            if a.input.name not in self.lasts:
                return NAN
            return (as_of - self.lasts[a.input.name][0]) / 1000.0
        if isinstance(a, DecayedTotal):
            total, weight, newest = self.decayed.get((a.input, a.half_life_ms), (0.0, 0.0, as_of))
            share = halved(max(0, as_of - newest), a.half_life_ms)
            return (total if a.kind == "decayed_sum" else weight) * share
        if isinstance(a, Ratio):
            below = self._value(a.below, as_of)
            found = self._value(a.above, as_of) / below if below else NAN
            return found if math.isfinite(found) else NAN
        width = self.width(a)
        now = as_of // width
        oldest = now - a.over_ms // width + 1
        oldest = max(oldest, self.newest // width - self.kept(width) + 1)
        tiles: dict[int, list[float]] = {}
        for t, event in self.events:
            x = 1.0 if a.input is None else event[a.input.name]
            if oldest <= t // width <= now and math.isfinite(x):
                tiles.setdefault(t // width, []).append(x)
        kept = [tiles[q] for q in sorted(tiles)]
        total = self._sum([self._sum(xs) for xs in kept])
        if a.kind in ("count", "sum"):
            return total
        if a.kind == "rate":
            return total / (a.over_ms / a.per_ms)
        if not kept:
            return NAN
        if a.kind in ("variance", "deviation"):
            found = variance(kept)
            return math.sqrt(found) if a.kind == "deviation" else found
        if a.kind == "mean":
            return total / sum(len(xs) for xs in kept)
        return min(min(xs) for xs in kept) if a.kind == "min" else max(max(xs) for xs in kept)

    def _decayed_mean(self, a: DecayedMean, as_of: int) -> float:
        total, weight, newest = self.decayed.get((a.input, a.half_life_ms), (0.0, 0.0, as_of))
        if a.prior is not None:
            share = halved(max(0, as_of - newest), a.half_life_ms)
            return (total * share + a.weight * a.prior) / (weight * share + a.weight)
        return total / weight if weight else NAN

    @staticmethod
    def _sum(values: list[float]) -> float:
        """In order, each step rounded (`sum` would compensate from Python 3.12 on)."""
        total = 0.0
        for x in values:
            total += x
        return total
