"""How much faster do kernels fold events into feature rows than a plain Python loop?"""

from __future__ import annotations

import math

import numpy as np

import freshet as fr
from freshet.demo.flights.data import load
from freshet.features.partition.rows import ViewRows
from freshet.features.rows.finish import finish
from freshet.features.views.view import View
from freshet.schemas.text.columns import Texts
from tests.bench import inputs
from tests.bench.harness import Row, in_turns, rates

DAYS = 60
HALF_LIFE_MS, TILE_MS = 3_600_000, 600_000


class PlainRow:
    """Counts, means, extremes, the last value and a decayed mean of one key, as one would write
    it."""

    def __init__(self) -> None:
        self.tiles: dict[int, list[float]] = {}
        self.total = self.weight = 0.0
        self.at = self.newest = -(1 << 62)
        self.last = math.nan

    def fold(self, t: int, x: float) -> None:
        tile = self.tiles.get(t // TILE_MS)
        if tile is None:
            tile = self.tiles[t // TILE_MS] = [0.0, 0.0, -math.inf]
            oldest = t // TILE_MS - 36
            for old in [q for q in self.tiles if q < oldest]:
                del self.tiles[old]
        tile[0] += 1.0
        tile[1] += x
        tile[2] = max(tile[2], x)
        if t >= self.newest:
            self.newest, self.last = t, x
        if t >= self.at:
            share = 2.0 ** ((self.at - t) / HALF_LIFE_MS)
            self.total, self.weight, self.at = self.total * share + x, self.weight * share + 1.0, t
        else:
            share = 2.0 ** ((t - self.at) / HALF_LIFE_MS)
            self.total, self.weight = self.total + x * share, self.weight + share

    def mean(self, as_of: int, tiles: int) -> float:
        newest = as_of // TILE_MS
        kept = [v for q, v in self.tiles.items() if newest - tiles < q <= newest]
        return sum(v[1] for v in kept) / sum(v[0] for v in kept) if kept else math.nan


def run() -> list[Row]:
    view = View(
        "bench",
        inputs.app().topic("arrivals"),
        key="carrier",
        tile="10m",
        features={
            "n_1h": fr.count(over="1h"),
            "delay_6h": fr.mean("arr_delay", over="6h"),
            "worst_6h": fr.max("arr_delay", over="6h"),
            "last": fr.last("arr_delay"),
            "ewm": fr.decayed_mean("arr_delay", half_life="1h"),
        },
    )
    events = load(DAYS)["arrivals"]
    keys, n = events["carrier"].to_list(), len(events)
    times, delays = events["arrived_at"].to_list(), events["arr_delay"].to_list()
    texts, t = Texts.of(keys), np.array(times)
    values, index = np.array(delays).reshape(-1, 1), np.arange(n)

    def ours() -> ViewRows:
        rows = ViewRows(view.plan)
        rows.fold(texts, t, values, 0, index)
        return rows

    def plain() -> dict[str, PlainRow]:
        rows: dict[str, PlainRow] = {}
        for key, at, x in zip(keys, times, delays):
            row = rows.get(key)
            if row is None:
                row = rows[key] = PlainRow()
            row.fold(at, x)
        return rows

    _check(view, ours(), plain(), times[-1])
    return [
        rates(
            "windows",
            "events/s",
            n,
            in_turns(ours, plain),
            "a plain Python loop",
            keys=len(set(keys)),
        )
    ]


def _check(view: View, ours: ViewRows, plain: dict[str, PlainRow], as_of: int) -> None:
    """Both give the same values."""
    names, data = ours.all_rows()
    found = finish(view.plan, data, np.full(len(names), as_of)).values
    read = [view.plan.names.index(name) for name in ("delay_6h", "last", "ewm")]
    for name, row in zip(names, found):
        p = plain[name.decode()]
        expected = (p.mean(as_of, 36), p.last, p.total / p.weight)
        np.testing.assert_allclose(row[read], expected, rtol=1e-9)
