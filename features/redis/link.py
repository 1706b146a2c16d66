"""Connections to one Redis server, kept between calls: commands packed here, replies in one round
trip, errors in our words."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import redis
from redis.sentinel import MasterNotFoundError

from freshet.features.redis.scripts import Script
from freshet.features.stores.contract import NotAtOnce, ValueRefused
from freshet.schemas.errors import StoreError

CONNECT_SECONDS = 2.0
# How long reads may not notice that a server changed its replication history and kept its clients.
HISTORY_SECONDS = 1.0


@dataclass(frozen=True)
class Place:
    """Where a server is: `dial` makes a connection, not yet connected, and `address` says where to,
    without user or password. Behind Sentinels each connection is to whoever is master by then."""

    dial: Callable[[], Any]
    address: str
    is_clustered: bool = False
    is_watched: bool = False  # by Sentinels
    is_copy: bool = False  # of what another store has, so that it may evict


class RedisLink:
    """Any number of threads: each call takes a connection of its own. A call that meets a broken
    connection is made once more on a new one (a restarted server is not an error); one that is not
    answered within `timeout_seconds` fails.

    `server` are the run and the replication history of the one that was connected last.
    """

    def __init__(self, place: Place, timeout_seconds: float) -> None:
        self.address = place.address
        self.server = b""
        self._place = place
        self._timeout_seconds = timeout_seconds
        self._history_until = 0.0
        self._idle: list[Any] = []

    @property
    def resource(self) -> str:
        return f"Redis at {self.address}"

    def open(self) -> None:
        """Connect now: what is wrong with the address or the server is told at once.

        Raises:
            StoreError: there is no Redis, it refuses the password, or it may evict rows.
        """
        self._idle.append(self._connect())

    def close(self) -> None:
        while self._idle:
            self._idle.pop().disconnect()

    def run(
        self, script: Script, calls: Iterable[tuple[Sequence[bytes], Sequence[bytes]]]
    ) -> list[Any]:
        """Replies of a script called with keys and arguments, all in one round trip."""
        commands = [called(script, keys, rest) for keys, rest in calls]
        try:
            return self.ask(commands)
        except StoreError as error:
            # The server is new, or its scripts were flushed. What did run may run again.
            if not isinstance(error.__cause__, redis.exceptions.NoScriptError):
                raise
        return self.ask([loaded(script), *commands])[1:]

    def ask(self, commands: Sequence[bytes]) -> list[Any]:
        """Replies to packed commands, sent together; twice if an idle connection turns out to be
        broken."""
        if not commands:
            return []
        with self.translated():
            connection = self._take()
            if connection is not None:
                try:
                    return self._exchange(connection, commands)
                except redis.ConnectionError:
                    self.close()  # Those beside it are as old.
            return self._exchange(self._connect(), commands)

    def ask_at_once(self, within_seconds: float, commands: Sequence[bytes]) -> list[Any]:
        """Over a connection that is there, which is given up if the replies are not."""
        if not commands:
            return []
        connection = self._take(within_seconds)
        if connection is None:
            raise NotAtOnce(self.resource, "is not connected to", "Read it on a thread.")
        try:
            with self.translated():
                return self._exchange(connection, commands)
        except StoreError as error:
            if isinstance(error.__cause__, redis.TimeoutError | redis.ConnectionError):
                raise NotAtOnce(
                    self.resource, "does not answer at once", "Read it on a thread."
                ) from error
            raise

    def read(
        self, commands: Sequence[bytes], ask: Callable[[Sequence[bytes]], list[Any]]
    ) -> list[Any]:
        """Replies to commands that read rows, as `ask` (one of the two above) gives them; now and
        then the server's history beside them."""
        if not commands or time.monotonic() < self._history_until:
            return ask(commands)
        *replies, told = ask([*commands, _HISTORY])
        self._see(told)
        return replies

    def history(self) -> bytes:
        """`server`, as it is by now."""
        (told,) = self.ask([_HISTORY])
        self._see(told)
        return self.server

    def _see(self, told: bytes) -> None:
        facts = facts_of(told)
        run, _, _ = self.server.partition(b":")
        self.server = run + b":" + facts.get(b"master_replid", b"")
        self._history_until = time.monotonic() + HISTORY_SECONDS
        if self._place.is_watched and facts.get(b"role") != b"master":
            # Demoted in place: new connections lead to the master of now.
            self.close()

    def check_policy(self, policy: str) -> None:
        if self._place.is_copy:
            self._check_policy_of_copy(policy)
        elif policy != "noeviction":
            raise self.error(
                f"evicts rows when memory is short (maxmemory-policy is {policy})",
                "Run CONFIG SET maxmemory-policy noeviction, and set it in the server's "
                "redis.conf.",
            )

    def _check_policy_of_copy(self, policy: str) -> None:
        # The others evict nothing, or only what expires, which rows do not.
        if not policy.startswith("allkeys-"):
            raise self.error(
                f"takes no more rows when memory is short (maxmemory-policy is {policy})",
                "Run CONFIG SET maxmemory-policy allkeys-lru, and set it in the server's "
                "redis.conf: of a copy rows may be evicted.",
            )

    def error(self, cause: str, next_step: str) -> StoreError:
        return StoreError(self.resource, cause, next_step, address=self.address)

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        try:
            yield
        except redis.RedisError as error:
            text = " ".join(str(error).split())
            if any(sign in text for sign in _OF_ONE_VALUE):
                cause = f"refuses a key or value ({text})"
                raise ValueRefused(
                    self.resource, cause, _OF_ONE_VALUE_STEP, address=self.address
                ) from error
            for kind, cause, next_step in _MEANINGS:
                # Redis 6 wraps what stopped a script: "Error running script …: -OOM command not
                # allowed …".
                if isinstance(error, kind) or _WRAPPED.get(kind, "\0") in text:
                    cause = cause.format(text=text, seconds=self._timeout_seconds)
                    raise self.error(cause, next_step) from error
            raise

    def send(self, commands: Sequence[bytes]) -> Any:
        """Send packed commands and wait for nothing, so that other servers may be asked meanwhile:
        `receive` has the replies. The connection is new where none is there."""
        with self.translated():
            connection = self._take()
            if connection is None:
                connection = self._connect()
            return self._sent(connection, commands)

    def send_at_once(self, within_seconds: float, commands: Sequence[bytes]) -> Any:
        """The same over a connection that is there. Raises `NotAtOnce` where none is."""
        connection = self._take(within_seconds)
        if connection is None:
            raise NotAtOnce(self.resource, "is not connected to", "Read it on a thread.")
        with self.translated():
            return self._sent(connection, commands)

    def receive(self, connection: Any, count: int) -> list[Any]:
        """The replies to what was sent over a connection, errors of the server among them."""
        with self.translated():
            return self._received(connection, count)

    def _take(self, within_seconds: float | None = None) -> Any:
        """A connection that is there, which waits that long (None: the store's own timeout) for
        each reply."""
        connection = self._idle_one()
        if connection is not None and connection._sock is not None:
            wanted = within_seconds or self._timeout_seconds
            # To set it is a call of the system.
            if connection._sock.gettimeout() != wanted:
                connection._sock.settimeout(wanted)
        return connection

    def _idle_one(self) -> Any:
        # Not asked first whether there is one: another thread may take the last in between.
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _exchange(self, connection: Any, commands: Sequence[bytes]) -> list[Any]:
        replies = self._received(self._sent(connection, commands), len(commands))
        refused = next((reply for reply in replies if isinstance(reply, Exception)), None)
        if refused is not None:
            raise refused
        return replies

    def _sent(self, connection: Any, commands: Sequence[bytes]) -> Any:
        try:
            connection.send_packed_command([b"".join(commands)])
        except BaseException:
            connection.disconnect()
            raise
        return connection

    def _received(self, connection: Any, count: int) -> list[Any]:
        try:
            replies = _replies(connection, count)
        except BaseException:
            # Replies may still come, and would be taken for those of the next call.
            connection.disconnect()
            raise
        if any(isinstance(reply, redis.ReadOnlyError) for reply in replies):
            connection.disconnect()  # A new one may lead to the new master.
        else:
            self._idle.append(connection)
        return replies

    def _connect(self) -> Any:
        """A connection to a server that may be used."""
        with self.translated():
            connection = self._place.dial()
        try:
            with self.translated():
                connection.connect()
                connection.send_packed_command([packed(b"INFO")])
                (told,) = _replies(connection, 1)
                if isinstance(told, Exception):
                    raise told
            facts = facts_of(told)
            self._check(facts)
        except BaseException:
            connection.disconnect()
            raise
        # Before anything is read over it: what another server has is of another generation.
        self.server = server_of(facts)
        return connection

    def _check(self, facts: dict[bytes, bytes]) -> None:
        """Raises `StoreError` for a server that rows may not be kept in."""
        self.check_policy(facts[b"maxmemory_policy"].decode())
        is_clustered = facts.get(b"cluster_enabled") == b"1"
        if is_clustered and not self._place.is_clustered:
            raise self.error("is a Redis Cluster", "Write redis+cluster:// in its address.")
        if self._place.is_clustered and not is_clustered:
            raise self.error("is no Redis Cluster", "Write redis:// in its address.")
        if self._place.is_watched and facts.get(b"role") != b"master":
            raise self.error(
                "is no master any more", "Wait until its Sentinels have agreed on the new one."
            )


# How a server begins what it says of one key or value: a key of another type, a value beyond
# proto-max-bulk-len. Anything else concerns all of them.
_OF_ONE_VALUE = ("WRONGTYPE ", "invalid bulk length", "exceeds maximum allowed size")
_OF_ONE_VALUE_STEP = "Rename the key that something else writes, or raise proto-max-bulk-len."
_WRAPPED: dict[type[redis.RedisError], str] = {
    redis.OutOfMemoryError: "-OOM ",
    redis.ReadOnlyError: "-READONLY ",
}
# What errors of the client mean, most specific first.
_MEANINGS: tuple[tuple[type[redis.RedisError], str, str], ...] = (
    (
        MasterNotFoundError,
        "has no master that a Sentinel knows ({text})",
        "Check the Sentinels' addresses and the master's name, and see whether they run.",
    ),
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
        redis.exceptions.ClusterDownError,
        "serves no rows for now ({text})",
        "See CLUSTER INFO: some slots have no master that is alive.",
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
        "Allow the user EVALSHA, SCRIPT, MGET, GET, EXISTS, SET, GETRANGE, DEL, INFO and, of a "
        "cluster, CLUSTER SLOTS and ASKING on the app's keys.",
    ),
    (
        redis.RedisError,
        "refuses a command ({text})",
        "Mend what it names; the server's log may say more.",
    ),
)


class _Heads(dict[int, bytes]):
    """What stands before a part of so many bytes, with the end of the line before."""

    def __missing__(self, size: int) -> bytes:
        head = b"\r\n$%d\r\n" % size
        # Of keys there are few sizes; those of whole rows would come and go for ever.
        if size < MOST_KNOWN_BYTES:
            self[size] = head
        return head


MOST_KNOWN_BYTES = 256
_heads = _Heads()


def packed(*parts: bytes) -> bytes:
    """A command as the protocol has it; redis-py's own packing takes five times as long."""
    # Joined: no step in Python for each.
    heads = map(_heads.__getitem__, map(len, parts))
    return b"".join([b"*%d" % len(parts), *chain.from_iterable(zip(heads, parts)), b"\r\n"])


_HISTORY = packed(b"INFO", b"replication")


def called(script: Script, keys: Sequence[bytes], rest: Sequence[bytes]) -> bytes:
    """The command that calls a script which the server knows."""
    return packed(b"EVALSHA", script.sha, b"%d" % len(keys), *keys, *rest)


def loaded(script: Script) -> bytes:
    """The command that makes a script known."""
    return packed(b"SCRIPT", b"LOAD", script.text)


def facts_of(info: bytes) -> dict[bytes, bytes]:
    """The lines of a reply to INFO, by name."""
    named = (line.partition(b":") for line in info.splitlines())
    return {name: value for name, colon, value in named if colon}


def server_of(facts: dict[bytes, bytes]) -> bytes:
    """Which run of a server it is, and which replication history of it, by its INFO."""
    return facts.get(b"run_id", b"") + b":" + facts.get(b"master_replid", b"")


def _replies(connection: Any, count: int) -> list[Any]:
    """All replies, errors of the server among them; the connection is in step afterwards."""
    replies: list[Any] = []
    # Also after an error: a reply that is left unread is the next call's.
    for _ in range(count):
        try:
            replies.append(connection.read_response(disable_decoding=True))
        except redis.ResponseError as error:
            replies.append(error)
    return replies
