"""Streams of one key as they come: bursts, gaps of weeks, disorder of days, missing values."""

from __future__ import annotations

import math

import numpy as np

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
STEPS_MS = [1.0, 200.0, 20_000.0, 4.0 * MINUTE, HOUR, DAY]
LATE_MS = [MINUTE, HOUR, 3 * DAY, 40 * DAY]
ODD = [math.nan, -0.0, 0.0, math.inf, -math.inf]

Stream = list[tuple[int, float, float]]  # time and two values of each event


def stream(seed: int, most: int = 400) -> Stream:
    rng = np.random.default_rng(seed)
    t = int(rng.integers(-2, 1_700_000_000_000))
    out: Stream = []
    for _ in range(int(rng.integers(1, most if rng.random() < 0.6 else 30))):
        if rng.random() < 0.005:
            t += int(rng.integers(0, 40 * DAY))
        # Ties, too: many steps of a ms are none.
        t += int(rng.exponential(rng.choice(STEPS_MS, p=[0.1, 0.2, 0.3, 0.2, 0.15, 0.05])))
        late = int(rng.exponential(rng.choice(LATE_MS))) if rng.random() < 0.15 else 0
        out.append((t - late, _value(rng), _value(rng)))
    return out


def moments(events: Stream, rng: np.random.Generator) -> list[int]:
    """Times to ask at: around the newest event, long after it, and before it."""
    newest = max(t for t, _, _ in events)
    fixed = [0, 1, -HOUR, 5 * MINUTE, 3 * HOUR, 4 * DAY, 29 * DAY, 40 * DAY, -3 * DAY]
    return [newest + at for at in (*fixed, int(rng.integers(-DAY, DAY)))]


def _value(rng: np.random.Generator) -> float:
    if rng.random() < 0.08:
        return float(rng.choice(ODD))
    return float(rng.normal() * 10.0 ** rng.integers(-8, 9))
