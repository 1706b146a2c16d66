"""Rows of a view that its store refuses: each is told once, and none holds up the others."""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from freshet.features.packed import Packed
from freshet.features.stores.contract import VERSION_BYTES, RowsRefused, Store
from freshet.features.stores.refusals import refusal
from freshet.streams.operators.dead_letters import RefusedRow

# Of more keys it is only counted how many there are: nobody mends them one by one.
MOST_KEYS = 10_000
# Of a row in its record; Cassandra orders no later ones.
LAST_PLACE = (1 << 20) - 1
UNMARKED = "; it refuses what would say so in the row's place, too"
_VERSION = struct.Struct(">qq")


class _Refused(NamedTuple):
    """The newest row of a key."""

    key: bytes
    version: bytes
    why: str


class RefusedRows:
    """Of one partition of a view, since its task began: by key, why its newest row was refused.

    In the place of a refused row, and of an older one that the store may hold, stands what says so
    (`features/stores/refusals.py`), until a newer row is taken: whoever asks is told why there is
    no value. Where the store refuses that, too, the older one is erased if that can be done: a
    value is missing rather than one of long ago.
    """

    def __init__(self, store: Store, stored_as: str) -> None:
        self._store = store
        self._stored_as = stored_as
        self._why: dict[bytes, str] = {}
        self._untold: list[RefusedRow] = []
        self._more = 0

    def write(self, keys: Sequence[bytes], rows: Packed) -> None:
        """Write rows; those that were refused before by themselves, so that the others are one
        call."""
        if not self._why:
            self._write(keys, rows)
            return
        known = [key in self._why for key in keys]
        for wanted in (False, True):
            chosen = [i for i, is_known in enumerate(known) if is_known is wanted]
            if chosen:
                self._write([keys[i] for i in chosen], Packed.of([rows.row(i) for i in chosen]))

    def erase(self, keys: Sequence[bytes], version: bytes) -> None:
        self._end(self._store.erase, keys, version)

    def forget(self, keys: Sequence[bytes], version: bytes) -> None:
        self._end(self._store.forget, keys, version)

    def _end(
        self,
        end: Callable[[str, Sequence[bytes], bytes], int],
        keys: Sequence[bytes],
        version: bytes,
    ) -> None:
        refused: Mapping[int, str] = {}
        try:
            end(self._stored_as, keys, version)
        except RowsRefused as error:
            refused = error.rows
        self._take(keys, refused)
        for at, why in refused.items():
            self._note(keys[at], version, why)

    def take_untold(self) -> Sequence[RefusedRow]:
        found = self._untold
        self._untold = []
        return found

    def facts(self) -> Mapping[str, Any]:
        """How many keys have a row that is refused, and of one of them which and why."""
        if not self._why:
            return {}
        key, why = next(reversed(self._why.items()))
        told = f"{key[:100].decode(errors='replace')!r}: {why}"
        return {"refused": len(self._why) + self._more, "refusal": told}

    def _write(self, keys: Sequence[bytes], rows: Packed) -> None:
        refused: Mapping[int, str] = {}
        try:
            self._store.write(self._stored_as, keys, rows)
        except RowsRefused as error:
            refused = error.rows
        self._take(keys, refused)
        if not refused:
            return
        versions = {at: rows.row(at)[:VERSION_BYTES] for at in refused}
        for at, why in refused.items():
            self._note(keys[at], versions[at], why)
        self._mark([_Refused(keys[at], versions[at], why) for at, why in refused.items()])

    def _mark(self, rows: Sequence[_Refused]) -> None:
        """Say in their places that they were refused; but for the first row of all, before which
        there is no version to say it with."""
        markable = [row for row in rows if _before(row.version) is not None]
        keys = [row.key for row in markable]
        marks = [refusal(_before(row.version) or b"", row.why) for row in markable]
        try:
            if keys:
                self._store.write(self._stored_as, keys, Packed.of(marks))
        except RowsRefused as error:
            unmarked = [markable[at] for at in error.rows]
            self._say_unmarked({row.key for row in unmarked})
            for row in unmarked:
                self._erase_older(row.key, row.version)

    def _say_unmarked(self, keys: Collection[bytes]) -> None:
        """In the dead letters of keys, where these are yet to be told."""
        for at, one in enumerate(self._untold):
            if one.key in keys and not one.why.endswith(UNMARKED):
                self._untold[at] = one._replace(why=one.why + UNMARKED)

    def _take(self, keys: Sequence[bytes], refused: Mapping[int, str]) -> None:
        """The store has what it was told of all keys but those that it refused."""
        if not self._why:
            return
        for at, key in enumerate(keys):
            if at not in refused:
                self._why.pop(key, None)

    def _erase_older(self, key: bytes, version: bytes) -> None:
        before = _before(version)
        if before is None:
            return
        try:
            self._store.erase(self._stored_as, [key], before)
        except RowsRefused:
            # It is something else's key: of this view nothing is there.
            return

    def _note(self, key: bytes, version: bytes, why: str) -> None:
        if key in self._why:
            return
        if len(self._why) == MOST_KEYS:
            self._more += 1
            return
        self._why[key] = why
        offset, place = _VERSION.unpack(version)
        self._untold.append(RefusedRow(key, offset, place, why))


def _before(version: bytes) -> bytes | None:
    """The version before, so that the very same row is taken once the store does; None before the
    first of all."""
    offset, place = _VERSION.unpack(version)
    if place:
        return _VERSION.pack(offset, place - 1)
    if offset:
        return _VERSION.pack(offset - 1, LAST_PLACE)
    return None
