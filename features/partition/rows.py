"""The feature rows of one clean partition, in memory: the store and the checkpoints hold copies of
these."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.features.keeping import FOR_EVER
from freshet.features.packed import Packed
from freshet.features.partition.as_stored import as_stored
from freshet.features.partition.dumps import (
    KeyParts,
    RowParts,
    Rows,
    as_arrays,
    changes_in,
    check_digest,
    in_parts,
    rows_in,
)
from freshet.features.partition.events import NO_MORE, More, checked
from freshet.features.partition.texts import RowTexts
from freshet.features.rows.arena import RowArena
from freshet.features.rows.finish_kernels import plain
from freshet.features.rows.fold_kernels import Events
from freshet.features.rows.layout import (
    CHECKPOINT,
    END,
    NEVER,
    NEWEST,
    OVER,
    STORE,
)
from freshet.features.rows.plan import RowPlan
from freshet.schemas.errors import CheckpointError
from freshet.schemas.parted_arrays import PartedArrays, whole
from freshet.schemas.text.columns import Texts
from freshet.schemas.text.interner import Changes, Interner

I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Arrays = dict[str, npt.NDArray[Any]]
Named = tuple[list[bytes], Packed]
# What a key takes beside its text: its place in the table and by its id, and that of its row.
KEY_BYTES = 112
# Rows that are packed at once, where all are asked for: some megabytes.
A_PART = 10_000


class ViewRows:
    """Rows by key, folded from one partition's events in the order of its log. Not thread-safe.

    A row's bytes follow from the log alone, in any batches, whether or not it was dumped and loaded
    in between, and whenever it was removed once it was over (`features/keeping.py`).

    Rows that were touched are remembered twice: until the next `hand_over` (the store's share) and
    until the next `dump` or `dump_delta` (the checkpoint's). A row that is over, or was erased, is
    touched once more, as one of no events, and let go once both have seen that.
    """

    def __init__(self, plan: RowPlan) -> None:
        self.plan = plan
        self._clear()

    def _clear(self) -> None:
        self._keys = Interner()
        self._arena = RowArena(self.plan)
        # None: rows name no texts.
        self._texts: RowTexts | None = None
        if self.plan.texts is not None:
            self._texts = RowTexts(self.plan)
        self._next_looked_at = 0
        # No row has an older newest event: as the last round found, and as this one does so far.
        self._oldest = END
        self._oldest_of_round = END
        # Ids of rows of which nothing is left, until they are let go: those that no checkpoint has
        # seen so, and those that one has.
        self._leaving: list[I64] = []
        self._seen_leaving: list[I64] = []

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def wants_full(self) -> bool:
        """Never: all of it is in arrays, which deltas may follow."""
        return False

    @property
    def files(self) -> Sequence[Path]:
        """None."""
        return ()

    @property
    def used_bytes(self) -> int:
        """Memory that holds rows, without their keys."""
        used = self._arena.used_bytes
        if self._texts is not None:
            used += self._texts.used_bytes
        return used

    @property
    def key_bytes(self) -> int:
        """Memory that holds keys."""
        return self._keys.used_bytes

    def fold(
        self,
        keys: Texts,
        times: I64,
        values: npt.NDArray[np.float64],
        version_offset: int,
        version_index: npt.NDArray[np.int32] | I64,
        more: More = NO_MORE,
    ) -> None:
        """Fold `n` events: times `t` (ms) and `values` float64 `[n, k]`, one column a field of the
        plan (NaN: missing).

        The record at `version_offset` carried them, event `i` as its row `version_index[i]`. Keys
        are as `freshet.schemas.text.keys` writes them, so none is missing. Event times are trusted:
        intake has quarantined those of a far future.

        Raises:
            DefinitionError: columns of other lengths, or not one for each field of the plan.
        """
        count = len(keys)
        columns = checked(self.plan, count, times, values, version_index, more)
        if self._texts is not None:
            # First, while rows name all that is known.
            self._texts.forget(self._keys.ids(), self._arena.pack)
            self._texts.learn(more.texts)
        if count:
            # A row may begin with any of them, behind whoever looks.
            least = int(times.min())
            self._oldest = min(self._oldest, least)
            self._oldest_of_round = min(self._oldest_of_round, least)
        ids = self._keys(keys)
        self._arena.hold(self._keys.given)
        self._arena.fold(Events(ids, *columns), version_offset)

    def sweep(self, now_ms: int, rows: int) -> None:
        """Look at so many rows, in turn, and empty those that are over by the partition's clock."""
        if self.plan.keep_ms == FOR_EVER:
            return
        given = self._keys.given
        rows = min(rows, given)
        while rows:
            first = self._next_looked_at
            # Between two rounds: most of the time none can be over.
            if first == 0 and now_ms - self._oldest <= self.plan.keeps[1]:
                return
            after = min(first + rows, given)
            gone, oldest = self._arena.sweep(first, after, now_ms)
            if gone.size:
                self._leaving.append(gone)
            self._oldest_of_round = min(self._oldest_of_round, oldest)
            rows -= after - first
            self._next_looked_at = after
            if after == given:
                self._next_looked_at = 0
                self._oldest = self._oldest_of_round
                self._oldest_of_round = END

    def let_go(self) -> list[bytes]:
        """Let go of rows of which nothing is left, and of their keys, which are returned: the store
        has all that was handed over. Those that a checkpoint has yet to hold wait for it."""
        if not self._seen_leaving:
            return []
        leaving = np.unique(np.concatenate(self._seen_leaving))
        dropped, waiting = self._arena.drop(leaving)
        names = self._keys.names_of(dropped)
        self._keys.forget(dropped)
        self._seen_leaving = []
        if waiting.size:
            self._leaving.append(waiting)
        return names

    def erase(
        self, keys: Texts, version_offset: int, version_index: npt.NDArray[np.int32] | I64
    ) -> None:
        """Leave nothing of `n` rows, each key once, but the version: that of the record at
        `version_offset`, as its row `version_index[i]`. The next event of a key makes its row
        anew."""
        ids = self._keys(keys)
        self._arena.hold(self._keys.given)
        self._arena.erase(ids, version_offset, plain(version_index, np.int64))
        self._leaving.append(ids)

    def hand_over(self) -> Named:
        """Keys and rows (as stored) touched since the last time, in order of
        first touch.

        They are handed over: whoever took them writes them, again if need be.
        """
        return self._packed(self._arena.untouch(STORE))

    def all_rows(self) -> Named:
        """Every key and row, for a store that has lost them; a `hand_over` of everything."""
        # Those that were touched are among all: none of them is handed over once more.
        self._arena.untouch(STORE)
        return self._packed(self._keys.ids())

    def all_parts(self) -> Iterator[Named]:
        """`all_rows`, part by part: memory may have no room for them twice."""
        self._arena.untouch(STORE)
        ids = self._keys.ids()
        for first in range(0, ids.size, A_PART):
            yield self._packed(ids[first : first + A_PART])

    def dump(self) -> Arrays:
        """Everything, as arrays of their own (a checkpoint's base)."""
        return whole(self.dump_in_parts())

    def dump_in_parts(self) -> PartedArrays:
        """As `dump`; keys and rows are made part by part, as they are at that moment."""
        self._arena.untouch(CHECKPOINT)
        self._keys.changes()
        self._see_leaving()
        ids = self._keys.ids()
        keys = KeyParts(ids, lambda: self._keys.parts(ids, A_PART), self._keys.live_bytes)
        rows = RowParts(lambda: self._word_parts(ids), self._ends_of(ids))
        return in_parts(self.plan.digest, keys, rows, self._arena.touched(STORE))

    def dump_delta(self) -> Arrays:
        """Rows touched, and keys that came and went, since the last `dump`, `dump_delta` or
        `load`."""
        changes = self._keys.changes()
        had = len(self) - changes.ids.size + changes.forgotten.size
        return self._dump(self._arena.untouch(CHECKPOINT), changes, had)

    def load(
        self, base: Mapping[str, npt.NDArray[Any]], deltas: Iterable[Mapping[str, npt.NDArray[Any]]]
    ) -> None:
        """Become the rows that dumped `base` and then `deltas`, with what they had not yet handed
        over.

        Raises:
            CheckpointError: dumps of another plan, or deltas that do not follow each other.
        """
        self._clear()
        for part in (base, *deltas):
            self._apply(part)
        # Nobody has looked at them, and some may be rows of no events.
        self._oldest = NEVER
        self._seen_leaving = [self._keys.ids()]
        # Of the newest part alone: each says all that was pending when it was dumped.
        self._arena.touch(plain(part["pending"], np.int64), STORE)

    # ------------------------------------------------------------- of rows that lie elsewhere, too

    @property
    def live_bytes(self) -> int:
        """Memory that rows and keys need, which may be less than they hold."""
        live = self._arena.live_bytes
        live += self._keys.live_bytes * 2 + len(self._keys) * KEY_BYTES
        if self._texts is not None:
            live += self._texts.live_bytes(len(self._keys))
        return live

    def find(self, keys: Texts) -> I64:
        """The ids of keys, int64 `[n]`; -1 where there is no row. They hold until rows come or
        go."""
        return self._keys.find(keys)

    def ids(self) -> I64:
        """The ids of all rows."""
        return self._keys.ids()

    def take_touched(self) -> I64:
        """The ids of the rows that a checkpoint has yet to see; it has them from now on, and knows
        keys by their names."""
        self._keys.changes()
        self._seen_leaving += self._leaving
        self._leaving = []
        return self._arena.untouch(CHECKPOINT)

    def touch_for_store(self, ids: I64) -> None:
        """Make these, and no others, the rows that the store has yet to see."""
        # One that kept the mark, and is not listed, would never be handed over.
        self._arena.untouch(STORE)
        self._arena.touch(ids, STORE)

    def pending(self) -> I64:
        """The ids of the rows that the store has yet to see; they stay so."""
        return self._arena.touched(STORE)

    def named(self, ids: I64) -> tuple[list[bytes], I64, I64]:
        """The keys of rows, and their words as they are in memory, one row after the other, with
        where each ends; behind each the texts that it names."""
        return self._keys.names_of(ids), *self._with_texts(ids)

    def put(self, keys: Texts, words: I64, ends: I64) -> I64:
        """Put rows as `named` gave them in the place of what their keys have; their ids. Nobody has
        yet to see them."""
        if self._texts is not None:
            self._texts.forget(self._keys.ids(), self._arena.pack)
        ids = self._keys(keys)
        self._arena.hold(self._keys.given)
        bare, bare_ends = self._without_texts(words, ends)
        self._arena.unpack(ids, bare, bare_ends)
        starts = np.concatenate([np.zeros(1, np.int64), ends])[:-1]
        newest = words[starts + NEWEST]
        is_empty = newest <= OVER
        # Rows of no events, which a checkpoint had.
        if is_empty.any():
            self._seen_leaving.append(ids[is_empty])
        # They may be older than all that were here.
        oldest = int(newest[~is_empty].min(initial=END))
        self._oldest = min(self._oldest, oldest)
        self._oldest_of_round = min(self._oldest_of_round, oldest)
        return ids

    def end_over(self, ids: I64, now_ms: int) -> None:
        """Look at some rows, and empty those that are over by the partition's clock."""
        rising = np.sort(ids)
        for run in np.split(rising, np.flatnonzero(np.diff(rising) > 1) + 1):
            if run.size:
                first = int(run[0])
                gone, _ = self._arena.sweep(first, first + run.size, now_ms)
                self._leaving.append(gone)

    def mark(self, ids: I64, which: int, is_set: bool = True) -> None:
        """Give rows a mark, or take it from them."""
        if is_set:
            self._arena.mark(ids, which)
        else:
            self._arena.unmark(ids, which)

    def has_mark(self, ids: I64, which: int) -> Bools:
        """Which of some rows have a mark."""
        return self._arena.has_mark(ids, which)

    def unused(self, excess_bytes: int, most: int) -> I64:
        """The ids of rows that were not used for long, at most so many, until they make up
        `excess_bytes`; none that the store has yet to see."""
        return self._arena.unused(self._keys.given, excess_bytes, KEY_BYTES, most)

    def forget(self, ids: I64) -> None:
        """Forget rows and their keys, whoever has yet to see them."""
        self._arena.take_out(ids)
        self._keys.forget(ids)

    def _with_texts(self, ids: I64) -> tuple[I64, I64]:
        packed = self._arena.pack(ids)
        if self._texts is None:
            return packed
        return self._texts.behind(*packed)

    def _without_texts(self, words: I64, ends: I64) -> tuple[I64, I64]:
        if self._texts is None:
            return words, ends
        return self._texts.cut(words, ends)

    def _packed(self, ids: I64) -> Named:
        return self._keys.names_of(ids), as_stored(*self._with_texts(ids))

    def _dump(self, ids: I64, changes: Changes, had: int) -> Arrays:
        self._see_leaving()
        rows = Rows(ids, *self._with_texts(ids))
        return as_arrays(self.plan.digest, had, changes, rows, self._arena.touched(STORE))

    def _see_leaving(self) -> None:
        """A checkpoint has those of which nothing is left."""
        self._seen_leaving += self._leaving
        self._leaving = []

    def _ends_of(self, ids: I64) -> I64:
        """Where each row ends, as `_word_parts` has them."""
        if self._texts is None:
            return self._arena.ends_of(ids)
        ends = np.empty(ids.size, np.int64)
        first = 0
        before = 0
        for _, of_part in self._row_parts(ids):
            after = first + of_part.size
            np.add(of_part, before, out=ends[first:after])
            before += int(of_part[-1])
            first = after
        return ends

    def _word_parts(self, ids: I64) -> Iterator[I64]:
        for words, _ in self._row_parts(ids):
            yield words

    def _row_parts(self, ids: I64) -> Iterator[tuple[I64, I64]]:
        """As `_with_texts`, part by part."""
        parts = (
            self._arena.pack(ids[first : first + A_PART]) for first in range(0, ids.size, A_PART)
        )
        if self._texts is None:
            return parts
        return self._texts.behind_each(parts)

    def _apply(self, part: Mapping[str, npt.NDArray[Any]]) -> None:
        check_digest(part, self.plan.digest)
        had = len(self)
        first = int(part["first_key"][0])
        changes = changes_in(part)
        # Else these keys would have other ids than they had when they were dumped.
        follows = had == first and self._keys.apply(changes)
        rows = rows_in(part)
        if not follows or not np.isin(rows.ids, self._keys.ids()).all():
            raise CheckpointError(
                f"delta from key {first} on",
                f"does not follow {had} keys",
                "Load the deltas of one base, in order.",
            )
        self._arena.hold(self._keys.given)
        self._arena.drop(changes.forgotten)
        self._arena.unpack(rows.ids, *self._without_texts(rows.words, rows.ends))
