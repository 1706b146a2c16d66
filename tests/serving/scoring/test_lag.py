"""A scorer's own reckoning of how old rows are: it grows for as long as nobody writes that they are
newer."""

from __future__ import annotations

import pytest

from freshet.schemas.errors import StoreError
from freshet.schemas.wire.blocks import NO_TICK
from freshet.serving.scoring.lag import FeatureTicks
from freshet.streams.clock import ManualClock

START = 1_000_000


class Marks:
    """What the store says of two views."""

    def __init__(self) -> None:
        self.ticks = {"a": NO_TICK, "b": NO_TICK}
        self.away = False

    def read(self) -> dict[str, int]:
        if self.away:
            raise StoreError("store", "is away", "Wait.")
        return dict(self.ticks)


@pytest.fixture
def marks() -> Marks:
    return Marks()


def test_the_oldest_view_decides(marks: Marks) -> None:
    clock = ManualClock(START)
    ticks = FeatureTicks(marks.read, clock)
    clock.set(START + 10)
    marks.ticks = {"a": START + 5, "b": START + 9}
    ticks.look()
    assert ticks.lag_ms(["a", "b"], START + 10) == 5
    assert ticks.lag_ms(["b"], START + 10) == 1
    assert ticks.lag_ms([], START + 10) == 0


def test_what_nobody_has_ever_said_counts_from_the_start(marks: Marks) -> None:
    ticks = FeatureTicks(marks.read, ManualClock(START))
    ticks.look()
    assert ticks.lag_ms(["a"], START + 70) == 70


@pytest.mark.parametrize("fault", ["the owner is silent", "the store is away", "the rows are lost"])
def test_silence_is_lag(marks: Marks, fault: str) -> None:
    clock = ManualClock(START)
    ticks = FeatureTicks(marks.read, clock)
    marks.ticks = {"a": START, "b": START}
    ticks.look()
    marks.away = fault == "the store is away"
    if fault == "the rows are lost":
        marks.ticks["a"] = NO_TICK
    for ms in (1_000, 2_000, 60_000):
        clock.set(START + ms)
        ticks.look()
        assert ticks.lag_ms(["a"], clock.now_ms()) == ms


def test_a_clock_that_is_behind_intakes_does_not_hide_silence(marks: Marks) -> None:
    clock = ManualClock(START)
    ticks = FeatureTicks(marks.read, clock)
    marks.ticks["a"] = START + 7_000
    ticks.look()
    assert ticks.lag_ms(["a"], START) == 0
    clock.set(START + 3_000)
    ticks.look()
    assert ticks.lag_ms(["a"], START + 3_000) == 3_000
