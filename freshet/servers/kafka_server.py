"""A real Kafka broker of one node (KRaft, broker and controller in one process) from its jars."""

from __future__ import annotations

import socket
import struct
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path

from freshet.schemas.errors import ComponentError
from freshet.schemas.whole_files import PRIVATE, write_whole
from freshet.servers.server import Server, free_ports, jars, java

USER = "freshet"


class KafkaServer(Server):
    """On `port` (0: any). With a `password`, clients log in as `freshet` (SASL PLAIN); `settings`
    go into the broker's file."""

    name = "kafka"

    def __init__(
        self, directory: str | Path, password: str | None = None, port: int = 0, **settings: str
    ) -> None:
        super().__init__(directory)
        self._inner, self._controller, outer = free_ports(3)
        self._password = password
        self._settings = settings
        if password:
            self.port = port or outer
        else:
            self.port = self._inner = port or self._inner

    def command(self) -> Sequence[str]:
        file = self.directory / "server.properties"
        # It may hold the password of a user.
        text = "".join(f"{key}={value}\n" for key, value in self._properties().items())
        write_whole(file, text.encode(), mode=PRIVATE)
        if not (self.directory / "data" / "meta.properties").exists():
            # One that begins with a dash would be an option.
            cluster = "f" + urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
            format_ = ("format", "-t", cluster, "-c", str(file), "--standalone")
            done = subprocess.run(
                [*self._java(), "kafka.tools.StorageTool", *format_],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise ComponentError(
                    "kafka format", done.stdout + done.stderr, "See the broker's settings."
                )
        return [*self._java(), "kafka.Kafka", str(file)]

    def _java(self) -> list[str]:
        heap = ["-Xms256m", "-Xmx512m", "-XX:+UseSerialGC"]
        quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        return [java(), *heap, quiet, "-cp", f"{jars('kafka')}/*"]

    def _properties(self) -> dict[str, str]:
        listeners = f"PLAINTEXT://127.0.0.1:{self._inner}"
        login = {}
        if self._password:
            listeners += f",SASL_PLAINTEXT://127.0.0.1:{self.port}"
            module = "org.apache.kafka.common.security.plain.PlainLoginModule"
            jaas = f'{module} required user_{USER}="{self._password}";'
            login = {
                "sasl.enabled.mechanisms": "PLAIN",
                "listener.name.sasl_plaintext.plain.sasl.jaas.config": jaas,
            }
        replicas = ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{self._controller}",
            "advertised.listeners": listeners,
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": (
                "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT"
            ),
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{self._controller}",
            "log.dirs": str(self.directory / "data"),
            "auto.create.topics.enable": "false",
            "offsets.topic.num.partitions": "1",
            **{f"{topic}.replication.factor": "1" for topic in replicas},
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            # a killed broker may not register again before its old session is over: 9 s by default
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            **login,
            **{key.replace("_", "."): value for key, value in self._settings.items()},
        }

    def answers(self, connection: socket.socket) -> bool:
        """Ask for the API versions (key 18, version 0); a broker answers once it takes requests."""
        connection.sendall(struct.pack(">ihhih", 10, 18, 0, 1, -1))
        return len(connection.recv(8)) == 8
