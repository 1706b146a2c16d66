"""The feature rows of one clean partition, in memory: the store and the checkpoints hold copies of
these."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from freshet.features import aggregates
from freshet.features.keeping import FOR_EVER
from freshet.features.packed import Packed
from freshet.features.rows.arena import RowArena
from freshet.features.rows.finish import Answers, Part, finish, finish_into, tables_of
from freshet.features.rows.finish_kernels import plain
from freshet.features.rows.fold_kernels import Events
from freshet.features.rows.layout import (
    CHECKPOINT,
    DIRTY,
    END,
    NEVER,
    NEWEST,
    OVER,
    STORE,
    VERSION_INDEX,
    VERSION_OFFSET,
)
from freshet.features.rows.plan import WORD, RowPlan
from freshet.schemas.durations import LATEST_MS
from freshet.schemas.errors import CheckpointError, DefinitionError
from freshet.schemas.text.columns import Texts
from freshet.schemas.text.interner import Changes, Interner

__all__ = ["More", "RowPlan", "ViewRows", "have_events", "is_erased", "is_over", "warm"]

I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Arrays = dict[str, npt.NDArray[Any]]
Named = tuple[list[bytes], Packed]
_NO_WHOLES = np.zeros((0, 0), np.int64)
# What a key takes beside its text: its place in the table and by its id, and that of its row.
KEY_BYTES = 112


class More(NamedTuple):
    """What is known of `n` events besides.

    Where the plan has whole numbers, `wholes` int64 `[n, k]` are the values to the last digit;
    where a value is missing, or its field is of no such feature, they are not looked at. `clocks`
    int64 `[n]` say how far the log is at each event (ms); without them a row is over for events of
    its own key alone.
    """

    wholes: I64 | None = None
    clocks: I64 | None = None


NO_MORE = More()


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
    def used_bytes(self) -> int:
        """Memory that holds rows, without their keys."""
        return self._arena.used_bytes

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
        shape = (count, len(self.plan.fields))
        exact = _NO_WHOLES
        if self.plan.takes_codes and more.wholes is not None:
            exact = more.wholes
        clocks = more.clocks
        if clocks is None:
            clocks = np.full(count, NEVER)
        if (
            len(times) != count
            or len(version_index) != count
            or values.shape != shape
            or (self.plan.takes_codes and exact.shape != shape)
        ):
            raise DefinitionError(
                f"events of a view over {', '.join(self.plan.fields) or 'no field'}",
                f"have {count} keys, {len(times)} times, {len(version_index)} indexes, "
                f"values {values.shape} and whole numbers {exact.shape}",
                "Pass one row for each event and one column for each field of the plan.",
            )
        if count:
            # A row may begin with any of them, behind whoever looks.
            least = int(times.min())
            self._oldest = min(self._oldest, least)
            self._oldest_of_round = min(self._oldest_of_round, least)
        ids = self._keys(keys)
        self._arena.hold(self._keys.given)
        events = Events(
            ids,
            plain(times, np.int64),
            plain(version_index, np.int64),
            plain(values, np.float64),
            plain(exact, np.int64),
            plain(clocks, np.int64),
        )
        self._arena.fold(events, version_offset)

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
        """`all_rows`, part by part, where they may be more than memory holds."""
        yield self.all_rows()

    def dump(self) -> Arrays:
        """Everything, as arrays of their own (a checkpoint's base)."""
        self._arena.untouch(CHECKPOINT)
        self._keys.changes()
        ids = self._keys.ids()
        everything = Changes(np.zeros(0, np.int64), ids, self._keys.texts(ids))
        return self._dump(ids, everything, 0)

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
        keys = self._keys.live_bytes * 2 + len(self._keys) * KEY_BYTES
        return self._arena.live_bytes + keys

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
        where each ends."""
        return self._keys.names_of(ids), *self._arena.pack(ids)

    def put(self, keys: Texts, words: I64, ends: I64) -> I64:
        """Put rows as `named` gave them in the place of what their keys have; their ids. Nobody has
        yet to see them."""
        ids = self._keys(keys)
        self._arena.hold(self._keys.given)
        self._arena.unpack(ids, words, ends)
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

    def _packed(self, ids: I64) -> Named:
        rows, ends = self._arena.pack(ids)
        return self._keys.names_of(ids), as_stored(rows, ends)

    def _dump(self, ids: I64, changes: Changes, had: int) -> Arrays:
        self._seen_leaving += self._leaving
        self._leaving = []
        rows, ends = self._arena.pack(ids)
        return {
            "digest": np.frombuffer(self.plan.digest.encode(), np.uint8).copy(),
            # How many keys there were before.
            "first_key": np.array([had], np.int64),
            "forgotten": changes.forgotten,
            "key_ids": changes.ids,
            "keys": changes.texts.data,
            "key_ends": changes.texts.end,
            "ids": ids,
            "rows": rows,
            "row_ends": ends,
            "pending": self._arena.touched(STORE),
        }

    def _apply(self, part: Mapping[str, npt.NDArray[Any]]) -> None:
        check_digest(part, self.plan.digest)
        had = len(self)
        first = int(part["first_key"][0])
        changes = _changes_of(part)
        # Else these keys would have other ids than they had when they were dumped.
        follows = had == first and self._keys.apply(changes)
        ids = part["ids"]
        if not follows or not np.isin(ids, self._keys.ids()).all():
            raise CheckpointError(
                f"delta from key {first} on",
                f"does not follow {had} keys",
                "Load the deltas of one base, in order.",
            )
        self._arena.hold(self._keys.given)
        self._arena.drop(changes.forgotten)
        parts = (ids, part["rows"], part["row_ends"])
        self._arena.unpack(*(plain(one, np.int64) for one in parts))


def check_digest(part: Mapping[str, npt.NDArray[Any]], digest: str) -> None:
    """Raises `CheckpointError` for a dump of another plan than that of a digest."""
    found = part["digest"].tobytes().decode()
    if found != digest:
        raise CheckpointError(
            f"rows of plan {found}",
            f"were dumped by another definition than {digest}",
            "Build this view's rows from its log, or load the checkpoint of this definition.",
        )


def _changes_of(part: Mapping[str, npt.NDArray[Any]]) -> Changes:
    ends = plain(part["key_ends"], np.int64)
    starts = np.concatenate([np.zeros(1, np.int64), ends])[:-1]
    data = plain(part["keys"], np.uint8)
    texts = Texts(data, starts, ends, np.ones(len(ends), np.bool_))
    # Before keys were forgotten, each had the next id.
    if "key_ids" not in part:
        first = int(part["first_key"][0])
        ids = np.arange(first, first + len(ends))
        return Changes(np.zeros(0, np.int64), ids, texts)
    forgotten = plain(part["forgotten"], np.int64)
    return Changes(forgotten, plain(part["key_ids"], np.int64), texts)


def as_stored(words: I64, ends: I64) -> Packed:
    """Rows as the store has them, in the place of their `words` in memory."""
    packed = Packed(words.view(np.uint8), ends * WORD)
    # Versions are big-endian in the store, where they are compared as bytes.
    starts = packed.starts // WORD
    for word in (VERSION_OFFSET, VERSION_INDEX):
        words[starts + word] = words[starts + word].byteswap()
    return packed


def have_events(rows: Packed) -> Bools:
    """Which rows, bool `[n]`, are neither erased nor over."""
    out: Bools = _newest_of(rows) > OVER
    return out


def is_erased(rows: Packed) -> Bools:
    """Which rows, bool `[n]`, are nothing but the version of what erased them."""
    out: Bools = _newest_of(rows) == NEVER
    return out


def is_over(rows: Packed) -> Bools:
    """Which rows, bool `[n]`, are nothing but the version of one that is over."""
    out: Bools = _newest_of(rows) == OVER
    return out


def _newest_of(rows: Packed) -> I64:
    words = rows.data.view(np.int64)
    newest: I64 = words[rows.starts // WORD + NEWEST]
    return newest


def warm() -> None:
    """Compile (or load from numba's cache) every kernel on the way from events to values."""
    features: dict[str, aggregates.Aggregate] = {
        "n": aggregates.count(over="1m"),
        "x": aggregates.mean("x", over="1m"),
        "s": aggregates.last("x"),
        "r": aggregates.last_distinct("w", 2),
        "q": aggregates.quantile("x", 0.5, over="1m"),
        "d": aggregates.distinct("w", over="1m"),
        "f": aggregates.most_frequent("w", over="1m"),
    }
    plan = RowPlan.compile(features, 60_000, ["w"], keep_ms=60_000)
    rows = ViewRows(plan)
    again = ViewRows(plan)
    Interner(2)(Texts.of(["a", "b", "a key that is longer than there is room for"]))  # grows
    first = np.zeros(1, np.int64)
    codes = More(np.zeros((1, 2), np.int64))
    rows.fold(Texts.of(["a"]), first, np.zeros((1, 2)), 0, first, codes)
    base = rows.dump()
    rows.sweep(LATEST_MS, 1)
    rows.erase(Texts.of(["a"]), 1, first)
    packed = rows.hand_over()[1]
    rows.dump_delta()
    rows.let_go()
    again.load(base, [rows.dump_delta()])
    finish(plan, packed, first)
    # As where on-demand features read them; to vectors they go as float32, which any run does.
    unrounded = Answers(
        np.zeros((1, len(features))), np.zeros((1, 2), np.int64), np.zeros(1, np.int64)
    )
    finish_into(
        tables_of([plan], [0]), [Part(0, packed, [0])], 0, np.arange(len(features)), unrounded
    )
    # As rows go to disk, and come back.
    keys = Texts.of(["b"])
    again.fold(keys, first, np.zeros((1, 2)), 2, first, codes)
    again.hand_over()
    _, words, ends = again.named(again.find(keys))
    again.mark(again.put(keys, words, ends), DIRTY)
    again.mark(again.find(keys), DIRTY, is_set=False)
    again.forget(again.unused(1, 1))
