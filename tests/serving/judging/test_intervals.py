"""Bounds hold at every moment at once."""

from __future__ import annotations

import math

import numpy as np
import pytest

from freshet.serving.judging.betting_kernels import add
from freshet.serving.judging.evidence import Sums
from freshet.serving.judging.intervals import RATES, bounds, deviation

LOOKS = range(20, 401, 20)


def sums_of(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Sums:
    sums = np.zeros((1, 1, 3))
    add(sums, np.zeros(len(values), np.int64), values.reshape(-1, 1))
    labels, total, surprise = sums[0, 0].tolist()
    return Sums(int(labels), total, surprise)


@pytest.mark.parametrize("drifts", [False, True])
def test_the_mean_is_within_at_every_look_but_for_the_chance_allowed(drifts: bool) -> None:
    """200 seeded courses, looked at twenty times each: at most 10 % may ever miss (by their
    conservative make it is far fewer)."""
    rng = np.random.default_rng(5)
    mean = np.full(400, 0.3)
    if drifts:
        mean = 0.1 + 0.6 * (np.arange(400) / 400)
    missed = 0
    for _ in range(200):
        values = (rng.random(400) < mean).astype(float)
        found = [bounds(sums_of(values[:look]), 0.1) for look in LOOKS]
        missed += any(
            not low <= mean[:look].mean() <= high for look, (low, high) in zip(LOOKS, found)
        )
    assert missed <= 20


def test_bounds_close_in_and_close_sooner_on_values_that_vary_little() -> None:
    rng = np.random.default_rng(6)
    wide = rng.random(5_000)
    narrow = 0.5 + (wide - 0.5) / 20
    widths = [np.diff(bounds(sums_of(wide[:n]), 0.05))[0] for n in (100, 1_000, 5_000)]
    assert widths[0] > widths[1] > widths[2]
    assert np.diff(bounds(sums_of(narrow), 0.05))[0] < widths[2] / 3


def test_without_values_it_is_anything() -> None:
    assert bounds(Sums(0, 0.0, 0.0), 0.05) == (0.0, 1.0)


def test_the_deviation_is_where_the_wealth_is_what_is_wanted() -> None:
    """By the formula, in a loop."""
    found = deviation(12.5, 100, 0.05)
    wealth = [
        math.exp(rate * found - (-math.log(1 - rate) - rate) * 12.5) for rate in RATES.tolist()
    ]
    assert sum(wealth) / len(wealth) == pytest.approx(20.0, rel=1e-9)
