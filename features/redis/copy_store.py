"""A store whose rows Redis holds copies of: reads that it can answer cost no more than Redis, and
it may evict, or lose, what it likes."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from freshet.features.packed import Packed
from freshet.features.redis import scripts
from freshet.features.redis.calls import (
    Arguments,
    about,
    names_and_sizes,
    names_of,
    spans,
    with_rows,
)
from freshet.features.redis.large import written_apart
from freshet.features.redis.link import Place, RedisLink, packed
from freshet.features.stores.contract import (
    VERSION_BYTES,
    NotAtOnce,
    RowKeys,
    Rows,
    RowsRefused,
    Store,
)
from freshet.features.stores.stored import (
    ReadBytes,
    by_view,
    check_rows,
    check_version,
    rows_of,
)
from freshet.schemas.errors import StoreError

# One byte less than a version, so that no writer takes it for a row.
TOKEN_BYTES = VERSION_BYTES - 1
# How long nobody else fills in a row that a reader has set out to fetch, and then did not.
LEASE_MS = 10_000
# How long the loss of the store's rows may go unnoticed while Redis answers for them.
GENERATION_SECONDS = 1.0
Ask = Callable[[Sequence[bytes]], list[Any]]


class CopyStore:
    """A `Store` over another, with copies of its rows in one Redis that may evict.

    A read asks Redis; rows that it lacks come from the store and are copied. A write goes to the
    store, then to the copies that there are: what has none may be older than what the store has, so
    it gets none. So a writer waits while either is away, and reads go on, slower, while Redis is.
    Generations are the store's: a Redis that lost its copies lost no row.

    A reader that fetches a row could copy what has been overtaken meanwhile. So it leaves a token
    where the copy will be, any write takes that away, and only in its place is a copy made.

    Raises:
        StoreError: at once, if Redis cannot be reached, or would refuse rows when it is full.
    """

    def __init__(
        self,
        place: Place,
        store: Store,
        timeout_seconds: float = 5.0,
    ) -> None:
        self._store = store
        self._link = RedisLink(replace(place, is_copy=True), timeout_seconds)
        self._read_bytes = ReadBytes()
        self._generation = ""
        self._generation_until = 0.0
        self._link.open()

    @property
    def resource(self) -> str:
        return f"{self._link.resource} before {self._store.resource}"

    def write(
        self,
        view: str,
        keys: Sequence[bytes],
        rows: Packed,
    ) -> int:
        check_rows(view, keys, rows)
        refused: RowsRefused | None = None
        won = 0
        try:
            won = self._store.write(view, keys, rows)
        except RowsRefused as error:
            refused = error
            # What the store has not no copy may have.
            kept = [i for i in range(len(keys)) if i not in error.rows]
            keys = [keys[i] for i in kept]
            rows = Packed.of([rows.row(i) for i in kept])
        self._update(view, keys, rows)
        if refused is not None:
            raise refused
        return won

    def erase(
        self,
        view: str,
        keys: Sequence[bytes],
        version: bytes,
    ) -> int:
        check_version(version)
        refused: RowsRefused | None = None
        erased = 0
        try:
            erased = self._store.erase(view, keys, version)
        except RowsRefused as error:
            refused = error
            # Of all others the rows are gone, and so must be their copies.
            keys = [key for i, key in enumerate(keys) if i not in error.rows]
        self._update(view, keys, Packed.of([version] * len(keys)))
        if refused is not None:
            raise refused
        return erased

    def forget(
        self,
        view: str,
        keys: Sequence[bytes],
        version: bytes,
    ) -> int:
        check_version(version)
        forgotten = self._store.forget(view, keys, version)
        names = _copies_of(self._link.server, view, keys)
        # A copy that is left, as this fails or as a reader fills it in just now, is of a row that
        # no reader takes for one any more.
        self._unless_away(scripts.FORGET, about(names, [version]))
        return forgotten

    def _update(
        self,
        view: str,
        keys: Sequence[bytes],
        rows: Packed,
    ) -> None:
        while True:
            server = self._link.server
            names = _copies_of(server, view, keys)
            self._put(names, rows)
            # Else it was another server's copies that were written.
            if self._link.history() == server:
                return

    def _put(self, names: Sequence[bytes], rows: Packed) -> None:
        def update(first: int, after: int) -> int:
            self._link.run(scripts.UPDATE, with_rows(names[first:after], rows.part(first, after)))
            return 0

        try:
            written_apart(update, rows, self._link.history, self.resource)
        except RowsRefused as error:
            # They are read from the store: no copy may be there that is older.
            self._link.run(scripts.DROP, about([names[i] for i in error.rows], []))

    def read(self, wanted: Sequence[RowKeys]) -> list[Rows]:
        if time.monotonic() >= self._generation_until:
            self.generation()
        try:
            found = self._copies(wanted, self._link.ask)
        except StoreError:
            return self._store.read(wanted)
        missing = [
            RowKeys(asked.view, [key for key, value in zip(asked.keys, values) if value is None])
            for asked, values in zip(wanted, found)
        ]
        if any(asked.keys for asked in missing):
            return self._completed(wanted, found, missing)
        return [self._rows(asked, values) for asked, values in zip(wanted, found)]

    def read_at_once(
        self,
        wanted: Sequence[RowKeys],
        within_seconds: float,
    ) -> list[Rows]:
        if time.monotonic() >= self._generation_until:
            cause = "has not said for a while whether it lost rows"
            raise NotAtOnce(self.resource, cause, "Read it on a thread.")
        found = self._copies(wanted, partial(self._link.ask_at_once, within_seconds))
        if any(value is None for values in found for value in values):
            raise NotAtOnce(self.resource, "lacks copies of some rows", "Read it on a thread.")
        return [self._rows(asked, values) for asked, values in zip(wanted, found)]

    def generation(self) -> str:
        self._generation = self._store.generation()
        self._generation_until = time.monotonic() + GENERATION_SECONDS
        return self._generation

    def close(self) -> None:
        self._link.close()
        self._store.close()

    def _copies(
        self,
        wanted: Sequence[RowKeys],
        ask: Ask,
    ) -> list[list[bytes | None]]:
        """What Redis has of the rows, by view: None where that is nothing, or a token."""
        server = self._link.server
        names, sizes = names_and_sizes(wanted, self._read_bytes, partial(_copies_of, server))
        commands = [packed(b"MGET", *names[first:after]) for first, after in spans(sizes)]
        values: list[bytes | None] = []
        for reply in self._link.read(commands, ask):
            values += map(_row, reply)
        # What was asked of one server, and answered by another, is no copy of either.
        if self._link.server != server:
            values = [None] * len(values)
        return [list(found) for _, found in by_view(wanted, values)]

    def _completed(
        self,
        wanted: Sequence[RowKeys],
        found: Sequence[list[bytes | None]],
        missing: Sequence[RowKeys],
    ) -> list[Rows]:
        """Rows of which Redis lacks some, with those of the store, which are then filled in."""
        token = secrets.token_bytes(TOKEN_BYTES)
        # Before the store is asked: what is written from now on takes the token away.
        server = self._link.server
        self._lease(missing, token, server)
        fetched = self._store.read(missing)
        self._fill(missing, fetched, token, server)
        out = []
        for asked, values, rows in zip(wanted, found, fetched):
            own = iter(rows.packed)
            complete = [next(own) if value is None else value for value in values]
            generation = self._generation
            if rows.packed.ends.size:
                generation = rows.generation
            missed = [i for i, value in enumerate(values) if value is None]
            refused = {missed[i]: why for i, why in rows.refused.items()}
            made = rows_of(complete, generation)
            made = replace(made, refused={**made.refused, **refused})
            out.append(self._noted(asked, made))
        return out

    def _lease(
        self,
        missing: Sequence[RowKeys],
        token: bytes,
        server: bytes,
    ) -> None:
        rest = [token, b"%d" % LEASE_MS]
        for asked in missing:
            names = _copies_of(server, asked.view, asked.keys)
            self._unless_away(scripts.LEASE, about(names, rest))

    def _fill(
        self,
        missing: Sequence[RowKeys],
        fetched: Sequence[Rows],
        token: bytes,
        server: bytes,
    ) -> None:
        for asked, rows in zip(missing, fetched):
            names = _copies_of(server, asked.view, asked.keys)
            self._unless_away(scripts.FILL, with_rows(names, rows.packed, [token]))

    def _unless_away(
        self,
        script: scripts.Script,
        calls: Iterable[Arguments],
    ) -> None:
        """What makes later reads faster, and this one no more right."""
        with contextlib.suppress(StoreError):
            self._link.run(script, calls)

    def _rows(
        self,
        asked: RowKeys,
        values: Sequence[bytes | None],
    ) -> Rows:
        return self._noted(asked, rows_of(values, self._generation))

    def _noted(
        self,
        asked: RowKeys,
        rows: Rows,
    ) -> Rows:
        self._read_bytes.note(asked.view, rows)
        return rows


def _row(value: bytes | None) -> bytes | None:
    """A stored value as a row: of no bytes for a tombstone, None for nothing and for a token."""
    if value is None or len(value) < VERSION_BYTES:
        return None
    if len(value) == VERSION_BYTES:
        return b""
    return value


def _copies_of(server: bytes, view: str, keys: Iterable[bytes]) -> list[bytes]:
    """Copies are of one run of one server, and of one history of it: a Redis that comes back from
    its disk, and a replica that takes over, may have older ones than there were."""
    run, _, history = server.decode().partition(":")
    return names_of(f"{run[:8]}{history[:8]}:{view}", keys)
