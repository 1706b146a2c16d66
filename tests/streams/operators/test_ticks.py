"""When intake tells its tasks the time, and how long it gathers before that."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from freshet.schemas.errors import LogError
from freshet.schemas.wire import blocks
from freshet.schemas.wire.messages import Tick
from freshet.streams.clock import ManualClock
from freshet.streams.control.channels import send
from freshet.streams.operators.loop import Rhythm, Steering
from freshet.streams.operators.task import Append, Outputs
from freshet.streams.operators.ticks import ReplayPace, WallPace
from tests.streams.operators.deaths import CHANNELS, NEVER
from tests.streams.operators.toys import Bench, Toy

ROUNDS, STEP_MS = 8, 3_000


def test_a_batch_wait_gathers_what_comes_meanwhile(bench: Bench) -> None:
    op = bench.operator(steering=Steering(gather_seconds=lambda settings: 0.5))
    op.step(0.0)
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

    monkeypatch.setattr(bench.log, "bounds", away)
    clock.set(8)
    op.step(0.0)
    assert told(bench) == ["toy:0 is told 7 of 2", "toy:1 is told 7 of 2"]
    monkeypatch.undo()
    op.step(0.0)
    assert told(bench)[2:] == ["toy:0 is told 8 of 2", "toy:1 is told 8 of 2"]
    op.close()


def test_in_a_replay_the_time_is_what_the_control_log_says(bench: Bench) -> None:
    bench.kind = Telling
    op = bench.operator(pace=ReplayPace())
    bench.put(0, b"a")
    op.step(0.0)
    assert told(bench) == []
    send(bench.writer, CHANNELS, [Tick(5), Tick(9)], 1)
    op.step(0.0)
    assert told(bench) == ["toy:0 is told 9 of 2", "toy:1 is told 9 of 2"]
    op.close()
