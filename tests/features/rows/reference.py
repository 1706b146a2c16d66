"""Feature rows the slow and obvious way: plain Python, one dict of tiles a key, one event at a
time.

The kernels are held to this bit for bit, so it does the same float operations in the same order:
within a tile in the order of the log, across tiles from the oldest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal

from freshet.features.aggregates import Age, Aggregate, DecayedMean, Last, Window

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


class ReferenceRow:
    """All that was ever seen of one key."""

    def __init__(self, features: Mapping[str, Aggregate], tile_ms: int) -> None:
        self.features, self.tile_ms = features, tile_ms
        overs = [a.over_ms for a in features.values() if isinstance(a, Window)]
        self.tiles = max(overs, default=0) // tile_ms
        self.version = (0, 0)
        self.times: list[int] = []
        self.late = 0
        self.rows: dict[int, float] = {}
        self.values: dict[str, dict[int, list[float]]] = {}
        self.decayed: dict[tuple[str, int], tuple[float, float, int]] = {}
        self.lasts: dict[str, tuple[int, float]] = {}

    @property
    def newest_tile(self) -> int:
        return max(self.times) // self.tile_ms

    def fold(self, t: int, event: Mapping[str, float], version: tuple[int, int]) -> None:
        self.version = version
        self.times.append(t)
        tile = t // self.tile_ms
        in_ring = tile > self.newest_tile - self.tiles
        if in_ring:
            self.rows[tile] = self.rows.get(tile, 0.0) + 1.0
        elif self.tiles:
            self.late += 1
        for field, x in event.items():
            if not math.isfinite(x):
                continue
            if in_ring:
                self.values.setdefault(field, {}).setdefault(tile, []).append(x)
            if field not in self.lasts or t >= self.lasts[field][0]:
                self.lasts[field] = (t, x)
        for a in {
            (a.field, a.half_life_ms): a
            for a in self.features.values()
            if isinstance(a, DecayedMean)
        }.values():
            if math.isfinite(event[a.field]):
                self._decay(a, t, event[a.field])

    def _decay(self, a: DecayedMean, t: int, x: float) -> None:
        total, weight, as_of = self.decayed.get((a.field, a.half_life_ms), (0.0, 0.0, t))
        if t > as_of:
            share = halved(t - as_of, a.half_life_ms)
            total, weight, as_of = total * share + x, weight * share + 1.0, t
        else:
            share = halved(as_of - t, a.half_life_ms)
            total, weight = total + x * share, weight + share
        self.decayed[a.field, a.half_life_ms] = total, weight, as_of

    def finish(self, as_of: int) -> list[float]:
        return [self._value(a, as_of) for a in self.features.values()]

    def _value(self, a: Aggregate, as_of: int) -> float:
        if isinstance(a, Age):
            return (as_of - max(self.times)) / 1000.0
        if isinstance(a, Last):
            return self.lasts[a.field][1] if a.field in self.lasts else NAN
        if isinstance(a, DecayedMean):
            return self._decayed_mean(a, as_of)
        now = as_of // self.tile_ms
        tiles = range(now - a.over_ms // self.tile_ms + 1, now + 1)
        if a.kind == "count":
            return self._sum([self.rows[q] for q in tiles if q in self.rows and self._kept(q)])
        seen = self.values.get(a.field or "", {})
        kept = [seen[q] for q in tiles if q in seen and self._kept(q)]
        total = self._sum([self._sum(xs) for xs in kept])
        if a.kind == "sum":
            return total
        if not kept:
            return NAN
        if a.kind == "mean":
            return total / sum(len(xs) for xs in kept)
        return min(min(xs) for xs in kept) if a.kind == "min" else max(max(xs) for xs in kept)

    def _decayed_mean(self, a: DecayedMean, as_of: int) -> float:
        total, weight, newest = self.decayed.get((a.field, a.half_life_ms), (0.0, 0.0, as_of))
        if a.prior is not None:
            share = halved(max(0, as_of - newest), a.half_life_ms)
            return (total * share + a.weight * a.prior) / (weight * share + a.weight)
        return total / weight if weight else NAN

    def _kept(self, tile: int) -> bool:
        """The ring still has this tile."""
        return tile > self.newest_tile - self.tiles

    @staticmethod
    def _sum(values: list[float]) -> float:
        """In order, each step rounded (`sum` would compensate from Python 3.12 on)."""
        total = 0.0
        for x in values:
            total += x
        return total
