"""Every log in the catalog keeps the promises of `log_battery`."""

from __future__ import annotations

import itertools
import os
import uuid
from pathlib import Path

import pytest

from freshet.streams.catalog import LOGS, open_log
from freshet.streams.log.contract import Log
from freshet.streams.sqlite.topic import path_of
from tests.contracts.log_battery import LogBattery, Rig, log, raised, topic

__all__ = ["TestLog", "log", "topic"]


class SqliteRig:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.url = f"sqlite://{directory}"
        self._names = itertools.count()

    def open(self) -> Log:
        return open_log(self.url)

    def topic(self) -> str:
        return f"app.topic-{next(self._names)}"

    def recreate(self, topic: str, partitions: int) -> None:
        path = path_of(self.directory, topic)
        for file in self.directory.glob(f"{path.name}*"):
            os.unlink(file)
        self.open().ensure(topic, partitions)


class KafkaRig:
    """`fast` chooses the reader's client."""

    def __init__(self, address: str, fast: bool) -> None:
        self.address, self.fast = address, fast
        self.url = f"kafka://{address}"

    def open(self) -> Log:
        from freshet.streams.kafka.log import KafkaLog

        return KafkaLog(self.address, fast=self.fast)

    def topic(self) -> str:
        return f"battery.{uuid.uuid4().hex}"

    def recreate(self, topic: str, partitions: int) -> None:
        from freshet.streams.kafka.log import KafkaLog

        log = KafkaLog(self.address)
        log.admin.client.delete_topics([topic])[topic].result()
        assert "does not exist" in raised(lambda: log.bounds(topic)).cause
        log.ensure(topic, partitions)


def test_every_log_in_the_catalog_is_held_to_the_battery() -> None:
    assert {name.split(" ")[0] for name in RIGS} == set(LOGS)


RIGS = ["sqlite", "kafka fast", "kafka stock"]


@pytest.fixture(params=RIGS)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Rig:
    name, _, client = request.param.partition(" ")
    if name == "sqlite":
        return SqliteRig(tmp_path / "log")
    return KafkaRig(request.getfixturevalue("kafka"), client == "fast")


class TestLog(LogBattery):
    pass
