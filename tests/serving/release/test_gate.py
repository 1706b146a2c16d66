"""The gate as a table: what is known of a cut, what becomes of it, and a word of the reason."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freshet.schemas.durations import HOUR_MS
from freshet.schemas.wire.messages import Cut
from freshet.serving.release.comparison import Comparison
from freshet.serving.release.gate import GateBounds, GateStanding, Hold, Pass, Reference, decide

BOUNDS = GateBounds()
KNOWS = Reference(3, 50_000)
SECOND = 1_000
# A cut that moved too far from one that knew much, for the first time.
FAR = GateStanding(examples=60_000, tick_ms=HOUR_MS, reference=KNOWS, moved=5.0)

TABLE = [
    # nothing in the way
    (replace(FAR, reference=None), Pass, ""),
    (replace(FAR, moved=3.0), Pass, ""),
    (replace(FAR, moved=0.0), Pass, ""),
    # an accident
    (
        FAR,
        Hold,
        "moved by 5.00 in logit from snapshot 3, 3.00 are allowed; let through once 2 more agree, in 1h",
    ),
    (
        replace(FAR, moved=0.1, flat=True),
        Hold,
        "the same to every golden vector, and snapshot 3 tells them apart",
    ),
    (replace(FAR, agreeing=2), Hold, "once 1 more agree"),
    # who had hardly learned is no measure (the first cut after two examples), but for who has
    # learned more
    (
        replace(FAR, reference=Reference(1, 2)),
        Pass,
        "that one had learned 2 examples, this one 60000",
    ),
    (replace(FAR, reference=Reference(1, 999)), Pass, "had learned 999"),
    (replace(FAR, reference=Reference(1, 1_000)), Hold, "held back"),
    (replace(FAR, reference=Reference(1, 2), examples=2), Hold, "held back"),
    (replace(FAR, reference=Reference(1, 2), flat=True), Pass, "that one had learned 2 examples"),
    # the world changed: the base rate jumped, and cut after cut says so
    (replace(FAR, agreeing=3), Pass, "3 successive cuts agree"),
    (replace(FAR, agreeing=3, flat=True), Pass, "3 successive cuts agree"),
    (replace(FAR, agreeing=9, loss=0.4, prior_loss=0.4), Pass, "9 successive cuts agree"),
    (replace(FAR, agreeing=9, loss=0.4, prior_loss=math.nan), Pass, "9 successive cuts agree"),
    # a broken trainer agrees with itself, too, but its loss gives it away
    (
        replace(FAR, agreeing=9, loss=4.0, prior_loss=0.4),
        Hold,
        "its loss 4.0000 is above 0.4000 of the base rate",
    ),
    # time lets everything through, since what is served ages meanwhile
    (replace(FAR, tick_ms=2 * HOUR_MS, held_since_ms=HOUR_MS), Pass, "that has lasted for 1h"),
    (replace(FAR, tick_ms=2 * HOUR_MS - SECOND, held_since_ms=HOUR_MS), Hold, "in 1s"),
    (
        replace(FAR, tick_ms=3 * HOUR_MS, held_since_ms=HOUR_MS, loss=9.0, prior_loss=0.1),
        Pass,
        "lasted for 2h",
    ),
]


@pytest.mark.parametrize(("state", "wanted", "word"), TABLE)
def test_what_passes_is_what_the_table_says(state: GateStanding, wanted: type, word: str) -> None:
    found = decide(state, BOUNDS)
    assert type(found) is wanted
    assert word in found.reason
    assert bool(found.reason) == bool(word)


standings = st.builds(
    GateStanding,
    examples=st.integers(0, 10**6),
    tick_ms=st.integers(0, 10 * HOUR_MS),
    reference=st.none() | st.builds(Reference, st.integers(0, 9), st.integers(0, 10**6)),
    moved=st.floats(0, 40),
    flat=st.booleans(),
    agreeing=st.integers(1, 9),
    held_since_ms=st.none() | st.integers(0, 10 * HOUR_MS),
    loss=st.floats(0, 20) | st.just(math.nan),
    prior_loss=st.floats(0, 20) | st.just(math.nan),
)


@given(standings)
def test_no_standing_is_held_for_ever(state: GateStanding) -> None:
    since = state.tick_ms if state.held_since_ms is None else state.held_since_ms
    later = replace(state, tick_ms=since + BOUNDS.held_ms, held_since_ms=since)
    assert isinstance(decide(later, BOUNDS), Pass)


def cut(number: int, learned: int, loss: float = 0.1, prior: float = 0.1) -> Cut:
    stats = {"learned": learned, "rolling": {"n": 9, "log_loss": loss}}
    stats["references"] = {"rolling": {"prior": {"log_loss": prior}, "no_change": {}}}
    return Cut("m", "x", number, number * 10 * SECOND, "0" * 64, stats)


def judged(rates: list[float], learned: int, each: int, loss: float = 0.1) -> list[bool]:
    """Whether cuts pass that answer these rates, each after `each` examples more."""
    comparison, out = Comparison(), []
    for number, rate in enumerate(rates, 1):
        made = cut(number, learned + number * each, loss)
        answers = np.linspace(0.9, 1.1, 64) * rate
        found = decide(comparison.standing(made, answers, BOUNDS), BOUNDS)
        if isinstance(found, Pass):
            comparison.approve(made, answers)
        else:
            comparison.hold(made.tick)
        out.append(isinstance(found, Pass))
    return out


def test_a_first_snapshot_that_knew_nothing_locks_nobody_out() -> None:
    assert judged([0.167, 0.001, 0.001], learned=-3_998, each=4_000) == [True, True, True]


def test_a_jump_of_the_base_rate_is_followed_after_three_cuts() -> None:
    rates = [0.4, 0.4, 0.0005, 0.0006, 0.0005, 0.0005]
    assert judged(rates, learned=20_000, each=1_000) == [True, True, False, False, True, True]


def test_a_single_accident_is_held_back_and_the_next_passes() -> None:
    assert judged([0.4, 0.0001, 0.4, 0.4], learned=20_000, each=1_000) == [True, False, True, True]


def test_accidents_that_do_not_agree_are_held_back() -> None:
    assert judged([0.4, 0.0001, 0.7, 0.0001, 0.4], 20_000, 1_000) == [
        True,
        False,
        True,
        False,
        True,
    ]


def test_a_trainer_that_stays_broken_waits_for_time() -> None:
    broken = [0.4, *[0.0001] * 362]
    passed = judged(broken, learned=20_000, each=1_000, loss=3.0)
    assert passed[1:361] == [False] * 360
    assert passed[361:] == [True, True]
