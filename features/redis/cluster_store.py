"""Rows in a Redis Cluster: one string a row, named `{bucket}view:key`, its version guarded by a
script."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.features.redis import scripts
from freshet.features.redis.addresses import Cluster
from freshet.features.redis.buckets import BUCKETS, bucket_of, tags
from freshet.features.redis.link import called, facts_of, packed
from freshet.features.redis.nodes import Call, ClusterNodes
from freshet.features.redis.redis_store import KEYS_A_CALL
from freshet.features.stores.contract import RowKeys, Rows
from freshet.features.stores.stored import check_rows, check_version, rows_of
from freshet.schemas.sizes import CALL_BYTES, cuts

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

    def __init__(self, cluster: Cluster, timeout_seconds: float = 5.0) -> None:
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

    def write(self, view: str, keys: Sequence[bytes], rows: npt.NDArray[np.uint8]) -> int:
        check_rows(view, keys, rows)
        calls = []
        for bucket, at in _by_bucket(keys).items():
            names = [_name(bucket, view, keys[i]) for i in at]
            data = rows[at]
            sizes = [len(name) + rows.shape[1] for name in names]
            for first, after in cuts(sizes, KEYS_A_CALL, CALL_BYTES):
                command = partial(_write, names[first:after], data[first:after])
                calls.append(Call(bucket, after - first, command, scripts.WRITE))
        return sum(self._nodes.ask(calls))

    def erase(self, view: str, keys: Sequence[bytes], version: bytes) -> int:
        """Tombstones are 16 bytes each and stay."""
        check_version(version)
        calls = []
        for bucket, at in _by_bucket(keys).items():
            names = [_name(bucket, view, keys[i]) for i in at]
            for first, after in cuts([len(name) for name in names], KEYS_A_CALL, CALL_BYTES):
                command = partial(_erase, names[first:after], version)
                calls.append(Call(bucket, after - first, command, scripts.ERASE))
        return sum(self._nodes.ask(calls))

    def read(self, wanted: Sequence[RowKeys]) -> list[Rows]:
        return self._read(wanted, self._nodes.ask)

    def read_at_once(self, wanted: Sequence[RowKeys], within_seconds: float) -> list[Rows]:
        return self._read(wanted, partial(self._nodes.ask_at_once, within_seconds))

    def _read(self, wanted: Sequence[RowKeys], ask: Ask) -> list[Rows]:
        names: dict[int, list[bytes]] = {}
        sizes: dict[int, list[int]] = {}
        # Of each key in the order that it is wanted in: its bucket, and which of that it is.
        places: list[tuple[int, int]] = []
        for asked in wanted:
            for key in asked.keys:
                bucket = bucket_of(key)
                own = names.setdefault(bucket, [])
                places.append((bucket, len(own)))
                own.append(_name(bucket, asked.view, key))
                sizes.setdefault(bucket, []).append(len(own[-1]) + asked.width)
        calls = []
        for bucket, own in names.items():
            for first, after in cuts(sizes[bucket], KEYS_A_CALL, CALL_BYTES):
                # The marker with each: the server may be emptied between two of them.
                part = [_MARKERS[bucket], *own[first:after]]
                calls.append(Call(bucket, len(part), partial(_get, part)))
        values: dict[int, list[bytes | None]] = {}
        is_known = True
        for call, (marker, *found) in zip(calls, ask(calls)):
            is_known &= bool(self._markers) and marker == self._markers[call.bucket]
            values.setdefault(call.bucket, []).extend(found)
        generation = ""
        if is_known and calls:
            generation = self._generation()
        out = []
        at = 0
        for asked in wanted:
            after = at + len(asked.keys)
            of_view = [values[bucket][i] for bucket, i in places[at:after]]
            out.append(rows_of(of_view, asked.width, generation))
            at = after
        return out

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
            link.server = facts.get(b"run_id", b"") + b":" + facts.get(b"master_replid", b"")

    def _generation(self) -> str:
        servers = tuple(self._nodes.link(node).server for node in self._nodes.masters)
        known, name = self._named
        if servers != known:
            name = f"{self._digest}:{_short(sorted(servers))}"
            self._named = (servers, name)
        return name


_MARKERS = [b"{%b}freshet:generation" % tag for tag in tags()]


def _name(bucket: int, view: str, key: bytes) -> bytes:
    return b"{%b}%b:%b" % (tags()[bucket], view.encode(), key)


def _by_bucket(keys: Sequence[bytes]) -> dict[int, list[int]]:
    """By bucket, which keys are of it."""
    found: dict[int, list[int]] = {}
    for i, key in enumerate(keys):
        found.setdefault(bucket_of(key), []).append(i)
    return found


def _short(parts: Sequence[bytes]) -> str:
    return hashlib.sha256(b"\x1f".join(parts)).hexdigest()[:16]


def _get(names: Sequence[bytes], first: int, after: int) -> bytes:
    return packed(b"MGET", *names[first:after])


def _write(names: Sequence[bytes], rows: npt.NDArray[np.uint8], first: int, after: int) -> bytes:
    rest = [b"%d" % rows.shape[1], rows[first:after].tobytes()]
    return called(scripts.WRITE, names[first:after], rest)


def _erase(names: Sequence[bytes], version: bytes, first: int, after: int) -> bytes:
    return called(scripts.ERASE, names[first:after], [version])


def _mark(bucket: int, own: bytes, first: int, after: int) -> bytes:
    return packed(b"SET", _MARKERS[bucket], own, b"NX")
