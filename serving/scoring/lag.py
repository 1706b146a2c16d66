"""How old what is served may be, as the scorer itself reckons it: from the store and from the
snapshot that it serves, against the app's clock. It asks nobody who might be silent, so silence is
lag.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import structlog

from freshet.schemas.durations import text_of
from freshet.schemas.errors import ComponentError, StoreError
from freshet.schemas.topics.topic import Freshness
from freshet.schemas.wire.blocks import NO_TICK
from freshet.streams.clock import Clock

log = structlog.get_logger()


class FeatureTicks:
    """Up to when rows of views are known to reflect their topics: what `read` says, by the name
    that the store has for a view, as of the newest `look` that succeeded. May be used from any
    thread.

    While nothing is known of a view at all, its lag counts from when this was made.
    """

    def __init__(self, read: Callable[[], Mapping[str, int]], clock: Clock) -> None:
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._since_ms = clock.now_ms()
        self._ticks: dict[str, int] = {}
        self._ahead_ms = 0  # of this clock: intake's, on another machine, when its newest tick came

    def look(self) -> None:
        """See what is written in the store now. While that is away, all stays as it was, and
        ages."""
        with self._lock:
            try:
                found = self._read()
            except StoreError as error:
                log.info("the store does not say how old its rows are", error=str(error))
                return
            self._take({view: tick for view, tick in found.items() if tick != NO_TICK})

    def _take(self, known: Mapping[str, int]) -> None:
        newest = max(known.values(), default=NO_TICK)
        if newest > max(self._ticks.values(), default=NO_TICK):
            # Else a role could be silent for as long as this clock is behind before it shows.
            self._ahead_ms = max(0, newest - self._clock.now_ms())
        self._ticks.update(known)

    def lag_ms(self, views: Iterable[str], now_ms: int) -> int:
        """Of the oldest of these views; 0 of none."""
        lags = [self._age_ms(view, now_ms) for view in views]
        return max(lags, default=0)

    def _age_ms(self, view: str, now_ms: int) -> int:
        tick = self._ticks.get(view)
        if tick is None:
            return max(0, now_ms - self._since_ms)
        return max(0, now_ms + self._ahead_ms - tick)


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a model, or the rows of a view, may be behind, beside what their topic allows."""

    kind: Literal["model", "feature"]
    subject: str
    topic: str
    ms: int
    freshness: Freshness

    @property
    def limit_ms(self) -> int:
        """Beyond it `on_violation` holds; a limit of 0 stands for the SLO."""
        return self.freshness.ms(f"{self.kind}_limit") or self.freshness.ms(f"{self.kind}_slo")


def tolerated(lag: Lag) -> bool:
    """Whether what is so old may answer.

    Raises:
        ComponentError: it may not, and its topic says to refuse rather than to fall back.
    """
    if lag.freshness.on_violation == "serve" or lag.ms <= lag.limit_ms:
        return True
    if lag.freshness.on_violation == "refuse":
        raise ComponentError(
            lag.subject,
            f"its lag of {text_of(lag.ms)} is beyond its limit of {text_of(lag.limit_ms)}",
            f"Ask again later. To be answered anyway: "
            f"freshet topics set {lag.topic} on_violation=fallback.",
            refused=True,
        )
    return False
