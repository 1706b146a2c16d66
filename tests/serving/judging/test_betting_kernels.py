"""The kernels say what plain loops say, bit for bit, and their bets are fair."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.serving.judging.betting_kernels import BETS, LEAST, MOST, add, bet, rank

ENTRIES = st.lists(
    st.tuples(st.integers(0, 2), st.one_of(st.just(float("nan")), st.floats(-1, 1))), max_size=60
)


def loop_of_bets(entries: list[tuple[int, float]]) -> tuple[list[list[float]], list[float]]:
    wealth = [[1.0] * len(BETS) for _ in range(3)]
    peaks = [1.0] * 3
    for row, gain in entries:
        if gain != gain:
            continue
        for i, share in enumerate(BETS.tolist()):
            after = min(wealth[row][i] * (1.0 + share * gain), MOST)
            wealth[row][i] = after if after >= LEAST else 0.0
        total = 0.0
        for each in wealth[row]:
            total += each
        peaks[row] = max(peaks[row], total / len(BETS))
    return wealth, peaks


@settings(max_examples=60, deadline=None)
@given(ENTRIES, st.integers(0, 60))
def test_wealth_is_that_of_a_loop_wherever_it_is_cut(
    entries: list[tuple[int, float]], cut: int
) -> None:
    wealth = np.ones((3, 1, len(BETS)))
    peaks = np.ones((3, 1))
    for part in (entries[:cut], entries[cut:]):
        rows = np.array([row for row, _ in part], np.int64)
        bet(wealth, peaks, rows, np.array([gain for _, gain in part]).reshape(-1, 1))
    slow, highest = loop_of_bets(entries)
    assert wealth[:, 0].tolist() == slow
    assert peaks[:, 0].tolist() == highest


def test_nobody_gains_on_average_by_fair_coins_and_few_ever_seem_to() -> None:
    """All 2^14 courses of fourteen coins: the mean of all wealth is 1, and the share of those that
    were ever above 1 / α is at most α (Ville)."""
    final = []
    peaks = []
    for coins in product((-1.0, 1.0), repeat=14):
        wealth = np.ones((1, 1, len(BETS)))
        peak = np.ones((1, 1))
        bet(wealth, peak, np.zeros(14, np.int64), np.array(coins).reshape(-1, 1))
        final.append(wealth.mean())
        peaks.append(peak[0, 0])
    assert np.mean(final) == pytest.approx(1.0, abs=1e-12)
    for alpha in (0.5, 0.2, 0.1, 0.05):
        assert np.mean(np.array(peaks) >= 1 / alpha) <= alpha


def test_wealth_ends_at_a_maximum_and_at_nothing() -> None:
    wealth = np.ones((1, 2, len(BETS)))
    peaks = np.ones((1, 2))
    gains = np.ones((5_000, 2))
    gains[:, 1] = -1.0
    bet(wealth, peaks, np.zeros(5_000, np.int64), gains)
    assert wealth[0, 0, -1] == MOST
    assert wealth[0, 1, -1] == 0.0
    assert np.isfinite(peaks).all()
    assert peaks[0, 1] == 1.0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.just(float("nan")), st.floats(0, 1)), max_size=60), st.integers(0, 60))
def test_sums_are_those_of_a_loop_wherever_they_are_cut(values: list[float], cut: int) -> None:
    sums = np.zeros((1, 1, 3))
    for part in (values[:cut], values[cut:]):
        add(sums, np.zeros(len(part), np.int64), np.array(part).reshape(-1, 1))
    count = 0.0
    total = 0.0
    surprise = 0.0
    for value in values:
        if value == value:
            off = value - (0.5 + total) / (1.0 + count)
            count += 1.0
            total += value
            surprise += off * off
    assert sums[0, 0].tolist() == [count, total, surprise]


def test_pairs_rank_as_a_loop_finds_and_each_label_is_in_one_at_most() -> None:
    rng = np.random.default_rng(3)
    answers = rng.random(500).round(1)
    labels = (rng.random(500) < 0.3).astype(float)
    waiting = np.full((1, 2), np.nan)
    first = rank(waiting, np.zeros(123, np.int64), answers[:123], labels[:123])
    rest = rank(waiting, np.zeros(377, np.int64), answers[123:], labels[123:])
    found = np.concatenate([first, rest])
    newest: tuple[float, float] | None = None
    for i, (answer, label) in enumerate(zip(answers.tolist(), labels.tolist())):
        if newest is None or newest[1] == label:
            newest = (answer, label)
            assert np.isnan(found[i])
            continue
        above = (answer - newest[0]) * (1 if label else -1)
        assert found[i] == (np.sign(above) + 1) / 2
        newest = None
