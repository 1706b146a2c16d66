"""Answers to every flight of 2013 by learners that see labels when they came, for the judge to
judge: in one process, with no log."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import polars as pl

from freshet.demo.flights.data import load
from freshet.schemas.models.vectors import F64

I64 = npt.NDArray[np.int64]
SIZE = 1 << 18
LATE_MINUTES = 15
ALWAYS = 1e18  # ms: never frozen
# What a learner weighs: the demo's own fields and their crosses, no views.
CROSSES = (
    *(("carrier",), ("origin",), ("dest",), ("hour",), ("weekday",), ("month",)),
    *(("carrier", "dest"), ("origin", "hour"), ("origin", "day"), ("carrier", "day")),
    *(("carrier", "hour"), ("origin", "dest")),
)


class Flights(NamedTuple):
    """In the order asked; those without an outcome are left out."""

    asked: F64  # ms
    labelled: F64  # ms
    labels: F64
    carriers: npt.NDArray[np.str_]
    days: I64
    order: I64  # of labels: which flight's came when
    features: tuple[I64, I64]  # of two hashes: two learners that are equally good


@cache
def flights() -> Flights:
    """The year."""
    frames = load()
    label = frames["arrivals"].select("flight_id", "arrived_at", "arr_delay")
    both = frames["departures"].join(label, on="flight_id").sort("scheduled_at", "flight_id")
    # Local calendar fields that the topic may not carry.
    local = pl.from_epoch("scheduled_at", time_unit="ms").dt.offset_by("-5h")
    both = both.with_columns(
        hour=local.dt.hour(),
        weekday=local.dt.weekday(),
        month=local.dt.month(),
        day=local.dt.ordinal_day(),
    )
    labelled = both["arrived_at"].to_numpy().astype(float)
    return Flights(
        both["scheduled_at"].to_numpy().astype(float),
        labelled,
        (both["arr_delay"].to_numpy() > LATE_MINUTES).astype(float),
        both["carrier"].to_numpy().astype(str),
        both["day"].to_numpy().astype(np.int64),
        np.argsort(labelled, kind="stable"),
        (hashed(both, 1), hashed(both, 101)),
    )


def hashed(frame: pl.DataFrame, salt: int) -> I64:
    """Places of features [n, crosses]."""
    columns = []
    for i, cross in enumerate(CROSSES):
        text = frame.select(pl.concat_str([pl.col(name) for name in cross], separator="|"))
        columns.append(text.to_series().hash(seed=salt + i).to_numpy() % SIZE)
    return np.stack(columns, axis=1).astype(np.int64)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def answers(features: Any, times: Any, order: Any, labels: Any, frozen_at: Any) -> Any:
    """Of a logistic regression by AdaGrad, asked in order, which learns each label once it has come
    (`times` [2, n]: asked, labelled), and nothing from `frozen_at` on."""
    weights = np.zeros(SIZE)
    squares = np.full(SIZE, 1e-6)
    out = np.zeros(len(labels))
    answered = np.zeros(len(labels), np.bool_)
    come = 0
    for i in range(len(labels)):
        now = min(times[0, i], frozen_at)
        while come < len(order) and times[1, order[come]] <= now:
            k = order[come]
            come += 1
            if not answered[k]:
                continue
            total = 0.0
            for place in features[k]:
                total += weights[place]
            error = 1 / (1 + np.exp(-total)) - labels[k]
            for place in features[k]:
                squares[place] += error * error
                weights[place] -= 0.05 * error / np.sqrt(squares[place])
        total = 0.0
        for place in features[i]:
            total += weights[place]
        out[i] = 1 / (1 + np.exp(-total))
        answered[i] = True
    return out


def of_learner(which: int = 0, flips: Any = None, frozen_at: float = ALWAYS, until: int = 0) -> F64:
    """Answers to the flights up to one, [until]; where `flips`, its labels are learned wrong."""
    year = flights()
    until = until or len(year.labels)
    labels = year.labels[:until].copy()
    if flips is not None:
        labels = np.where(flips[:until], 1 - labels, labels)
    times = np.stack([year.asked[:until], year.labelled[:until]])
    order = year.order[year.order < until]
    return np.asarray(answers(year.features[which][:until], times, order, labels, frozen_at))
