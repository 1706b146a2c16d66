"""Alerts over the real flights: a night is no alert, an airport that falls silent is one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest

from freshet.demo.flights.data import START_MS, load
from freshet.schemas.durations import DAY_MS
from freshet.serving.alerts.alerts import Alerts
from freshet.serving.status.status import Alert, Clock, SourceFigures, Status, TopicFigures

DAYS = 40
MINUTE_MS = 60_000
TIMES = {"departures": "scheduled_at", "arrivals": "arrived_at", "weather": "observed_at"}
AIRPORTS = ("EWR", "JFK", "LGA")
Times = dict[str, np.ndarray[tuple[int], np.dtype[np.int64]]]


@cache
def arriving(topic: str) -> Times:
    """Sorted moments of a topic's events by airport."""
    events = load(DAYS)[topic]
    at, origin = events[TIMES[topic]].to_numpy(), events["origin"].to_numpy()
    return {airport: np.sort(at[origin == airport]) for airport in AIRPORTS}


def statuses(topic: str, times: Times) -> Iterator[Status]:
    for now in range(START_MS + DAY_MS, START_MS + DAYS * DAY_MS, 10 * MINUTE_MS):
        figures = []
        for airport, at in times.items():
            n = int(np.searchsorted(at, now, side="right"))
            rate = n / ((now - START_MS) / 3_600_000)
            newest = int(at[n - 1]) if n else None
            figures.append(
                SourceFigures(name=airport, events=n, newest_ms=newest, rate_per_hour=rate)
            )
        clock = Clock(state="running", app_ms=now)
        yield Status(
            app="flights",
            at_ms=now,
            clock=clock,
            topics=[TopicFigures(name=topic, sources=figures)],
        )


def fired(topic: str, times: Times) -> list[Alert]:
    """Every alert that fired, as it was first told."""
    alerts, seen = Alerts("flights", hold_seconds=0, resolve_seconds=60), {}
    for status in statuses(topic, times):
        for alert in alerts.observe(status):
            seen.setdefault((alert.policy, alert.subject, alert.since_ms), alert)
    return list(seen.values())


@pytest.mark.parametrize(("topic", "at_most"), [("departures", 0), ("weather", 0), ("arrivals", 1)])
def test_nights_are_no_alerts(topic: str, at_most: int) -> None:
    """Forty nights of three airports, with a storm that closed all of them. Arrivals are allowed
    one: LaGuardia sleeps longer than its neighbours, and its first night is not known to be
    usual."""
    assert len(fired(topic, arriving(topic))) <= at_most


@pytest.mark.parametrize(("topic", "hours"), [("departures", 3), ("arrivals", 6), ("weather", 17)])
def test_an_airport_that_falls_silent_by_day_is_an_alert_within_hours(
    topic: str, hours: int
) -> None:
    noon = START_MS + 20 * DAY_MS + 12 * 60 * MINUTE_MS
    times = arriving(topic)
    jfk = times["JFK"]
    silenced = times | {"JFK": jfk[(jfk < noon) | (jfk > noon + 2 * DAY_MS)]}
    (alert,) = [a for a in fired(topic, silenced) if a.subject == f"{topic}/JFK"]
    assert alert.policy == "source_silent"
    assert noon < alert.since_ms <= noon + hours * 60 * MINUTE_MS
