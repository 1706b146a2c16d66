"""A partition settled once more, as intake settled it: by its own stages, and by what it recorded
beside the log."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.audit.kept import NOTHING, TakenOn
from freshet.streams.admission import events
from freshet.streams.intake.task import IntakePlan, IntakeTask, Settled
from freshet.streams.log.contract import Batch
from freshet.streams.repartition.records import Rows, part


class OnceMore:
    """The fates of one partition's events, batch by batch from its first record on. Records that
    were `skipped`, since they crashed intake, have none here."""

    def __init__(
        self,
        plan: IntakePlan,
        partition: int,
        recorded: TakenOn = NOTHING,
        skipped: Collection[int] = (),
    ) -> None:
        self.task = IntakeTask(plan, partition)
        self.task.believe(recorded.vouched)
        self._topic = plan.topic
        self._settings = list(recorded.settings)
        self._turns = list(recorded.turns)
        self._skipped = np.array(sorted(skipped), np.int64)

    def settle(self, batch: Batch) -> Iterator[Settled]:
        """What became of the events of the next records, but for those that were skipped."""
        for first, after in self._pieces(batch):
            piece = batch.rows(first, after)
            piece = piece.where(~self.is_skipped(piece))
            if len(piece):
                for own in events.parts(self.task.bounded(piece), self._topic):
                    yield self.task.settle(own)

    def is_skipped(self, batch: Batch) -> npt.NDArray[np.bool_]:
        """Which records were, bool `[n]`."""
        return np.isin(batch.offsets, self._skipped)

    def settle_moved(self, rows: Rows) -> Iterator[Settled]:
        """The same of records that were moved to where their ids belong."""
        for first, after in self._pieces(rows.batch):
            yield self.task.settle(*part(rows, first, after))

    def dump(self) -> dict[str, npt.NDArray[Any]]:
        """What the next records are settled by."""
        return self.task.dump(full=True)

    def load(self, state: Mapping[str, npt.NDArray[Any]], at: int) -> None:
        """Go on from what was dumped before the record at this offset."""
        self.task.load(state, [])
        # What the task knows of these is what it recorded by itself, and here it recorded none.
        while self._settings and self._settings[0][0] < at:
            self.task.take_on(self._settings.pop(0))
        # Generations have turned in what was dumped.
        self._turns = [turn for turn in self._turns if turn >= at]

    def _pieces(self, batch: Batch) -> Iterator[tuple[int, int]]:
        """A batch in pieces, between which something was recorded that holds from there on."""
        recorded = np.array([*(change[0] for change in self._settings), *self._turns], np.int64)
        places = np.searchsorted(batch.offsets, recorded)
        edges = np.unique(np.concatenate([[0], places, [len(batch)]])).tolist()
        for first, after in pairwise(edges):
            self._recall(int(batch.offsets[first]))
            yield first, after

    def _recall(self, offset: int) -> None:
        """What was recorded as of records up to this one."""
        while self._settings and offset >= self._settings[0][0]:
            self.task.take_on(self._settings.pop(0))
        while self._turns and offset >= self._turns[0]:
            self._turns.pop(0)
            self.task.turn_as_recorded(offset)
