"""Whatever delays depend on, what is judged and in which order does not depend on them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.serving.judging.ripening import Ripening

AGE = 100
QUESTIONS = st.lists(st.tuples(st.integers(0, 300), st.integers(1, 150)), max_size=40)


def ripened(questions: Sequence[tuple[int, int]], ticks: Sequence[int], again: bool) -> list[int]:
    """Fed as a log is: at each tick with the labels that came by then."""
    held = Ripening(AGE)
    out: list[int] = []
    before = -1
    for tick in [*sorted(ticks), 1_000]:
        came = [
            (asked, asked + delay, place)
            for place, (asked, delay) in enumerate(questions)
            if before < asked + delay <= tick
        ]
        table = np.array(came, np.int64).reshape(-1, 3)
        held.add(table[:, 0], table[:, 1], table[:, 2])
        out += held.ripe(tick).tolist()
        before = tick
        if again:
            held = Ripening.restored(held.checkpoint())
    assert held.late == sum(delay > AGE for _, delay in questions)
    return out


@settings(max_examples=80, deadline=None)
@given(QUESTIONS, st.lists(st.integers(0, 600), max_size=8), st.booleans())
def test_questions_come_in_the_order_asked_wherever_the_log_is_cut(
    questions: list[tuple[int, int]], ticks: list[int], again: bool
) -> None:
    in_time = [i for i, (_, delay) in enumerate(questions) if delay <= AGE]
    expected = sorted(in_time, key=lambda i: (questions[i][0], i))
    assert ripened(questions, ticks, again) == expected


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, AGE)), max_size=40), st.randoms())
def test_other_delays_change_nothing(
    questions: list[tuple[int, int]], random: np.random.Generator
) -> None:
    others = [(asked, random.randint(1, AGE)) for asked, _ in questions]  # type: ignore[attr-defined]
    ticks = [50, 120, 260]
    assert ripened(others, ticks, False) == ripened(questions, ticks, False)
