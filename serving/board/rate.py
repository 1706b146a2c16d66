"""How fast a counter rises: over a sliding window, from samples of it."""

from __future__ import annotations

from collections import deque

WINDOW_SECONDS = 5.0


class Rate:
    """Of one counter. Before two samples it is 0."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def sample(self, seconds: float, count: int) -> None:
        """The counter stood at `count` at `seconds` of a monotonic clock. One that fell back (its
        process lost some state) starts a new window."""
        if self._samples and count < self._samples[-1][1]:
            self._samples.clear()
        self._samples.append((seconds, count))
        while len(self._samples) > 2 and seconds - self._samples[0][0] > WINDOW_SECONDS:
            self._samples.popleft()

    @property
    def per_second(self) -> float:
        if len(self._samples) < 2:
            return 0.0
        t0, n0 = self._samples[0]
        t1, n1 = self._samples[-1]
        return (n1 - n0) / (t1 - t0) if t1 > t0 else 0.0
