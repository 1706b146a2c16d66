"""Rows in Redis: one string a row, named `{view}:{key}`, its version guarded by a script."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry

from freshet.features.packed import Packed
from freshet.features.stores import redis_scripts as scripts
from freshet.features.stores.contract import NotAtOnce, RowKeys, Rows
from freshet.features.stores.redis_scripts import Script
from freshet.features.stores.stored import ReadBytes, check_rows, check_version, lengths_of, rows_of
from freshet.schemas.addresses import authority
from freshet.schemas.errors import StoreError
from freshet.schemas.shown_text import address
from freshet.schemas.sizes import CALL_BYTES, cuts

# So that no single command keeps the server from others for more than about a millisecond.
KEYS_A_CALL = 1_000
MARKER = b"freshet:generation"
CONNECT_SECONDS = 2.0
# How long reads may not notice that a server changed its replication history and kept its clients.
HISTORY_SECONDS = 1.0


Ask = Callable[[Sequence[bytes]], list[Any]]


class RedisStore:
    """A `Store` in one Redis (6.2 or newer; not a Redis Cluster), at
    `redis://[user:password@]host:port/db`, `rediss://…` (TLS) or `unix:///path?db=0`.

    Any number of writers: the server itself keeps the newest version of each key, so order and
    repetition do not matter. Any number of threads: each call takes a connection of its own. A call
    that meets a broken connection is made once more on a new one (a restarted server is not an
    error); one that is not answered within `timeout_seconds` fails.

    `generation()` names a marker kept among the rows, the server's run and its replication history.
    Whoever owns rows asks for it *after* each write and, where it has changed, writes them all
    again: what was lost before the question changes the answer, what is lost later is found by the
    next one.

    Rows say the generation that they were read in: the marker is read with them, the server's run
    is known since it was connected, and its history is asked for once a second (a server that is
    demoted in place may keep its clients).

    Raises:
        StoreError: at once, if there is no Redis, it refuses the password, or it may evict rows.
    """

    def __init__(self, url: str, timeout_seconds: float = 5.0) -> None:
        self._make_connection, self.address = _connections(url, timeout_seconds)
        self._timeout_seconds = timeout_seconds
        self._server = b""  # run and replication history of the one that was connected last
        self._history_until = 0.0
        self._read_bytes = ReadBytes()
        # Connected now: what is wrong with the address or the server is told at once.
        self._idle: list[Any] = [self._connect()]

    @property
    def resource(self) -> str:
        return f"Redis at {self.address}"

    def write(self, view: str, keys: Sequence[bytes], rows: Packed) -> int:
        check_rows(view, keys, rows)
        names = _names(view, keys)
        spans = cuts(lengths_of(rows, names), KEYS_A_CALL, CALL_BYTES)
        calls = [
            (names[first:after], _arguments(rows.part(first, after))) for first, after in spans
        ]
        return sum(self._run(scripts.WRITE, calls))

    def read(self, wanted: Sequence[RowKeys]) -> list[Rows]:
        return self._read(wanted, self._ask)

    def read_at_once(self, wanted: Sequence[RowKeys], within_seconds: float) -> list[Rows]:
        return self._read(wanted, partial(self._ask_at_once, within_seconds))

    def _read(self, wanted: Sequence[RowKeys], ask: Ask) -> list[Rows]:
        names: list[bytes] = []
        sizes: list[int] = []
        for asked in wanted:
            own = _names(asked.view, asked.keys)
            names += own
            usual = self._read_bytes.of(asked.view)
            sizes += [len(name) + usual for name in own]
        values: list[bytes | None] = []
        markers: set[bytes | None] = set()
        # The marker with each chunk: the server may be emptied between two of them.
        spans = cuts(sizes, KEYS_A_CALL, CALL_BYTES)
        commands = [_packed(b"MGET", MARKER, *names[first:after]) for first, after in spans]
        for reply in self._fetch(commands, ask):
            markers.add(reply[0])
            values += reply[1:]
        generation = self._generation_of(markers)
        out = []
        at = 0
        for asked in wanted:
            after = at + len(asked.keys)
            rows = rows_of(values[at:after], generation)
            self._read_bytes.note(asked.view, rows)
            out.append(rows)
            at = after
        return out

    def _fetch(self, commands: Sequence[bytes], ask: Ask) -> list[Any]:
        """Replies to commands that read rows; now and then the server's history beside them."""
        if not commands or time.monotonic() < self._history_until:
            return ask(commands)
        *replies, facts = ask([*commands, _packed(b"INFO", b"replication")])
        run, _, _ = self._server.partition(b":")
        self._server = run + b":" + _facts(facts).get(b"master_replid", b"")
        self._history_until = time.monotonic() + HISTORY_SECONDS
        return replies

    def _generation_of(self, markers: set[bytes | None]) -> str:
        """The generation of what was read beside these markers, as `generation` names it."""
        marker = markers.pop() if len(markers) == 1 else None
        return "" if marker is None else (marker + b":" + self._server).decode()

    def erase(self, view: str, keys: Sequence[bytes], version: bytes) -> int:
        """Tombstones are 16 bytes each and stay."""
        check_version(version)
        names = _names(view, keys)
        spans = cuts([len(name) for name in names], KEYS_A_CALL, CALL_BYTES)
        return sum(
            self._run(scripts.ERASE, [(names[first:after], [version]) for first, after in spans])
        )

    def generation(self) -> str:
        """Also raises `StoreError` where the server was told to evict since it was connected."""
        ((*parts, policy),) = self._run(
            scripts.GENERATION, [([MARKER], [uuid.uuid4().hex.encode()])]
        )
        self._check_policy(policy.decode())
        marker, *server = parts
        self._server = b":".join(server)
        return self._generation_of({marker})

    def close(self) -> None:
        while self._idle:
            self._idle.pop().disconnect()

    def _run(
        self, script: Script, calls: Sequence[tuple[Sequence[bytes], Sequence[bytes]]]
    ) -> list[Any]:
        """Replies of a script called with keys and arguments, all in one round trip."""
        commands = [
            _packed(b"EVALSHA", script.sha, b"%d" % len(keys), *keys, *rest) for keys, rest in calls
        ]
        try:
            return self._ask(commands)
        except StoreError as error:
            # The server is new, or its scripts were flushed. What did run may run again.
            if not isinstance(error.__cause__, redis.exceptions.NoScriptError):
                raise
        return self._ask([_packed(b"SCRIPT", b"LOAD", script.text), *commands])[1:]

    def _ask(self, commands: Sequence[bytes]) -> list[Any]:
        """Replies to packed commands, sent together; twice if an idle connection turns out to be
        broken."""
        if not commands:
            return []
        with self._translated():
            connection = self._take()
            if connection is not None:
                try:
                    return self._exchange(connection, commands)
                except redis.ConnectionError:
                    self.close()  # Those beside it are as old.
            return self._exchange(self._connect(), commands)

    def _ask_at_once(self, within_seconds: float, commands: Sequence[bytes]) -> list[Any]:
        """Over a connection that is there, which is given up if the replies are not."""
        if not commands:
            return []
        connection = self._take(within_seconds)
        if connection is None:
            raise NotAtOnce(self.resource, "is not connected to", "Read it on a thread.")
        try:
            with self._translated():
                return self._exchange(connection, commands)
        except StoreError as error:
            if isinstance(error.__cause__, redis.TimeoutError | redis.ConnectionError):
                raise NotAtOnce(
                    self.resource, "does not answer at once", "Read it on a thread."
                ) from error
            raise

    def _take(self, within_seconds: float | None = None) -> Any:
        """A connection that is there, which waits that long (None: the store's own timeout) for
        each reply."""
        connection = self._idle_one()
        if connection is not None and connection._sock is not None:
            connection._sock.settimeout(within_seconds or self._timeout_seconds)
        return connection

    def _idle_one(self) -> Any:
        # Not asked first whether there is one: another thread may take the last in between.
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _exchange(self, connection: Any, commands: Sequence[bytes]) -> list[Any]:
        try:
            replies, refused = _replies(connection, commands)
        except BaseException:
            # Replies may still come, and would be taken for those of the next call.
            connection.disconnect()
            raise
        if isinstance(refused, redis.ReadOnlyError):
            connection.disconnect()  # A new one may lead to the new master.
        else:
            self._idle.append(connection)
        if refused is not None:
            raise refused
        return replies

    def _connect(self) -> Any:
        """A connection to a server that may be used."""
        connection = self._make_connection()
        try:
            with self._translated():
                connection.connect()
                (facts,), refused = _replies(connection, [_packed(b"INFO")])
                if refused is not None:
                    raise refused
            known = _facts(facts)
            self._check_policy(known[b"maxmemory_policy"].decode())
            if known.get(b"cluster_enabled") == b"1":
                raise self._error(
                    "is a Redis Cluster", "Give the address of a Redis without cluster mode."
                )
        except BaseException:
            connection.disconnect()
            raise
        # Before anything is read over it: what another server has is of another generation.
        self._server = known.get(b"run_id", b"") + b":" + known.get(b"master_replid", b"")
        return connection

    def _check_policy(self, policy: str) -> None:
        if policy != "noeviction":
            raise self._error(
                f"evicts rows when memory is short (maxmemory-policy is {policy})",
                "Run CONFIG SET maxmemory-policy noeviction, and set it in the server's "
                "redis.conf.",
            )

    def _error(self, cause: str, next_step: str) -> StoreError:
        return StoreError(self.resource, cause, next_step, address=self.address)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except redis.RedisError as error:
            text = " ".join(str(error).split())
            for kind, cause, next_step in _MEANINGS:
                # Redis 6 wraps what stopped a script: "Error running script …: -OOM command not
                # allowed …".
                if isinstance(error, kind) or _WRAPPED.get(kind, "\0") in text:
                    cause = cause.format(text=text, seconds=self._timeout_seconds)
                    raise self._error(cause, next_step) from error
            raise


_WRAPPED: dict[type[redis.RedisError], str] = {
    redis.OutOfMemoryError: "-OOM ",
    redis.ReadOnlyError: "-READONLY ",
}
# What errors of the client mean, most specific first.
_MEANINGS: tuple[tuple[type[redis.RedisError], str, str], ...] = (
    (
        redis.AuthenticationError,
        "refuses the user or password ({text})",
        "Check both in the store's address, and the server's requirepass or ACL.",
    ),
    (
        redis.BusyLoadingError,
        "is still loading its data",
        "Wait until it has; its log says how far it is.",
    ),
    (
        redis.TimeoutError,
        "has not answered within {seconds} s",
        "See whether it is overloaded or stopped, and the network between.",
    ),
    (
        redis.ConnectionError,
        "cannot be reached ({text})",
        "Start it, or check the store's address and the network between.",
    ),
    (
        redis.OutOfMemoryError,
        "is full (used memory is above maxmemory)",
        "Raise its maxmemory, or remove data that is not needed.",
    ),
    (redis.ReadOnlyError, "is a replica, which takes no writes", "Give the address of the master."),
    (
        redis.exceptions.NoPermissionError,
        "does not let this user do that ({text})",
        "Allow the user EVALSHA, SCRIPT, MGET, GET, SET, GETRANGE and INFO on the app's keys.",
    ),
    (
        redis.RedisError,
        "refuses a command ({text})",
        "Mend what it names; the server's log may say more.",
    ),
)


def _connections(url: str, timeout_seconds: float) -> tuple[Callable[[], Any], str]:
    """What makes connections to `url`, not yet connected, and the address without user or
    password."""
    try:
        parse: Callable[[str], dict[str, Any]] = parse_url
        options = parse(url)
        parts = urlsplit(url)
        path = parts.path.strip("/")
        if "path" not in options and "@" in f"{path}{parts.query}{parts.fragment}":
            # A password with a / or a ? in it: what stands before would pass for the host.
            raise ValueError
        if "path" not in options and path and not path.isdecimal():
            raise ValueError  # Which parse_url takes for database 0.
        make = partial(
            options.pop("connection_class", redis.Connection),
            **{
                "socket_connect_timeout": min(CONNECT_SECONDS, timeout_seconds),
                "socket_timeout": timeout_seconds,
            }
            | options
            # A call is repeated by `_ask`, once, and nowhere else.
            | {"protocol": 2, "retry": Retry(NoBackoff(), 0)},
        )
        # Not connected by that; but options that no connection takes are refused.
        make()
    except (ValueError, TypeError):
        # Not the text of that error: it could hold the password.
        raise StoreError(
            address(url), "is not one of a Redis", "Write redis://HOST:PORT/DB or unix:///PATH."
        ) from None
    place = options.get("path") or authority(
        options.get("host", "localhost"), options.get("port", 6379)
    )
    return make, f"{place} db {options.get('db', 0)}"


def _replies(connection: Any, commands: Sequence[bytes]) -> tuple[list[Any], Exception | None]:
    """All replies, and the first that is an error; the connection is in step afterwards."""
    connection.send_packed_command([b"".join(commands)])
    replies = []
    refused = None
    # Also after an error: a reply that is left unread is the next call's.
    for _ in commands:
        try:
            replies.append(connection.read_response(disable_decoding=True))
        except redis.ResponseError as error:
            refused = refused or error
    return replies, refused


def _facts(info: bytes) -> dict[bytes, bytes]:
    """The lines of a reply to INFO, by name."""
    named = (line.partition(b":") for line in info.splitlines())
    return {name: value for name, colon, value in named if colon}


def _packed(*parts: bytes) -> bytes:
    """A command as the protocol has it; redis-py's own packing takes three times as long."""
    return b"*%d\r\n" % len(parts) + b"".join(
        [b"$%d\r\n%b\r\n" % (len(part), part) for part in parts]
    )


def _arguments(rows: Packed) -> list[bytes]:
    """Rows as the script takes them: their lengths, and all of them in one."""
    lengths = rows.lengths.astype("<u4")
    return [lengths.tobytes(), rows.data.tobytes()]


def _names(view: str, keys: Sequence[bytes]) -> list[bytes]:
    prefix = f"{view}:".encode()
    return [prefix + key for key in keys]
