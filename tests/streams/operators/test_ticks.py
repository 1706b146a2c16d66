"""When intake tells its tasks the time, and how long it gathers before that."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import structlog

from freshet.schemas.errors import LogError
from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import NO_TICK
from freshet.schemas.wire.messages import Tick
from freshet.streams.clock import ManualClock
from freshet.streams.control.channels import send
from freshet.streams.log.contract import Bounds
from freshet.streams.operators import ticks
from freshet.streams.operators.loop import Rhythm, Steering
from freshet.streams.operators.task import Append, Outputs
from freshet.streams.operators.ticks import Goal, ReplayPace, Ticker, WallPace
from tests.streams.operators.deaths import CHANNELS, NEVER
from tests.streams.operators.toys import Bench, Toy

ROUNDS, STEP_MS = 8, 3_000


def test_a_batch_wait_gathers_what_comes_meanwhile(bench: Bench) -> None:
    op = bench.operator(steering=Steering(gather_seconds=lambda settings: 0.5))
    op.step(0.0)
    bench.put(0, b"at once, since none was before it")
    assert op.step(5.0)
    assert "toy:0 applies 1" in bench.journal
    bench.journal.clear()
    bench.put(0, b"a")
    timer = threading.Timer(0.05, lambda: bench.put(0, b"b", b"c"))
    timer.start()
    assert op.step(5.0)
    timer.join()
    assert bench.journal[0] == "toy:0 applies 3"
    op.close()


def test_a_time_that_is_to_be_told_ends_the_batch_wait(bench: Bench) -> None:
    clock = ManualClock(1)
    steering = Steering(gather_seconds=lambda settings: NEVER)
    op = bench.operator(steering=steering, pace=WallPace(clock, 0.0))
    op.step(0.0)
    bench.put(0, b"at once, since none was before it")
    op.step(5.0)
    bench.put(0, b"a")
    clock.set(2)
    step = threading.Thread(target=op.step, args=(5.0,), daemon=True)
    step.start()
    step.join(30.0)
    assert not step.is_alive(), "what stood there when the clock was asked is read"
    op.close()


class Telling(Toy):
    """Is told the time, and writes it down."""

    def apply(self, batch: Any) -> Outputs:
        found = super().apply(batch)
        self.finished = self.told
        return found

    told = blocks.NO_TICK

    def tick(self, now_ms: int, partitions: int) -> Outputs:
        self.told = self.finished = now_ms
        self.journal.append(f"{self.name} is told {now_ms} of {partitions}")
        return Outputs([Append("out", 0, [f"{now_ms}".encode()], now_ms)])


def told(bench: Bench) -> list[str]:
    return [line for line in bench.journal if "told" in line]


def test_the_time_is_told_once_all_is_read_that_stood_there_then(bench: Bench) -> None:
    bench.kind, clock = Telling, ManualClock(7)
    bench.put(0, b"a", b"b", b"c")
    op = bench.operator(Rhythm(max_records=2), pace=WallPace(clock, 0.0))
    op.step(0.0)
    assert told(bench) == ["toy:1 is told 7 of 2"], "the other partition is not read to its end"
    bench.put(0, b"later than 7")
    clock.set(8)
    op.step(0.0)
    assert "toy:0 is told 7 of 2" in told(bench), "it is reached, however much comes meanwhile"
    op.step(0.0)
    assert told(bench)[-1] == "toy:0 is told 8 of 2"
    op.close()


def test_no_time_is_told_while_nobody_knows_where_partitions_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.kind, clock = Telling, ManualClock(7)
    op = bench.operator(pace=WallPace(clock, 0.0))
    op.step(0.0)

    def away(topic: str) -> Any:
        raise LogError(topic, "is away", "Wait.")

    monkeypatch.setattr(ticks, "AGAIN_SECONDS", 0.0)
    with monkeypatch.context() as outage:
        outage.setattr(bench.log, "bounds", away)
        clock.set(8)
        op.step(0.0)
        assert told(bench) == ["toy:0 is told 7 of 2", "toy:1 is told 7 of 2"]
    op.step(0.0)
    assert told(bench)[2:] == ["toy:0 is told 8 of 2", "toy:1 is told 8 of 2"]
    op.close()


def test_in_a_replay_the_time_is_what_the_control_log_says(bench: Bench) -> None:
    bench.kind = Telling
    op = bench.operator(pace=ReplayPace())
    bench.put(0, b"a")
    op.step(0.0)
    op.step(0.0)
    assert told(bench) == []
    send(bench.writer, CHANNELS, [Tick(5), Tick(9)], 1)
    # Nothing was read the last time, so this is what it waits for.
    op.step(0.0)
    assert told(bench) == ["toy:0 is told 9 of 2", "toy:1 is told 9 of 2"]
    op.close()


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
    monkeypatch.setattr(ticks.time, "monotonic", found.monotonic)
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
            brokers.now += ticks.AGAIN_SECONDS
        assert brokers.asked == 4
        brokers.away = False
        aiming.aim({KEY: NO_TICK})
        aiming.done(KEY)
        brokers.away = True
        aiming.aim({KEY: NO_TICK})
    assert aiming.waits is False
    assert [line["event"] for line in lines] == [lines[0]["event"]] * 2
