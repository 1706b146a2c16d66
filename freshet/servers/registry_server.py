"""A schema registry of freshet's own, in a process: what `freshet registry start` runs."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from freshet.servers.server import Server, free_ports


class RegistryServer(Server):
    """On `port` (0: any); what is registered stays in `directory`."""

    name = "registry"

    def __init__(self, directory: str | Path, port: int = 0) -> None:
        super().__init__(directory)
        self.port = port or free_ports(1)[0]

    @property
    def url(self) -> str:
        """What the setting `registry` takes."""
        return f"http://{self.address}"

    def command(self) -> Sequence[str]:
        kept = ["--directory", str(self.directory / "kept")]
        return [
            sys.executable,
            *("-m", "freshet", "registry", "start"),
            *kept,
            *("--port", str(self.port)),
        ]

    def answers(self, connection: socket.socket) -> bool:
        return asked(connection, "/subjects")


def asked(connection: socket.socket, path: str) -> bool:
    """Whether a server of HTTP answers a path with 200."""
    request = f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
    connection.sendall(request.encode())
    return connection.recv(64).startswith(b"HTTP/1.1 200")
