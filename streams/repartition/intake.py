"""Intake of a partition of moved records: as of a source partition, but that ids of all source
partitions meet in it, and that it hears of time from its log."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy.typing as npt
from polars.exceptions import PanicException

from freshet.schemas.errors import SchemaError
from freshet.schemas.topics.topic import Freshness
from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import Block
from freshet.streams.admission.recorded import Recorded
from freshet.streams.intake.task import IntakePlan, IntakeTask
from freshet.streams.log.contract import Batch
from freshet.streams.operators.loop import ENVIRONMENT
from freshet.streams.operators.origins import Cursors, Origin, Ticks
from freshet.streams.operators.task import Outputs
from freshet.streams.repartition.records import Rows, part, read, together
from freshet.streams.repartition.task import CRASH


class MovedIntakeTask:
    """Intake of one partition of the log that a topic's records were moved to; see
    `freshet.streams.operators.task.Task`. It has so many `partitions`."""

    def __init__(self, plan: IntakePlan, partition: int, partitions: int) -> None:
        self._plan = plan
        self._intake = IntakeTask(plan, partition)
        self.name = self._intake.name
        self.fates = self._intake.fates
        self.ledger = self._intake.ledger
        self._partitions = partitions
        self._cursors = Cursors()
        self._ticks = Ticks()

    @property
    def finished(self) -> int:
        return self._intake.finished

    def prepare(self, batch: Batch) -> None:
        """The schemas that its records were written by."""
        if self._plan.writers is None:
            return
        try:
            found = list(_blocks(batch))
        except SchemaError:  # `apply` says so
            return
        for place, block in found:
            if block.rows is not None:
                self._plan.writers.prepare(read(block.rows, block.partition, place).batch)

    def apply(self, batch: Batch) -> Outputs:
        return self._take(batch, as_they_are)

    def write(self) -> None:
        """Intake writes to no store."""

    def configure(self, settings: Mapping[str, Freshness], at: int) -> bool:
        """`lateness` and `max_future` of its topic."""
        return self._intake.configure(settings, at)

    def doubts(self, batch: Batch, now_ms: int) -> bool:
        """Times were bounded before they were written here."""
        return False

    def vouch(self, batch: Batch, now_ms: int) -> None:
        """As it was done already."""

    def turn(self, at: int, bound_ms: int | None) -> bool:
        """A new generation of ids, when it is time for one."""
        return self._intake.turn(at, bound_ms)

    def recall(self, known: Recorded, at: int) -> None:
        """What another one had taken on by offset `at`."""
        self._intake.recall(known, at)

    def counts(self) -> dict[str, dict[str, int]]:
        """How many events became what."""
        return self._intake.counts()

    def origins(self) -> list[Origin]:
        """Of whom what it appends is."""
        return self._intake.origins()

    def skip(self, batch: Batch) -> Outputs:
        """Of a record on which it crashed, those within it that crash an intake are refused, and
        all others taken; all of them where none does by itself."""
        try:
            return self._take(batch, self._culprits_refused)
        except SchemaError:  # it is no block: somebody else's
            return Outputs()

    def dump(self, full: bool) -> dict[str, npt.NDArray[Any]]:
        own = {"_cursors": self._cursors.dump(), "_ticks": self._ticks.dump()}
        return {**self._intake.dump(full), **own}

    def load(
        self, base: Mapping[str, npt.NDArray[Any]], deltas: Sequence[Mapping[str, npt.NDArray[Any]]]
    ) -> None:
        """Raises `CheckpointError` as intake does."""
        self._intake.load(base, deltas)
        newest = deltas[-1] if deltas else base
        self._cursors.load(newest["_cursors"])
        self._ticks.load(newest["_ticks"])

    def facts(self) -> dict[str, Any]:
        return self._intake.facts()

    def _take(self, batch: Batch, sound: Callable[[Rows], Rows]) -> Outputs:
        """Settle all that it has not had, as far as it is `sound`, and tell the time where all
        source partitions have."""
        out = Outputs()
        waiting: list[Rows] = []
        for place, block in _blocks(batch):
            waiting += self._fresh(place, block)
            self._ticks.note(block)
            if block.tick != blocks.NO_TICK:
                self._intake.reach(block.partition, block.tick)
            # At its own place among the records, however they were cut into batches.
            if self._ticks.finished > self._intake.finished:
                self._settle(waiting, sound, out)
                waiting = []
                told = self._intake.tick(self._ticks.finished, self._partitions)
                out.appends.extend(told.appends)
        self._settle(waiting, sound, out)
        return out

    def _fresh(self, place: Batch, block: Block) -> list[Rows]:
        """The rows of a block that were not had from their source partition yet."""
        rows = block.rows
        if rows is None:
            return []
        offsets = rows.column("_offset").to_numpy()
        indices = rows.column("_index").to_numpy()
        fresh = self._cursors.fresh(block.origin, block.partition, offsets, indices)
        if fresh.start == fresh.stop:
            return []
        return [read(rows, block.partition, place, fresh.start)]

    def _settle(self, waiting: Sequence[Rows], sound: Callable[[Rows], Rows], out: Outputs) -> None:
        if not waiting:
            return
        rows = sound(together(waiting))
        self._intake.take(rows.batch, out, rows.moved)

    def _culprits_refused(self, rows: Rows) -> Rows:
        refused = rows.moved.refused.copy()
        refused[self._culprits(rows, 0, len(rows.batch))] = CRASH
        found = Rows(rows.batch, replace(rows.moved, refused=refused))
        # Only what it remembers makes it crash, or several of them together.
        if not (refused == CRASH).any() or self._crashes(found):
            refused[:] = CRASH
        return found

    def _culprits(self, rows: Rows, first: int, after: int) -> list[int]:
        if not self._crashes(part(rows, first, after)):
            return []
        if after - first == 1:
            return [first]
        middle = (first + after) // 2
        return [*self._culprits(rows, first, middle), *self._culprits(rows, middle, after)]

    def _crashes(self, rows: Rows) -> bool:
        """Whether these crash an intake that remembers nothing, and so settles all of them."""
        try:
            IntakeTask(self._plan, rows.batch.partition).take(rows.batch, Outputs(), rows.moved)
        except ENVIRONMENT:
            raise
        except (Exception, PanicException):
            return True
        return False


def as_they_are(rows: Rows) -> Rows:
    """Nothing is known against them."""
    return rows


def _blocks(batch: Batch) -> Iterator[tuple[Batch, Block]]:
    """Each record of the log, and the block that it is."""
    for at in range(len(batch)):
        yield batch.rows(at, at + 1), blocks.decode(batch.value(at))
