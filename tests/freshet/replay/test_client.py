"""The demo's client counts every attempt, goes on to the next scorer, and asks until it is
answered."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from freshet.replay.client import ScoringClient
from freshet.schemas.errors import ComponentError
from freshet.servers.server import free_ports
from tests.toy_app import toy_app

ANSWER = {"parameters": {"instance": "serve/1", "sequence": 7}}
COLUMNS = {"order_id": ["a", "b"]}
BREAKS = 0


@contextmanager
def scorer(*statuses: int) -> Iterator[str]:
    """The address of one that answers with these statuses in turn (`BREAKS`: not at all), and 200
    from then on."""
    script = list(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            status = script.pop(0) if script else 200
            if status == BREAKS:
                self.close_connection = True
                return
            body = json.dumps(ANSWER).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Not to stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def client(*addresses: str) -> ScoringClient:
    model = toy_app().models[0]
    return ScoringClient(addresses, model.name, model.on.events)


def test_what_fails_or_breaks_is_asked_again_and_each_attempt_is_counted_once() -> None:
    with scorer(200, 503, BREAKS, 500) as address:
        asking = client(address)
        for _ in range(2):
            assert asking.ask(COLUMNS, 0) == {"serve/1": 8}
        asking.close()
    assert (asking.attempts, asking.answered, asking.failed, asking.broken, asking.rows) == (
        5,
        2,
        2,
        1,
        4,
    )


def test_a_scorer_that_is_gone_is_left_for_the_next_at_once() -> None:
    gone = f"http://127.0.0.1:{free_ports(1)[0]}"
    with scorer() as living:
        asking = client(gone, living)
        for _ in range(3):
            asking.ask(COLUMNS, 0)
        asking.close()
    assert (asking.attempts, asking.answered, asking.failed) == (4, 3, 0)
    assert asking.broken_at == {gone: 1}
    assert asking.address == living


def test_a_request_that_is_wrong_is_not_asked_again() -> None:
    with scorer(400) as address:
        asking = client(address)
        with pytest.raises(ComponentError, match="answered 400"):
            asking.ask(COLUMNS, 0)
        asking.close()
    assert (asking.attempts, asking.answered, asking.failed) == (1, 0, 1)
