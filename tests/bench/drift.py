"""How many alerts does an ordinary year of flights raise, and how soon is a field named that is
shifted at one airport?

The flights of 2013 go through intake's sketches, hour by hour, and the hours into the book of
statistics, as in a run: without logs, rows and models. A shift is put into a copy of the sketches
of one hour, once the year up to then is known.
"""

from __future__ import annotations

import copy
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import polars as pl

from freshet.demo.flights import app as flights_app
from freshet.demo.flights.data import load
from freshet.demo.flights.wire import EventType
from freshet.schemas.durations import HOUR_MS
from freshet.schemas.events.decode import EventCodec, decode
from freshet.schemas.topics.topic import Topic
from freshet.schemas.wire import blocks
from freshet.serving.status.status import DriftFigures
from freshet.serving.values.topic import TopicStatistics
from freshet.streams.sketches.piece import Placed, TopicSketches
from tests.bench.harness import Row

TOPICS = ("departures", "takeoffs", "arrivals", "weather")
DAYS = 365
KILOMETRES = 1.609344
SHIFTED = ("arrivals", "distance", "JFK")
SHIFTS_EVERY = 97  # hours, so that all hours of the day and of the week come


class Year:
    """A topic's events of a year through intake's sketches into its statistics."""

    def __init__(self, name: str, frame: pl.DataFrame) -> None:
        self.topic: Topic = getattr(flights_app, name)
        self._kind = EventType.load(name)
        self._codec = EventCodec(self.topic.events)
        self._frame = frame
        self._hours = frame[self._kind.time].to_numpy() // HOUR_MS
        self.statistics = TopicStatistics(self.topic)
        self._sketches = TopicSketches(self.topic, 0)

    def hours(self) -> list[int]:
        return [int(hour) for hour in np.unique(self._hours)]

    def events(self, hour: int) -> pl.DataFrame:
        first, after = np.searchsorted(self._hours, [hour, hour + 1]).tolist()
        return self._frame.slice(first, after - first)

    def take(self, hour: int) -> None:
        """The events of an hour, and the tick after it."""
        _take(self, self.statistics, self._sketches, self.events(hour), hour)

    def shifted(self, hour: int, source: str) -> list[DriftFigures]:
        """What is told of an hour whose distances are in kilometres at one airport; nothing of
        that stays."""
        frame = self.events(hour)
        factor = pl.when(pl.col("origin") == source).then(KILOMETRES).otherwise(1.0)
        frame = frame.with_columns(distance=pl.col("distance") * factor)
        statistics = copy.deepcopy(self.statistics)
        _take(self, statistics, copy.deepcopy(self._sketches), frame, hour)
        return [d for d in statistics.figures().drifts if d.hour_ms == hour * HOUR_MS]

    def encoded(self, frame: pl.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        events = frame.drop("row").iter_rows(named=True)
        records = [self._kind.encode(event) for event in events]
        ends = np.cumsum([len(record) for record in records], dtype=np.int64)
        starts = ends - np.array([len(record) for record in records], np.int64)
        return np.frombuffer(b"".join(records), np.uint8), starts, ends

    @property
    def time(self) -> str:
        return self._kind.time

    @property
    def codec(self) -> EventCodec:
        return self._codec


def _take(
    year: Year,
    statistics: TopicStatistics,
    sketches: TopicSketches,
    frame: pl.DataFrame,
    hour: int,
) -> None:
    data, starts, ends = year.encoded(frame)
    columns = decode(data, starts, ends, year.codec)
    rows = np.flatnonzero(columns.reason == 0)
    times = frame[year.time].to_numpy()[rows]
    # Rising over the year; where in the topic they stand is of no matter here.
    offsets = hour * 100_000 + rows
    placed = Placed(year.topic.name, offsets, np.zeros(len(rows), np.int32))
    told = sketches.take(columns, rows, times, placed, times)
    told += sketches.tell((hour + 1) * HOUR_MS + HOUR_MS // 10, 1)
    for value in told:
        statistics.take(blocks.decode(value))


def ordinary(days: int = DAYS) -> Iterator[tuple[str, DriftFigures]]:
    """What is told of in an ordinary year, by topic."""
    data = load(days)
    for name in TOPICS:
        year = Year(name, data[name])
        told: set[tuple[int, str | None, str]] = set()
        for hour in year.hours():
            year.take(hour)
            for drift in year.statistics.figures().drifts:
                key = (drift.hour_ms, drift.source, drift.field)
                if key not in told:
                    told.add(key)
                    yield name, drift


def named(days: int = DAYS) -> tuple[int, int]:
    """Of how many shifted hours the field and the airport were named, and of how many that were
    shifted: hours with enough events, from the tenth week on."""
    name, field, source = SHIFTED
    year = Year(name, load(days)[name])
    hours = year.hours()
    found = 0
    tried = 0
    for hour in hours:
        is_tried = hour % SHIFTS_EVERY == 0 and hour - hours[0] > 70 * 24
        frame = year.events(hour)
        if is_tried and (frame["origin"] == source).sum() >= 10:
            tried += 1
            told = year.shifted(hour, source)
            found += any((d.field, d.source) == (field, source) for d in told)
        year.take(hour)
    return found, tried


def run() -> list[Row]:
    """Alerts a month of an ordinary year at most, and the share of shifts that are named."""
    started = time.perf_counter()
    told = list(ordinary())
    seconds = time.perf_counter() - started
    months = Counter(datetime.fromtimestamp(d.hour_ms / 1000, UTC).month for _, d in told)
    shown = [f"{name} {d.source} {d.field} {d.hour_ms}" for name, d in told]
    found, tried = named()
    return [
        Row(
            name="drift: alerts of the worst month",
            unit="alerts a month",
            ours=max(months.values(), default=0),
            baseline=None,
            ratio=None,
            against="at most 1",
            detail={"year": len(told), "alerts": shown, "seconds": round(seconds)},
        ),
        Row(
            name="drift: shifts named when their hour is over",
            unit="share",
            ours=round(found / max(1, tried), 3),
            baseline=None,
            ratio=None,
            against="kilometres for miles at JFK",
            detail={"named": found, "tried": tried},
        ),
    ]
