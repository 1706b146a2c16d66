"""Starting, stopping and killing servers, and what is said when one cannot be had."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from freshet.schemas.errors import ComponentError
from freshet.servers import server as servers
from freshet.servers.kafka_server import KafkaServer
from tests.servers import RedisServer


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def redis(tmp_path: Path) -> RedisServer:
    server = RedisServer(tmp_path)
    try:
        server.start()
    except ComponentError as error:
        pytest.skip(str(error))
    yield server
    server.kill()


def test_a_server_comes_back_where_it_was(redis: RedisServer) -> None:
    for end in (redis.stop, redis.kill):
        address = redis.address
        end()
        assert not answers(redis.port)
        redis.start()
        assert answers(redis.port)
        assert redis.address == address


def test_a_server_ends_with_the_process_that_started_it_even_if_that_is_killed(
    tmp_path: Path,
) -> None:
    code = (
        "import sys; from tests.servers import RedisServer; s = RedisServer(sys.argv[1]); s.start();"
        "print(s.port, flush=True); input()"
    )
    pipe = subprocess.PIPE
    owner = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=pipe, stdout=pipe, text=True
    )
    assert owner.stdout is not None
    line = owner.stdout.readline()
    if not line:
        pytest.skip("no Redis here")
    assert answers(int(line))
    owner.kill()
    owner.communicate()
    deadline = time.monotonic() + 30
    while answers(int(line)):
        assert time.monotonic() < deadline


@pytest.mark.parametrize("tool", ["java", "mvn"])
def test_a_missing_tool_is_named(
    tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    which = shutil.which
    monkeypatch.setattr(
        shutil, "which", lambda name: None if name == tool else which(name) or f"/bin/{name}"
    )
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ComponentError, match=rf"servers {tool}: is not installed\. Install"):
        KafkaServer(tmp_path / "kafka").start()


def test_a_server_that_cannot_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    class Broken(RedisServer):
        def command(self) -> list[str]:
            return ["sh", "-c", "echo cannot open the moon; exit 3"]

    with pytest.raises(ComponentError, match="cannot open the moon"):
        Broken(tmp_path).start()


def test_ports_are_free_and_not_among_those_the_kernel_gives_to_clients() -> None:
    ports = servers.free_ports(5)
    assert len(set(ports)) == 5
    first = Path("/proc/sys/net/ipv4/ip_local_port_range")
    if first.exists():
        assert max(ports) < int(first.read_text().split()[0])
