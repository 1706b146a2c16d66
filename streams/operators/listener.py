"""What an operator hears on its app's control log: settings of topics and, in a replay, the
time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from freshet.schemas.models.spans import Span
from freshet.schemas.topics.topic import Freshness
from freshet.streams.control.channels import Follower
from freshet.streams.control.holds import Holds
from freshet.streams.control.live_settings import LiveSettings
from freshet.streams.log.contract import Log
from freshet.streams.operators.ticks import Pace

LISTEN_SECONDS = 0.2  # a fifth of what settings promise: within a second they hold in every role


class Listener:
    """Follows the log `control` from its first record. `declared` is what held before that;
    `seconds` is how often it is read where nobody waits for it, by the clock `wall` (seconds)."""

    def __init__(
        self,
        log: Log,
        control: str,
        declared: Mapping[str, Freshness],
        pace: Pace,
        wall: Callable[[], float],
        seconds: float = LISTEN_SECONDS,
    ) -> None:
        self._log = log
        self._control = control
        self._follower = Follower(log, control)
        self._live = LiveSettings(declared)
        self._holds = Holds()
        self._pace = pace
        self._wall = wall
        self._seconds = seconds
        self._heard_at = float("-inf")  # never yet, so it is due

    @property
    def settings(self) -> Mapping[str, Freshness]:
        """What holds for the app's topics, as far as it has heard."""
        return self._live.all()

    @property
    def holds(self) -> Mapping[str, Sequence[Span]]:
        """When learning was held, by model, as far as it has heard."""
        return self._holds.all()

    @property
    def position(self) -> int:
        """How far it has heard."""
        return self._follower.position

    def end(self) -> int:
        """How far there is something to hear."""
        _, end = self._log.bounds(self._control).spans[0]  # messages have one partition
        return end

    @property
    def due(self) -> bool:
        return self._wall() - self._heard_at >= self._seconds

    def hear(self, max_wait_seconds: float) -> bool:
        """Take in what was said; whether settings or holds changed."""
        messages = self._follower.poll(max_wait_seconds)
        self._heard_at = self._wall()
        changed = False
        for message in messages:
            self._pace.note(message)
            changed |= self._live.note(message)
            changed |= self._holds.note(message)
        return changed

    def close(self) -> None:
        self._follower.close()
