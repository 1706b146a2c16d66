"""The settings of an app's topics as they are now: what was declared, and what operators changed
since.

Changes are `Setting` messages on the control log; whoever follows it from its start knows them all,
in order.
"""

from __future__ import annotations

from collections.abc import Mapping

from freshet.schemas.topics.settings import effective
from freshet.schemas.topics.topic import Freshness
from freshet.schemas.wire.messages import Message, Setting


class LiveSettings:
    """Fed with the messages of the control log. `of` is what holds now."""

    def __init__(self, declared: Mapping[str, Freshness]) -> None:
        self._current = dict(declared)

    def note(self, m: Message) -> bool:
        """Take in a message; whether it changed anything."""
        if not isinstance(m, Setting):
            return False
        before = self._current
        self._current = effective(self._current, [m])
        return self._current != before

    def of(self, topic: str) -> Freshness:
        return self._current[topic]

    def all(self) -> Mapping[str, Freshness]:
        return self._current
