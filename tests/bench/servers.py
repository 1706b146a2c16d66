"""Real servers for benchmarks: from the environment (`FRESHET_KAFKA`, `FRESHET_REDIS`), or started
here."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from freshet.servers.kafka_server import KafkaServer
from freshet.servers.redis_server import RedisServer
from freshet.servers.server import free_ports


@contextmanager
def servers() -> Iterator[tuple[str, str]]:
    """Kafka's and Redis' address, each `host:port`."""
    brokers = os.environ.get("FRESHET_KAFKA")
    address = os.environ.get("FRESHET_REDIS")
    if brokers and address:
        yield brokers, address
        return
    with tempfile.TemporaryDirectory() as at:
        (port,) = free_ports(1)
        with (
            KafkaServer(Path(at) / "kafka") as kafka,
            RedisServer(Path(at) / "redis", port=port) as server,
        ):
            yield kafka.address, server.address
