"""Several Redis servers that make one store: a cluster, or a master with a replica and Sentinels."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import redis

from freshet.servers.redis_server import RedisServer, redis_program
from freshet.servers.server import Server, free_ports

DEADLINE_SECONDS = 60.0
SLOTS = 16_384
# A server that is silent for as long is taken for dead.
SILENCE_MS = 1_000
NAME = "rows"
# Servers of a cluster talk to each other at this much above their own port.
BUS = 10_000
EPHEMERAL = 32_000


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not _holds(holds):
        assert time.monotonic() < deadline, "the servers did not agree in time"
        time.sleep(0.02)


def _holds(condition: Callable[[], bool]) -> bool:
    try:
        return condition()
    # A server that is starting, or has just been killed.
    except redis.RedisError:
        return False


def client(port: int) -> redis.Redis:
    return redis.Redis(port=port, socket_timeout=5.0, decode_responses=True)


def cluster_ports(count: int) -> list[int]:
    """Ports whose servers' second ports are free, too, and none that the kernel gives away."""
    found: list[int] = []
    while len(found) < count:
        (port,) = free_ports(1)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port + BUS))
            if port + BUS < EPHEMERAL and port not in found:
                found.append(port)
    return found


class RedisCluster:
    """`masters` servers with equally many slots each, and as many replicas if there shall be."""

    def __init__(self, directory: Path, masters: int = 3, replicas: bool = False) -> None:
        count = masters * (2 if replicas else 1)
        self._masters = masters
        options = [
            *("--cluster-enabled", "yes"),
            *("--cluster-node-timeout", str(SILENCE_MS)),
        ]
        self.servers = [
            RedisServer(directory / str(i), *options, port=port)
            for i, port in enumerate(cluster_ports(count))
        ]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(s.address for s in self.servers[: self._masters])

    def __enter__(self) -> Self:
        for server in self.servers:
            server.start()
        first = self.servers[0]
        bounds = [SLOTS * i // self._masters for i in range(self._masters + 1)]
        for i, server in enumerate(self.servers):
            with client(server.port) as one:
                if i < self._masters:
                    slots = range(bounds[i], bounds[i + 1])
                    one.execute_command("CLUSTER", "ADDSLOTS", *slots)
                one.execute_command("CLUSTER", "MEET", "127.0.0.1", first.port)
        until(self._knows_all)
        for i, server in enumerate(self.servers[self._masters :]):
            with client(self.servers[i].port) as master, client(server.port) as one:
                of = master.execute_command("CLUSTER", "MYID")
                one.execute_command("CLUSTER", "REPLICATE", of)
                until(lambda one=one: one.info("replication")["master_link_status"] == "up")
        until(self._is_whole)
        return self

    def __exit__(self, *_: object) -> None:
        for server in self.servers:
            server.kill()

    def _knows_all(self) -> bool:
        return all(
            self._state(s)["cluster_known_nodes"] == str(len(self.servers)) for s in self.servers
        )

    def _is_whole(self) -> bool:
        return all(self._state(server)["cluster_state"] == "ok" for server in self.servers)

    def _state(self, server: RedisServer) -> dict[str, str]:
        with client(server.port) as one:
            told = str(one.execute_command("CLUSTER", "INFO"))
        return dict(line.split(":", 1) for line in told.split() if ":" in line)

    def id_of(self, server: RedisServer) -> str:
        with client(server.port) as one:
            return str(one.execute_command("CLUSTER", "MYID"))

    def empty(self) -> None:
        for server in self.servers:
            with client(server.port) as one:
                if one.info("replication")["role"] == "master":
                    one.flushall()


class SentinelServer(Server):
    """One Sentinel that watches the master on a port."""

    name = "sentinel"

    def __init__(self, directory: Path, master_port: int) -> None:
        super().__init__(directory)
        (self.port,) = free_ports(1)
        self._master_port = master_port

    def command(self) -> Sequence[str]:
        settings = self.directory / "sentinel.conf"
        # It writes what it learns into the file.
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {self.directory}",
            f"sentinel monitor {NAME} 127.0.0.1 {self._master_port} 2",
            f"sentinel down-after-milliseconds {NAME} {SILENCE_MS}",
            f"sentinel failover-timeout {NAME} 5000",
        ]
        settings.write_text("\n".join(lines) + "\n")
        return [redis_program(), str(settings), "--sentinel"]

    def answers(self, connection: socket.socket) -> bool:
        connection.sendall(b"PING\r\n")
        return connection.recv(7) == b"+PONG\r\n"


class WatchedRedis:
    """A master, its replica and three Sentinels."""

    def __init__(self, directory: Path) -> None:
        master_port, replica_port = free_ports(2)
        self.master = RedisServer(directory / "master", port=master_port)
        of = ("--replicaof", "127.0.0.1", str(master_port))
        self.replica = RedisServer(directory / "replica", *of, port=replica_port)
        self.sentinels = [SentinelServer(directory / f"s{i}", master_port) for i in range(3)]

    @property
    def url(self) -> str:
        hosts = ",".join(sentinel.address for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{NAME}/0"

    def __enter__(self) -> Self:
        for server in (self.master, self.replica, *self.sentinels):
            server.start()
        until(lambda: self.state()["num-slaves"] == 1)
        until(lambda: self.state()["num-other-sentinels"] == 2)
        return self

    def __exit__(self, *_: object) -> None:
        for server in (*self.sentinels, self.replica, self.master):
            server.kill()

    def state(self) -> dict[str, Any]:
        """What the first Sentinel says of the master."""
        with client(self.sentinels[0].port) as one:
            found: dict[str, Any] = one.sentinel_master(NAME)
        return found
