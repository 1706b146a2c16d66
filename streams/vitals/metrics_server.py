"""`/metrics` and `/health` of a role that has no other HTTP server. It answers from threads of its
own, so also while the role's loop waits for a server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from types import TracebackType
from typing import Any, ClassVar
from urllib.parse import urlsplit

import structlog

from freshet.schemas.addresses import authority
from freshet.schemas.errors import ComponentError
from freshet.streams.vitals.metrics import CONTENT_TYPE

log = structlog.get_logger()
CLIENT_SECONDS = 10.0  # a client that is slower is left
ANY_HOST = ("0.0.0.0", "::")
_PLAIN = "text/plain; charset=utf-8"


class MetricsServer:
    """Serves what `produce` makes, which is called once a request, from any thread, until `close`.
    Port 0 is any free one.

    Raises:
        ComponentError: the address is in use or not ours.
    """

    def __init__(self, host: str, port: int, produce: Callable[[], bytes]) -> None:
        try:
            self._server = _Server((host, port), produce)
        except OSError as error:
            raise ComponentError(
                f"metrics at {authority(host, port)}",
                f"the address cannot be used: {error.strerror or error}",
                "Choose another port (0: any free one).",
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="metrics", daemon=True
        )
        self._thread.start()

    @property
    def address(self) -> str:
        """Where others reach it, such as `http://127.0.0.1:40123`."""
        host, port = self._server.server_address[:2]
        return reachable(f"http://{authority(str(host), int(port))}")

    def close(self) -> None:
        """Stop listening; a request that is being answered gets its answer."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> MetricsServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def reachable(address: str) -> str:
    """What others call what listens at `address`: by this machine's name where that is all its
    addresses.

    >>> reachable("http://127.0.0.1:9100")
    'http://127.0.0.1:9100'
    """
    parts = urlsplit(address)
    if parts.hostname not in ANY_HOST:
        return address
    return f"http://{socket.gethostname()}:{parts.port}"


class _Server(ThreadingHTTPServer):
    # A slow client holds up neither the end of the process nor that of the server.
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], produce: Callable[[], bytes]) -> None:
        self.produce = produce
        # Before the socket is made, which the constructor does.
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """As `TCPServer` does: `HTTPServer` looks its own name up besides, which may take
        seconds."""
        TCPServer.server_bind(self)
        self.server_name = str(self.server_address[0])
        self.server_port = int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is nobody's error."""
        log.debug("a client of /metrics went away", client=str(client_address), exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = CLIENT_SECONDS
    error_message_format = "%(code)d %(message)s\n"
    error_content_type = _PLAIN
    answers: ClassVar[dict[str, str]] = {"/metrics": CONTENT_TYPE, "/health": _PLAIN}

    def do_GET(self) -> None:
        path = self.path.split("?", 1)[0]
        if path not in self.answers:
            self.send_error(404, f"{path} is not here, /metrics and /health are")
            return
        try:
            body = self.server.produce() if path == "/metrics" else b"ok\n"
        except Exception as error:
            log.error("metrics could not be made", error=str(error), exc_info=True)
            self.send_error(500, "metrics could not be made; the role's log says why")
            return
        self.send_response(200)
        self.send_header("content-type", self.answers[path])
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: Prometheus asks every few seconds."""
