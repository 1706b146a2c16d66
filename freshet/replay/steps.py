"""The steps of a replay: what is asked and what is published in each, and in which time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Protocol

import numpy as np
import polars as pl

from freshet.app import App
from freshet.datafiles.files import DataFile, rows_of
from freshet.replay.events import Event, EventMaker, no_time
from freshet.replay.replayer import Events
from freshet.replay.sorting import SortedEvents, frame
from freshet.schemas.durations import milliseconds
from freshet.schemas.events.codec import EventCodec
from freshet.schemas.events.decode import decode
from freshet.schemas.events.validation import timed
from freshet.schemas.topics.exploding import explode, without_event
from freshet.schemas.topics.topic import Topic
from freshet.streams.intake.refusals import refuse_large

# What a step may last that nobody chose: the first of which there are not too many in the data.
USUAL_STEPS = (
    "1s",
    "5s",
    "15s",
    "1m",
    "5m",
    "15m",
    "30m",
    "1h",
    "3h",
    "6h",
    "12h",
    "1d",
    "7d",
    "30d",
)
MANY_STEPS = 2_000
# Rows of one file are told apart from those of the next by their places.
PLACES_OF_A_FILE = 1 << 40


@dataclass(frozen=True, slots=True)
class Step:
    """The app's clock goes from `start_ms` to `end_ms`. `asked` are requests as columns, by the
    topic whose events they are: asked as of the start, and their answers logged, before `events`
    (by topic) are published."""

    start_ms: int
    end_ms: int
    asked: Mapping[str, Mapping[str, Sequence[Any]]]
    events: Mapping[str, Events]


class Steps(Protocol):
    """A source of steps, whose clock goes from `start_ms` to about `end_ms`."""

    @property
    def start_ms(self) -> int: ...

    @property
    def end_ms(self) -> int: ...

    def __iter__(self) -> Iterator[Step]: ...


@dataclass(frozen=True, slots=True)
class Records:
    """Records of a topic in order, each with its append time, which is its event's, and its
    partition."""

    times: list[int]
    partitions: list[int]
    values: list[bytes]

    def __len__(self) -> int:
        return len(self.values)

    def split(self, partitions: int) -> list[Records]:
        return [self._part(p) for p in range(partitions)]

    def _part(self, partition: int) -> Records:
        rows = [i for i, p in enumerate(self.partitions) if p == partition]
        return Records(
            [self.times[i] for i in rows],
            [partition] * len(rows),
            [self.values[i] for i in rows],
        )

    def runs(self) -> Iterator[tuple[int, list[bytes]]]:
        for time, same in groupby(zip(self.times, self.values), key=lambda event: event[0]):
            yield time, [value for _, value in same]


@dataclass
class Gathered:
    """What was found in the files: rows by topic, and the first and last time of any."""

    rows: dict[str, int] = field(default_factory=dict)
    outside: int = 0  # not within the span that was asked for
    first_ms: int | None = None
    last_ms: int | None = None

    def note(self, times: Sequence[int]) -> None:
        """Rows have these times."""
        if not times:
            return
        first = min(times)
        last = max(times)
        if self.first_ms is None or first < self.first_ms:
            self.first_ms = first
        if self.last_ms is None or last > self.last_ms:
            self.last_ms = last


@dataclass(frozen=True, slots=True)
class Span:
    """Which times are replayed: from the first on, and before the second."""

    from_ms: int
    until_ms: int

    def holds(self, time_ms: int) -> bool:
        return self.from_ms <= time_ms < self.until_ms


def gather(
    app: App,
    files: Sequence[DataFile],
    span: Span,
    latest_ms: int,
    into: SortedEvents,
) -> Gathered:
    """Read all files, so that whatever is wrong with one is told before anything starts.

    Raises:
        DataError: a file cannot be read, lacks a column, or no row of it has a time.
    """
    found = Gathered(rows={t.name: 0 for t in app.topics})
    order = {t.name: i for i, t in enumerate(app.topics)}
    given = {file.topic for file in files}
    makers = {t.name: EventMaker(t, latest_ms) for t in app.topics if t.name in given}
    for n, file in enumerate(files):
        topic = app.topic(file.topic)
        pieces = (list(makers[file.topic].events(file, rows)) for rows in rows_of(file))
        place = n * PLACES_OF_A_FILE
        for piece in _timed(topic, file, pieces):
            kept = [
                (time, place + i, order[topic.name], event.partition, event.record)
                for i, (time, event) in enumerate(piece)
                if span.holds(time)
            ]
            place += len(piece)
            found.rows[topic.name] += len(kept)
            found.outside += len(piece) - len(kept)
            found.note([row[0] for row in kept])
            into.add(frame(kept), str(file.path))
    return found


def _timed(
    topic: Topic, file: DataFile, pieces: Iterator[list[Event]]
) -> Iterator[list[tuple[int, Event]]]:
    """Each event with the time at which it is published: its own, or where it has none that of the
    row before it. Those before the first that has one are published with that."""
    last: int | None = None
    for piece in pieces:
        if last is None and piece:
            last = next((e.time_ms for e in piece if e.time_ms is not None), None)
            if last is None:
                raise no_time(topic, file, len(piece))
        timed = []
        for event in piece:
            last = event.time_ms if event.time_ms is not None else last
            assert last is not None
            timed.append((last, event))
        yield timed


def usual_step_ms(first_ms: int, last_ms: int) -> int:
    """A step for data of this span."""
    for step in USUAL_STEPS:
        step_ms = milliseconds(step)
        if (last_ms - first_ms) // step_ms <= MANY_STEPS:
            break
    # Where even the longest is too short it is taken, however many steps that makes.
    return step_ms


class DataSteps:
    """Steps of `step_ms` over sorted events. A step ends a millisecond before a multiple of it: so
    what is asked as of its start is asked before anything in it has happened, an event right at the
    multiple included. Where nothing happens for longer, one step leads over all of it; the last one
    goes on for `drain_ms`, until nothing is pending."""

    def __init__(
        self, app: App, events: SortedEvents, span: tuple[int, int], step_ms: int, drain_ms: int
    ) -> None:
        self._events = events
        self._topics = list(app.topics)
        self._asked = {m.on.name for m in app.models}
        self._questions = {name: Questions(app, app.topic(name)) for name in self._asked}
        self._step_ms = step_ms
        first_ms, last_ms = span
        self._first = first_ms // step_ms
        self._last = last_ms // step_ms
        self._drain_ms = drain_ms

    @property
    def start_ms(self) -> int:
        return self._first * self._step_ms - 1

    @property
    def end_ms(self) -> int:
        return (self._last + 1) * self._step_ms - 1 + self._drain_ms

    def __iter__(self) -> Iterator[Step]:
        now = self.start_ms
        for at, events in _by_step(self._events.pieces(), self._step_ms):
            start = at * self._step_ms - 1
            if now < start:
                yield Step(now, start, {}, {})
            now = start + self._step_ms
            yield self._step(start, now, events)
        if now < self.end_ms:
            yield Step(now, self.end_ms, {}, {})

    def _step(self, start: int, end: int, events: pl.DataFrame) -> Step:
        records = {}
        for (number,), of_topic in events.partition_by("topic", as_dict=True).items():
            name = self._topics[number].name
            records[name] = Records(
                of_topic["time"].to_list(),
                of_topic["partition"].to_list(),
                of_topic["record"].to_list(),
            )
        asked = {
            name: self._questions[name].of(records[name]) for name in self._asked & records.keys()
        }
        return Step(start, end, asked, records)


def _by_step(pieces: Iterator[pl.DataFrame], step_ms: int) -> Iterator[tuple[int, pl.DataFrame]]:
    """The events of each step that has any."""
    waiting: list[pl.DataFrame] = []
    at: int | None = None
    for piece in pieces:
        numbered = piece.with_columns(step=pl.col("time") // step_ms)
        parts = numbered.partition_by("step", as_dict=True, maintain_order=True)
        for (step,), part in parts.items():
            # A step may go on in the next piece: it is whole once another one begins.
            if at is not None and step != at:
                yield at, pl.concat(waiting)
                waiting = []
            at = int(step)
            waiting.append(part)
    if at is not None:
        yield at, pl.concat(waiting)


class Questions:
    """Makes requests of a topic's events: of those that intake takes, as it reads them."""

    def __init__(self, app: App, topic: Topic) -> None:
        self._topic = topic
        self._codec = EventCodec(topic.records)
        self._keys: set[tuple[str, ...]] = set()
        for model in app.models:
            if model.on.name == topic.name:
                self._keys.add((model.id,))
                self._keys |= {view.keys for view in app.views_of(model)}

    def of(self, records: Records) -> dict[str, list[Any]]:
        """Columns by field; empty where no event is fit to be asked about."""
        sizes = np.array([len(value) for value in records.values], np.int64)
        ends = np.cumsum(sizes)
        data = np.frombuffer(b"".join(records.values), np.uint8)
        columns = decode(data, ends - sizes, ends, self._codec)
        appended = np.array(records.times, np.int64)
        if self._topic.exploding is not None:
            # Each event of a record is asked about.
            events = explode(columns, self._topic.exploding)
            appended = appended[events.parents]
            columns = events
        timed(columns, self._topic.time, appended, self._topic.freshness.ms("max_future"))
        refuse_large(columns, self._keys)
        is_sound = columns.reason == 0
        is_sound[without_event(columns)] = False
        rows = np.flatnonzero(is_sound)
        if not len(rows):
            return {}
        fields = self._topic.events.fields
        return {f.name: columns.arrow(f.name, rows).to_pylist() for f in fields}
