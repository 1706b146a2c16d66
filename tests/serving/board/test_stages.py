"""The role that is named is the one that time waits for, not those that wait with it."""

from __future__ import annotations

import pytest

from freshet.serving.board.stages import Stage, slowest

ROLES = ("intake", "join", "train", "release", "serve")
NOW = 100_000


def ticks(silent: str, since: int) -> list[Stage]:
    """Each role a second behind the one before it, snapshots every five; one of them, and so all
    after it, silent."""
    stages, tick = list[Stage](), NOW
    for role in ROLES:
        tick -= 6_000 if role == "train" else 1_000
        if role == silent:
            tick = min(tick, since)
        stages.append(Stage(role, tick, 5_000 if role == "train" else 0))
    return stages


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("since", [NOW - 20_000, NOW - 90_000])
def test_the_silent_role_is_named(role: str, since: int) -> None:
    assert slowest(NOW, ticks(role, since)) == role


def test_what_never_came_is_waited_for() -> None:
    assert slowest(NOW, [Stage("intake", NOW), Stage("join", None), Stage("train", None)]) == "join"


def test_without_a_clock_nobody_is_named() -> None:
    assert slowest(None, [Stage("intake", 5)]) == ""
