"""When somebody held the learning of a model: spans of the app's clock, as the control log tells
them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from freshet.schemas.models.spans import Span
from freshet.schemas.wire.messages import Hold, Message


class Holds:
    """Fed with the messages of the control log, in order."""

    def __init__(self) -> None:
        self._spans: dict[str, list[Span]] = {}

    def note(self, message: Message) -> bool:
        """Take in a message; whether it changed anything."""
        if not isinstance(message, Hold):
            return False
        spans = self._spans.get(message.model, [])
        is_held = bool(spans) and spans[-1].until is None
        if message.held is is_held:
            return False
        if message.held:
            now = Span(message.tick, None, message.by, message.why)
            self._spans[message.model] = [*spans, now]
        else:
            # Clocks of who says it may differ: no span ends before it begins.
            until = max(spans[-1].start, message.tick)
            self._spans[message.model] = [*spans[:-1], replace(spans[-1], until=until)]
        return True

    def all(self) -> Mapping[str, Sequence[Span]]:
        """By model; the last one of a model that is held has no end."""
        return {model: tuple(spans) for model, spans in self._spans.items()}
