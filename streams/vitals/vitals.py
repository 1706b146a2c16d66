"""What a process says of itself: its role, its newest figures, what it waits out. Told as `Status`,
read as metrics."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import psutil

from freshet.schemas.wire.messages import Status
from freshet.streams.clock import wall_now_ms
from freshet.streams.outages import Outages


class Vitals:
    """Of one process. `instance` is its lasting name and what tells its starts apart, such as
    `view/1f2e3d4c`.

    `status` may be called from any thread, also while the loop of the role waits for a server."""

    def __init__(self, role: str, instance: str, outages: Outages) -> None:
        self.role = role
        self.instance = instance
        self.outages = outages
        self.started_ms = wall_now_ms()
        # how far the wall is ahead of the clock that it goes by
        self.clock_off_ms: Callable[[], int] = lambda: 0
        self.metrics = ""  # where its /metrics is served, once it is
        self._process = psutil.Process()
        self._facts: Mapping[str, Any] = {}
        self._told_ms: int | None = None
        self._memory_mb = 0.0

    def status(self, facts: Mapping[str, Any] | None = None) -> Status:
        """The role's own figures with those of the process; `facts` replaces what the role said
        last."""
        if facts is not None:
            self._facts = facts
            self._told_ms = wall_now_ms()
        return Status(
            self.role,
            self.instance,
            os.getpid(),
            wall_now_ms(),
            {**self._facts, **self._own()},
        )

    def quiet_seconds(self) -> float:
        """For how long its loop has told nothing."""
        return time.time() - (self._told_ms or self.started_ms) / 1000

    def _own(self) -> dict[str, Any]:
        # It is read from a file, for which a descriptor may be missing: no reason to end.
        with contextlib.suppress(OSError):
            self._memory_mb = round(self._process.memory_info().rss / 1e6, 1)
        return {
            "memory_mb": self._memory_mb,
            "cpu_seconds": round(time.process_time(), 2),
            "started_ms": self.started_ms,
            "told_ms": self._told_ms,  # when its loop last told its figures
            "outages": [msgspec.to_builtins(outage) for outage in self.outages.current()],
            "outages_begun": self.outages.begun,
            "metrics": self.metrics,
            "clock_off_ms": self.clock_off_ms(),
        }
