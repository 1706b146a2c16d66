"""The app's clock follows the wall's, but for its jumps."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from freshet.streams.clock import FASTEST, JUMP_MS, ManualClock, WallClock

HOUR = 3_600_000


@dataclass
class Machine:
    """A wall clock that somebody may set, and a count that nobody can."""

    wall: int = 1_000 * HOUR
    count: float = 7.0

    def clock(self) -> WallClock:
        return WallClock(lambda: self.wall, lambda: self.count)

    def run(self, ms: int) -> None:
        self.wall += ms
        self.count += ms


def test_it_is_the_wall_as_long_as_nobody_sets_it() -> None:
    machine = Machine()
    clock = machine.clock()
    for ms in (0, 1, 999, HOUR, 3 * HOUR):
        machine.run(ms)
        assert clock.now_ms() == machine.wall
        assert clock.off_ms == 0


def test_a_jump_forwards_is_made_up_for_and_told_meanwhile() -> None:
    machine = Machine()
    clock = machine.clock()
    before = clock.now_ms()
    machine.wall += 3 * HOUR
    assert clock.now_ms() == before, "no time has gone"
    assert clock.off_ms == 3 * HOUR
    machine.run(1_000)
    assert clock.now_ms() == before + 1_000 * FASTEST
    for _ in range(200):
        machine.run(1_000)
        clock.now_ms()
    assert (clock.now_ms(), clock.off_ms) == (machine.wall, 0)


def test_a_jump_backwards_only_slows_it_down() -> None:
    machine = Machine()
    clock = machine.clock()
    before = clock.now_ms()
    machine.wall -= HOUR
    machine.run(10_000)
    assert clock.now_ms() == before + 5_000
    assert clock.off_ms == -HOUR
    machine.run(3 * HOUR)
    clock.now_ms()
    assert (clock.now_ms(), clock.off_ms) == (machine.wall, 0)


@pytest.mark.parametrize("by", [-JUMP_MS, -1, 1, JUMP_MS])
def test_small_corrections_are_followed_but_never_backwards(by: int) -> None:
    machine = Machine()
    clock = machine.clock()
    before = clock.now_ms()
    machine.wall += by
    assert clock.now_ms() == max(before, machine.wall)
    machine.run(2 * JUMP_MS)
    assert (clock.now_ms(), clock.off_ms) == (machine.wall, 0)


def test_what_was_written_down_is_not_undone_by_a_clock_that_is_behind() -> None:
    machine = Machine()
    clock = machine.clock()
    clock.at_least(machine.wall + HOUR)
    machine.run(1_000)
    assert clock.now_ms() == machine.wall - 1_000 + HOUR + 500
    clock.at_least(0)
    assert clock.off_ms < -JUMP_MS


def test_a_manual_clock_stands_still_and_never_goes_back() -> None:
    clock = ManualClock(5)
    clock.set(9)
    clock.set(7)
    assert clock.now_ms() == 9
