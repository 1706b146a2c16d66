"""numba kernels of the judge's evidence: wealth of bets, sums of means, and pairs that rank.

Each goes over entries in their order, one at a time: `rows` says which slice an entry is of, and
what is NaN of it is passed over. So any cuts of the same entries give the same bits.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

# Shares of its wealth that each bettor stakes. They are fixed before anything is seen, so they are
# predictable in whatever order labels arrive.
BETS = np.array([0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8])
# What each begins with, in the mean 1. Whoever bets that a candidate is worse trusts no bet more
# than another: bold ones gain from days that go together, too (`tests/bench/judging.py`). Whoever
# bets that a margin is kept gains little from each label, and so leans to the bold.
WORSE = 0
HOLDS = 1
STAKES = np.array(
    [[1.0] * 8, [8 / 26, 8 / 26, 16 / 26, 16 / 26, 32 / 26, 32 / 26, 48 / 26, 48 / 26]]
)
# Both only take wealth away, which costs power and never the level: beyond a maximum there is
# nothing left to show, and below a minimum arithmetic would become slow.
MOST = 2.0**512
LEAST = 2.0**-1000


@numba.njit(cache=True)
def bet(wealth: Any, peaks: Any, rows: Any, gains: Any) -> None:
    """Wealth [slices, tests, bets] and its greatest mean so far [slices, tests] after gains
    [entries, tests] in [-1, 1]."""
    entries, tests = gains.shape
    for entry in range(entries):
        for test in range(tests):
            gain = gains[entry, test]
            if np.isnan(gain):
                continue
            total = 0.0
            own = wealth[rows[entry], test]
            for i in range(len(BETS)):
                after = own[i] * (1.0 + BETS[i] * gain)
                if after > MOST:
                    after = MOST
                if after < LEAST:
                    after = 0.0
                own[i] = after
                total += after
            mean = total / len(BETS)
            if mean > peaks[rows[entry], test]:
                peaks[rows[entry], test] = mean


@numba.njit(cache=True)
def add(sums: Any, rows: Any, values: Any) -> None:
    """Sums [slices, measures, 3] of count, values and squared surprises, after values
    [entries, measures] in [0, 1]. A surprise is the distance from the mean of those before, and
    one half at first."""
    entries, measures = values.shape
    for entry in range(entries):
        for measure in range(measures):
            value = values[entry, measure]
            if np.isnan(value):
                continue
            own = sums[rows[entry], measure]
            surprise = value - (0.5 + own[1]) / (1.0 + own[0])
            own[0] += 1.0
            own[1] += value
            own[2] += surprise * surprise


@numba.njit(cache=True)
def rank(waiting: Any, rows: Any, answers: Any, labels: Any) -> Any:
    """Whether the positive of a pair was above the negative, [entries]; one half where equal, NaN
    where an entry ends no pair.

    A pair is a label and the newest one of the other kind that is in no pair: `waiting`
    [slices, 2] holds the answers of those, NaN where there is none."""
    out = np.full(len(rows), np.nan)
    for entry in range(len(rows)):
        own = waiting[rows[entry]]
        kind = int(labels[entry] > 0.5)
        other = own[1 - kind]
        if np.isnan(other):
            own[kind] = answers[entry]
            continue
        own[1 - kind] = np.nan
        above = answers[entry] - other
        if kind == 0:
            above = -above
        out[entry] = 0.5
        if above > 0.0:
            out[entry] = 1.0
        if above < 0.0:
            out[entry] = 0.0
    return out
