"""How long requests took, and which of them came near a swap: rings of fixed size, cheap enough for every
request."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
BEFORE_SECONDS, AFTER_SECONDS = 0.01, 0.4


class Latency:
    """The newest `capacity` requests and swaps, in seconds of `time.monotonic`.

    Requests are added by one thread, swaps by another; readers get copies.
    """

    def __init__(self, capacity: int = 1 << 16, swaps: int = 1 << 12) -> None:
        self._started, self._took = np.full(capacity, np.nan), np.full(capacity, np.nan)
        self._swaps = np.full(swaps, np.nan)
        self._requests = self._swapped = 0
        self.failed = self.rows = 0

    @property
    def requests(self) -> int:
        """All requests so far, failed ones too; a refused one (4xx) is no failure."""
        return self._requests

    @property
    def swaps(self) -> int:
        return self._swapped

    def add(self, started: float, seconds: float, rows: int, failed: bool = False) -> None:
        at = self._requests % len(self._took)
        self._started[at], self._took[at] = started, seconds
        self._requests += 1
        self.rows += rows
        self.failed += failed

    def mark_swap(self) -> None:
        """A snapshot was swapped in just now."""
        self._swaps[self._swapped % len(self._swaps)] = time.monotonic()
        self._swapped += 1

    def quantiles_ms(self, at: Sequence[float], near_swaps: bool = False) -> list[float | None]:
        """Latencies in milliseconds at quantiles (0 to 1) of the requests that the ring holds, or of those
        from 10 ms before to 0.4 s after a swap; None without any."""
        took = self.near_swaps() if near_swaps else self._took[: min(self._requests, len(self._took))].copy()
        if not len(took):
            return [None] * len(at)
        return [float(x) for x in np.quantile(took, at) * 1e3]

    def near_swaps(self) -> F64:
        """Seconds that requests near a swap took, float64 `[m]`."""
        n = min(self._requests, len(self._took))
        started, took = self._started[:n].copy(), self._took[:n].copy()
        swaps = np.sort(self._swaps[: min(self._swapped, len(self._swaps))])
        if not n or not len(swaps):
            return np.empty(0)
        ended = started + took
        first = np.searchsorted(swaps, started - AFTER_SECONDS)  # the first swap that may touch the request
        near = swaps[np.minimum(first, len(swaps) - 1)] <= ended + BEFORE_SECONDS
        out: F64 = took[near & (first < len(swaps))]
        return out
