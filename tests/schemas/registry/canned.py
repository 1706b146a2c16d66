"""A server of HTTP that answers as it is told, and remembers what it was asked: what a registry
never does can be had of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Handler = Callable[[BaseHTTPRequestHandler], None]


class Canned:
    def __init__(self, url: str) -> None:
        self.url = url
        self.paths: list[str] = []
        self.authorizations: list[str | None] = []


def json_answer(status: int, body: Any, **headers: str) -> Handler:
    data = json.dumps(body).encode()
    return bytes_answer(status, data, **headers)


def bytes_answer(status: int, data: bytes, **headers: str) -> Handler:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in {**headers, "content-length": str(len(data))}.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(data)

    return answer


@contextmanager
def canned(answer: Handler) -> Iterator[Canned]:
    class Requests(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.paths.append(self.path)
            told.authorizations.append(self.headers.get("authorization"))
            answer(self)

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Requests)
    told = Canned(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
