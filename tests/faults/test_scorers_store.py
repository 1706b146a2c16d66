"""A replay whose scorer has its store back later than the views have, or finds it emptied without a
connection that broke: its questions wait, and in the end everything is as if nothing had
happened."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import redis

from freshet.processes import runtime
from freshet.processes.supervisor import RoleSpec
from freshet.replay.replayer import NotYet
from freshet.servers.redis_server import RedisServer
from freshet.servers.server import free_ports
from tests.faults.disturbance import Disturbed, Left, Queries, differing, running

AWAY_AT, EMPTIED_AT, RESTARTED_AT = 15, 32, 37  # steps with questions
PUT_OFF = 5  # times, before the scorer has its store back: the views have long gone on by then


class Gate:
    """The one way to a server for whoever is given this address; while it is shut, connections end
    and none is made."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._open = threading.Event()
        self._open.set()
        self._passing: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._let_in, daemon=True).start()

    def shut(self) -> None:
        self._open.clear()
        while self._passing:
            _end(self._passing.pop())

    def open(self) -> None:
        self._open.set()

    def close(self) -> None:
        self.shut()
        self._listener.close()

    def _let_in(self) -> None:
        while True:
            try:
                inner, _ = self._listener.accept()
            except OSError:
                return
            if not self._open.is_set():
                _end(inner)
                continue
            try:
                outer = socket.create_connection(self._target)
            except OSError:
                _end(inner)
                continue
            self._passing += [inner, outer]
            for source, target in ((inner, outer), (outer, inner)):
                threading.Thread(target=_pump, args=(source, target), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    _end(source)
    _end(target)


def _end(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


@dataclass
class Scorer:
    """What is done to the scorer's store, and how often its questions were answered and put off, by
    step."""

    run: Disturbed
    gate: Gate
    server: RedisServer
    at: int = 0
    answered: set[int] = field(default_factory=set)
    put_off: Counter[int] = field(default_factory=Counter)

    def play(self, patch: pytest.MonkeyPatch) -> None:
        ask = self.run.client.ask

        def counted(columns: Queries, as_of_ms: int) -> dict[str, int]:
            try:
                found: dict[str, int] = ask(columns, as_of_ms)
                self.answered.add(self.at)
                return found
            except NotYet:
                self.put_off[self.at] += 1
                if self.put_off[self.at] == PUT_OFF:
                    self.gate.open()
                raise

        patch.setattr(self.run.client, "ask", counted)
        self.run.play(self.before)

    def before(self, n: int) -> None:
        """Just before the questions of step `n` are asked: the views have finished the one before
        it."""
        self.at = n
        if n == AWAY_AT:
            self.gate.shut()
        elif n == EMPTIED_AT:
            with redis.Redis(port=self.server.port) as client:
                client.flushall()
        elif n == RESTARTED_AT:
            self.server.kill()
            self.server.start()


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Scorer, Left]]:
    folder = tmp_path_factory.mktemp("scorers_store")
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        server = stack.enter_context(RedisServer(folder / "redis", port=free_ports(1)[0]))
        gate = Gate("127.0.0.1", server.port)
        stack.callback(gate.close)
        patch.setattr(runtime, "RoleSpec", through(gate))
        run = stack.enter_context(running(folder / "run", store=f"redis://{server.address}/0"))
        scorer = Scorer(run, gate, server)
        scorer.play(patch)
        yield scorer, run.left()


def through(gate: Gate) -> Callable[..., RoleSpec]:
    """Roles as the runtime starts them, but for the scorer's way to its store."""

    def spec(name: str, target: Callable[..., Any], args: tuple[Any, ...], *how: Any) -> RoleSpec:
        path, role, given, *more = args
        if role == "serve":
            given = given.model_copy(update={"store": f"redis://{gate.address}/0"})
        return RoleSpec(name, target, (path, role, given, *more), *how)

    return spec


def test_questions_wait_while_the_scorers_store_is_away_or_lacks_rows(
    played: tuple[Scorer, Left],
) -> None:
    """How often, where it was emptied, depends on who looks first."""
    scorer, _ = played
    assert scorer.put_off[AWAY_AT] >= PUT_OFF
    assert {AWAY_AT, EMPTIED_AT, RESTARTED_AT} <= scorer.answered
    assert scorer.run.client.failed == 0


def test_rows_and_examples_are_those_of_an_undisturbed_run(
    played: tuple[Scorer, Left], undisturbed: Left
) -> None:
    scorer, left = played
    assert differing(scorer.run.app, left, undisturbed) == {}
    assert replace(left, digests={}) == replace(undisturbed, digests={})
