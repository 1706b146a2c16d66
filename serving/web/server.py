"""Runs a scorer's app: one process, one uvicorn server on uvloop and httptools, a clean end on
SIGTERM and SIGINT."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Generator

import uvicorn

from freshet.serving.edge.limits import Limits
from freshet.serving.edge.serving import configured
from freshet.serving.edge.sockets import address_of
from freshet.serving.web.app import ScorerApp

DRAIN_SECONDS = 0.05  # on the way out, time for requests that are already on the wire to be read
# for how long connections are kept whose clients go on elsewhere, so that their next request finds
# this server, and hears in its answer that it is the last one here
LEAVE_SECONDS = 3.0
# how long another thread may keep the interpreter from the event loop (Python's own: 5 ms)
SWITCH_SECONDS = 0.0005


class HttpServer:
    """Serves `app` on a bound socket. `run` blocks until a signal or `stop` (from any thread)."""

    def __init__(
        self,
        app: ScorerApp,
        sock: socket.socket,
        on_bound: Callable[[str], None] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._sock = sock
        self._address = address_of(sock)
        config = configured(app, limits, app.latency.add_in_error)
        self._on_bound = on_bound
        self._server = _Server(config, app, self._say_where)

    def _say_where(self) -> None:
        if self._on_bound is not None:
            self._on_bound(self._address)

    @property
    def address(self) -> str:
        return self._address

    def run(self) -> None:
        """Serve. Returns once every request that had arrived is answered."""
        # Of the whole process, and so put back: tests serve and go on.
        before = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_SECONDS)
        settle()
        try:
            self._server.run(sockets=[self._sock])
        finally:
            sys.setswitchinterval(before)
            self._sock.close()
            if self._address.startswith("unix:"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._address.removeprefix("unix:"))

    def stop(self) -> None:
        """End as on SIGTERM; returns at once."""
        self._server.should_exit = True

    def leave(self) -> None:
        """End in favour of another server on the same socket: take no more connections, answer on
        those that there are once more, and give them time for that; returns at once."""
        self._server.leaves = True
        self._server.should_exit = True


def settle() -> None:
    """Take what is there out of the garbage collector's way, so that no full collection stalls a
    request."""
    gc.collect()
    gc.freeze()
    # Requests leave few cycles behind: collecting the young seldom costs no memory to speak of.
    gc.set_threshold(50_000, 50, 1000)


class _Server(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, app: ScorerApp, on_started: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self.leaves = False
        self._app = app
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, answer what is on the wire, and only then close the connections."""
        self._app.draining = True
        # uvicorn's own end would close idle connections at once, and with them requests that are
        # on the wire.
        for server in self.servers:
            server.close()
        if self.leaves:
            await self._until_they_have_gone()
        await asyncio.sleep(DRAIN_SECONDS)
        await super().shutdown(sockets=sockets)

    async def _until_they_have_gone(self) -> None:
        """A client that keeps its connection and asks now and then must not find it closed under
        its request."""
        deadline = time.monotonic() + LEAVE_SECONDS
        while self.server_state.connections and time.monotonic() < deadline:
            await asyncio.sleep(DRAIN_SECONDS)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Like uvicorn's, but a signal that was obeyed is not raised again after the end: the role
        exits with 0."""
        try:
            before = {
                number: signal.signal(number, self.handle_exit)
                for number in (signal.SIGINT, signal.SIGTERM)
            }
        except ValueError:  # not the main thread: whoever has that calls stop()
            yield
            return
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
