"""The memory that the rows of a view lie in, which grows without being copied."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.features.rows import arena_kernels as kernels
from freshet.features.rows.fold_kernels import Events, Steps, fold
from freshet.features.rows.layout import BLOCK_ID, CHECKPOINT, END, MARKS
from freshet.features.rows.plan import RowPlan
from freshet.features.rows.removal_kernels import drop, erase, sweep, take_out, unused
from freshet.features.rows.tile_kernels import Rings

I64 = npt.NDArray[np.int64]
# Emptying one takes a fraction of a millisecond; smaller ones leave more unused at their ends.
SEGMENT_WORDS = 1 << 15
# Below this a page more or less is nothing, and huge ones would be mostly empty.
HUGE_BYTES = 64 << 20


class Memory:
    """Zeros of one dtype that may become more: the pages that are there are kept, not copied, where
    the system can do that. Whoever holds `array` when it grows holds the old one."""

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._dtype = np.dtype(dtype)
        self._map = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.array: npt.NDArray[Any] = np.frombuffer(self._map, self._dtype)

    def grow(self, count: int) -> None:
        """Make room for `count` values, and for as many again as there were."""
        size = len(self._map)
        need = count * self._dtype.itemsize
        if need <= size:
            return
        while size < need:
            size *= 2
        del self.array
        try:
            self._map.resize(size)
        except (SystemError, BufferError):
            # A system without mremap, or somebody holds an array: a copy, then.
            old = self._map
            self._map = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            self._map[: len(old)] = old[:]
        if size >= HUGE_BYTES and hasattr(mmap, "MADV_HUGEPAGE"):
            self._map.madvise(mmap.MADV_HUGEPAGE)
        self.array = np.frombuffer(self._map, self._dtype)


class RowArena:
    """Rows of a plan by id, as the kernels fold into them (`features/rows/arena_kernels.py`)."""

    def __init__(self, plan: RowPlan) -> None:
        self._shape = plan.shape
        self._rings = Rings(
            plan.ring_table,
            plan.columns,
            plan.sketches.table,
            plan.sketches.edges,
        )
        self._steps = Steps(
            plan.shape,
            plan.tail_fields,
            plan.tail_codes,
            plan.states,
            plan.half_lives,
            plan.keeps,
        )
        self._words = Memory(np.int64)
        self._blocks = Memory(np.int64)
        self._touched = Memory(np.int64)
        self._counts = np.zeros(2, np.int64)
        self._stale = 0  # entries among the touched whose rows went to disk
        self._hand = 0
        self._state = np.zeros(kernels.STATES, np.int64)
        self._state[kernels.SEGMENT] = _segment_words(plan.room.words)
        self._dead = np.zeros(0, np.int64)
        self._free = np.zeros(0, np.int64)
        self._scratch = (
            np.empty(plan.room.numbers, np.int64),
            np.empty(plan.room.values, np.float64),
            np.empty(plan.sketches.room.gathered, np.int64),
        )

    @property
    def used_bytes(self) -> int:
        """Memory that holds blocks, live or dead."""
        state = self._state
        segments = state[kernels.USED] - state[kernels.FREE]
        return int(segments * state[kernels.SEGMENT]) * self._words.array.itemsize

    @property
    def live_bytes(self) -> int:
        """Memory that holds live blocks, with as many dead ones as there may be beside them."""
        live = self._state[kernels.LIVE] * self._words.array.itemsize
        return int(live) // kernels.LIVE_PARTS * (kernels.LIVE_PARTS + kernels.DEAD_PARTS)

    def hold(self, ids: int) -> None:
        """Make room for so many ids."""
        self._blocks.grow(ids)
        # Each once, and once more what was touched before its row went to disk.
        self._touched.grow(2 * (ids + self._stale))

    def fold(self, events: Events, offset: int) -> None:
        """Fold the events of a record into the rows of their ids."""
        count = len(events.ids)
        # At least once: a batch of no events may compact.
        done = self._fold(events, 0, offset)
        while done < count:
            self._more_segments()
            done = self._fold(events, done, offset)

    def _fold(self, events: Events, first: int, offset: int) -> int:
        return int(
            fold(
                events,
                first,
                offset,
                self._steps,
                self._rings,
                self._arena(),
                self._touched.array,
                self._counts,
                self._scratch,
            )
        )

    def erase(self, ids: I64, offset: int, indexes: I64) -> None:
        """Leave rows of no events, by the record at `offset`."""
        done = 0
        while done < ids.size:
            done = int(
                erase(
                    done,
                    ids,
                    offset,
                    indexes,
                    self._steps,
                    self._arena(),
                    self._touched.array,
                    self._counts,
                )
            )
            if done < ids.size:
                self._more_segments()

    def sweep(self, first: int, after: int, now_ms: int) -> tuple[I64, int]:
        """Empty those rows of some ids, `first` to `after` (exclusive), that are over by a clock;
        their ids, and the least newest event of the others."""
        gone = np.empty(after - first, np.int64)
        count = 0
        oldest = END
        while first < after:
            found, first, least = sweep(
                first,
                after,
                now_ms,
                self._steps,
                self._arena(),
                self._touched.array,
                self._counts,
                gone[count:],
            )
            count += int(found)
            oldest = min(oldest, int(least))
            if first < after:
                self._more_segments()
        return gone[:count], oldest

    def drop(self, ids: I64) -> tuple[I64, I64]:
        """Let go of those rows of which nothing is left, once store and checkpoint have seen that:
        the ids of these, and of those that have yet to be seen."""
        dropped = np.empty(ids.size, np.int64)
        waiting = np.empty(ids.size, np.int64)
        done, left = drop(ids, self._arena(), dropped, waiting)
        return dropped[:done], waiting[:left]

    def untouch(self, who: int) -> I64:
        """The touched rows, in order of first touch, which are then touched no more."""
        ids = self.touched(who)
        # The other's mark stays: store and checkpoint take rows at different times.
        count = kernels.unmark(ids, who, self._words.array, self._blocks.array)
        self._counts[who] = 0
        # Nothing that the store has yet to see goes to disk.
        if who == CHECKPOINT:
            self._stale = 0
        return ids[:count]

    def touched(self, who: int) -> I64:
        """The touched rows, in order of first touch."""
        ids: I64 = self._touched.array[who : 2 * self._counts[who] : 2].copy()
        return ids

    def touch(self, ids: I64, who: int) -> None:
        """Make these the touched rows."""
        self._touched.array[who : 2 * ids.size : 2] = ids
        self._counts[who] = ids.size
        kernels.mark(ids, who, self._words.array, self._blocks.array)

    def has_mark(self, ids: I64, which: int) -> npt.NDArray[np.bool_]:
        """Which of some rows have a mark."""
        words = self._words.array[self._blocks.array[ids] + BLOCK_ID]
        found: npt.NDArray[np.bool_] = (words >> (MARKS + which) & 1).astype(np.bool_)
        return found

    def mark(self, ids: I64, which: int) -> None:
        """Give rows a mark."""
        kernels.mark(ids, which, self._words.array, self._blocks.array)

    def unmark(self, ids: I64, which: int) -> None:
        """Take a mark from rows."""
        kernels.unmark(ids.copy(), which, self._words.array, self._blocks.array)

    def unused(self, given: int, excess_bytes: int, key_bytes: int, most: int) -> I64:
        """Rows of ids below `given` that may go to disk, at most so many, until they and their keys
        make up `excess_bytes`."""
        found = np.empty(most, np.int64)
        word_bytes = self._words.array.itemsize
        count, self._hand = unused(
            self._hand,
            given,
            excess_bytes // word_bytes + 1,
            key_bytes // word_bytes,
            self._arena(),
            found,
        )
        return found[:count]

    def take_out(self, ids: I64) -> None:
        """Forget rows, whatever marks they have."""
        self._stale += int(np.count_nonzero(self.has_mark(ids, CHECKPOINT)))
        take_out(ids, self._arena())

    def ends_of(self, ids: I64) -> I64:
        """Where each row ends, as `pack` has them."""
        ends = np.empty(ids.size, np.int64)
        kernels.measure(ids, self._arena(), self._shape, self._rings, ends)
        return ends

    def pack(self, ids: I64) -> tuple[I64, I64]:
        """The words of rows, one row after the other, and where each ends."""
        ends = self.ends_of(ids)
        rows = np.empty(int(ends[-1]) if ids.size else 0, np.int64)
        kernels.pack(ids, self._arena(), self._shape, ends, rows)
        return rows, ends

    def unpack(self, ids: I64, rows: I64, ends: I64) -> None:
        """Put packed rows in the place of what their ids have."""
        done = 0
        while done < ids.size:
            done = int(kernels.unpack(done, ids, rows, ends, self._shape, self._arena()))
            if done < ids.size:
                self._more_segments()

    def _arena(self) -> kernels.Arena:
        # Made for each call, since an array that is kept would keep the memory from growing.
        words = self._words.array
        return kernels.Arena(
            words,
            words.view(np.float64),
            words.view(np.uint32),
            self._blocks.array,
            self._state,
            self._dead,
            self._free,
        )

    def _more_segments(self) -> None:
        had = self._dead.size
        # One to be filled, and one that the event which fills it may need besides.
        more = max(2, had // 2)
        self._words.grow((had + more) * int(self._state[kernels.SEGMENT]))
        # Little: some bytes a segment.
        self._dead = np.concatenate([self._dead, np.zeros(more, np.int64)])
        self._free = np.concatenate([self._free, np.zeros(more, np.int64)])


def _segment_words(largest_row: int) -> int:
    """A segment holds any row, with what its block may have beyond."""
    words = SEGMENT_WORDS
    while words < 2 * largest_row:
        words *= 2
    return words
