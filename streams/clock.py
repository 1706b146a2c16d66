"""The app's clock, in ms since the epoch: the wall when live, the replayer's when paced."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    def now_ms(self) -> int: ...


class WallClock:
    """Live: the wall."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


class ManualClock:
    """Stands still until it is set: for tests, and for replays, whose `Clock` messages set it."""

    def __init__(self, now_ms: int = 0) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        return self._now_ms

    def set(self, now_ms: int) -> None:
        """Never backwards."""
        self._now_ms = max(self._now_ms, now_ms)
