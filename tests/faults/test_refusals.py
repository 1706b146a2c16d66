"""What a run is refused for by real servers: `freshet run` ends at once, with one line that says
why, and status 2.

The texts are those of `docs/errors.md`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from freshet.app import load
from freshet.schemas.errors import ComponentError
from freshet.servers.kafka_server import USER, KafkaServer
from freshet.servers.redis_server import RedisServer
from freshet.servers.server import free_ports
from freshet.settings import Settings
from freshet.streams.catalog import open_log
from tests.error_texts import documented, shown
from tests.freshet.test_error_texts import APP

PASSWORD = "not-a-secret"
TOPIC, PARTITIONED = "parcels.handovers", 'parcel", "at", freshness=held'
RUN_SECONDS = 120.0


@dataclass(frozen=True)
class Place:
    """An app in a folder of its own, whose topics carry the folder's name, and the address of a
    Kafka that wants a login."""

    folder: Path
    app: str
    broker: str

    @property
    def log(self) -> str:
        return f"kafka://{USER}:{PASSWORD}@{self.broker}"

    @property
    def topic(self) -> str:
        return f"{self.app}.handovers"

    def command(self, *options: str) -> list[str]:
        return [
            sys.executable,
            "-m",
            "freshet",
            "run",
            "app.py",
            "--run-dir",
            "run",
            "--port",
            "0",
            *options,
        ]

    def refused(self, *options: str) -> str:
        """What `freshet run` says, which must be one line on stderr, with status 2."""
        done = subprocess.run(
            self.command("--status-port", "0", *options),
            **_in(self.folder), capture_output=True, text=True, check=False, timeout=RUN_SECONDS,
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
        return shown(done.stderr.strip(), self.folder).replace(self.app, "parcels")

    def admin(self) -> AdminClient:
        login = {"sasl.mechanism": "PLAIN", "sasl.username": USER, "sasl.password": PASSWORD}
        return AdminClient(
            {"bootstrap.servers": self.broker, "security.protocol": "SASL_PLAINTEXT", **login}
        )

    def publish(self, count: int) -> None:
        with closing(open_log(self.log)) as log, closing(log.writer()) as writer:
            for i in range(count):
                now = time.time_ns() // 1_000_000
                event = {"parcel": f"p{i}-{now}", "at": now, "city": "Lyon"}
                writer.append(self.topic, 0, [json.dumps(event).encode()], now)
            writer.flush()

    def run_intake(self, events: int) -> None:
        """Make the app's topics, publish events and take them in, up to a checkpoint."""
        given = Settings(run_dir=self.folder / "run", log=self.log)
        intake = subprocess.Popen(
            self.command("--role", "intake", "--log", self.log),
            **_in(self.folder),
            stderr=subprocess.PIPE,
        )
        try:
            saved = Path(given.checkpoints_url) / "intake"
            deadline, published = time.monotonic() + RUN_SECONDS, False
            while not list(saved.glob(f"handovers.*/0/*-{events:020}.base")):
                assert intake.poll() is None, intake.communicate()
                assert time.monotonic() < deadline, "no checkpoint came"
                if saved.exists() and not published:  # its topics are there
                    self.publish(events)
                    published = True
                time.sleep(0.1)
        finally:
            intake.send_signal(signal.SIGTERM)
            intake.communicate(timeout=RUN_SECONDS)


def _in(folder: Path) -> dict[str, object]:
    known = {
        k: v for k, v in os.environ.items() if k == "FRESHET_CONFIG" or not k.startswith("FRESHET_")
    }
    return {"cwd": folder, "env": known}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = KafkaServer(tmp_path_factory.mktemp("kafka"), password=PASSWORD)
    try:
        server.start()
    except ComponentError as error:
        if "kafka" in os.environ.get("FRESHET_REQUIRE", "").split(","):
            pytest.fail(f"kafka is required: {error}")
        pytest.skip(str(error))
    yield server.address
    server.stop()


@pytest.fixture
def place(broker: str, tmp_path: Path) -> Place:
    name = f"parcels_{time.time_ns()}"
    (tmp_path / "app.py").write_text(APP.replace('"parcels"', f'"{name}"'))
    assert load(tmp_path / "app.py").name == name
    return Place(tmp_path, name, broker)


def kafka_elsewhere(place: Place) -> str:
    (port,) = free_ports(1)
    return place.refused("--log", f"kafka://127.0.0.1:{port}")


def kafka_password(place: Place) -> str:
    return place.refused("--log", place.log.replace(PASSWORD, "guess"))


def kafka_partitions(place: Place) -> str:
    with closing(open_log(place.log)) as log:
        log.ensure(f"{place.topic.split('.')[0]}.dead", 4)
    return place.refused("--log", place.log)


def recreated(place: Place) -> str:
    place.run_intake(3)
    admin = place.admin()
    admin.delete_topics([place.topic])[place.topic].result(30)
    return place.refused("--log", place.log)


def starts_later(place: Place) -> str:
    place.run_intake(3)
    place.publish(5)
    admin = place.admin()
    parts = admin.delete_records([TopicPartition(place.topic, 0, 6)])
    assert [part.result(30).low_watermark for part in parts.values()] == [6]
    return place.refused("--log", place.log)


def redis_elsewhere(place: Place) -> str:
    (port,) = free_ports(1)
    return place.refused("--store", f"redis://127.0.0.1:{port}/0")


def redis_password(place: Place) -> str:
    with own_redis(place, "--requirepass", PASSWORD) as redis:
        return place.refused("--store", f"redis://:guess@{redis.address}/0")


def redis_evicts(place: Place) -> str:
    with own_redis(place, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru") as redis:
        return place.refused("--store", f"redis://{redis.address}/0")


def own_redis(place: Place, *options: str) -> RedisServer:
    (port,) = free_ports(1)
    return RedisServer(place.folder / "redis", *options, port=port)


def cassandra_elsewhere(place: Place) -> str:
    pytest.importorskip("cassandra")
    (port,) = free_ports(1)
    return place.refused("--store", f"cassandra://127.0.0.1:{port}/parcels")


REFUSALS: dict[str, Callable[[Place], str]] = {
    "Kafka at a wrong address": kafka_elsewhere,
    "Kafka refuses the password": kafka_password,
    "A topic of Kafka with another partition count": kafka_partitions,
    "A recreated topic": recreated,
    "A log that starts after the checkpoint": starts_later,
    "Redis at a wrong address": redis_elsewhere,
    "Redis refuses the password": redis_password,
    "A Redis that evicts": redis_evicts,
    "Cassandra at a wrong address": cassandra_elsewhere,
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_run_is_refused_with_the_promised_text(name: str, place: Place) -> None:
    assert REFUSALS[name](place) == documented()[name]


def test_a_role_run_alone_is_refused_in_the_same_words(place: Place) -> None:
    (port,) = free_ports(1)
    said = place.refused("--role", "view", "--store", f"redis://127.0.0.1:{port}/0")
    assert said == documented()["Redis at a wrong address"]
