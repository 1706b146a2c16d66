"""The servers of a Redis Cluster: which of them has a bucket now, and commands sent to all that are
meant at once.

Whatever is asked may be asked again: writes are guarded by versions, and repeat without harm. So an
answer that says "elsewhere" or "not now" costs another try, and nothing has to be remembered of the
first. Source: Redis Cluster specification, "Redirection and resharding".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import redis

from freshet.features.redis.addresses import Cluster, Node
from freshet.features.redis.buckets import SLOTS, slot_of, tags
from freshet.features.redis.link import RedisLink, loaded, packed
from freshet.features.redis.scripts import Script
from freshet.features.stores.contract import NotAtOnce
from freshet.schemas.errors import StoreError

# Between two tries, while the servers agree among themselves.
PAUSE_SECONDS = 0.02
# A slot that moves is free again within this; a master that died is followed later than anybody
# should wait for.
PATIENCE_SECONDS = 1.0
_ASKING = packed(b"ASKING")
# A command about some of the names, first to after.
Command = Callable[[int, int], bytes]


class Call(NamedTuple):
    """A command about `names`, which are of one bucket. It may be cut: `command(first, after)` is
    the same about some of them. Its reply is a list, or the sum of what its parts say."""

    bucket: int
    names: int
    command: Command
    script: Script | None = None


class ClusterNodes:
    """Links to the masters of one cluster. Any number of threads."""

    def __init__(
        self,
        cluster: Cluster,
        timeout_seconds: float,
    ) -> None:
        self._cluster = cluster
        self._timeout_seconds = timeout_seconds
        self._links: dict[Node, RedisLink] = {}
        self._nodes: Sequence[Node] = ()  # by bucket
        # Those that have buckets.
        self.masters: Sequence[Node] = ()

    @property
    def resource(self) -> str:
        return f"Redis Cluster at {self._cluster.address}"

    def first_buckets(self) -> Sequence[int]:
        """One bucket of each master."""
        return [self._nodes.index(node) for node in self.masters]

    def link(self, node: Node) -> RedisLink:
        found = self._links.get(node)
        if found is None:
            # Two threads may make one at once: the second stands, and the first has no connection.
            found = self._links[node] = RedisLink(
                self._cluster.place_of(node), self._timeout_seconds
            )
        return found

    def close(self) -> None:
        for link in list(self._links.values()):
            link.close()

    def find(self) -> None:
        """Ask which server has which slots, of any that answers.

        Raises:
            StoreError: none answers, or some slots have no server.
        """
        known = dict.fromkeys([*self._nodes, *self._cluster.seeds])
        first: StoreError | None = None
        for node in known:
            try:
                (spans,) = self.link(node).ask([packed(b"CLUSTER", b"SLOTS")])
            except StoreError as error:
                # What the first says is the likeliest cause of all: the others may be old.
                first = first or error
                continue
            self._nodes = self._by_bucket(spans, node)
            self.masters = sorted(set(self._nodes))
            return
        assert first is not None  # there is one address at least
        raise first

    def ask(self, calls: Sequence[Call]) -> list[Any]:
        """The reply to each call.

        Raises:
            StoreError: a server cannot be reached, or refuses. What may pass is waited for, a
                second at most.
        """
        until = time.monotonic() + min(PATIENCE_SECONDS, self._timeout_seconds)
        replies: list[Any] = [None] * len(calls)
        waiting = list(range(len(calls)))
        while waiting:
            try:
                waiting = self._try(calls, waiting, replies, until)
            except StoreError as error:
                lost = isinstance(error.__cause__, redis.ConnectionError)
                if not lost or time.monotonic() >= until:
                    raise
                # Another may have taken its slots: it is seen whether any has.
                time.sleep(PAUSE_SECONDS)
                self.find()
        return replies

    def ask_at_once(
        self,
        within_seconds: float,
        calls: Sequence[Call],
    ) -> list[Any]:
        """As `ask`, over connections that are there. Raises `NotAtOnce` for whatever takes another
        try."""
        sent = []
        replies: list[Any] = [None] * len(calls)
        refused: StoreError | None = None
        for node, which in self._by_node(calls, range(len(calls))).items():
            link = self.link(node)
            commands = [calls[i].command(0, calls[i].names) for i in which]
            try:
                sent.append((link, link.send_at_once(within_seconds, commands), which))
            except StoreError as error:
                refused = error
                break
        # Also after an error: each reply that is left unread would be taken for another's.
        for link, connection, which in sent:
            try:
                _put(replies, which, link.receive(connection, len(which)))
            except StoreError as error:
                refused = error
        if refused is not None or any(isinstance(reply, Exception) for reply in replies):
            cause = "does not answer at once"
            raise NotAtOnce(self.resource, cause, "Read it on a thread.") from refused
        return replies

    def _try(
        self, calls: Sequence[Call], waiting: Sequence[int], replies: list[Any], until: float
    ) -> list[int]:
        """Make calls; what is still to be made, once it is known where."""
        if not self._nodes:
            self.find()
        sent = []
        failed: StoreError | None = None
        for node, which in self._by_node(calls, waiting).items():
            link = self.link(node)
            commands = [calls[i].command(0, calls[i].names) for i in which]
            try:
                sent.append((link, link.send(commands), which))
            except StoreError as error:
                failed = error
                break
        for link, connection, which in sent:
            try:
                _put(replies, which, link.receive(connection, len(which)))
            except StoreError as error:
                link.close()  # Its other connections are as old.
                failed = failed or error
        if failed is not None:
            raise failed
        refused = [i for i in waiting if isinstance(replies[i], Exception)]
        if any(isinstance(replies[i], redis.exceptions.ClusterDownError) for i in refused):
            time.sleep(PAUSE_SECONDS)
        if any(isinstance(replies[i], _PASSING) for i in refused):
            self.find()
        return [i for i in refused if self._is_to_retry(calls[i], i, replies, until)]

    def _is_to_retry(
        self,
        call: Call,
        at: int,
        replies: list[Any],
        until: float,
    ) -> bool:
        """Whether a refused call is to be made again. One that is made here, name by name, has its
        reply afterwards."""
        refused = replies[at]
        # While a slot moves, the rows that a command names may be on two servers.
        if isinstance(refused, _MOVING) and not isinstance(refused, _PASSING):
            replies[at] = _joined([self._alone(call, i, until) for i in range(call.names)])
            return False
        link = self.link(self._nodes[call.bucket])
        if isinstance(refused, redis.exceptions.NoScriptError) and call.script is not None:
            link.ask([loaded(call.script)])
            return True
        if isinstance(refused, _PASSING) and time.monotonic() < until:
            return True
        with link.translated():
            raise refused

    def _alone(
        self,
        call: Call,
        name: int,
        until: float,
    ) -> Any:
        """The reply to a call about one of its names, whichever server has that row by now."""
        node = self._nodes[call.bucket]
        command = call.command(name, name + 1)
        before: list[bytes] = []
        while True:
            link = self.link(node)
            if call.script is not None:
                before = [loaded(call.script), *before]
            # The redirection holds for the one command after it.
            *_, reply = link.receive(link.send([*before, command]), len(before) + 1)
            if not isinstance(reply, Exception):
                return reply
            if not isinstance(reply, _MOVING) or time.monotonic() >= until:
                with link.translated():
                    raise reply
            before = []
            if isinstance(reply, redis.exceptions.TryAgainError):
                time.sleep(PAUSE_SECONDS)
            elif isinstance(reply, redis.exceptions.MovedError):
                self.find()
                node = self._nodes[call.bucket]
            else:
                node = (reply.host or node[0], reply.port)
                before = [_ASKING]

    def _by_node(
        self,
        calls: Sequence[Call],
        which: Sequence[int],
    ) -> dict[Node, list[int]]:
        found: dict[Node, list[int]] = {}
        for i in which:
            found.setdefault(self._nodes[calls[i].bucket], []).append(i)
        return found

    def _by_bucket(
        self,
        spans: Sequence[Any],
        asked: Node,
    ) -> Sequence[Node]:
        """From a reply to CLUSTER SLOTS, whose lines are the first and the last slot, then the
        master, then replicas."""
        found: list[Node | None] = [None] * SLOTS
        for first, last, (host, port, *_), *_ in spans:
            # A server that does not know its own address means the one that it was asked at.
            node = ((host or b"").decode() or asked[0], int(port))
            found[first : last + 1] = [node] * (last + 1 - first)
        nodes = []
        for slot in map(slot_of, tags()):
            node_of_slot = found[slot]
            if node_of_slot is None:
                raise StoreError(
                    self.resource,
                    f"has no server for slot {slot}",
                    "See CLUSTER INFO and CLUSTER SLOTS: give the slot to a server.",
                )
            nodes.append(node_of_slot)
        return nodes


# What is said of a slot that is moving. (That it has moved is an `AskError` to redis-py, too.)
_MOVING = (redis.exceptions.AskError, redis.exceptions.TryAgainError)
# What is over once it is known who has the slot.
_PASSING = (redis.exceptions.MovedError, redis.exceptions.ClusterDownError)


def _put(
    replies: list[Any],
    which: Sequence[int],
    found: Sequence[Any],
) -> None:
    for i, reply in zip(which, found):
        replies[i] = reply


def _joined(parts: Sequence[Any]) -> Any:
    """The reply to a call from those to its parts."""
    if isinstance(parts[0], list):
        return [value for part in parts for value in part]
    if isinstance(parts[0], int):
        return sum(parts)
    # Of a command about one name.
    return parts[0]
