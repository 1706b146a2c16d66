"""Rows in one Redis: one string a row, named `{view}:{key}`, its version guarded by a script."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from freshet.features.packed import Packed
from freshet.features.redis import scripts
from freshet.features.redis.calls import (
    about,
    names_and_sizes,
    names_of,
    spans,
    spans_of,
    with_rows,
)
from freshet.features.redis.large import written_apart
from freshet.features.redis.link import Place, RedisLink, packed
from freshet.features.stores.contract import NONE_REFUSED, RowKeys, Rows
from freshet.features.stores.refused import refused_among, written
from freshet.features.stores.stored import (
    ReadBytes,
    check_rows,
    check_version,
)

MARKER = b"freshet:generation"

Ask = Callable[[Sequence[bytes]], list[Any]]


class RedisStore:
    """A `Store` in one Redis (6.2 or newer; for a Redis Cluster there is `RedisClusterStore`).

    Any number of writers: the server itself keeps the newest version of each key, so order and
    repetition do not matter. Threads, broken connections and timeouts are as `RedisLink` says.

    `generation()` names a marker kept among the rows, the server's run and its replication history.
    Whoever owns rows asks for it *after* each write and, where it has changed, writes them all
    again: what was lost before the question changes the answer, what is lost later is found by the
    next one. A failover is a change, since the new master may lack the last writes of the old one.

    Rows say the generation that they were read in: the marker is read with them, the server's run
    is known since it was connected, and its history is asked for once a second (a server that is
    demoted in place may keep its clients).

    Raises:
        StoreError: at once, if there is no Redis, it refuses the password, or it may evict rows.
    """

    def __init__(
        self,
        place: Place,
        timeout_seconds: float = 5.0,
    ) -> None:
        self._read_bytes = ReadBytes()
        self._link = RedisLink(place, timeout_seconds)
        self._link.open()

    @property
    def resource(self) -> str:
        return self._link.resource

    def write(
        self,
        view: str,
        keys: Sequence[bytes],
        rows: Packed,
    ) -> int:
        check_rows(view, keys, rows)
        names = names_of(view, keys)

        def write(first: int, after: int) -> int:
            calls = with_rows(names[first:after], rows.part(first, after))
            return sum(self._link.run(scripts.WRITE, calls))

        return written_apart(write, rows, self._link.history, self.resource)

    def read(self, wanted: Sequence[RowKeys]) -> list[Rows]:
        return self._read(wanted, self._link.ask)

    def read_at_once(
        self,
        wanted: Sequence[RowKeys],
        within_seconds: float,
    ) -> list[Rows]:
        return self._read(wanted, partial(self._link.ask_at_once, within_seconds))

    def _read(
        self,
        wanted: Sequence[RowKeys],
        ask: Ask,
    ) -> list[Rows]:
        names, sizes = names_and_sizes(wanted, self._read_bytes, names_of)
        values: list[bytes | None] = []
        markers: set[bytes | None] = set()
        # The marker with each chunk: the server may be emptied between two of them.
        commands = [packed(b"MGET", MARKER, *names[first:after]) for first, after in spans(sizes)]
        for reply in self._link.read(commands, ask):
            markers.add(reply[0])
            values += reply[1:]
        generation = self._generation_of(markers)
        refused = self._refused(names, values, ask)
        return self._read_bytes.rows_of(wanted, values, generation, refused)

    def _refused(
        self, names: Sequence[bytes], values: Sequence[bytes | None], ask: Ask
    ) -> Mapping[int, str]:
        """Of which names something is there that is no row, as MGET does not say. One round trip
        where rows are absent, and none where all are there."""
        if None not in values:
            return NONE_REFUSED
        missing = [i for i, value in enumerate(values) if value is None]
        absent = [names[i] for i in missing]
        commands = [packed(b"EXISTS", *absent[first:after]) for first, after in spans_of(absent)]
        if not sum(ask(commands)):
            return NONE_REFUSED

        def get(first: int, after: int) -> list[Any]:
            return ask([packed(b"GET", name) for name in absent[first:after]])

        return {missing[i]: why for i, why in refused_among(get, len(absent)).items()}

    def _generation_of(self, markers: set[bytes | None]) -> str:
        """The generation of what was read beside these markers, as `generation` names it."""
        marker = markers.pop() if len(markers) == 1 else None
        return "" if marker is None else (marker + b":" + self._link.server).decode()

    def erase(
        self,
        view: str,
        keys: Sequence[bytes],
        version: bytes,
    ) -> int:
        """Tombstones are 16 bytes each, and stay for ten days."""
        check_version(version)
        return self._end(view, keys, scripts.ERASE, [version, scripts.TOMBSTONE_MS])

    def forget(
        self,
        view: str,
        keys: Sequence[bytes],
        version: bytes,
    ) -> int:
        check_version(version)
        return self._end(view, keys, scripts.FORGET, [version])

    def _end(
        self,
        view: str,
        keys: Sequence[bytes],
        script: scripts.Script,
        rest: Sequence[bytes],
    ) -> int:
        """Run a script that is told the same of each row."""
        names = names_of(view, keys)

        def end(first: int, after: int) -> int:
            return sum(self._link.run(script, about(names[first:after], rest)))

        return written(end, len(names), self.resource)

    def generation(self) -> str:
        """Also raises `StoreError` where the server was told to evict since it was connected."""
        ((*parts, policy),) = self._link.run(
            scripts.GENERATION, [([MARKER], [uuid.uuid4().hex.encode()])]
        )
        self._link.check_policy(policy.decode())
        marker, *server = parts
        self._link.server = b":".join(server)
        return self._generation_of({marker})

    def close(self) -> None:
        self._link.close()
