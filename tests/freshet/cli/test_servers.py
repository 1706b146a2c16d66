"""`freshet servers start`: ports of one's choice, refused where they cannot be had; and a server
that ends is noticed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from freshet.schemas.errors import StoreError
from freshet.servers.cassandra_server import CassandraServer
from freshet.servers.kafka_server import KafkaServer
from freshet.servers.redis_server import redis_program
from freshet.servers.server import free_ports
from tests.system.operated_run import command

SECONDS = 60.0


@pytest.fixture
def port() -> int:
    try:
        redis_program()
    except StoreError as error:
        pytest.skip(str(error))
    return free_ports(1)[0]


class Started:
    """`freshet servers start redis:PORT` in a process of its own, once it has printed how to use
    it."""

    def __init__(self, folder: Path, port: int, kind: str = "redis") -> None:
        arguments = ["servers", "start", f"{kind}:{port}", "--directory", str(folder)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "freshet", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        self.lines = []
        while not self.lines or "Ctrl-C" not in self.lines[-1]:
            line = self.process.stdout.readline()
            assert line, "".join(self.lines)
            self.lines.append(line)

    def rest(self) -> tuple[int, str]:
        out, _ = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, out


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def pid_of(port: int) -> int:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"INFO server\r\n")
        told = connection.recv(1 << 16).decode()
    return int(told.split("process_id:")[1].split()[0])


def test_a_registry_is_one_of_them_and_says_how_a_run_names_it(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    started = Started(tmp_path, port, "registry")
    assert answers(port)
    lines = "".join(started.lines)
    assert f"registry   http://127.0.0.1:{port}\n" in lines
    assert f"freshet run APP.py --registry http://127.0.0.1:{port}\n" in lines
    started.process.terminate()
    assert started.rest()[0] == 0
    assert not answers(port)


def test_a_server_has_the_port_that_it_is_to_have_and_ends_with_the_command(
    tmp_path: Path, port: int
) -> None:
    started = Started(tmp_path, port)
    assert f"redis://127.0.0.1:{port}/0" in started.lines[0]
    assert answers(port)
    started.process.send_signal(signal.SIGTERM)
    assert started.rest() == (0, "stopping …\n")
    assert not answers(port)


def test_a_server_that_ends_by_itself_is_told_in_one_line_and_ends_the_command(
    tmp_path: Path, port: int
) -> None:
    started = Started(tmp_path, port)
    os.kill(pid_of(port), signal.SIGKILL)
    status, out = started.rest()
    assert status == 1
    assert out == (
        f"redis at 127.0.0.1:{port} ended by itself (killed by signal 9), so all are stopped; "
        f"see {tmp_path}/redis/server.log\n"
    )


def test_a_port_that_another_process_has_is_refused_in_one_sentence_before_anything_starts(
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        began = time.monotonic()
        told = command(
            "servers", "start", "redis", f"kafka:{port}", "--directory", str(tmp_path / "servers")
        )
    assert (told.status, told.out) == (2, "")
    assert told.err == (
        f"error: freshet kafka at 127.0.0.1:{port}: its port cannot be used: Address already in use. "
        f"Name another, as in kafka:{port + 1}, or none to have any.\n"
    )
    assert time.monotonic() - began < SECONDS
    assert not (tmp_path / "servers").exists()


@pytest.mark.parametrize(
    ("which", "text"),
    [
        (
            "mongo",
            "error: definition server 'mongo': is unknown. Choose from kafka, redis, cassandra, registry.\n",
        ),
        (
            "kafka:http",
            "error: definition server 'kafka:http': 'http' is no port. Write kafka:9092, or kafka to have any.\n",
        ),
        (
            "redis:0",
            "error: definition server 'redis:0': '0' is no port. Write redis:6379, or redis to have any.\n",
        ),
        (
            "redis:65536",
            "error: definition server 'redis:65536': '65536' is no port. Write redis:6379, or redis to have any.\n",
        ),
    ],
)
def test_what_is_no_server_or_no_port_is_refused(which: str, text: str) -> None:
    told = command("servers", "start", which)
    assert (told.status, told.out, told.err) == (2, "", text)


def test_kafka_and_cassandra_take_ports_too(tmp_path: Path) -> None:
    kafka = KafkaServer(tmp_path / "kafka", port=19_092)
    assert kafka.address == "127.0.0.1:19092"
    assert "PLAINTEXT://127.0.0.1:19092" in kafka._properties()["advertised.listeners"]
    login = KafkaServer(tmp_path / "login", password="x", port=19_093)
    assert login._properties()["advertised.listeners"].endswith(",SASL_PLAINTEXT://127.0.0.1:19093")
    assert CassandraServer(tmp_path / "cassandra", port=19_042).address == "127.0.0.1:19042"
