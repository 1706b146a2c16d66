"""A view over one partition of its clean log: events in, rows of the store out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.features.cold.bounded_rows import BoundedRows
from freshet.features.cold.memory import RowMemory
from freshet.features.cold.named import is_named
from freshet.features.packed import Packed
from freshet.features.partition.as_stored import have_events, is_erased, is_over
from freshet.features.partition.contract import PartitionRows
from freshet.features.partition.events import More
from freshet.features.partition.rows import ViewRows
from freshet.features.stores.contract import VERSION_BYTES, Store
from freshet.features.stores.marks import PartitionMark
from freshet.features.stores.stored import lengths_of
from freshet.features.views.clock import LogClock
from freshet.features.views.erasing import left_of, times_of
from freshet.features.views.event_columns import taken
from freshet.features.views.refused import RefusedRows
from freshet.features.views.view import View
from freshet.schemas.parted_arrays import PartedArrays
from freshet.schemas.sizes import READ_BYTES, cuts
from freshet.schemas.text.columns import Texts
from freshet.schemas.topics.topic import Freshness
from freshet.schemas.wire import blocks
from freshet.streams.log.contract import Batch
from freshet.streams.operators.dead_letters import RefusedRow
from freshet.streams.operators.origins import Cursors, Ticks
from freshet.streams.operators.task import Arrays, NotYet, Outputs, without_rows

I64 = npt.NDArray[np.int64]
ROWS_A_WRITE = 5_000
# So many rows are looked at for each event, whether they are over. More than one: where each event
# makes a row, whoever looks would never come round.
LOOKED_AT_AN_EVENT = 2
# And for each tick, so that those of a topic that has fallen silent go, too: a million within a
# quarter of an hour.
LOOKED_AT_A_TICK = 1_000


class ViewTask:
    """Folds clean events into rows and writes the touched ones; see
    `freshet.streams.operators.task.Task`.

    The store is a projection of these rows: when its generation changes (it was emptied or
    replaced), all are written again.

    A mark tells readers when they are all there. `end` is where the partition's log ended when it
    was assigned: before this task has come that far, it may lack rows that an earlier one has had,
    and does not say that they are complete. Rows that `memory` has no room for lie on disk.

    A view that was declared while its topics had been taken in has a `past` of another task's: what
    that dumped of the partition once all of it is built, None before. As long as it waits for that
    it takes nothing, and does not say that its rows are complete. Rows of the past are of versions
    below those of all events that follow it.

    What the store's generation was is trusted for `trusted_seconds`, but never where a mark is to
    be put, or time to be told: rows that were lost meanwhile are of a generation that no mark is
    of.
    """

    def __init__(
        self,
        view: View,
        stored_as: str,
        partition: int,
        store: Store,
        end: int = 0,
        memory: RowMemory | None = None,
    ) -> None:
        self.name = f"view:{view.name}:{partition}"
        self._view = view
        self._stored_as = stored_as
        self._store = store
        self._memory = memory or RowMemory()
        self._rows: PartitionRows = ViewRows(view.plan)
        if self._memory.most_bytes:
            self._rows = BoundedRows(view.plan, self._memory)
        self._cursors = Cursors()
        names = [topic.name for topic in view.topics]
        self._ticks = Ticks(names if len(names) > 1 else ())
        self._clock = LogClock()
        self._generation: str | None = None  # of the store when all rows were in it
        self.trusted_seconds = 0.0
        self._trusted_until = float("-inf")  # monotonic; it was never asked
        self._told = (blocks.NO_TICK, False)  # when it was: tick, and whether all rows were there
        self._mark = PartitionMark(store, stored_as, partition)
        self._position = 0  # in the log: the offset after what was applied
        self._end = end
        self.past: Callable[[ViewTask], Arrays | None] | None = None
        self._events = 0
        self._refused = RefusedRows(store, stored_as)
        self._unwritten: list[tuple[list[bytes], Packed]] = []

    @property
    def finished(self) -> int:
        return self._ticks.finished

    def prepare(self, batch: Batch) -> None:
        """The rows of events from before its log."""
        if self.past is None:
            return
        state = self.past(self)
        if state is None:
            raise NotYet
        self.load(state, [])

    def apply(self, batch: Batch) -> Outputs:
        for i in range(len(batch)):
            block = blocks.decode(batch.value(i))
            self._clock.record(int(batch.times[i]))
            looked_at = 0
            if block.rows is not None:
                folded = self._fold(block, int(batch.offsets[i]))
                looked_at = LOOKED_AT_AN_EVENT * folded
            self._ticks.note(block)
            self._clock.after(block)
            if block.tick != blocks.NO_TICK:
                looked_at += LOOKED_AT_A_TICK
            self._rows.sweep(self._clock.now_ms, looked_at)
            self._position = int(batch.offsets[i]) + 1
        return Outputs()

    def _fold(self, block: blocks.Block, offset: int) -> int:
        """Take the events of a block that it has not had; how many those are."""
        rows = block.rows
        assert rows is not None
        origin = rows.column("_offset").to_numpy()
        index = rows.column("_index").to_numpy()
        fresh = self._cursors.fresh(block.origin, block.partition, origin, index)
        count: int = fresh.stop - fresh.start
        if not count:
            return 0
        if fresh.start:
            rows = rows.slice(fresh.start)
        places = np.arange(fresh.start, fresh.stop)
        clocks = self._clock.at_events(block, times_of(rows))
        left = left_of(rows)
        if left is not None:
            gone = Texts.from_arrow(rows.column("key").take(left.erased))
            self._rows.erase(gone, offset, places[left.erased])
            rows = rows.take(pa.array(left.events))
            places = places[left.events]
            clocks = clocks[left.events]
        self._add(rows, offset, places, clocks)
        return count

    def _add(self, rows: pa.RecordBatch, offset: int, places: I64, clocks: I64) -> None:
        """Fold events, which have their `places` in the record at `offset`; `clocks` say how far
        the log is at each."""
        fields = self._view.plan.fields
        columns = [_column_of(rows, name) for name in fields]
        values, wholes, texts = taken(self._view.plan, columns, rows.num_rows)
        self._rows.fold(
            Texts.from_arrow(rows.column("key")),
            rows.column("t").to_numpy(),
            values,
            offset,
            places,
            More(wholes, clocks, texts),
        )
        self._events += rows.num_rows

    def write(self) -> None:
        """Write touched rows; all of them if the store has lost some; then the mark. What could not
        be written is kept for the next try."""
        if self.past is not None:
            return
        if self._generation is None:
            self._generation = self._store.generation()
        touched = self._rows.hand_over()
        if len(touched[0]):  # tries are many while the store is away
            self._unwritten.append(touched)
        self._put_unwritten()
        if self._must_ask():
            self._see_generation()
        # The store has seen which rows are gone, and so they may be.
        self._rows.let_go()

    def _must_ask(self) -> bool:
        """Whether the store is to be asked once more if it still has all rows."""
        return self._told != self._tells() or time.monotonic() >= self._trusted_until

    def _tells(self) -> tuple[int, bool]:
        """Up to which tick all input is taken, and whether all rows are those of the log."""
        return self._ticks.finished, self._position >= self._end

    def _see_generation(self) -> None:
        """Write all rows if the store has lost some; then the mark."""
        generation = self._store.generation()
        if generation != self._generation:
            for part in self._rows.all_parts():
                self._unwritten.append(part)
                self._put_unwritten()
            self._generation = generation
        # After the rows, so that whoever finds it finds them. If they are lost in between, the mark
        # is of a generation that is over.
        if self._position >= self._end:
            self._mark.put(generation, self._position, self._ticks.finished)
        self._told = self._tells()
        self._trusted_until = time.monotonic() + self.trusted_seconds

    def _put_unwritten(self) -> None:
        while self._unwritten:
            keys, rows = self._unwritten[0]
            for first, after in cuts(lengths_of(rows, keys), ROWS_A_WRITE, READ_BYTES):
                self._put(keys[first:after], rows.part(first, after))
            self._unwritten.pop(0)

    def _put(self, keys: list[bytes], rows: Packed) -> None:
        there = have_events(rows)
        # Nearly always. A third of the time of `all`, for each write.
        if np.count_nonzero(there) == there.size:
            self._refused.write(keys, rows)
            return
        erased = is_erased(rows)
        over = is_over(rows)
        if there.any():
            self._refused.write(*_chosen(keys, rows, there))
        # With the newest version among them: whatever makes one of them anew comes after all that
        # was applied by now, and so has a newer one.
        for chosen, end in ((erased, self._refused.erase), (over, self._refused.forget)):
            if chosen.any():
                own, gone = _chosen(keys, rows, chosen)
                end(own, max(row[:VERSION_BYTES] for row in gone))

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
        return {**state, **self._own_state()}

    def dump_in_parts(self) -> PartedArrays:
        return {**self._rows.dump_in_parts(), **self._own_state()}

    def _own_state(self) -> Arrays:
        """What it knows beside its rows."""
        return {
            "_cursors": self._cursors.dump(),
            "_ticks": self._ticks.dump(),
            "_clock": self._clock.dump(),
            "_events": np.array([self._events]),
            "_position": np.array([self._position]),
        }

    def load(
        self, base: Mapping[str, npt.NDArray[Any]], deltas: Sequence[Mapping[str, npt.NDArray[Any]]]
    ) -> None:
        if any(is_named(part) for part in (base, *deltas)):
            self._bounded()
        self.past = None
        self._rows.load(base, deltas)
        newest = deltas[-1] if deltas else base
        self._cursors.load(newest["_cursors"])
        self._ticks.load(newest["_ticks"])
        self._events = int(newest["_events"][0])
        # A checkpoint of an earlier version has none: it is known from the next record on.
        if "_position" in newest:
            self._position = int(newest["_position"][0])
        # Nor this: until it is known how far the log is, no row is over by it.
        if "_clock" in newest:
            self._clock.load(newest["_clock"])
        # What the store holds may be older than the checkpoint (it may have been emptied while this
        # task was away).
        self._generation = ""

    @property
    def wants_full(self) -> bool:
        return self._rows.wants_full

    def files(self) -> Sequence[Path]:
        return self._rows.files

    def folder(self) -> Path:
        return self._bounded().folder()

    def _bounded(self) -> BoundedRows:
        """Rows as whoever had some on disk kept them; this task may have room for all."""
        if not isinstance(self._rows, BoundedRows):
            self._rows = BoundedRows(self._view.plan, self._memory)
        return self._rows

    def facts(self) -> dict[str, Any]:
        facts = {
            "events": self._events,
            "keys": len(self._rows),
            "finished": self.finished,
            **self._refused.facts(),
        }
        if self.past is not None:
            facts["waits_for_its_past"] = True
        if isinstance(self._rows, BoundedRows):
            facts["keys_on_disk"] = self._rows.on_disk
        return facts


def _chosen(
    keys: list[bytes], rows: Packed, chosen: npt.NDArray[np.bool_]
) -> tuple[list[bytes], Packed]:
    places = np.flatnonzero(chosen).tolist()
    return [keys[place] for place in places], Packed.of([rows.row(place) for place in places])


def _column_of(rows: pa.RecordBatch, name: str) -> pa.Array:
    """Of an input; nulls, where it is one of another topic's events."""
    at = rows.schema.get_field_index(blocks.FIELD + name)
    if at < 0:
        return pa.nulls(rows.num_rows)
    return rows.column(at)
