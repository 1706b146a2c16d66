"""Slow, huge, idle and malformed clients, on real sockets; and the register's order by a clock of
the test's own."""

from __future__ import annotations

import resource
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass, field

import httpx
import pytest

from freshet.serving.edge.connections import Connections, Point
from freshet.serving.edge.limits import Limits, limits_of_process
from tests.serving.edge.served import (
    ASKED,
    INFER,
    PATIENCE_SECONDS,
    Operated,
    Scored,
    answer_of,
    connected,
    on_loop,
    said,
    served,
)

QUICK = Limits(
    head_seconds=0.2, body_seconds=0.2, stuck_seconds=0.2, head_bytes=4_096, message_bytes=1 << 16
)
JSON = "content-type: application/json"


@pytest.fixture(params=[Scored, Operated])
def app(request: pytest.FixtureRequest) -> Scored | Operated:
    made: Scored | Operated = request.param()
    return made


def test_headers_that_do_not_come_are_not_waited_for(app: Scored | Operated) -> None:
    with (
        served(app.app, QUICK) as address,
        connected(address) as slow,
        connected(address) as silent,
    ):
        slow.sendall(b"GET / HTTP/1.1\r\nhost: loc")
        status, told = answer_of(slow)
        assert (status, b"did not come within 0.2 s" in told) == (408, True)
        assert answer_of(silent) == (0, b""), (
            "of which nothing was begun: no answer could be meant for it"
        )


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    scored = Scored()
    with served(scored.app, QUICK) as address, connected(address) as slow:
        slow.sendall(
            f"POST {INFER} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{{".encode()
        )
        assert answer_of(slow)[0] == 408
        assert said(address, f"POST {INFER} HTTP/1.1\r\n{JSON}", ASKED)[0] == 200
    assert scored.app.latency.failed == 0


def test_a_client_that_takes_nothing_of_its_answer_is_left() -> None:
    with on_loop(Operated().app, QUICK) as (address, server), connected(address) as stuck:
        # More than the buffers of two sockets hold.
        stuck.sendall(b"GET /plotly.js HTTP/1.1\r\nhost: localhost\r\n\r\n" * 8)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while server.server_state.connections:
            assert time.monotonic() < deadline, "it was never left"
            assert said(address, "GET /v1/topics HTTP/1.1")[0] == 200


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ("x: " + "y" * 5_000, 431),
        ("\r\n".join(f"x{i}: y" for i in range(2_000)), 431),
        ("content-length: " + "9" * 4_000, 400),
        ("content-length: " + "9" * 500, 400),
        ("content-length: -1", 400),
        ("transfer-encoding: chunked\r\ncontent-length: 4", 400),
        ("no colon", 400),
        ("inference-header-content-length: " + "9" * 3_000, 400),
    ],
)
def test_headers_have_limits_and_form(lines: str, status: int) -> None:
    scored = Scored()
    with served(scored.app, QUICK) as address:
        found, told = said(address, f"POST {INFER} HTTP/1.1\r\n{JSON}\r\n{lines}")
        assert (found, b'{"error":' in told) == (status, True)
        assert said(address, "GET /v2 HTTP/1.1")[0] == 200
    assert scored.app.latency.failed == 0


def test_a_header_without_an_end_and_an_address_without_one_are_not_kept(
    app: Scored | Operated,
) -> None:
    with served(app.app, QUICK) as address:
        for begun in (b"GET / HTTP/1.1\r\nx: ", b"GET /", b"\r\n"):
            with connected(address) as client:
                client.sendall(begun)
                status = _poured(client, begun[-1:])
            assert status in (400, 431), begun


def test_a_body_without_an_end_is_not_kept(app: Scored | Operated) -> None:
    path = INFER if isinstance(app, Scored) else "/v1/switches/learn"
    method = "POST" if isinstance(app, Scored) else "PUT"
    head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\n{JSON}\r\ntransfer-encoding: chunked\r\n\r\n"
    with served(app.app, QUICK) as address, connected(address) as client:
        client.sendall(head.encode())
        assert _poured(client, b"1\r\n \r\n") == 413
    assert not app.told


def _poured(client: socket.socket, what: bytes) -> int:
    """The status that ends a client which would go on for ever."""
    try:
        for _ in range(200):
            client.sendall(what * 10_000)
    except ConnectionError:
        pass
    return answer_of(client)[0] or 431


def test_when_there_are_too_many_the_longest_silent_one_makes_room(app: Scored | Operated) -> None:
    path = "/v2" if isinstance(app, Scored) else "/v1/topics"
    few = Limits(connections=8)
    with served(app.app, few) as address, ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(connected(address))
        with httpx.Client(base_url=address) as client:
            for _ in range(3):
                assert client.get(path).status_code == 200
                idle = stack.enter_context(connected(address))
                idle.sendall(b"GET / HT")


@pytest.mark.parametrize(
    "lines",
    [
        "GET / HTTP/9.9",
        "\x16\x03\x01\x02",
        "GET http://[x/ HTTP/1.1",
        "GET \xff HTTP/1.1",
        "PRI * HTTP/2.0",
    ],
)
def test_what_is_no_http_is_400(app: Scored | Operated, lines: str) -> None:
    with served(app.app) as address:
        assert said(address, lines)[0] in (400, 404, 421)
        assert said(address, "GET /v2 HTTP/1.1")[0] in (200, 404)


def test_a_request_in_two_pieces_and_two_in_one_piece_are_answered(app: Scored | Operated) -> None:
    path = "/v2" if isinstance(app, Scored) else "/v1/topics"
    one = f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
    with served(app.app) as address, connected(address) as client:
        client.sendall(one + one + one[:9])
        last = one[9:-2] + b"connection: close\r\n\r\n"
        client.sendall(last)
        got = b""
        while piece := client.recv(65_536):
            got += piece
    assert got.count(b"HTTP/1.1 200 OK") == 3


@dataclass(eq=False)
class Toy:
    """A connection as the register sees it."""

    point: Point = Point.NEW
    since: float = 0.0
    left: int = 0
    told: list[int] = field(default_factory=list)

    def unsent(self) -> int:
        return self.left

    def refuse(self, status: int, text: str) -> None:
        self.told.append(status)

    def abort(self) -> None:
        self.told.append(0)


def test_who_asked_last_stays_and_who_is_being_answered_is_never_sent_away() -> None:
    register = Connections(Limits(connections=2))
    first, second, third, fourth = (Toy() for _ in range(4))
    register.came(first)
    register.came(second)
    register.asks(first)
    register.came(third)
    assert (first.told, second.told, third.told) == ([], [0], [])
    register.asks(third)
    register.came(fourth)
    assert fourth.told == [0], "all others are at work"
    assert len(register) == 2


@pytest.mark.parametrize(
    ("point", "seconds", "told"),
    [(Point.NEW, 10.0, 0), (Point.HEAD, 10.0, 408), (Point.BODY, 30.0, 408), (Point.IDLE, 75.0, 0)],
)
def test_each_point_has_its_patience(point: Point, seconds: float, told: int) -> None:
    register, toy = Connections(Limits()), Toy(point)
    register.came(toy)
    register.sweep(seconds)
    assert toy.told == []
    register.sweep(seconds + 0.1)
    assert toy.told == [told]


def test_an_answer_that_is_taken_slowly_is_taken() -> None:
    register, toy = Connections(Limits(stuck_seconds=5.0)), Toy(left=100)
    register.came(toy)
    register.asks(toy)
    for second in range(20):
        toy.left -= 5 * (second % 4 == 0)
        register.sweep(float(second))
    assert toy.told == []
    register.sweep(30.0)
    assert toy.told == [0]


def test_connections_leave_descriptors_for_the_rest_of_the_process() -> None:
    limits = limits_of_process()
    # A burst holds up to four backlogs beyond the limit, before they are closed.
    held = limits.connections + 4 * limits.backlog
    assert held <= resource.getrlimit(resource.RLIMIT_NOFILE)[0] / 2
