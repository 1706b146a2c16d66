"""A real Apicurio Registry 3 from its archive, which keeps what is registered in memory: by its
`/apis/ccompat/v7` it answers as Confluent's registry does."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

from freshet.servers.registry_server import asked
from freshet.servers.server import Server, free_ports, jars, java

PATH = "/apis/ccompat/v7"


class ApicurioServer(Server):
    """On `port` (0: any). What was registered is gone once it ends."""

    name = "apicurio"

    def __init__(self, directory: str | Path, port: int = 0) -> None:
        super().__init__(directory)
        self.port = port or free_ports(1)[0]

    @property
    def url(self) -> str:
        """What the setting `registry` takes."""
        return f"http://{self.address}{PATH}"

    def command(self) -> Sequence[str]:
        (runner,) = jars("apicurio").glob("apicurio-registry-app-*-runner.jar")
        return [
            java(),
            *("-Xms64m", "-Xmx256m", "-XX:+UseSerialGC"),
            "-Dquarkus.http.host=127.0.0.1",
            f"-Dquarkus.http.port={self.port}",
            "-Dquarkus.log.level=WARN",
            *("-jar", str(runner)),
        ]

    def answers(self, connection: socket.socket) -> bool:
        return asked(connection, f"{PATH}/subjects")
