"""When intake may tell its outputs the time.

A tick says that all which a partition held at a time of the app's clock stands before it. So the
clock is asked first, then where the partition ends, and once it has been read as far, the tick is
appended. In between others may have appended more: that is later than the tick, and no matter
whether it was read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from freshet.schemas.errors import LogError
from freshet.schemas.topics.settings import TICK_MS
from freshet.schemas.wire.blocks import NO_TICK
from freshet.schemas.wire.messages import Message, Tick
from freshet.streams.clock import JUMP_MS, Clock, ManualClock
from freshet.streams.log.contract import Bounds, TopicPartition

log = structlog.get_logger()
TICK_SECONDS = TICK_MS / 1000  # of the wall: how often the time is told
AGAIN_SECONDS = 1.0  # after which a log that did not answer is asked again
# Of a clock that goes on by so much at once: a replay's, which goes through hours in a blink.
# Nobody waits for what belongs in between; live it is the one tick after an outage.
STRIDE_MS = 5 * 60_000


class Pace(Protocol):
    """The app's clock as intake tells it."""

    @property
    def by_messages(self) -> bool:
        """Whether it stands still until a message of the control log moves it."""
        ...

    def note(self, message: Message) -> None:
        """A message of the control log."""
        ...

    def now_ms(self) -> int:
        """The newest time to be told (`NO_TICK`: none yet). It never goes back."""
        ...

    def bound_ms(self) -> int | None:
        """No record that is read by now was appended later (None: whoever appends knows when)."""
        ...

    def seconds_left(self) -> float:
        """Until there is a newer one, as far as that is known."""
        ...

    def resume(self, told_ms: int) -> None:
        """So much was told before, perhaps by another process with another clock."""
        ...


class WallPace:
    """Live: what the clock says, once in `seconds`."""

    by_messages = False

    def __init__(self, clock: Clock, seconds: float = TICK_SECONDS) -> None:
        self._clock = clock
        self._seconds = seconds
        self._now_ms = NO_TICK
        self._asked_at = float("-inf")  # monotonic; never yet

    def note(self, message: Message) -> None:
        """Nobody moves the wall's clock."""

    def now_ms(self) -> int:
        if time.monotonic() - self._asked_at >= self._seconds:
            self._asked_at = time.monotonic()
            self._now_ms = max(self._now_ms, self._clock.now_ms())
        return self._now_ms

    def bound_ms(self) -> int:
        # Not what is told: that may be a second old.
        return self._clock.now_ms()

    def resume(self, told_ms: int) -> None:
        # Else nobody would be told anything for as long as this clock is behind the other.
        if told_ms > self._now_ms + JUMP_MS:
            self._clock.at_least(told_ms)

    def seconds_left(self) -> float:
        return max(0.0, self._asked_at + self._seconds - time.monotonic())


class ReplayPace:
    """In a replay: what its newest `Tick` says."""

    by_messages = True

    def __init__(self) -> None:
        self._clock = ManualClock(NO_TICK)

    def note(self, message: Message) -> None:
        if isinstance(message, Tick):
            self._clock.set(message.now)

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def bound_ms(self) -> None:
        """Records bear the time of the replay's clock, which is ahead of what is told."""

    def seconds_left(self) -> float:
        """A message says so."""
        return float("inf")

    def resume(self, told_ms: int) -> None:
        """It was a message, too, and is still in the log."""


class Untimed:
    """Of a role that hears of time from its log: it tells none."""

    by_messages = False

    def note(self, message: Message) -> None:
        """Of no concern."""

    def now_ms(self) -> int:
        return NO_TICK

    def bound_ms(self) -> None:
        """Its log is freshet's own."""

    def seconds_left(self) -> float:
        return float("inf")

    def resume(self, told_ms: int) -> None:
        """Its log said so."""


def strides(before: int, now: int) -> bool:
    """Whether the clock has gone from the tick `before` (`NO_TICK`: none) to `now` in one stride.

    >>> strides(0, 900_000), strides(0, 1_000), strides(NO_TICK, 0)
    (True, False, False)
    """
    return before != NO_TICK and now - before >= STRIDE_MS


@dataclass(frozen=True, slots=True)
class Goal:
    """`tick` may be told once a partition is read up to offset `end`; its topic had so many
    `partitions` then."""

    tick: int
    end: int
    partitions: int


class Ticker:
    """The goals of an operator's partitions: one at a time for each, so that under a load which
    never ends it is reached all the same."""

    def __init__(self, pace: Pace, bounds: Callable[[str], Bounds]) -> None:
        self.pace = pace
        self._bounds = bounds
        self._goals: dict[TopicPartition, Goal] = {}
        self._ask_at = float("-inf")  # monotonic: not before, once the log did not answer
        self._is_away = False

    def aim(self, told: Mapping[TopicPartition, int]) -> None:
        """Give a goal to each partition that has none and was `told` an older time than it is
        now."""
        now = self.pace.now_ms()
        # No time was told yet, or never is.
        if now == NO_TICK:
            return
        if self._goals:
            self._goals = {key: goal for key, goal in self._goals.items() if key in told}
        self.pace.resume(max(told.values(), default=NO_TICK))
        behind = [key for key, tick in told.items() if tick < now and key not in self._goals]
        if not behind or time.monotonic() < self._ask_at:
            return
        try:
            # After the clock: what is appended from here on is later than `now`.
            bounds = {
                topic: self._bounds(topic) for topic in dict.fromkeys(topic for topic, _ in behind)
            }
        except LogError as error:
            # Nothing is known of the partitions then, so no time is told, and lag shows it.
            self._wait(error)
            return
        self._is_away = False
        for topic, partition in behind:
            spans = bounds[topic].spans
            self._goals[topic, partition] = Goal(now, spans[partition][1], len(spans))

    def _wait(self, error: LogError) -> None:
        """The log is asked again after a while: who asks may have waited long for no answer."""
        self._ask_at = time.monotonic() + AGAIN_SECONDS
        if not self._is_away:
            self._is_away = True
            log.warning("no tick: where partitions end is not known", error=str(error))

    @property
    def waits(self) -> bool:
        """Whether any partition has a goal."""
        return bool(self._goals)

    def reached(self, position: Callable[[str, int], int]) -> dict[TopicPartition, Goal]:
        """The goals that are reached, where the reader stands at `position`."""
        return {key: goal for key, goal in self._goals.items() if position(*key) >= goal.end}

    def done(self, key: TopicPartition) -> None:
        """Its tick is told."""
        self._goals.pop(key, None)
