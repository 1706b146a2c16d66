"""How long requests took, and which of them came near a swap: rings of fixed size, cheap enough for
every request. Histograms count all of them."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
# `refused`: an operator decided so; `in_error`: the client's own fault (4xx).
Outcome = Literal["answered", "failed", "refused", "in_error"]
BEFORE_SECONDS = 0.01
AFTER_SECONDS = 0.4
BOUNDS_SECONDS = (
    *(0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075),
    *(0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0),
)


class Histogram:
    """How many durations lie up to each of `BOUNDS_SECONDS`, and above the last. Adding one costs
    some 0.2 µs."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_SECONDS) + 1)
        self._sum = 0.0

    def add(self, seconds: float) -> None:
        self._counts[bisect_left(BOUNDS_SECONDS, seconds)] += 1
        self._sum += seconds

    def add_all(self, seconds: F64) -> None:
        found = np.bincount(np.searchsorted(BOUNDS_SECONDS, seconds), minlength=len(self._counts))
        self._counts = [a + b for a, b in zip(self._counts, found.tolist())]
        self._sum += float(seconds.sum())

    def facts(self) -> dict[str, Any]:
        """Upper bounds, counts (not cumulated), and the sum in seconds."""
        return {"le": list(BOUNDS_SECONDS), "counts": list(self._counts), "sum": self._sum}


class Latency:
    """The newest `capacity` requests and swaps, in seconds of `time.monotonic`.

    Requests are added by one thread, swaps by another; readers get copies. Those in error are
    counted, not timed: how slowly a client sends what cannot be answered says nothing of us.
    """

    def __init__(self, capacity: int = 1 << 16, swaps: int = 1 << 12) -> None:
        self._started = np.full(capacity, np.nan)
        self._took = np.full(capacity, np.nan)
        self._swaps = np.full(swaps, np.nan)
        self._timed = self._swapped = 0
        self.answered = 0
        self.failed = 0
        self.refused = 0
        self.in_error = 0
        self.rows = 0
        self.durations = Histogram()
        self._near_durations = Histogram()
        self._settled = 0

    @property
    def requests(self) -> int:
        """All requests so far, whatever became of them."""
        return self.answered + self.failed + self.refused + self.in_error

    @property
    def swaps(self) -> int:
        return self._swapped

    def add(self, started: float, seconds: float, rows: int, outcome: Outcome = "answered") -> None:
        """A request that came to its end, as `outcome` says."""
        self.rows += rows
        if outcome == "in_error":
            self.add_in_error()
            return
        at = self._timed % len(self._took)
        self._started[at] = started
        self._took[at] = seconds
        # Last: readers in other threads take as many as are counted, and each is whole by then.
        self._timed += 1
        self.durations.add(seconds)
        if outcome == "answered":
            self.answered += 1
        elif outcome == "failed":
            self.failed += 1
        else:
            self.refused += 1

    def add_in_error(self) -> None:
        """A request that was turned away by the client's own fault, perhaps before it was whole."""
        self.in_error += 1

    def mark_swap(self) -> None:
        """A snapshot was swapped in just now."""
        self._swaps[self._swapped % len(self._swaps)] = time.monotonic()
        self._swapped += 1

    def quantiles_ms(self, at: Sequence[float], near_swaps: bool = False) -> list[float | None]:
        """Latencies in milliseconds at quantiles (0 to 1) of the requests that the ring holds, or
        of those from 10 ms before to 0.4 s after a swap; None without any."""
        took = (
            self.near_swaps()
            if near_swaps
            else self._took[: min(self._timed, len(self._took))].copy()
        )
        if not len(took):
            return [None] * len(at)
        return [float(x) for x in np.quantile(took, at) * 1e3]

    def near_swaps(self) -> F64:
        """Seconds that requests near a swap took, float64 `[m]`."""
        n = min(self._timed, len(self._took))
        return self._near(self._started[:n].copy(), self._took[:n].copy())

    def durations_near_swaps(self) -> Histogram:
        """Of the requests that ended `BEFORE_SECONDS` ago, when it is known whether a swap came
        near them. To be asked for now and then, by one thread: what has left the ring meanwhile is
        not counted."""
        n = self._timed
        size = len(self._took)
        at = np.arange(max(self._settled, n - size), n) % size
        started = self._started[at]
        took = self._took[at]
        # From the first that ended too recently on: a swap may still come near it.
        late = np.flatnonzero(started + took + BEFORE_SECONDS >= time.monotonic())
        if len(late):
            started = started[: late[0]]
            took = took[: late[0]]
        self._near_durations.add_all(self._near(started, took))
        self._settled = n - len(at) + len(took)
        return self._near_durations

    def _near(self, started: F64, took: F64) -> F64:
        swaps = np.sort(self._swaps[: min(self._swapped, len(self._swaps))])
        if not len(started) or not len(swaps):
            return np.empty(0)
        ended = started + took
        # the first swap that may touch the request
        first = np.searchsorted(swaps, started - AFTER_SECONDS)
        near = swaps[np.minimum(first, len(swaps) - 1)] <= ended + BEFORE_SECONDS
        out: F64 = took[near & (first < len(swaps))]
        return out
