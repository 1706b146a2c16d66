"""The feature rows of one clean partition, in memory: the store and the checkpoints hold copies of
these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.features import aggregates
from freshet.features.packed import Packed
from freshet.features.rows.arena import RowArena
from freshet.features.rows.finish import finish
from freshet.features.rows.finish_kernels import plain
from freshet.features.rows.fold_kernels import Events
from freshet.features.rows.layout import (
    CHECKPOINT,
    NEVER,
    NEWEST,
    STORE,
    VERSION_INDEX,
    VERSION_OFFSET,
)
from freshet.features.rows.plan import WORD, RowPlan
from freshet.schemas.errors import CheckpointError, DefinitionError
from freshet.schemas.text.columns import Interner, Texts

__all__ = ["RowPlan", "ViewRows", "is_erased", "warm"]

I64 = npt.NDArray[np.int64]
Arrays = dict[str, npt.NDArray[Any]]
Named = tuple[list[bytes], Packed]
_NO_WHOLES = np.zeros((0, 0), np.int64)


class ViewRows:
    """Rows by key, folded from one partition's events in the order of its log. Not thread-safe.

    A row's bytes follow from its events alone, in any batches, whether or not it was dumped and
    loaded in between.

    Rows that were touched are remembered twice: until the next `hand_over` (the store's share) and
    until the next `dump` or `dump_delta` (the checkpoint's).
    """

    def __init__(self, plan: RowPlan) -> None:
        self.plan = plan
        self._clear()

    def _clear(self) -> None:
        self._keys = Interner()
        self._arena = RowArena(self.plan)
        self._dumped = 0

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def used_bytes(self) -> int:
        """Memory that holds rows, without their keys."""
        return self._arena.used_bytes

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
        not looked at. Of fields whose values are counted or compared, they are codes as
        `freshet.features.views.event_columns` makes them, MISSING where there is no value.

        The record at `version_offset` carried them, event `i` as its row `version_index[i]`. Keys
        are as `freshet.schemas.text.keys` writes them, so none is missing. Event times are trusted:
        intake has quarantined those of a far future.

        Raises:
            DefinitionError: columns of other lengths, or not one for each field of the plan.
        """
        count = len(keys)
        shape = (count, len(self.plan.fields))
        exact = _NO_WHOLES
        if self.plan.takes_codes and wholes is not None:
            exact = wholes
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
        ids = self._keys(keys)
        self._arena.hold(len(self._keys))
        events = Events(
            ids,
            plain(times, np.int64),
            plain(version_index, np.int64),
            plain(values, np.float64),
            plain(exact, np.int64),
        )
        self._arena.fold(events, version_offset)

    def erase(
        self, keys: Texts, version_offset: int, version_index: npt.NDArray[np.int32] | I64
    ) -> None:
        """Leave nothing of `n` rows, each key once, but the version: that of the record at
        `version_offset`, as its row `version_index[i]`. The next event of a key makes its row
        anew."""
        ids = self._keys(keys)
        self._arena.hold(len(self._keys))
        self._arena.erase(ids, version_offset, plain(version_index, np.int64))

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
        return self._packed(np.arange(len(self)))

    def dump(self) -> Arrays:
        """Everything, as arrays of their own (a checkpoint's base)."""
        self._arena.untouch(CHECKPOINT)
        self._dumped = 0
        return self._dump(np.arange(len(self)))

    def dump_delta(self) -> Arrays:
        """Rows touched, and keys first seen, since the last `dump`, `dump_delta` or `load`."""
        return self._dump(self._arena.untouch(CHECKPOINT))

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
        self._arena.touch(plain(part["pending"], np.int64), STORE)

    def _packed(self, ids: I64) -> Named:
        rows, ends = self._arena.pack(ids)
        packed = Packed(rows.view(np.uint8), ends * WORD)
        # Versions are big-endian in the store, where they are compared as bytes.
        starts = packed.starts // WORD
        for word in (VERSION_OFFSET, VERSION_INDEX):
            rows[starts + word] = rows[starts + word].byteswap()
        return self._keys.names_of(ids), packed

    def _dump(self, ids: I64) -> Arrays:
        new = self._keys.texts(self._dumped)
        rows, ends = self._arena.pack(ids)
        out: Arrays = {
            "digest": np.frombuffer(self.plan.digest.encode(), np.uint8).copy(),
            "first_key": np.array([self._dumped], np.int64),
            "keys": new.data.copy(),
            "key_ends": new.end,
            "ids": ids,
            "rows": rows,
            "row_ends": ends,
            "pending": self._arena.touched(STORE),
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
        ends = plain(part["key_ends"], np.int64)
        starts = np.concatenate([np.zeros(1, np.int64), ends])[:-1]
        had = len(self)
        first = int(part["first_key"][0])
        # Else it would give these keys other ids than they had when they were dumped.
        if had == first:
            data = plain(part["keys"], np.uint8)
            self._keys(Texts(data, starts, ends, np.ones(len(ends), np.bool_)))
        ids = part["ids"]
        new_keys = had == first and len(self) == had + len(ends)
        if not new_keys or (ids.size and int(ids.max()) >= len(self)):
            raise CheckpointError(
                f"delta from key {first} on",
                f"does not follow {had} keys",
                "Load the deltas of one base, in order.",
            )
        self._arena.hold(len(self))
        parts = (ids, part["rows"], part["row_ends"])
        self._arena.unpack(*(plain(one, np.int64) for one in parts))


def is_erased(rows: Packed) -> npt.NDArray[np.bool_]:
    """Which rows, bool `[n]`, are nothing but the version of what erased them."""
    words = rows.data.view(np.int64)
    newest = rows.starts // WORD + NEWEST
    out: npt.NDArray[np.bool_] = words[newest] == NEVER
    return out


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
    plan = RowPlan.compile(features, 60_000, ["w"])
    rows = ViewRows(plan)
    again = ViewRows(plan)
    Interner(2)(Texts.of(["a", "b", "c"]))  # grows
    rows.fold(
        Texts.of(["a"]),
        np.zeros(1, np.int64),
        np.zeros((1, 2)),
        0,
        np.zeros(1, np.int64),
        np.zeros((1, 2), np.int64),
    )
    again.load(rows.dump(), [])
    rows.erase(Texts.of(["a"]), 1, np.zeros(1, np.int64))
    finish(plan, again.hand_over()[1], np.zeros(1, np.int64))
