"""When the time may be told: where partitions end is asked once a turn, and not without end while
nobody answers."""

from __future__ import annotations

import pytest
import structlog

from freshet.schemas.errors import LogError
from freshet.schemas.wire.blocks import NO_TICK
from freshet.schemas.wire.messages import Tick
from freshet.streams.log.contract import Bounds
from freshet.streams.operators import ticks as ticks_module
from freshet.streams.operators.ticks import Goal, ReplayPace, Ticker

KEY = ("t", 0)


class Brokers:
    """A log that may be away; `asked` counts who asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.away = False
        self.now = 100.0

    def bounds(self, topic: str) -> Bounds:
        self.asked += 1
        if self.away:
            raise LogError("kafka://x:1", "cannot be reached", "Start it.")
        return Bounds("id", {0: (0, 7), 1: (0, 3)})

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def brokers(monkeypatch: pytest.MonkeyPatch) -> Brokers:
    found = Brokers()
    monkeypatch.setattr(ticks_module.time, "monotonic", found.monotonic)
    return found


def ticker(brokers: Brokers, now_ms: int = 50) -> Ticker:
    pace = ReplayPace()
    pace.note(Tick(now_ms))
    return Ticker(pace, brokers.bounds)


def test_a_goal_says_where_its_partition_ends_and_how_many_its_topic_has(brokers: Brokers) -> None:
    aiming = ticker(brokers)
    aiming.aim({KEY: NO_TICK})
    assert aiming.reached(lambda topic, partition: 6) == {}
    assert aiming.reached(lambda topic, partition: 7) == {KEY: Goal(50, 7, 2)}


def test_who_has_a_goal_or_knows_the_time_asks_nobody(brokers: Brokers) -> None:
    aiming = ticker(brokers)
    aiming.aim({KEY: NO_TICK})
    aiming.aim({KEY: NO_TICK})
    aiming.done(KEY)
    aiming.aim({KEY: 50})
    assert brokers.asked == 1


def test_brokers_that_are_away_are_asked_once_in_a_while_and_that_is_said_once(
    brokers: Brokers,
) -> None:
    aiming = ticker(brokers)
    brokers.away = True
    with structlog.testing.capture_logs() as lines:
        for _ in range(4):
            aiming.aim({KEY: NO_TICK})
            aiming.aim({KEY: NO_TICK})
            brokers.now += ticks_module.AGAIN_SECONDS
        assert brokers.asked == 4
        brokers.away = False
        aiming.aim({KEY: NO_TICK})
        aiming.done(KEY)
        brokers.away = True
        aiming.aim({KEY: NO_TICK})
    assert aiming.waits is False
    assert [line["event"] for line in lines] == [lines[0]["event"]] * 2
