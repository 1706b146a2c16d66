"""Both servers' apps on real sockets, and clients that say what no library would."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from freshet.serving.edge.hosts import Hosts
from freshet.serving.edge.limits import Limits
from freshet.serving.edge.serving import configured
from freshet.serving.edge.sockets import address_of, bind
from freshet.serving.page import api as operator_api
from freshet.serving.page import app as dashboard
from freshet.serving.status.history import History
from freshet.serving.status.status import Status, TopicFigures
from freshet.serving.web.app import ScorerApp
from freshet.streams.control.switches import Switches
from tests.serving.scoring.toy_answering import ToyAnswering

PATIENCE_SECONDS = 30.0
INFER = "/v2/models/late/infer"
ASKED = (
    b'{"inputs": [{"name": "carrier", "shape": [1], "datatype": "BYTES", "data": ["UA"]},'
    b'{"name": "distance", "shape": [1], "datatype": "FP64", "data": [500]}]}'
)


class OnLoop(uvicorn.Server):
    """A server that says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()


@contextmanager
def served(app: Any, limits: Limits | None = None, host: str = "127.0.0.1") -> Iterator[str]:
    """The address of an app that is served as both servers are."""
    with on_loop(app, limits, host) as (address, _):
        yield address


@contextmanager
def on_loop(
    app: Any, limits: Limits | None = None, host: str = "127.0.0.1"
) -> Iterator[tuple[str, OnLoop]]:
    sock = bind(host)
    server = OnLoop(configured(app, limits))
    thread = threading.Thread(target=server.run, args=([sock],))
    thread.start()
    try:
        assert server.listens.wait(PATIENCE_SECONDS)
        yield address_of(sock), server
    finally:
        server.should_exit = True
        thread.join(PATIENCE_SECONDS)
        sock.close()
        assert not thread.is_alive()


class Operated:
    """What the operator's interface was told to change."""

    def __init__(self, hosts: Hosts | None = None) -> None:
        self.told: list[object] = []
        status = Status(app="a", at_ms=0, topics=[TopicFigures(name="parcels", partitions=1)])
        routes = operator_api.routes(
            lambda: status, lambda *told: self.told.append(told), self._turn
        )
        self.app: Starlette = dashboard.app(lambda: status, History(), routes, hosts)

    def _turn(self, *told: object) -> Switches:
        self.told.append(told)
        return Switches()


class Scored:
    """A scorer with a route of its own beside the protocol's."""

    def __init__(self, hosts: Hosts | None = None) -> None:
        self.told: list[bytes] = []
        self.toy = ToyAnswering()

        async def push(request: Request) -> Response:
            self.told.append(await request.body())
            return Response(b"{}")

        self.app = ScorerApp(self.toy, routes=[Route("/push", push, methods=["POST"])], hosts=hosts)


def connected(address: str) -> socket.socket:
    parts = httpx.URL(address)
    return socket.create_connection((parts.host, parts.port), PATIENCE_SECONDS)


def said(address: str, head: str, body: bytes = b"", host: str = "localhost") -> tuple[int, bytes]:
    """Status and body of what is answered to a request of these lines; with `host` empty, of these
    alone."""
    lines = [head]
    if host:
        lines.append(f"host: {host}")
    lines.append("connection: close")
    if body:
        lines.append(f"content-length: {len(body)}")
    with connected(address) as client:
        client.sendall("\r\n".join([*lines, "", ""]).encode("latin1") + body)
        return answer_of(client)


def answer_of(client: socket.socket) -> tuple[int, bytes]:
    """Of a connection that the server closes; status 0 where it says nothing."""
    got = b""
    try:
        while piece := client.recv(65_536):
            got += piece
    except ConnectionResetError:  # what was sent beyond a refusal is not read by anybody
        pass
    if not got:
        return 0, b""
    return int(got.split(b" ", 2)[1]), got.partition(b"\r\n\r\n")[2]
