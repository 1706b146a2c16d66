"""The statistics of one topic: what its partitions told, what is usual, and what is not."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from freshet.schemas.durations import HOUR_MS
from freshet.schemas.topics.topic import Topic
from freshet.schemas.topics.topic_statistics import Statistics
from freshet.schemas.wire.blocks import NO_TICK, Block
from freshet.serving.status.status import DriftFigures, StatisticsFigures
from freshet.serving.values.drift import (
    REFERENCE_BOUND,
    SOURCES,
    WEEK,
    WEEKS,
    Learned,
    comparisons,
    judged,
    weeks_before,
    with_sources,
)
from freshet.serving.values.history import Cell, Period, Sketches, TopicHistory, by_cell
from freshet.serving.values.pieces import KeptPieces, Pieces
from freshet.streams.operators.origins import Ticks
from freshet.streams.sketches.sketch import Sketch, unpacked

MOST_DRIFTS = 20
# However late events may come, an hour is judged then: what comes later still is in its figures.
WAIT_MS = 5 * 60_000


class KeptTopic(msgspec.Struct, frozen=True):
    """What is saved of a topic's statistics."""

    periods: list[tuple[int, int, bytes]]
    learned: list[tuple[str | None, str, Learned]]
    pieces: dict[int, KeptPieces]
    ticks: bytes
    judged: int
    drifts: list[DriftFigures]
    log: str
    is_second: bool
    reference: str


class TopicStatistics:
    """Fed in the order of the log of statistics. Not thread-safe."""

    def __init__(self, topic: Topic) -> None:
        self.topic = topic
        self.declared = topic.statistics or Statistics()
        self._span = self.declared.span
        self._of_span: Sketches | None = None  # None: not read since something of it came
        self._history = TopicHistory(reference=self._span)
        self._pieces: dict[int, Pieces] = {}
        self._ticks = Ticks()
        self._log = ""  # that intake takes its records from
        self._is_second = False  # there was another before it
        self._learned: dict[Cell, Learned] = {}
        self._judged = 0  # the newest hour that was; none before it will be
        self._drifts: list[DriftFigures] = []
        self._wait_ms = min(topic.freshness.ms("lateness"), WAIT_MS)

    @property
    def incomplete(self) -> bool:
        """Whether a piece came in part: nothing is saved then."""
        return any(pieces.incomplete for pieces in self._pieces.values())

    @property
    def newest_hour(self) -> int | None:
        """The newest of which anything is known."""
        growing = [hour for pieces in self._pieces.values() for hour in pieces.growing]
        known = self._history.newest_hour
        if known is not None:
            growing.append(known)
        return max(growing, default=None)

    def take(self, block: Block) -> None:
        """One record of the log of statistics."""
        if block.rows is not None and block.rows.num_rows:
            self._follow(block.rows.column("log")[0].as_py())
            pieces = self._of(block.partition)
            for hour, cells in (pieces.take(block.rows) or {}).items():
                self._history.add(hour, cells)
                if self._is_in_span(hour):
                    self._of_span = None
        if block.tick != NO_TICK:
            # All that stood in the log by then was told.
            self._of(block.partition).repeats = False
            self._ticks.note(block)
            self._judge()

    def _of(self, partition: int) -> Pieces:
        if partition not in self._pieces:
            self._pieces[partition] = Pieces(repeats=self._is_second)
        return self._pieces[partition]

    def _follow(self, log: str) -> None:
        """A topic that is declared otherwise may be taken from another log, whose places are
        others. What that one tells before its first tick is what the one before told."""
        if log == self._log:
            return
        is_second = bool(self._log)
        self.begin_again()
        self._log = log
        self._is_second = is_second

    def sketches(self, period: Period, field: str | None = None) -> Sketches:
        """What is known of a period by now, also of pieces that grow."""
        found = self._history.sketches(period, field)
        growing = [
            {
                cell: unpacked(value)
                for cell, value in cells.items()
                if field is None or cell[1] == field
            }
            for pieces in self._pieces.values()
            for hour, cells in pieces.growing.items()
            if period.first <= hour < period.after
        ]
        if not growing:
            return found
        return dict(by_cell([found, *growing]))

    def periods(self, first: int, after: int) -> list[Period]:
        """Those of which something is known, and which begin within a span of hours."""
        known = self._history.periods(first, after)
        days = [period for period in known if period.hours > 1]
        growing = {hour for pieces in self._pieces.values() for hour in pieces.growing}
        alone = {
            Period(hour, 1)
            for hour in growing
            if first <= hour < after and not any(d.first <= hour < d.after for d in days)
        }
        return sorted({*known, *alone})

    def _judge(self) -> None:
        """The hours that are over, each once."""
        finished = self._ticks.finished
        if finished == NO_TICK:
            return
        over = (finished - self._wait_ms) // HOUR_MS  # the first hour that is not
        if over <= self._judged + 1:
            return
        for period in self.periods(self._judged + 1, over):
            # A day of which hours came long after it is no hour of the week.
            if period.hours == 1:
                self._judge_hour(period.first)
        self._judged = over - 1

    def _judge_hour(self, hour: int) -> None:
        # What others are compared with is not compared with itself.
        if self._is_in_span(hour):
            return

        def usual(wanted: set[Cell]) -> Mapping[Cell, Sketch]:
            if self._span is None:
                return weeks_before(self.sketches, hour, wanted)
            return self._span_sketches()

        found = comparisons(with_sources(self.sketches(Period(hour, 1))), usual)
        told = judged(hour, found, self._learned, self._bound_of)
        told.sort(key=lambda drift: drift.bound - drift.distance)
        self._drifts = [*told, *self._drifts][:MOST_DRIFTS]

    def _is_in_span(self, hour: int) -> bool:
        if self._span is None:
            return False
        first, after = self._span
        return first <= hour < after

    def reference(self, first: int, after: int) -> list[Sketches]:
        """What a span of hours is compared with."""
        if self._span is not None:
            return [self._span_sketches()]
        return [
            self.sketches(period)
            for week in range(1, WEEKS + 1)
            for period in self.periods(first - week * WEEK, after - week * WEEK)
        ]

    def _span_sketches(self) -> Sketches:
        """Of the whole fixed reference; read once, for nothing comes to it any more."""
        assert self._span is not None
        if self._of_span is None:
            found: Sketches = {}
            # One by one: a span may be a year.
            for period in self.periods(*self._span):
                found = dict(by_cell([found, self.sketches(period)], REFERENCE_BOUND))
            self._of_span = with_sources(found)
        return self._of_span

    def _bound_of(self, cell: Cell) -> float | None:
        """The declared one."""
        _, field = cell
        if field == SOURCES:
            field = self.topic.source or SOURCES
        return self.declared.bounds.get(field)

    def _weeks_missing(self, cell: Cell, newest: int) -> int:
        if self._bound_of(cell) is not None:
            return 0
        return self._learned[cell].weeks_missing(newest)

    def figures(self) -> StatisticsFigures:
        """For the status."""
        newest = self.newest_hour
        reference = self.declared.reference_name
        is_fixed = self._span is not None
        if newest is None:
            return StatisticsFigures(reference=reference, is_fixed=is_fixed)
        missing = [self._weeks_missing(cell, newest) for cell in self._learned]
        learning = [weeks for weeks in missing if weeks]
        return StatisticsFigures(
            newest_hour_ms=newest * HOUR_MS,
            held_bytes=self._history.bytes_held,
            watched=len(missing) - len(learning),
            learning=len(learning),
            weeks_missing=min(missing, default=None),
            drifts=self._drifts,
            reference=reference,
            is_fixed=is_fixed,
        )

    def begin_again(self) -> None:
        """Positions that are known mean nothing any more: the logs are others."""
        self._pieces = {}
        self._ticks = Ticks()
        self._is_second = False

    def kept(self) -> KeptTopic:
        return KeptTopic(
            self._history.kept(),
            [(*cell, known) for cell, known in self._learned.items()],
            {partition: pieces.kept() for partition, pieces in self._pieces.items()},
            self._ticks.dump().tobytes(),
            self._judged,
            self._drifts,
            self._log,
            self._is_second,
            self.declared.reference_name,
        )

    def restore(self, kept: KeptTopic) -> None:
        """Go on with what was saved."""
        self._history.restore(kept.periods)
        self._of_span = None
        # Distances from another reference say nothing of those from this one.
        if kept.reference == self.declared.reference_name:
            self._learned = {(source, field): known for source, field, known in kept.learned}
        self._pieces = {number: Pieces.of(pieces) for number, pieces in kept.pieces.items()}
        self._ticks.load(np.frombuffer(kept.ticks, np.uint8))
        self._judged = kept.judged
        self._drifts = kept.drifts
        self._log = kept.log
        self._is_second = kept.is_second
