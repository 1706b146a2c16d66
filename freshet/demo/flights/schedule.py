"""The paced schedule of the demo: what a client asks and what producers publish, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import polars as pl

from freshet.demo.flights.data import ROW, START_MS, Alter, load
from freshet.demo.flights.faults import BAD, FIRST_BAD, Expected, Faults, corrupted, plan
from freshet.demo.flights.wire import TOPICS, EventType
from freshet.schemas.text.columns import Texts

USUAL = Faults()
AHEAD = 12  # steps encoded together: enough to hide the cost of a slice, few enough for no pause


@dataclass(frozen=True, slots=True)
class Records:
    """Records of one topic in publication order, each with its append time (app clock, ms, rising).

    An append time is the event's time, or up to the lateness later where the record was held up.
    `ids` are those of the events as the producer knew them, broken records' too: it partitions by
    them.
    """

    values: list[bytes] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.values)

    def split(self, partitions: int) -> list[Records]:
        """By partition, as freshet partitions events."""
        if partitions == 1 or not self.values:
            return [self, *(Records() for _ in range(partitions - 1))]
        place = Texts.of(self.ids).partitions(partitions)
        parts = [np.flatnonzero(place == partition).tolist() for partition in range(partitions)]
        return [
            Records(
                [self.values[i] for i in part],
                [self.times[i] for i in part],
                [self.ids[i] for i in part],
            )
            for part in parts
        ]

    def runs(self) -> Iterator[tuple[int, list[bytes]]]:
        """Records that share an append time, together, as `Writer.append` takes them."""
        at = 0
        for time, same in groupby(self.times):
            repeats = sum(1 for _ in same)
            yield time, self.values[at : at + repeats]
            at += repeats


@dataclass(frozen=True, slots=True)
class Step:
    """The app's clock goes from `start_ms` to `end_ms`.

    `queries` are the departures scheduled in [start, end), as columns: to be asked with `as_of =
    start_ms`, and their answers logged, before `events` (those published in [start, end), by topic)
    are. The tick after them is `end_ms`.
    """

    start_ms: int
    end_ms: int
    queries: dict[str, list[Any]]
    events: dict[str, Records]


class Schedule:
    """All steps of the first `days` local days of 2013, from local midnight; one seed always gives
    the same.

    The last days' flights are followed to their arrival; then steps without events go on for
    `drain_ms`. A record held up beyond the end of its step belongs to the step in which it is
    published. `alter` changes outcomes before events are made of them (see
    `freshet.demo.flights.data`). Records are encoded a few steps ahead.

    `expected` holds, by topic, what intake's ledger must say in the end; `records` counts all of
    them.
    """

    def __init__(
        self,
        days: int = 59,
        step_ms: int = 15 * 60_000,
        seed: int = 0,
        faults: Faults = USUAL,
        drain_ms: int = 0,
        alter: Alter | None = None,
    ) -> None:
        frames = load(days, alter)
        self._topics = {
            topic: _Topic(EventType.load(topic), frames[topic], faults, seed) for topic in TOPICS
        }
        self._flights = frames["departures"].drop(ROW)
        self._scheduled = self._flights["scheduled_at"].to_numpy()
        self.expected: dict[str, Expected] = {
            topic: kind.expected for topic, kind in self._topics.items()
        }
        self.records = sum(expected.records for expected in self.expected.values())
        self.step_ms = step_ms
        self.start_ms = START_MS
        # Records that are held up may come after the last flight.
        last = max(int(kind.plan.publish[-1]) for kind in self._topics.values())
        # Rounded up: the last step holds the last record, published before its end.
        self._steps = -(-(last + 1 + drain_ms - START_MS) // step_ms)

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[Step]:
        # A few steps at once: encoding one record at a time would cost more than the pipeline.
        for first in range(0, self._steps, AHEAD):
            count = min(AHEAD, self._steps - first)
            yield from self._encoded(START_MS + np.arange(first, first + count + 1) * self.step_ms)

    def _encoded(self, edges: np.ndarray[Any, np.dtype[np.int64]]) -> Iterator[Step]:
        cuts = np.searchsorted(self._scheduled, edges)
        asked = self._flights[int(cuts[0]) : int(cuts[-1])].to_dict(as_series=False)
        published = {topic: kind.records(edges) for topic, kind in self._topics.items()}
        for i, (start, end) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist())):
            first, last = (cuts[i : i + 2] - cuts[0]).tolist()
            queries = {name: values[first:last] for name, values in asked.items()}
            events = {topic: records[i] for topic, records in published.items()}
            yield Step(start, end, queries, events)


class _Topic:
    """One topic's events, and the plan of what is published of them."""

    def __init__(self, kind: EventType, events: pl.DataFrame, faults: Faults, seed: int) -> None:
        self._kind = kind
        self._events = events
        self._seed = seed
        self.plan, self.expected = plan(kind, events, faults, seed)

    def records(self, edges: np.ndarray[Any, np.dtype[np.int64]]) -> list[Records]:
        """What is published in each step between `edges`."""
        cuts = np.searchsorted(self.plan.publish, edges).tolist()
        values, ids = self._encode(cuts[0], cuts[-1])
        times = self.plan.publish[cuts[0] : cuts[-1]].tolist()
        spans = [(start - cuts[0], end - cuts[0]) for start, end in pairwise(cuts)]
        return [
            Records(values[start:end], times[start:end], ids[start:end]) for start, end in spans
        ]

    def _encode(self, start: int, end: int) -> tuple[list[bytes], list[str]]:
        kind = self._kind
        rows = self.plan.row[start:end]
        events = self._events[rows].to_dicts()
        out = []
        ids = [str(event[kind.id]) for event in events]
        for event, act in zip(events, self.plan.act[start:end].tolist()):
            place = event.pop(ROW)
            if act < FIRST_BAD:
                out.append(kind.encode(event))
            else:
                out.append(
                    corrupted(
                        kind, event, BAD[act - FIRST_BAD], f"{self._seed}/{kind.topic}/{place}"
                    )
                )
        return out, ids
