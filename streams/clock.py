"""The app's clock, in ms since the epoch: the wall when live, the replayer's when paced."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

JUMP_MS = 5_000  # less is what time servers correct; more is no clock that runs
# app time by elapsed time after a jump forwards: three hours are made up for in three minutes
FASTEST = 60.0
SLOWEST = 0.5  # the same after a jump backwards
_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)


class Clock(Protocol):
    def now_ms(self) -> int:
        """It never goes back."""
        ...

    def at_least(self, now_ms: int) -> None:
        """It is later than this clock may have it, as somebody knows who wrote the time down."""
        ...


class WallClock:
    """Live: the wall, as long as it runs. When somebody sets it, time is made up for instead of
    jumping.

    A jump forwards would let every question expire at once, a jump backwards would hide for as long
    that a role is silent. So time goes on by the machine's own count since it was started, at most
    `FASTEST` and at least `SLOWEST` times as fast, until both agree; `off_ms` says meanwhile how
    far the wall is ahead. A process that is started takes the wall as it is.
    """

    def __init__(
        self,
        wall_ms: Callable[[], int] | None = None,
        elapsed_ms: Callable[[], float] | None = None,
    ) -> None:
        self._wall_ms = wall_ms or wall_now_ms
        self._elapsed_ms = elapsed_ms or _since_boot_ms
        self._lock = threading.Lock()
        self._now_ms = float(self._wall_ms())
        self._counted_ms = self._elapsed_ms()
        self.off_ms = 0

    def now_ms(self) -> int:
        with self._lock:
            counted = self._elapsed_ms()
            gone = counted - self._counted_ms
            self._counted_ms = counted
            self._now_ms = self._after(gone)
            return int(self._now_ms)

    def at_least(self, now_ms: int) -> None:
        with self._lock:
            self._now_ms = max(self._now_ms, float(now_ms))

    def _after(self, gone: float) -> float:
        expected = self._now_ms + gone
        off = self._wall_ms() - expected
        self.off_ms = round(off) if abs(off) > JUMP_MS else 0
        if off > JUMP_MS:
            return expected + min(off, gone * (FASTEST - 1))
        if off < -JUMP_MS:
            return expected + max(off, gone * (SLOWEST - 1))
        # Never backwards: it stands still for as long as a small correction was.
        return max(self._now_ms, expected + off)


def wall_now_ms() -> int:
    """What the wall shows, in ms since 1970."""
    return time.time_ns() // 1_000_000


def _since_boot_ms() -> float:
    """Also while the machine sleeps, where it can be asked: that is no jump."""
    if _BOOTTIME is not None:
        return time.clock_gettime_ns(_BOOTTIME) / 1e6
    return time.monotonic_ns() / 1e6


class ManualClock:
    """Stands still until it is set: for tests, and for replays, whose `Clock` messages set it. It
    stands at 1970 before it is set for the first time, which may be to an earlier time."""

    def __init__(self, now_ms: int | None = None) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        return 0 if self._now_ms is None else self._now_ms

    def set(self, now_ms: int) -> None:
        """Never backwards."""
        if self._now_ms is None or now_ms > self._now_ms:
            self._now_ms = now_ms

    def at_least(self, now_ms: int) -> None:
        self.set(now_ms)
