"""A view over one partition of its clean log: events in, rows of the store out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.features.packed import Packed
from freshet.features.rows.rows import ViewRows, is_erased
from freshet.features.stores.contract import VERSION_BYTES, Store
from freshet.features.stores.marks import PartitionMark
from freshet.features.stores.stored import lengths_of
from freshet.features.views.erasing import left_of
from freshet.features.views.refused import RefusedRows
from freshet.features.views.view import View
from freshet.schemas.sizes import READ_BYTES, cuts
from freshet.schemas.text.columns import Texts
from freshet.schemas.topics.topic import Freshness
from freshet.schemas.wire import blocks
from freshet.streams.log.contract import Batch
from freshet.streams.operators.dead_letters import RefusedRow
from freshet.streams.operators.origins import Cursors, Ticks
from freshet.streams.operators.task import Outputs, without_rows

ROWS_A_WRITE = 5_000


class ViewTask:
    """Folds clean events into rows and writes the touched ones; see
    `freshet.streams.operators.task.Task`.

    The store is a projection of these rows: when its generation changes (it was emptied or
    replaced), all are written again.

    A mark tells readers when they are all there. `end` is where the partition's log ended when it
    was assigned: before this task has come that far, it may lack rows that an earlier one has had,
    and does not say that they are complete.
    """

    def __init__(
        self, view: View, stored_as: str, partition: int, store: Store, end: int = 0
    ) -> None:  # fmt: skip
        self.name = f"view:{view.name}:{partition}"
        self._view = view
        self._stored_as = stored_as
        self._store = store
        self._rows = ViewRows(view.plan)
        self._cursors = Cursors()
        self._ticks = Ticks()
        self._generation: str | None = None  # of the store when all rows were in it
        self._mark = PartitionMark(store, stored_as, partition)
        self._position = 0  # in the log: the offset after what was applied
        self._end = end
        self._events = 0
        self._refused = RefusedRows(store, stored_as)
        self._unwritten: list[tuple[list[bytes], Packed]] = []

    @property
    def finished(self) -> int:
        return self._ticks.finished

    def apply(self, batch: Batch) -> Outputs:
        for i in range(len(batch)):
            block = blocks.decode(batch.value(i))
            if block.rows is not None:
                self._fold(block, int(batch.offsets[i]))
            self._ticks.note(block)
            self._position = int(batch.offsets[i]) + 1
        return Outputs()

    def _fold(self, block: blocks.Block, offset: int) -> None:
        rows = block.rows
        assert rows is not None
        origin = rows.column("_offset").to_numpy()
        index = rows.column("_index").to_numpy()
        fresh = self._cursors.fresh(block.origin, block.partition, origin, index)
        count = fresh.stop - fresh.start
        if not count:
            return
        if fresh.start:
            rows = rows.slice(fresh.start)
        places = np.arange(fresh.start, fresh.stop)
        left = left_of(rows)
        if left is not None:
            gone = Texts.from_arrow(rows.column("key").take(left.erased))
            self._rows.erase(gone, offset, places[left.erased])
            rows = rows.take(pa.array(left.events))
            places = places[left.events]
        self._add(rows, offset, places)

    def _add(self, rows: pa.RecordBatch, offset: int, places: npt.NDArray[np.int64]) -> None:
        """Fold events, which have their `places` in the record at `offset`."""
        count = rows.num_rows
        values = np.empty((count, len(self._view.plan.fields)))
        for column, name in enumerate(self._view.plan.fields):
            values[:, column] = numbers(rows.column(blocks.FIELD + name))
        self._rows.fold(
            Texts.from_arrow(rows.column("key")),
            rows.column("t").to_numpy(),
            values,
            offset,
            places,
            self._wholes(rows),
        )
        self._events += count

    def _wholes(self, rows: pa.RecordBatch) -> npt.NDArray[np.int64] | None:
        """The same values to the last digit, where the view has features of whole numbers."""
        plan = self._view.plan
        if not plan.wholes:
            return None
        out = np.zeros((rows.num_rows, len(plan.fields)), np.int64)
        for at, name in enumerate(plan.fields):
            column = rows.column(blocks.FIELD + name)
            if pa.types.is_integer(column.type):
                out[:, at] = column.fill_null(0).to_numpy(zero_copy_only=False)
        return out

    def write(self) -> None:
        """Write touched rows; all of them if the store has lost some; then the mark. What could not
        be written is kept for the next try."""
        if self._generation is None:
            self._generation = self._store.generation()
        touched = self._rows.hand_over()
        if len(touched[0]):  # tries are many while the store is away
            self._unwritten.append(touched)
        self._put_unwritten()
        generation = self._store.generation()
        if generation != self._generation:
            self._unwritten.append(self._rows.all_rows())
            self._put_unwritten()
            self._generation = generation
        # After the rows, so that whoever finds it finds them. If they are lost in between, the mark
        # is of a generation that is over.
        if self._position >= self._end:
            self._mark.put(generation, self._position, self._ticks.finished)

    def _put_unwritten(self) -> None:
        while self._unwritten:
            keys, rows = self._unwritten[0]
            for first, after in cuts(lengths_of(rows, keys), ROWS_A_WRITE, READ_BYTES):
                self._put(keys[first:after], rows.part(first, after))
            self._unwritten.pop(0)

    def _put(self, keys: list[bytes], rows: Packed) -> None:
        gone = is_erased(rows)
        if not gone.any():
            self._refused.write(keys, rows)
            return
        there = np.flatnonzero(~gone).tolist()
        if there:
            kept = Packed.of([rows.row(i) for i in there])
            self._refused.write([keys[i] for i in there], kept)
        erased = np.flatnonzero(gone).tolist()
        # All with the newest version among them: whatever makes one of them anew comes after all
        # that was applied by now, and so has a newer one.
        versions = [rows.row(i)[:VERSION_BYTES] for i in erased]
        self._refused.erase([keys[i] for i in erased], max(versions))

    def refused_rows(self) -> Sequence[RefusedRow]:
        """Rows that the store has refused since this was asked last."""
        return self._refused.take_untold()

    def configure(self, settings: Mapping[str, Freshness], at: int) -> bool:
        """Rows depend on no setting."""
        return False

    def skip(self, batch: Batch) -> Outputs:
        alone = without_rows(batch)
        if alone is not None:
            return self.apply(alone)
        self._position = int(batch.offsets[-1]) + 1
        return Outputs()

    def dump(self, full: bool) -> dict[str, npt.NDArray[Any]]:
        state = self._rows.dump() if full else self._rows.dump_delta()
        own = {
            "_cursors": self._cursors.dump(),
            "_ticks": self._ticks.dump(),
            "_events": np.array([self._events]),
        }
        return {**state, **own, "_position": np.array([self._position])}

    def load(
        self, base: Mapping[str, npt.NDArray[Any]], deltas: Sequence[Mapping[str, npt.NDArray[Any]]]
    ) -> None:
        self._rows.load(base, deltas)
        newest = deltas[-1] if deltas else base
        self._cursors.load(newest["_cursors"])
        self._ticks.load(newest["_ticks"])
        self._events = int(newest["_events"][0])
        # A checkpoint of an earlier version has none: it is known from the next record on.
        if "_position" in newest:
            self._position = int(newest["_position"][0])
        # What the store holds may be older than the checkpoint (it may have been emptied while this
        # task was away).
        self._generation = ""

    def facts(self) -> dict[str, Any]:
        return {
            "events": self._events,
            "keys": len(self._rows),
            "finished": self.finished,
            **self._refused.facts(),
        }


def numbers(column: pa.Array) -> npt.NDArray[np.float64]:
    """A numeric Arrow column as float64, NaN where null."""
    if column.type == pa.bool_():
        column = column.cast(pa.float64())
    values = column.to_numpy(zero_copy_only=False)
    return np.asarray(values, np.float64)
