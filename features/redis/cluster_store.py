"""Rows in a Redis Cluster: one string a row, named `{bucket}view:key`, its version guarded by a
script."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from freshet.features.packed import Packed
from freshet.features.redis import scripts
from freshet.features.redis.addresses import Cluster
from freshet.features.redis.buckets import BUCKETS, bucket_of, tags
from freshet.features.redis.calls import spans, spans_of
from freshet.features.redis.large import written_apart
from freshet.features.redis.link import called, facts_of, packed, server_of
from freshet.features.redis.nodes import Call, ClusterNodes
from freshet.features.stores.contract import NONE_REFUSED, RowKeys, Rows
from freshet.features.stores.refused import refused_among, written
from freshet.features.stores.stored import ReadBytes, check_rows, check_version

# How long the loss of single buckets, which no server does by itself, may go unnoticed.
BUCKETS_SECONDS = 1.0
Ask = Callable[[Sequence[Call]], list[Any]]
Markers = Sequence[bytes | None]


class RedisClusterStore:
    """A `Store` in a Redis Cluster (6.2 or newer).

    Rows lie in 256 buckets, see `freshet.features.redis.buckets`: what is asked of one bucket is
    one command, and all servers are asked at once. A cluster that is resharded, or fails over, is
    followed; while no server has a row's slot, calls fail.

    Its `generation()` is that of `RedisStore` for all of them: there is a marker in each bucket,
    and every master has its run and its replication history. A master that came or went makes
    another generation, too: owners then write all rows again.

    Raises:
        StoreError: at once, if no server can be reached, one refuses the password or may evict
            rows, or some slots have no server.
    """

    def __init__(
        self,
        cluster: Cluster,
        timeout_seconds: float = 5.0,
    ) -> None:
        self._read_bytes = ReadBytes()
        self._nodes = ClusterNodes(cluster, timeout_seconds)
        self._markers: Markers = ()  # by bucket, as they were last looked at
        self._digest = ""  # of them
        self._seen_until = 0.0
        # Runs and histories of all masters, and the generation that they and the markers make.
        self._named: tuple[tuple[bytes, ...], str] = ((), "")
        try:
            self._nodes.find()
            self._see_servers()
        except BaseException:
            self._nodes.close()
            raise

    @property
    def resource(self) -> str:
        return self._nodes.resource

    def write(
        self,
        view: str,
        keys: Sequence[bytes],
        rows: Packed,
    ) -> int:
        check_rows(view, keys, rows)

        def write(first: int, after: int) -> int:
            return self._write(view, keys[first:after], rows.part(first, after))

        return written_apart(write, rows, self._nodes.find, self.resource)

    def _write(
        self,
        view: str,
        keys: Sequence[bytes],
        rows: Packed,
    ) -> int:
        calls = []
        for bucket, at in _by_bucket(keys).items():
            names = [_name(bucket, view, keys[i]) for i in at]
            own = [rows.row(i) for i in at]
            sizes = [len(name) + len(row) for name, row in zip(names, own)]
            for first, after in spans(sizes):
                command = partial(
                    _write,
                    names[first:after],
                    own[first:after],
                )
                calls.append(Call(bucket, after - first, command, scripts.WRITE))
        return sum(self._nodes.ask(calls))

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

        def end(first: int, after: int) -> int:
            return self._run(view, keys[first:after], script, rest)

        return written(end, len(keys), self.resource)

    def _run(
        self,
        view: str,
        keys: Sequence[bytes],
        script: scripts.Script,
        rest: Sequence[bytes],
    ) -> int:
        calls = []
        for bucket, at in _by_bucket(keys).items():
            names = [_name(bucket, view, keys[i]) for i in at]
            sizes = [len(name) for name in names]
            for first, after in spans(sizes):
                command = partial(_told, script, names[first:after], rest)
                calls.append(Call(bucket, after - first, command, script))
        return sum(self._nodes.ask(calls))

    def read(self, wanted: Sequence[RowKeys]) -> list[Rows]:
        return self._read(wanted, self._nodes.ask)

    def read_at_once(
        self,
        wanted: Sequence[RowKeys],
        within_seconds: float,
    ) -> list[Rows]:
        return self._read(wanted, partial(self._nodes.ask_at_once, within_seconds))

    def _read(
        self,
        wanted: Sequence[RowKeys],
        ask: Ask,
    ) -> list[Rows]:
        parts: dict[int, _Part] = {}
        # Of each key, in the order that it is wanted in: its bucket, and which of that it is.
        places: list[tuple[int, int]] = []
        for asked in wanted:
            usual = self._read_bytes.of(asked.view)
            for key in asked.keys:
                bucket = bucket_of(key)
                part = parts.setdefault(bucket, _Part([], [], []))
                places.append((bucket, len(part.names)))
                name = _name(bucket, asked.view, key)
                part.names.append(name)
                part.sizes.append(len(name) + usual)
        calls = [call for bucket, part in parts.items() for call in _gets(bucket, part)]
        generation = ""
        if self._put(ask(calls), calls, parts):
            generation = self._generation()
        values = [parts[bucket].values[i] for bucket, i in places]
        absent = [i for i, value in enumerate(values) if value is None]
        names = []
        for i in absent:
            bucket, at = places[i]
            names.append((bucket, parts[bucket].names[at]))
        refused = {absent[i]: why for i, why in _refused(names, ask).items()}
        return self._read_bytes.rows_of(wanted, values, generation, refused)

    def _put(
        self, replies: Sequence[Any], calls: Sequence[Call], parts: Mapping[int, _Part]
    ) -> bool:
        """Stored values to their parts; whether each came beside the marker that its bucket was
        seen with last."""
        is_known = bool(calls and self._markers)
        for call, (marker, *values) in zip(calls, replies):
            is_known = is_known and marker == self._markers[call.bucket]
            parts[call.bucket].values.extend(values)
        return is_known

    def generation(self) -> str:
        """Also raises `StoreError` where a server was told to evict since it was connected."""
        self._nodes.find()
        if time.monotonic() >= self._seen_until or not self._is_as_seen():
            self._see_markers()
            self._seen_until = time.monotonic() + BUCKETS_SECONDS
        self._see_servers()
        return self._generation()

    def close(self) -> None:
        self._nodes.close()

    def _is_as_seen(self) -> bool:
        """Whether one bucket of each server has its marker: what empties a server takes all."""
        buckets = self._nodes.first_buckets()
        return all(
            marker == self._markers[bucket] for bucket, marker in zip(buckets, self._look(buckets))
        )

    def _see_markers(self) -> None:
        """All markers; those that are missing are set."""
        markers = self._look(range(BUCKETS))
        missing = [bucket for bucket, marker in enumerate(markers) if marker is None]
        if missing:
            own = uuid.uuid4().hex.encode()
            # Not over one that another client has set meanwhile.
            self._nodes.ask([Call(bucket, 1, partial(_mark, bucket, own)) for bucket in missing])
            markers = self._look(range(BUCKETS))
        self._markers = markers
        self._digest = _short([marker or b"" for marker in markers])
        self._named = ((), "")

    def _look(self, buckets: Sequence[int]) -> Markers:
        """The markers of some buckets, None where there is none."""
        calls = [Call(bucket, 1, partial(_get, [_MARKERS[bucket]])) for bucket in buckets]
        return [marker for (marker,) in self._nodes.ask(calls)]

    def _see_servers(self) -> None:
        """Which run and history of each master rows are kept in. Raises `StoreError` where one may
        not be used."""
        for node in self._nodes.masters:
            link = self._nodes.link(node)
            (told,) = link.ask([packed(b"INFO")])
            facts = facts_of(told)
            link.check_policy(facts[b"maxmemory_policy"].decode())
            link.server = server_of(facts)

    def _generation(self) -> str:
        servers = tuple(self._nodes.link(node).server for node in self._nodes.masters)
        known, name = self._named
        if servers != known:
            name = f"{self._digest}:{_short(sorted(servers))}"
            self._named = (servers, name)
        return name


_MARKERS = [b"{%b}freshet:generation" % tag for tag in tags()]


class _Part(NamedTuple):
    """What is read of one bucket: the names of rows, about how many bytes each will answer, and
    what they had."""

    names: list[bytes]
    sizes: list[int]
    values: list[bytes | None]


def _refused(names: Sequence[tuple[int, bytes]], ask: Ask) -> Mapping[int, str]:
    """Of which names (each with its bucket) something is there that is no row, as MGET does not
    say. One round trip where rows are absent, and none where all are there."""
    by_bucket: dict[int, list[bytes]] = {}
    for bucket, name in names:
        by_bucket.setdefault(bucket, []).append(name)
    calls = []
    for bucket, own in by_bucket.items():
        for first, after in spans_of(own):
            some = own[first:after]
            calls.append(Call(bucket, len(some), partial(_exist, some)))
    if not sum(ask(calls)):
        return NONE_REFUSED

    def get(first: int, after: int) -> list[Any]:
        return ask(
            [Call(bucket, 1, partial(_get_one, name)) for bucket, name in names[first:after]]
        )

    return refused_among(get, len(names))


def _gets(bucket: int, part: _Part) -> Iterator[Call]:
    for first, after in spans(part.sizes):
        # The marker with each: the server may be emptied between two of them.
        names = [
            _MARKERS[bucket],
            *part.names[first:after],
        ]
        yield Call(bucket, len(names), partial(_get, names))


def _name(
    bucket: int,
    view: str,
    key: bytes,
) -> bytes:
    return b"{%b}%b:%b" % (tags()[bucket], view.encode(), key)


def _by_bucket(keys: Sequence[bytes]) -> dict[int, list[int]]:
    """By bucket, which keys are of it."""
    found: dict[int, list[int]] = {}
    for i, key in enumerate(keys):
        found.setdefault(bucket_of(key), []).append(i)
    return found


def _short(parts: Sequence[bytes]) -> str:
    return hashlib.sha256(b"\x1f".join(parts)).hexdigest()[:16]


def _get(
    names: Sequence[bytes],
    first: int,
    after: int,
) -> bytes:
    return packed(b"MGET", *names[first:after])


def _exist(
    names: Sequence[bytes],
    first: int,
    after: int,
) -> bytes:
    return packed(b"EXISTS", *names[first:after])


def _get_one(
    name: bytes,
    first: int,
    after: int,
) -> bytes:
    return packed(b"GET", name)


def _write(
    names: Sequence[bytes],
    rows: Sequence[bytes],
    first: int,
    after: int,
) -> bytes:
    some = Packed.of(rows[first:after])
    return called(scripts.WRITE, names[first:after], scripts.arguments(some))


def _told(
    script: scripts.Script,
    names: Sequence[bytes],
    rest: Sequence[bytes],
    first: int,
    after: int,
) -> bytes:
    return called(script, names[first:after], rest)


def _mark(
    bucket: int,
    own: bytes,
    first: int,
    after: int,
) -> bytes:
    return packed(b"SET", _MARKERS[bucket], own, b"NX")
