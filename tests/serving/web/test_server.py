"""A real server on a real socket: where it listens, how it ends, and that nobody's request is lost
on the way."""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from freshet.schemas.errors import ComponentError
from freshet.serving.edge.body import MAX_BODY_BYTES
from freshet.serving.edge.limits import Limits
from freshet.serving.edge.sockets import bind
from freshet.serving.status.promises import no_failed_request
from freshet.serving.status.status import RequestFigures
from freshet.serving.web.app import ScorerApp
from freshet.serving.web.server import HttpServer
from tests.serving.edge.served import INFER, answer_of, connected
from tests.serving.scoring.toy_answering import ToyAnswering
from tests.serving.web.test_app import REQUEST


@contextmanager
def serving(
    app: ScorerApp, unix: Path | None = None, limits: Limits | None = None
) -> Iterator[HttpServer]:
    bound = threading.Event()
    server = HttpServer(app, bind(unix=unix), lambda address: bound.set(), limits)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert bound.wait(20)
        yield server
    finally:
        server.stop()
        thread.join(20)
        assert not thread.is_alive()
        gc.unfreeze()


def test_port_0_picks_a_free_port_and_says_which() -> None:
    with serving(ScorerApp(ToyAnswering())) as server:
        assert not server.address.endswith(":0")
        got = httpx.post(
            f"{server.address}/v2/models/late/infer", content=json.dumps(REQUEST).encode()
        )
        assert got.json()["outputs"][0]["data"] == [0.5, 0.25]
        assert httpx.get(f"{server.address}/v2/health/ready").status_code == 200


SLOW = f"POST {INFER} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{{"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"no http\r\n\r\n", 400),
        (b"GET /v2 HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 5_000 + b"\r\n\r\n", 431),
        (b"GET /v2 HTTP/1.1\r\nhost: loc", 408),
        (SLOW.encode(), 408),
        (b"GET /v2 HTTP/1.1\r\nhost: elsewhere\r\nconnection: close\r\n\r\n", 421),
        (b"POST /push HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n", 415),
        (SLOW.replace("length: 9", f"length: {MAX_BODY_BYTES + 1}").encode(), 413),
        (SLOW.replace("length: 9", "length: 1\r\nconnection: close").encode(), 400),
        (SLOW.replace("/late/", "/early/").replace("length: 9", "length: 1").encode(), 404),
    ],
)
def test_what_a_client_does_wrong_is_counted_once_as_in_error_and_fails_nothing(
    sent: bytes, status: int
) -> None:
    """Also where no app has heard of it."""
    app = ScorerApp(ToyAnswering())
    quick = Limits(head_seconds=0.2, body_seconds=0.2, idle_seconds=0.2, head_bytes=4_096)
    with serving(app, limits=quick) as server:
        with connected(server.address) as client:
            client.sendall(sent)
            assert answer_of(client)[0] == status
        asked = httpx.post(f"{server.address}{INFER}", content=json.dumps(REQUEST).encode())
        assert asked.status_code == 200
    latency = app.latency
    assert (latency.in_error, latency.answered) == (1, 1)
    assert (latency.failed, latency.refused) == (0, 0)
    figures = RequestFigures(answered=latency.answered, in_error=latency.in_error)
    assert no_failed_request(figures).state == "green"


def test_a_unix_socket_serves_as_well(tmp_path: Path) -> None:
    path = tmp_path / "scorer.sock"
    with serving(ScorerApp(ToyAnswering()), unix=path) as server:
        assert server.address == f"unix:{path}"
        with httpx.Client(
            transport=httpx.HTTPTransport(uds=str(path)), base_url="http://scorer"
        ) as client:
            assert client.get("/v2/health/live").json() == {"live": True}
    assert not path.exists()


def test_an_address_in_use_is_an_error_that_names_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            ComponentError,
            match=f"address 127.0.0.1:{port}: cannot be bound: Address already in use",
        ):
            bind(port=port)


def test_several_scorers_may_share_a_port() -> None:
    with (
        bind(port=(free := _free_port()), shared=True) as first,
        bind(port=free, shared=True) as second,
    ):
        with pytest.raises(ComponentError, match="Address already in use"):
            bind(port=free)
        assert first.getsockname() == second.getsockname()


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


def test_two_bodies_in_one_connection_and_pieces_are_answered() -> None:
    body = json.dumps(REQUEST).encode()
    head = (
        b"POST /v2/models/late/infer HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n"
        % len(body)
    )
    with serving(ScorerApp(ToyAnswering())) as server:
        host, port = server.address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), 10) as s:
            s.sendall(head + body + head + body[:20])
            s.sendall(body[20:])
            got = b""
            while got.count(b'"outputs"') < 2:
                piece = s.recv(65536)
                assert piece, got
                got += piece
    assert got.count(b"HTTP/1.1 200 OK") == 2


SLOW = """
import sys, time
from freshet.serving.edge.sockets import bind
from freshet.serving.web.app import ScorerApp
from freshet.serving.web.server import HttpServer
from tests.serving.scoring.toy_answering import ToyAnswering

class Slow(ToyAnswering):
    def infer(self, question):
        print("asked", flush=True)
        time.sleep(0.2)
        return super().infer(question)

HttpServer(ScorerApp(Slow()), bind(), lambda address: print(address, flush=True)).run()
print("ended", flush=True)
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_requests_end_and_takes_no_new_ones(how: signal.Signals) -> None:
    child = subprocess.Popen([sys.executable, "-c", SLOW], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        address = child.stdout.readline().strip()
        host, port = address.removeprefix("http://").split(":")
        body = json.dumps(REQUEST).encode()
        head = (
            b"POST /v2/models/late/infer HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n"
            % len(body)
        )
        asked = [socket.create_connection((host, int(port)), 10) for _ in range(3)]
        for s in asked:
            s.sendall(head + body)
        assert child.stdout.readline() == "asked\n"
        child.send_signal(how)
        for s in asked:
            got = b""
            while piece := s.recv(65536):  # to the end: the server closes what it has answered
                got += piece
            assert b"HTTP/1.1 200 OK" in got
            assert b'"outputs"' in got
            s.close()
        deadline = time.monotonic() + 20
        while child.poll() is None:
            assert time.monotonic() < deadline
            try:
                socket.create_connection((host, int(port)), 1).close()
            except OSError:
                break
            time.sleep(0.01)
        assert child.wait(20) == 0
        assert child.stdout.read().endswith("ended\n")
    finally:
        if child.poll() is None:
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
        child.stdout.close()


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"inputs": ' + b"[" * 3_000 + b"]" * 3_000 + b"}",
        b'{"inputs": [], "parameters": ' + b'{"a":' * 3_000 + b"1" + b"}" * 3_000 + b"}",
        b'{"inputs": [{"name": "carrier", "shape": [1], "datatype": "BYTES", "data": '
        + b"[" * 3_000
        + b"]" * 3_000
        + b"}]}",
        b'{"inputs": [{"name": "distance", "shape": [1], "datatype": "FP64", "data": ['
        + b"9" * 5_000
        + b"]}]}",
        b'{"inputs": [{"name": "carrier", "shape": [1], "datatype": "BYTES", "data": ["\xff"]}]}',
        b'{"inputs": [{"name": "carrier", "shape": [1], "datatype": "BYTES", "data": ["\\ud800"]}]}',
        b'{"inputs": [{"name": "carrier", "shape": ['
        + b"9" * 5_000
        + b'], "datatype": "BYTES", "data": []}]}',
        b'{"inputs": [{"name": "carrier", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": true}}]}',
        b'{"inputs": [{"name": "carrier", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 99999999}}]}',
        json.dumps({**REQUEST, "parameters": {"deadline_ms": "soon"}}).encode(),
        json.dumps({**REQUEST, "parameters": {"as_of": 1e300}}).encode(),
    ],
)
def test_whatever_cannot_be_parsed_is_400_and_no_failed_request(body: bytes) -> None:
    app = ScorerApp(ToyAnswering())
    with serving(app) as server, httpx.Client(base_url=server.address) as client:
        for more in ({}, {"inference-header-content-length": str(len(body))}):
            headers = {"content-type": "application/json", **more}
            got = client.post("/v2/models/late/infer", content=body, headers=headers)
            assert got.status_code == 400, got.text
            assert got.json()["error"]
    assert app.latency.failed == 0
