"""A real server that speaks S3 (moto's), as a process of its own: buckets for tests."""

from __future__ import annotations

import contextlib
import http.client
import socket
import sys
import threading
import uuid
from collections.abc import Sequence
from pathlib import Path

from freshet.servers.server import Server, free_ports


class S3Server(Server):
    """It keeps what it is given in memory: whoever stops it loses that."""

    name = "s3"

    def __init__(self, directory: str | Path) -> None:
        super().__init__(directory)
        (self.port,) = free_ports(1)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What roles find it by, as they would any other."""
        return self.environment_at(self.endpoint)

    @staticmethod
    def environment_at(endpoint: str) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "ann",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def command(self) -> Sequence[str]:
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]

    def answers(self, connection: socket.socket) -> bool:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return connection.recv(4) == b"HTTP"

    def make_bucket(self) -> str:
        """An empty one; its URL."""
        name = f"bucket-{uuid.uuid4().hex[:8]}"
        self._ask("PUT", f"/{name}", b"")
        return f"s3://{name}"

    def hold_to_known_keys(self, holds: bool) -> None:
        """From now on refuse whoever has not a key that it gave out, or no one any more."""
        unasked = b"0" if holds else b"1000000000"
        self._ask("POST", "/moto-api/reset-auth", unasked)

    def _ask(self, method: str, path: str, body: bytes) -> None:
        asked = http.client.HTTPConnection("127.0.0.1", self.port)
        # By its host it tells the service.
        asked.request(method, path, body, {"Host": "s3.amazonaws.com"})
        answer = asked.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
        asked.close()


class Way:
    """A way to a server, which can be cut and mended: to who takes it, the server is away
    meanwhile, and keeps what it has."""

    def __init__(self, port: int) -> None:
        self._to = port
        (self.port,) = free_ports(1)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self.mend()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def mend(self) -> None:
        listener = socket.create_server(("127.0.0.1", self.port))
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def cut(self) -> None:
        """New connections are refused, and those that are open end."""
        with self._lock:
            assert self._listener is not None
            # Who waits in `accept` is woken by that, not by a close.
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            for each in self._open:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                ours, _ = listener.accept()
                theirs = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                return
            with self._lock:
                self._open |= {ours, theirs}
            threading.Thread(target=self._connect, args=(ours, theirs), daemon=True).start()

    def _connect(self, ours: socket.socket, theirs: socket.socket) -> None:
        back = threading.Thread(target=_pass_on, args=(theirs, ours), daemon=True)
        back.start()
        _pass_on(ours, theirs)
        back.join()
        with self._lock:
            self._open -= {ours, theirs}
        ours.close()
        theirs.close()

    def __enter__(self) -> Way:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
    for each in (one, other):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
