"""How many alerts of skew does an ordinary year of flights raise, and is a feature named that is in
another unit all at once?

The departures of 2013 are asked about in steps of 15 minutes, with the features of the demo's views
as of then, and labelled when their flights arrive: what the examples log of a replay holds, made as
the benchmark of quality makes it. A change is put into a copy of what is known by the middle of the
year: one feature of all that is asked from then on.
"""

from __future__ import annotations

import copy
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from freshet.demo.flights.app import app
from freshet.demo.flights.data import load
from freshet.schemas.models.layout import Layout
from freshet.serving.status.status import DriftFigures
from freshet.serving.values.skew import Skew
from tests.bench.harness import Row, at_most
from tests.bench.quality import Questions

AT_ONCE = 500
CHANGED = "weather_by_origin.temp"
# Two days of flights: then all of the newest thousand questions are changed ones.
WATCHED = 4_000


class Told(NamedTuple):
    """Rows in the order of the log, and which of them were asked; the others were labelled."""

    rows: npt.NDArray[np.void]
    asked: npt.NDArray[np.bool_]


def examples() -> Told:
    """A year of them."""
    model = app.models[0]
    questions = Questions(app, model, load())
    vectors = questions.vectors
    known, _ = questions.outcome
    rows = np.zeros(len(known), Layout.of(model.vectors).dtype)
    rows["categories"] = vectors.categories
    rows["numbers"] = vectors.numbers
    rows["asked_at"] = questions.step
    labelled = np.flatnonzero(np.isfinite(known))
    place = np.concatenate([np.arange(len(known)), labelled])
    at = np.concatenate([questions.step.astype(np.float64), known[labelled]])
    is_asked = np.arange(len(place)) < len(known)
    # Of one moment what became known comes first: it was published in the step before.
    order = np.lexsort((is_asked, at))
    return Told(rows[place[order]], is_asked[order])


def take(skew: Skew, told: Told) -> list[DriftFigures]:
    """Each feature with each hour in which it was told of."""
    found: dict[tuple[str, int], DriftFigures] = {}
    for first in range(0, len(told.rows), AT_ONCE):
        asked = told.asked[first : first + AT_ONCE]
        skew.take(told.rows[first : first + AT_ONCE], asked, ~asked)
        for each in skew.told:
            found.setdefault((each.field, each.hour_ms), each)
    return list(found.values())


def days(told: list[DriftFigures]) -> set[tuple[str, Any]]:
    """An alert is of a feature, and lasts for a day."""
    return {(each.field, datetime.fromtimestamp(each.hour_ms / 1000, UTC).date()) for each in told}


def part(told: Told, first: int, after: int | None) -> Told:
    return Told(told.rows[first:after], told.asked[first:after])


def in_celsius(told: Told, at: int) -> Told:
    rows = told.rows.copy()
    fahrenheit = rows["numbers"][told.asked, at]
    rows["numbers"][told.asked, at] = (fahrenheit - 32) / 1.8
    return Told(rows, told.asked)


def run() -> list[Row]:
    """Alerts of the worst month, and whether a change is named within two days."""
    started = time.process_time()
    layout = Layout.of(app.models[0].vectors)
    skew = Skew(layout.categories, layout.numbers)
    year = examples()
    middle = len(year.rows) // 2
    told = take(skew, part(year, 0, middle))
    known = copy.deepcopy(skew)
    told += take(skew, part(year, middle, None))
    day = in_celsius(part(year, middle, middle + WATCHED), layout.numbers.index(CHANGED))
    named = {each.field for each in take(known, day)}
    alerts = sorted(days(told), key=lambda alert: alert[1])
    months = Counter(day.month for _, day in alerts)
    worst = max(months.values(), default=0)
    detail = {
        "year": len(alerts),
        "alerts": [f"{field} {day}" for field, day in alerts],
        "asked": int(year.asked.sum()),
        "cpu_seconds": round(time.process_time() - started),
    }
    return [
        Row(
            name="skew: alerts of the worst month",
            unit="alerts a month",
            ours=worst,
            baseline=None,
            ratio=None,
            against="at most 1",
            bar=at_most(worst, 1, "a month"),
            detail=detail,
        ),
        Row(
            name="skew: a change of unit is named",
            unit="features",
            ours=int(CHANGED in named),
            baseline=None,
            ratio=None,
            against="Celsius for Fahrenheit within two days",
            detail={"named": sorted(named)},
        ),
    ]
