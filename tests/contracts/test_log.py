"""Every log in the catalog keeps the promises of `log_battery`."""

from __future__ import annotations

import itertools
import os
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from freshet.runs.clusters import RoutedLog
from freshet.streams.archive.log import ArchivedLog
from freshet.streams.catalog import LOGS, open_log
from freshet.streams.log.contract import Log
from freshet.streams.sqlite.topic import path_of
from tests.contracts.log_battery import LogBattery, Rig, log, raised, topic
from tests.streams.archive.toy_archive import ForgettingLog, ToyArchive

__all__ = ["TestArchivedLog", "TestForgettingLog", "TestLog", "TestRoutedLog", "log", "topic"]


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


class WrappedRig:
    """A rig whose logs are each wrapped in another one."""

    def __init__(self, rig: Rig, wrap: Callable[[Log], Log]) -> None:
        self.rig = rig
        self.wrap = wrap
        self.url = rig.url

    def open(self) -> Log:
        return self.wrap(self.rig.open())

    def topic(self) -> str:
        return self.rig.topic()

    def recreate(self, topic: str, partitions: int) -> None:
        self.rig.recreate(topic, partitions)


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


class TestRoutedLog(LogBattery):
    @pytest.fixture(params=["sqlite"])
    def rig(self, tmp_path: Path) -> Rig:
        return WrappedRig(SqliteRig(tmp_path / "log"), lambda log: RoutedLog(log, {}))


class TestArchivedLog(LogBattery):
    """With nothing in its archive it is the live log."""

    @pytest.fixture(params=["sqlite", "kafka fast"])
    def rig(self, request: pytest.FixtureRequest, tmp_path: Path) -> Rig:
        rig: Rig = SqliteRig(tmp_path / "log")
        if request.param != "sqlite":
            rig = KafkaRig(request.getfixturevalue("kafka"), True)
        return WrappedRig(rig, lambda log: ArchivedLog(log, ToyArchive()))


class TestForgettingLog(LogBattery):
    """What is appended is soon in the archive alone, piece by piece."""

    @pytest.fixture(params=["sqlite", "kafka fast"])
    def rig(self, request: pytest.FixtureRequest, tmp_path: Path) -> Rig:
        rig: Rig = SqliteRig(tmp_path / "log")
        if request.param != "sqlite":
            rig = KafkaRig(request.getfixturevalue("kafka"), True)
        archive = ToyArchive()
        return WrappedRig(rig, lambda log: ForgettingLog(log, archive))

    # What is deleted in the live log goes on being read: the archive's own tests.
    test_what_is_deleted_is_the_beginning_and_nothing_else = None
    test_an_emptied_partition_goes_on_where_it_ended = None
    test_an_offset_the_log_does_not_have_is_refused_naming_both = None
    test_a_reader_whose_next_record_was_deleted_says_so = None
