"""Rows in Cassandra: one table in the app's keyspace; versions are the timestamps of writes and
erasures."""

from __future__ import annotations

import contextlib
import hashlib
import re
import socket
import time
import uuid
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import cassandra
import numpy as np
import numpy.typing as npt
from cassandra import ConsistencyLevel, InvalidRequest
from cassandra.auth import PlainTextAuthProvider

from freshet.features.packed import Packed
from freshet.features.stores.cassandra_address import CassandraPlace, place_of
from freshet.features.stores.contract import (
    VERSION_BYTES,
    NotAtOnce,
    RowKeys,
    Rows,
    ValueRefused,
)
from freshet.features.stores.refused import refused_among, written
from freshet.features.stores.stored import (
    ReadBytes,
    by_view,
    check_rows,
    check_version,
    lengths_of,
    rows_of,
    with_refused,
)
from freshet.schemas.errors import StoreError
from freshet.schemas.sizes import cuts

try:
    from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
    from cassandra.policies import (
        ConstantReconnectionPolicy,
        DCAwareRoundRobinPolicy,
        TokenAwarePolicy,
    )
    from cassandra.query import BatchStatement, BatchType, tuple_factory
except cassandra.DependencyException as error:
    # Without libev, and from Python 3.12 on without asyncore, the driver cannot wait for sockets.
    raise ImportError(str(error)) from error

I64 = npt.NDArray[np.int64]
# Together 63 bits, those of a timestamp that is not negative.
OFFSET_BITS = 43
INDEX_BITS = 20
# The server logs a warning for batches above 5 KiB or over more than 10 partitions, and refuses 50
# KiB.
ROWS_A_BATCH = 10
BYTES_A_BATCH = 4_096
# What a server answers, times the requests in flight, it and the driver hold in memory.
KEYS_A_SELECT = 100
BYTES_A_SELECT = 256 << 10
REQUESTS_IN_FLIGHT = 128
# A server calls a connection overloaded whose requests have more bytes than a small part of its
# memory.
BYTES_IN_FLIGHT = 2 << 20
CONNECT_SECONDS = 5.0
# Servers agree on a new table among themselves, which takes longer than an answer.
SCHEMA_SECONDS = 30.0
RECONNECT_SECONDS = 1.0
# How long a restart of a server may go unnoticed.
SERVERS_SECONDS = 1.0
MARKER = "freshet:generation"
_KEYSPACE = (
    "CREATE KEYSPACE IF NOT EXISTS {0} WITH replication = "
    "{{'class': 'NetworkTopologyStrategy', 'replication_factor': 1}}"
)
# A partition for each row: rows spread over the servers, and one is read without its neighbours.
_TABLE = (
    "CREATE TABLE IF NOT EXISTS {0}.rows "
    "(of_view text, key blob, row blob, PRIMARY KEY ((of_view, key)))"
)


class CassandraStore:
    """A `Store` in Cassandra (5.0), at `cassandra://[user:password@]host[,host…][:port]/keyspace`,
    with options that `freshet.features.stores.cassandra_address` knows.

    A missing keyspace is made, with one replica; for more, make it beforehand. The table is made in
    any case.

    Cassandra itself keeps the newest of what was written to a row, by timestamp, without locks or
    lightweight transactions, so any number of writers may write in any order. A timestamp has 63
    bits: versions have offsets below 2^43 and indexes below 2^20. Of two writes of one version
    either may win, since they are the same bytes; a tombstone beats a row of its own version.
    Guardrails on the minimum timestamp must stay off (their default), and a tombstone refuses older
    writes for the table's `gc_grace_seconds` (10 days).

    Nothing is read before it is written, so `write` and `erase` return how many rows they were
    given. Reads and writes are at the consistency that the address says, LOCAL_QUORUM unless it
    says another: with less than a quorum on both sides a read may miss what was written. A session
    is shared by any number of threads; a lost server is tried again every second, and calls fail
    until it is back.

    `generation()` names a marker kept among the rows and the last start of each server (asked for
    once a second), since a server may restart without its last writes. See `RedisStore` for its
    use.

    Rows say the generation that they were read in by the marker as it was last seen; it is looked
    at again, after them, where a row is absent. (No server restarts within a second; a table may
    be emptied within one, and whatever empties it takes the marker along.)

    Raises:
        StoreError: at once, if no server can be reached, or the keyspace cannot be made or used.
    """

    def __init__(self, url: str, timeout_seconds: float = 5.0) -> None:
        place = place_of(url)
        self._keyspace = place.keyspace
        self._consistency = ConsistencyLevel.name_to_value[place.consistency]
        self.address = place.shown
        self._timeout_seconds = timeout_seconds
        self._servers = ""
        self._servers_until = 0.0
        self._marker = ""  # as it was last seen
        self._read_bytes = ReadBytes()
        profile = ExecutionProfile(
            load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy(place.local_dc or "")),
            consistency_level=self._consistency,
            row_factory=tuple_factory,
            request_timeout=timeout_seconds,
        )
        with self._translated():
            self._cluster = Cluster(
                place.hosts,
                port=place.port,
                auth_provider=PlainTextAuthProvider(*place.login) if place.login else None,
                ssl_context=place.tls,
                execution_profiles={EXEC_PROFILE_DEFAULT: profile},
                protocol_version=5,
                connect_timeout=min(CONNECT_SECONDS, timeout_seconds),
                control_connection_timeout=timeout_seconds,
                reconnection_policy=ConstantReconnectionPolicy(
                    RECONNECT_SECONDS, max_attempts=None
                ),
                # Else large writes wait 40 ms for an acknowledgement.
                sockopts=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
            )
        try:
            with self._translated():
                self._session = self._connect(place)
                self._prepare()
        except BaseException:
            # Its threads would outlive a constructor that failed.
            self._cluster.shutdown()
            raise

    def _connect(self, place: CassandraPlace) -> Any:
        try:
            return self._cluster.connect()
        except NoHostAvailable:
            # Nobody may be asked where nobody is near.
            known = {host.datacenter for host in self._cluster.metadata.all_hosts()} - {None}
            if not place.local_dc or not known or place.local_dc in known:
                raise
        raise self._error(
            f"has no server in data centre {place.local_dc!r}",
            f"Give local_dc one of {', '.join(sorted(known))}.",
        )

    @property
    def resource(self) -> str:
        return f"Cassandra at {self.address}"

    def write(self, view: str, keys: Sequence[bytes], rows: Packed) -> int:
        check_rows(view, keys, rows)
        versions = rows.data[rows.starts[:, None] + np.arange(VERSION_BYTES)]
        stamps = self._timestamps(versions).tolist()
        each = [(view, key, value, at) for key, value, at in zip(keys, rows, stamps)]
        # With the keys: the server refuses a large batch, and would refuse it for ever.
        sizes = lengths_of(rows, keys)
        # As if all batches were as large as the largest.
        largest = max(BYTES_A_BATCH, int(sizes.max(initial=0)))
        fitting = max(1, BYTES_IN_FLIGHT // largest)
        in_flight = min(REQUESTS_IN_FLIGHT, fitting)

        def insert(first: int, after: int) -> int:
            some = self._batches(self._insert, each[first:after], sizes[first:after])
            self._run(some, in_flight)
            return after - first

        return written(insert, len(keys), self.resource)

    def read(self, wanted: Sequence[RowKeys]) -> list[Rows]:
        try:
            return self._read(wanted)
        except ValueRefused:
            return self._read_apart(wanted)

    def _read_apart(self, wanted: Sequence[RowKeys]) -> list[Rows]:
        """What is wanted, but for the keys that the server refuses (they are too long)."""
        each = [RowKeys(asked.view, [key]) for asked in wanted for key in asked.keys]
        refused = refused_among(lambda first, after: self._read(each[first:after]), len(each))
        others = []
        for asked, of_view in by_view(wanted, range(len(each))):
            keys = [key for at, key in zip(of_view, asked.keys) if at not in refused]
            others.append(RowKeys(asked.view, keys))
        out = []
        for rows, (_, of_view) in zip(self._read(others), by_view(wanted, range(len(each)))):
            own = iter(rows.packed)
            values = [b"" if at in refused else next(own) for at in of_view]
            given = [i for i, at in enumerate(of_view) if at not in refused]
            marked = {given[i]: why for i, why in rows.refused.items()}
            out.append(Rows(Packed.of(values), rows.generation, marked))
        return with_refused(out, refused)

    def _read(self, wanted: Sequence[RowKeys]) -> list[Rows]:
        selects: list[tuple[int, tuple[str, list[bytes]]]] = []
        for i, asked in enumerate(wanted):
            # Each once: a SELECT answers a key once, however often it is asked for.
            keys = list(dict.fromkeys(asked.keys))
            usual = self._read_bytes.of(asked.view)
            sizes = [usual + len(key) for key in keys]
            for first, after in cuts(sizes, KEYS_A_SELECT, BYTES_A_SELECT):
                selects.append((i, (asked.view, keys[first:after])))
        found: list[dict[bytes, bytes]] = [{} for _ in wanted]
        answers = self._run((self._select, values) for _, values in selects)
        for (i, _), answer in zip(selects, answers):
            found[i].update(answer)
        values = [[known.get(key) for key in asked.keys] for asked, known in zip(wanted, found)]
        generation = self._generation_of_read(any(None in of_view for of_view in values))
        rows = [rows_of(of_view, generation) for of_view in values]
        for asked, of_view in zip(wanted, rows):
            self._read_bytes.note(asked.view, of_view)
        return rows

    def read_at_once(self, wanted: Sequence[RowKeys], within_seconds: float) -> list[Rows]:
        """Never: its driver answers from threads of its own, and its servers pause."""
        raise NotAtOnce(self.resource, "is never read at once", "Read it on a thread.")

    def _generation_of_read(self, some_absent: bool) -> str:
        """Asked for after the rows, so that whatever they lack was lost before it."""
        if some_absent:
            self._marker = self._marker_now()
        return f"{self._marker}:{self._started()}" if self._marker else ""

    def erase(self, view: str, keys: Sequence[bytes], version: bytes) -> int:
        check_version(version)
        (at,) = self._timestamps(np.frombuffer(version, np.uint8)[None]).tolist()
        each = [(at, view, key) for key in keys]
        sizes = np.array([len(key) for key in keys], np.int64)

        def delete(first: int, after: int) -> int:
            self._run(self._batches(self._delete, each[first:after], sizes[first:after]))
            return after - first

        return written(delete, len(keys), self.resource)

    def forget(self, view: str, keys: Sequence[bytes], version: bytes) -> int:
        """As `erase`: Cassandra lets go of its tombstones by itself."""
        return self.erase(view, keys, version)

    def generation(self) -> str:
        marker = self._marker_now()
        if not marker:
            # Two may do this at once: both then read the later one, at worst one of them only the
            # next time.
            own = uuid.uuid4().hex.encode()
            self._run([(self._insert, (MARKER, b"", own, time.time_ns() // 1_000))])
            marker = self._marker_now()
        self._marker = marker
        return f"{marker}:{self._started()}"

    def _marker_now(self) -> str:
        """Empty where there is none."""
        (found,) = self._run([(self._select, (MARKER, [b""]))])
        return "".join(marker.decode() for _, marker in found)

    def close(self) -> None:
        self._cluster.shutdown()

    def _started(self) -> str:
        """A digest of when each server was last started."""
        if time.monotonic() >= self._servers_until:
            (starts,) = self._run(
                [("SELECT address, generation FROM system_views.gossip_info", None)]
            )
            self._servers = hashlib.sha256(repr(sorted(starts)).encode()).hexdigest()[:16]
            self._servers_until = time.monotonic() + SERVERS_SECONDS
        return self._servers

    def _timestamps(self, versions: npt.NDArray[np.uint8]) -> I64:
        """Microseconds, as Cassandra calls them, in the order of the versions uint8 `[n, 16]`."""
        parts = np.ascontiguousarray(versions).view(">u8").astype(np.uint64)
        if (parts >> np.array([OFFSET_BITS, INDEX_BITS], np.uint64)).any():
            offset, index = parts.max(0).tolist()
            raise self._error(
                f"cannot order versions up to offset {offset}, index {index}",
                f"Keep offsets below 2^{OFFSET_BITS} and indexes below 2^{INDEX_BITS}, "
                "or use Redis.",
            )
        stamps: I64 = (parts[:, 0] << np.uint64(INDEX_BITS) | parts[:, 1]).astype(np.int64)
        return stamps

    def _batches(
        self, statement: Any, values: Sequence[tuple[Any, ...]], sizes: Sequence[int] | I64
    ) -> Iterator[tuple[Any, None]]:
        """Unlogged: rows do not depend on each other, but a message for each costs four times as
        much."""
        for first, after in cuts(sizes, ROWS_A_BATCH, BYTES_A_BATCH):
            batch = BatchStatement(BatchType.UNLOGGED, consistency_level=self._consistency)
            for one in values[first:after]:
                batch.add(statement, one)
            yield batch, None

    def _run(
        self, requests: Iterable[tuple[Any, Any]], in_flight: int = REQUESTS_IN_FLIGHT
    ) -> list[list[Any]]:
        """Answers to statements and their values, sent together; twice if the table had to be made
        again."""
        with self._translated():
            requests = list(requests)
            try:
                return self._send(requests, in_flight)
            except InvalidRequest as error:
                if not re.search("unconfigured table|does not exist", str(error)):
                    raise
            self._prepare()
            return self._send(requests, in_flight)

    def _send(self, requests: Sequence[tuple[Any, Any]], in_flight: int) -> list[list[Any]]:
        waiting: deque[Any] = deque()
        answers: list[list[Any]] = []
        for statement, values in requests:
            # The oldest alone is waited for: the others stay in flight.
            if len(waiting) == in_flight:
                answers.append(waiting.popleft().result().all())
            waiting.append(self._session.execute_async(statement, values))
        answers += [future.result().all() for future in waiting]
        return answers

    def _prepare(self) -> None:
        """Make what is missing, and prepare the statements."""
        made = (
            "SELECT id FROM system_schema.tables WHERE keyspace_name = %s AND table_name = 'rows'"
        )
        if not self._session.execute(made, (self._keyspace,)).one():
            spaces = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = %s"
            if not self._session.execute(spaces, (self._keyspace,)).one():
                self._session.execute(_KEYSPACE.format(self._keyspace), timeout=SCHEMA_SECONDS)
            self._session.execute(_TABLE.format(self._keyspace), timeout=SCHEMA_SECONDS)
        table = f"{self._keyspace}.rows"
        self._insert = self._session.prepare(
            f"INSERT INTO {table} (of_view, key, row) VALUES (?, ?, ?) USING TIMESTAMP ?"
        )
        self._delete = self._session.prepare(
            f"DELETE FROM {table} USING TIMESTAMP ? WHERE of_view = ? AND key = ?"
        )
        self._select = self._session.prepare(
            f"SELECT key, row FROM {table} WHERE of_view = ? AND key IN ?"
        )

    def _error(self, cause: str, next_step: str) -> StoreError:
        return StoreError(self.resource, cause, next_step, address=self.address)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except Exception as error:
            text = " ".join(str(_root(error)).split())
            if any(sign in text for sign in _OF_ONE_VALUE):
                cause = f"refuses a key or value ({text})"
                raise ValueRefused(
                    self.resource, cause, _OF_ONE_VALUE_STEP, address=self.address
                ) from error
            for kind, cause, next_step in _MEANINGS:
                if isinstance(_root(error), kind):
                    cause = cause.format(text=text, seconds=self._timeout_seconds)
                    raise self._error(cause, next_step) from error
            raise


def _root(error: Exception) -> Exception:
    """Of an error that collects those of all servers, the first that says more than that one is
    down."""
    if isinstance(error, NoHostAvailable) and isinstance(error.errors, dict) and error.errors:
        several: list[Exception] = list(error.errors.values())
        return next((one for one in several if not isinstance(one, OSError)), several[0])
    return error


# What a server says of one key or value; anything else concerns all of them.
_OF_ONE_VALUE = (
    "CQL Message of size",
    "is too large for the maximum size",
    "is longer than maximum",
)
_OF_ONE_VALUE_STEP = (
    "Raise its native_transport_max_message_size and max_mutation_size, or keep the view's rows "
    "shorter."
)
# What errors of the driver mean, most specific first.
_MEANINGS: tuple[tuple[Any, str, str], ...] = (
    (
        cassandra.AuthenticationFailed,
        "refuses the user or password",
        "Check both in the store's address, and the server's roles.",
    ),
    (
        cassandra.Unauthorized,
        "does not let this user do that ({text})",
        "Grant it CREATE, SELECT and MODIFY on the keyspace, and SELECT on system_views.",
    ),
    (
        (cassandra.OperationTimedOut, cassandra.Timeout),
        "has not answered within {seconds} s",
        "See whether it is overloaded or stopped, and the network between.",
    ),
    (
        (cassandra.Unavailable, cassandra.CoordinationFailure),
        "has too few replicas of a row that work ({text})",
        "Start the servers that are down (see nodetool status).",
    ),
    (
        cassandra.RequestValidationException,
        "refuses a statement ({text})",
        "Mend what it names; the server's log may say more.",
    ),
    (
        Exception,
        "cannot be reached ({text})",
        "Start it, or check the store's address and the network between.",
    ),
)
