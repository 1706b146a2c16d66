"""`/metrics` of a role: always there, whatever its loop does, and closed with it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import httpx
import pytest

from freshet.schemas.errors import ComponentError
from freshet.streams.vitals import metrics_server
from freshet.streams.vitals.metrics import CONTENT_TYPE
from freshet.streams.vitals.metrics_server import MetricsServer, reachable


@pytest.fixture
def server() -> Iterator[MetricsServer]:
    with MetricsServer("127.0.0.1", 0, lambda: b"freshet_x 1\n") as made:
        yield made


def test_metrics_are_served_as_prometheus_reads_them(server: MetricsServer) -> None:
    answer = httpx.get(f"{server.address}/metrics?x=1")
    assert (answer.status_code, answer.content) == (200, b"freshet_x 1\n")
    assert answer.headers["content-type"] == CONTENT_TYPE


def test_health_says_ok(server: MetricsServer) -> None:
    assert httpx.get(f"{server.address}/health").text == "ok\n"


def test_another_path_is_answered_with_those_that_there_are(server: MetricsServer) -> None:
    answer = httpx.get(f"{server.address}/nothing")
    assert (answer.status_code, answer.text) == (
        404,
        "404 /nothing is not here, /metrics and /health are\n",
    )
    assert httpx.post(f"{server.address}/metrics").status_code == 501


def test_a_fault_in_making_metrics_is_an_answer_and_the_next_request_works() -> None:
    found = iter([ValueError("broken"), b"freshet_x 2\n"])

    def produce() -> bytes:
        value = next(found)
        if isinstance(value, Exception):
            raise value
        return value

    with MetricsServer("127.0.0.1", 0, produce) as server:
        answer = httpx.get(f"{server.address}/metrics")
        assert (answer.status_code, answer.text) == (
            500,
            "500 metrics could not be made; the role's log says why\n",
        )
        assert httpx.get(f"{server.address}/metrics").content == b"freshet_x 2\n"


def test_a_request_that_hangs_keeps_nobody_waiting() -> None:
    go, asked = threading.Event(), threading.Event()
    first = threading.Lock()

    def produce() -> bytes:
        if first.acquire(blocking=False):
            asked.set()
            go.wait(30)
        return b"freshet_x 3\n"

    with MetricsServer("127.0.0.1", 0, produce) as server:
        slow = threading.Thread(
            target=httpx.get, args=(f"{server.address}/metrics",), kwargs={"timeout": 30}
        )
        slow.start()
        assert asked.wait(10)
        assert httpx.get(f"{server.address}/metrics").content == b"freshet_x 3\n"
        go.set()
        slow.join(10)


def test_a_port_in_use_is_refused_with_what_to_do(server: MetricsServer) -> None:
    port = int(server.address.rsplit(":", 1)[1])
    with pytest.raises(
        ComponentError,
        match=f"metrics at 127.0.0.1:{port}: the address cannot be used.*Choose another",
    ):
        MetricsServer("127.0.0.1", port, lambda: b"")


def test_a_host_that_is_not_ours_is_refused() -> None:
    with pytest.raises(ComponentError, match="cannot be used"):
        MetricsServer("192.0.2.1", 0, lambda: b"")


def test_once_closed_nobody_answers() -> None:
    server = MetricsServer("127.0.0.1", 0, lambda: b"")
    address = server.address
    server.close()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/metrics")


def test_what_listens_on_all_addresses_is_reached_by_the_name_of_its_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics_server.socket, "gethostname", lambda: "c0ffee")
    assert reachable("http://0.0.0.0:9") == "http://c0ffee:9"
    assert reachable("http://10.0.0.7:9") == "http://10.0.0.7:9"
    with MetricsServer("0.0.0.0", 0, lambda: b"") as server:
        assert server.address.startswith("http://c0ffee:")


def test_a_client_that_goes_away_leaves_the_server_running(server: MetricsServer) -> None:
    host, port = server.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"GET /metr")
    assert httpx.get(f"{server.address}/health").text == "ok\n"
