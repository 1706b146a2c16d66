"""The feature rows of one clean partition, in memory: the store and the checkpoints hold copies of
these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.features import aggregates
from freshet.features.rows import kernels
from freshet.features.rows.finish import finish
from freshet.features.rows.kernels import (
    CHECKPOINT,
    LATE,
    STORE,
)
from freshet.features.rows.plan import RowPlan
from freshet.schemas.errors import CheckpointError, DefinitionError
from freshet.schemas.text.columns import Interner, Texts

__all__ = ["RowPlan", "ViewRows", "is_erased", "warm"]

I64 = npt.NDArray[np.int64]
Arrays = dict[str, npt.NDArray[Any]]
Packed = tuple[list[bytes], npt.NDArray[np.uint8]]
_VERSION_BYTES = 16
_NO_WHOLES = np.zeros((0, 0), np.int64)


class ViewRows:
    """Rows by key, folded from one partition's events in the order of its log. Not thread-safe.

    Rows that were touched are remembered twice: until the next `hand_over` (the store's share) and
    until the next `dump` or `dump_delta` (the checkpoint's).
    """

    def __init__(self, plan: RowPlan) -> None:
        self.plan = plan
        self._clear()

    def _clear(self) -> None:
        self._keys = Interner()
        self._names = list[bytes]()
        self._words = np.zeros((0, self.plan.width // 8), np.int64)
        self._floats = self._words.view(np.float64)
        self._mark = np.zeros(0, np.uint8)
        self._touched = np.zeros((2, 0), np.int64)
        self._counts = np.zeros(2, np.int64)
        self._dumped = 0

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def late(self) -> int:
        """Events so far that were too old for their row's windows (decayed means still had
        them)."""
        return int(self._words[: len(self), LATE].sum())

    def fold(
        self,
        keys: Texts,
        times: I64,
        values: npt.NDArray[np.float64],
        version_offset: int,
        version_index: npt.NDArray[np.int32] | I64,
        wholes: I64 | None = None,
    ) -> None:
        """Fold `n` events: times `t` (ms) and `values` float64 `[n, k]`, one column a field of the
        plan (NaN: missing). Where the plan has whole numbers, `wholes` int64 `[n, k]` are the same
        to the last digit; where a value is missing, or its field is of no such feature, they are
        not looked at.

        The record at `version_offset` carried them, event `i` as its row `version_index[i]`. Keys
        are as `freshet.schemas.text.keys` writes them, so none is missing. Event times are trusted:
        intake has quarantined those of a far future.

        Raises:
            DefinitionError: columns of other lengths, or not one for each field of the plan.
        """
        count = len(keys)
        shape = (count, len(self.plan.fields))
        exact = _NO_WHOLES
        if self.plan.wholes and wholes is not None:
            exact = wholes
        if (
            len(times) != count
            or len(version_index) != count
            or values.shape != shape
            or (self.plan.wholes and exact.shape != shape)
        ):
            raise DefinitionError(
                f"events of a view over {', '.join(self.plan.fields) or 'no field'}",
                f"have {count} keys, {len(times)} times, {len(version_index)} indexes, "
                f"values {values.shape} and whole numbers {exact.shape}",
                "Pass one row for each event and one column for each field of the plan.",
            )
        ids = self._keys(keys)
        if len(self._keys) > len(self._mark):
            self._grow(len(self._keys))
        events = kernels.Events(
            ids,
            kernels.plain(times, np.int64),
            kernels.plain(version_index, np.int64),
            kernels.plain(values, np.float64),
            kernels.plain(exact, np.int64),
        )
        steps = kernels.Steps(self.plan.shape, self.plan.ops, self.plan.op_params)
        memory = kernels.Memory(self._words, self._floats, self._mark, self._touched, self._counts)
        kernels.fold(events, version_offset, steps, memory)

    def erase(
        self, keys: Texts, version_offset: int, version_index: npt.NDArray[np.int32] | I64
    ) -> None:
        """Leave nothing of `n` rows, each key once, but the version: that of the record at
        `version_offset`, as its row `version_index[i]`. The next event of a key makes its row
        anew."""
        ids = self._keys(keys)
        if len(self._keys) > len(self._mark):
            self._grow(len(self._keys))
        # A row without events is one that the next event opens.
        self._words[ids] = 0
        self._words[ids, kernels.VERSION_OFFSET] = version_offset
        self._words[ids, kernels.VERSION_INDEX] = version_index
        for who in (STORE, CHECKPOINT):
            fresh = ids[self._mark[ids] & (1 << who) == 0]
            count = self._counts[who]
            self._touched[who, count : count + len(fresh)] = fresh
            self._counts[who] += len(fresh)
            self._mark[fresh] |= 1 << who

    def hand_over(self) -> Packed:
        """Keys and rows (uint8 `[m, width]`, as stored) touched since the last time, in order of
        first touch.

        They are handed over: whoever took them writes them, again if need be.
        """
        return self._packed(self._untouch(STORE))

    def all_rows(self) -> Packed:
        """Every key and row, for a store that has lost them; a `hand_over` of everything."""
        # Those that were touched are among all: none of them is handed over once more.
        self._untouch(STORE)
        return self._packed(np.arange(len(self)))

    def dump(self) -> Arrays:
        """Everything, as arrays of their own (a checkpoint's base)."""
        self._untouch(CHECKPOINT)
        self._dumped = 0
        return self._dump(np.arange(len(self)))

    def dump_delta(self) -> Arrays:
        """Rows touched, and keys first seen, since the last `dump`, `dump_delta` or `load`."""
        return self._dump(self._untouch(CHECKPOINT))

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
        self._dumped = len(self)
        # Of the newest part alone: each says all that was pending when it was dumped.
        pending = part["pending"]
        self._touched[STORE, : pending.size] = pending
        self._counts[STORE] = pending.size
        self._mark[pending] = 1 << STORE

    def _grow(self, need: int) -> None:
        had = len(self._mark)
        capacity = max(64, need * 2)
        words = np.zeros((capacity, self._words.shape[1]), np.int64)
        words[:had] = self._words
        mark = np.zeros(capacity, np.uint8)
        touched = np.zeros((2, capacity), np.int64)
        mark[:had] = self._mark
        touched[:, :had] = self._touched
        self._words = words
        # A view of the words: left as it was, it would show the old ones.
        self._floats = words.view(np.float64)
        self._mark = mark
        self._touched = touched

    def _untouch(self, who: int) -> I64:
        """The touched rows, in order of first touch, which are then touched no more."""
        ids: I64 = self._touched[who, : self._counts[who]].copy()
        # The other's bit stays: store and checkpoint take rows at different times.
        self._mark[ids] &= 0xFF ^ (1 << who)
        self._counts[who] = 0
        return ids

    def _packed(self, ids: I64) -> Packed:
        if len(self._names) < len(self._keys):
            self._names += self._keys.names(len(self._names))
        rows = self._words[ids]
        # Versions are big-endian in the store, where they are compared as bytes.
        rows[:, :2].byteswap(inplace=True)
        return [self._names[i] for i in ids.tolist()], rows.view(np.uint8)

    def _dump(self, ids: I64) -> Arrays:
        new = self._keys.texts(self._dumped)
        out: Arrays = {
            "digest": np.frombuffer(self.plan.digest.encode(), np.uint8).copy(),
            "first_key": np.array([self._dumped], np.int64),
            "keys": new.data.copy(),
            "key_ends": new.end,
            "ids": ids,
            "rows": self._words[ids],
            "pending": self._touched[STORE, : self._counts[STORE]].copy(),
        }
        self._dumped = len(self)
        return out

    def _apply(self, part: Mapping[str, npt.NDArray[Any]]) -> None:
        if part["digest"].tobytes().decode() != self.plan.digest:
            raise CheckpointError(
                f"rows of plan {part['digest'].tobytes().decode()}",
                f"were dumped by another definition than {self.plan.digest}",
                "Build this view's rows from its log, or load the checkpoint of this definition.",
            )
        ends = kernels.plain(part["key_ends"], np.int64)
        starts = np.concatenate([np.zeros(1, np.int64), ends])[:-1]
        had = len(self)
        first = int(part["first_key"][0])
        # Else it would give these keys other ids than they had when they were dumped.
        if had == first:
            data = kernels.plain(part["keys"], np.uint8)
            self._keys(Texts(data, starts, ends, np.ones(len(ends), np.bool_)))
        ids = part["ids"]
        new_keys = had == first and len(self) == had + len(ends)
        if not new_keys or (ids.size and int(ids.max()) >= len(self)):
            raise CheckpointError(
                f"delta from key {first} on",
                f"does not follow {had} keys",
                "Load the deltas of one base, in order.",
            )
        if len(self) > len(self._mark):
            self._grow(len(self))
        self._words[ids] = part["rows"]


def is_erased(rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Which packed rows (uint8 `[m, width]`) are nothing but the version of what erased them."""
    # Of a row with events something is not zero: it counts them.
    out: npt.NDArray[np.bool_] = (rows[:, _VERSION_BYTES:] == 0).all(axis=1)
    return out


def warm() -> None:
    """Compile (or load from numba's cache) every kernel on the way from events to values."""
    features: dict[str, aggregates.Aggregate] = {
        "n": aggregates.count(over="1m"),
        "x": aggregates.mean("x", over="1m"),
        "s": aggregates.last("x"),
    }
    plan = RowPlan.compile(features, 60_000)
    rows = ViewRows(plan)
    again = ViewRows(plan)
    Interner(2)(Texts.of(["a", "b", "c"]))  # grows
    rows.fold(Texts.of(["a"]), np.zeros(1, np.int64), np.zeros((1, 1)), 0, np.zeros(1, np.int64))
    again.load(rows.dump(), [])
    finish(plan, again.hand_over()[1], np.ones(1, np.bool_), np.zeros(1, np.int64))
