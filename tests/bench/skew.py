"""How many alerts of skew does an ordinary year of flights raise, and is a feature named that is in
another unit all at once?

The departures of 2013 are asked about in steps of 15 minutes, with the features of the demo's views
as of then, and labelled when their flights arrive: what the examples log of a replay holds, made as
the benchmark of quality makes it; a tenth of them, so that it is done in minutes. Changes are put
into copies of what is known, at the begin of an hour in the tenth week and then in every fifth one:
one feature of all that is asked from then on, until the hours are judged that are over first.
"""

from __future__ import annotations

import copy
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from freshet.demo.flights.app import app
from freshet.demo.flights.data import load
from freshet.schemas.durations import HOUR_MS
from freshet.schemas.models.layout import Layout
from freshet.serving.status.bounds import DRIFT_MS
from freshet.serving.status.status import DriftFigures
from freshet.serving.values.skew import JUDGED_FROM, Skew
from tests.bench.harness import Row, at_most
from tests.bench.quality import Questions

AT_ONCE = 500
A_TENTH = 10
WEEK_MS = 7 * 24 * HOUR_MS
FIRST_WEEK = 10
EVERY_WEEKS = 5
# Changed questions at least, and those of the hour in which there are that many.
CHANGED = 2 * JUDGED_FROM


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


def alerts(told: list[DriftFigures]) -> list[DriftFigures]:
    """What raised an alert: it lasts for a day after the newest hour that was told of, and goes on
    where another one is told of by then."""
    found: list[DriftFigures] = []
    until: dict[str, int] = {}
    for each in sorted(told, key=lambda each: each.hour_ms):
        if each.hour_ms > until.get(each.field, each.hour_ms - 1):
            found.append(each)
        until[each.field] = each.hour_ms + DRIFT_MS
    return found


def part(told: Told, first: int, after: int | None) -> Told:
    return Told(told.rows[first:after], told.asked[first:after])


def a_tenth(told: Told) -> Told:
    """Of the flights, so that a question and its label both stay."""
    layout = Layout.of(app.models[0].vectors)
    of = told.rows["categories"]
    flight = of[:, layout.categories.index("tailnum")] ^ of[:, layout.categories.index("flight")]
    mixed = (flight ^ told.rows["asked_at"].astype(np.uint64)) * np.uint64(0xBF58476D1CE4E5B9)
    kept = (mixed >> np.uint64(40)) % np.uint64(A_TENTH) == 0
    return Told(told.rows[kept], told.asked[kept])


CHANGES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "Celsius for Fahrenheit": ("temp", lambda found: (found - 32) / 1.8),
    "km/h for mph": ("wind_speed", lambda found: found * 1.609344),
    "inHg for mb": ("pressure", lambda found: found * 0.02953),
    "no visibility": ("visib", lambda found: found * 0),
    "a share for percent": ("humid", lambda found: found / 100),
    "always the same": ("temp", lambda found: found * 0 + 20),
    "missing": ("temp", lambda found: found * np.nan),
}


def changed(told: Told, feature: str, change: Callable[[Any], Any]) -> Told:
    at = Layout.of(app.models[0].vectors).numbers.index(feature)
    rows = told.rows.copy()
    rows["numbers"][told.asked, at] = change(rows["numbers"][told.asked, at])
    return Told(rows, told.asked)


def moments(year: Told) -> list[int]:
    """Where changes begin: at the first question of an hour."""
    at = year.rows["asked_at"]
    weeks = (at - at[0]) // WEEK_MS
    found = []
    for week in range(FIRST_WEEK, int(weeks[-1]), EVERY_WEEKS):
        first = int(np.flatnonzero(year.asked & (weeks >= week))[0])
        # At noon in New York, when flights leave.
        noon = at[first] // (24 * HOUR_MS) * 24 * HOUR_MS + 17 * HOUR_MS
        found.append(int(np.flatnonzero(year.asked & (at >= noon))[0]))
    return found


def named(skew: Skew, year: Told, first: int) -> list[str]:
    """The changes that are told of once their first hours are over."""
    asked = np.flatnonzero(year.asked[first:])
    some = part(year, first, first + int(asked[CHANGED]) + 1)
    found = []
    for name, (field, change) in CHANGES.items():
        feature = f"weather_by_origin.{field}"
        told = take(copy.deepcopy(skew), changed(some, feature, change))
        since = int(year.rows["asked_at"][first]) // HOUR_MS * HOUR_MS
        if any(each.field == feature and each.hour_ms >= since for each in told):
            found.append(name)
    return found


def run() -> list[Row]:
    """Alerts of the worst month, and of how many changes is told."""
    started = time.process_time()
    layout = Layout.of(app.models[0].vectors)
    skew = Skew(layout.categories, layout.numbers)
    year = a_tenth(examples())
    told: list[DriftFigures] = []
    found: Counter[str] = Counter()
    begun = 0
    beginnings = moments(year)
    for first in beginnings:
        told += take(skew, part(year, begun, first))
        found.update(named(skew, year, first))
        begun = first
    told += take(skew, part(year, begun, None))
    raised = alerts(told)
    days = [datetime.fromtimestamp(each.hour_ms / 1000, UTC).date() for each in raised]
    months = Counter(day.month for day in days)
    worst = max(months.values(), default=0)
    detail = {
        "year": len(raised),
        "alerts": [f"{each.field} {day}" for each, day in zip(raised, days)],
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
            name="skew: changes named in their first hours",
            unit="share",
            ours=round(found.total() / (len(CHANGES) * len(beginnings)), 3),
            baseline=None,
            ratio=None,
            against=f"of {len(CHANGES)} changes at {len(beginnings)} moments",
            detail={name: found[name] for name in CHANGES},
        ),
    ]
