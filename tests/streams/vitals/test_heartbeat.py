"""A process whose loop is busy is spoken for; one that tells by itself is not."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from freshet.schemas.wire.messages import Message, Status
from freshet.streams.control.channels import Channels, Follower
from freshet.streams.outages import Outages
from freshet.streams.sqlite.log import SqliteLog
from freshet.streams.vitals import heartbeat
from freshet.streams.vitals.heartbeat import Heartbeat
from freshet.streams.vitals.vitals import Vitals

CHANNELS = Channels("control", "reports")
DEADLINE_SECONDS = 30.0


@pytest.fixture
def log(tmp_path: Path) -> SqliteLog:
    made = SqliteLog(tmp_path)
    for topic in CHANNELS:
        made.ensure(topic, 1)
    return made


def heard(log: SqliteLog, until: Callable[[list[Status]], bool]) -> list[Status]:
    follower, deadline, found = (
        Follower(log, *CHANNELS),
        time.monotonic() + DEADLINE_SECONDS,
        list[Message](),
    )
    while not until([m for m in found if isinstance(m, Status)]):
        assert time.monotonic() < deadline
        found += follower.poll(0.05)
    follower.close()
    return [m for m in found if isinstance(m, Status)]


def test_a_busy_loop_is_spoken_for_without_the_figures_of_its_tasks(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.01)
    monkeypatch.setattr(heartbeat, "QUIET_SECONDS", 0.0)
    vitals = Vitals("train", "train.x/1", Outages())
    told = vitals.status({"train:x:0": {"learned": 5}, "held": False, "records": 7})
    with Heartbeat(log, CHANNELS, vitals):
        beats = heard(log, lambda found: len(found) >= 2)
    for m in beats:
        assert (m.role, m.instance, m.facts["records"], m.facts["held"]) == (
            "train",
            "train.x/1",
            7,
            False,
        )
        assert m.facts["told_ms"] == told.facts["told_ms"], "since when its loop is busy"
        assert "train:x:0" not in m.facts, "it may have another owner by now"
    assert beats[0].at <= beats[-1].at


def test_a_loop_that_tells_by_itself_is_not_spoken_for(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.001)
    asked = list[float]()

    class Lively(Vitals):
        def quiet_seconds(self) -> float:
            asked.append(1.9)
            return asked[-1]

    with Heartbeat(log, CHANNELS, Lively("view", "view/1", Outages())):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while len(asked) < 5:
            assert time.monotonic() < deadline
            time.sleep(0.001)
    follower = Follower(log, *CHANNELS)
    assert follower.poll(0.0) == []
    follower.close()
