"""Between which bounds a mean lies, at every moment at once.

A confidence sequence by the empirical Bernstein inequality for bounded values, with centres that
are predictable (Howard, Ramdas, McAuliffe and Sekhon, 2021, theorem 4; of forecasts' scores: Choe
and Ramdas, 2023, theorem 2), mixed over fixed rates.

For values x of conditional means m, centres c and a rate r, with psi(r) = -log(1 - r) - r,

    exp(r sum(x - m) - psi(r) sum((x - c)^2))

is a supermartingale that begins at 1, and so is the mean of several. It is above 1 / alpha at some
time with a probability of at most alpha (Ville). Solved for sum(m) it bounds the *running mean of
the conditional means*: these may drift.
"""

from __future__ import annotations

import math

import numpy as np

from freshet.serving.judging.evidence import Sums

# From bold to shy: a mean is best told by a rate of about sqrt(2 log(1 / α) / Σ(x − c)²).
RATES = 0.9 * 0.5 ** np.arange(14)
_PENALTIES = -np.log1p(-RATES) - RATES
HALVINGS = 60  # beyond these a float64 no longer moves


def bounds(sums: Sums, alpha: float) -> tuple[float, float]:
    """Low and high of the mean of values in [0, 1]; both hold, for ever, but for a chance `alpha`.
    Without values it is anything."""
    if not sums.labels:
        return 0.0, 1.0
    mean = sums.total / sums.labels
    # Half of the chance for either side.
    half = deviation(sums.surprise, sums.labels, alpha / 2) / sums.labels
    return max(0.0, mean - half), min(1.0, mean + half)


def deviation(surprise: float, count: int, alpha: float) -> float:
    """The least sum of deviations whose wealth is 1 / α, by halving; at most `count`, which no sum
    of values in [0, 1] passes."""
    wanted = math.log(1 / alpha)
    low = 0.0
    high = float(count)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if _log_wealth(middle, surprise) < wanted:
            low = middle
        else:
            high = middle
    return high


def _log_wealth(deviated: float, surprise: float) -> float:
    logs = RATES * deviated - _PENALTIES * surprise
    # The greatest is taken out, so that no exponential is too large.
    most = float(logs.max())
    return most + math.log(float(np.exp(logs - most).mean()))
