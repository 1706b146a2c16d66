"""When the learning of a model was held, by people and by conditions: spans of the app's clock, as
the control log tells them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from freshet.schemas.models.spans import Span
from freshet.schemas.wire.messages import Hold, Message


class Holds:
    """Fed with the messages of the control log, in order."""

    def __init__(self) -> None:
        # By model and condition, which is empty of those by people.
        self._spans: dict[tuple[str, str], list[Span]] = {}

    def note(self, message: Message) -> bool:
        """Take in a message; whether it changed anything."""
        if not isinstance(message, Hold):
            return False
        place = (message.model, message.condition)
        spans = self._spans.get(place, [])
        is_held = bool(spans) and spans[-1].until is None
        if message.held is is_held:
            return False
        if message.held:
            now = Span(message.tick, None, message.by, message.why)
            self._spans[place] = [*spans, now]
        else:
            # Clocks of who says it may differ: no span ends before it begins.
            until = max(spans[-1].start, message.tick)
            self._spans[place] = [*spans[:-1], replace(spans[-1], until=until)]
        return True

    def all(self) -> Mapping[str, Sequence[Span]]:
        """By model, in the order in which they begin."""
        found: dict[str, list[Span]] = {}
        for (model, _), spans in self._spans.items():
            found.setdefault(model, []).extend(spans)
        return {
            model: tuple(sorted(spans, key=lambda span: span.start))
            for model, spans in found.items()
        }

    def by_people(self, model: str) -> Span | None:
        """What somebody holds it by now."""
        return self._open(model, "")

    def by_conditions(self, model: str) -> Mapping[str, Span]:
        """The conditions that it is held by now."""
        places = [condition for name, condition in self._spans if name == model and condition]
        found = {condition: self._open(model, condition) for condition in places}
        return {condition: span for condition, span in found.items() if span is not None}

    def _open(self, model: str, condition: str) -> Span | None:
        spans = self._spans.get((model, condition), [])
        return spans[-1] if spans and spans[-1].until is None else None
