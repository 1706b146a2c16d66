"""What follows of inputs that are missing: models that are held by conditions which no log of
theirs can tell, and scorers that are told to fall back. Decided by `control`, from a status and
what was said before; what was said on the control log holds until something else is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from freshet.learners.model import Model
from freshet.schemas.durations import text_of
from freshet.schemas.models.conditions import BY_CONDITION, FALL_BACK, HOLD, SILENT
from freshet.schemas.wire.facts import one_line
from freshet.schemas.wire.messages import Hold, Inputs, Message
from freshet.serving.status.promises import span
from freshet.serving.status.status import MissingFigures, Status, TopicFigures
from freshet.streams.control.holds import Holds

OVER = "it is over"
# Whether a condition is met: why, empty where it is not, None where nobody knows.
Met = Mapping[str, str | None]


class Decisions:
    """Of an app's models. Fed with the messages of the control log, in order."""

    def __init__(self, models: Sequence[Model]) -> None:
        self._models = models
        self._holds = Holds()
        self._inputs: dict[str, Inputs] = {}

    def note(self, message: Message) -> None:
        self._holds.note(message)
        if isinstance(message, Inputs):
            self._inputs[message.model] = message

    def decide(self, status: Status) -> list[Message]:
        """What is to be said now. It counts once it is heard by `note`: until then it is said
        again, which changes nothing."""
        now = status.clock.app_ms
        if now is None or status.catching_up:
            return []
        topics = {topic.name: topic for topic in status.topics}
        missing = {model.name: model.missing for model in status.models}
        found: list[Message] = []
        for model in self._models:
            own = missing.get(model.name, [])
            found += self._held(model, _met(model, topics, own), now, status.at_ms)
            found += self._fallen(model, own, now, status.at_ms)
        return found

    def _held(self, model: Model, met: Met, now: int, at_ms: int) -> list[Message]:
        before = self._holds.by_conditions(model.name)
        said: list[Message] = []
        for condition, why in met.items():
            if why and condition not in before:
                by = one_line(BY_CONDITION + condition)
                said.append(Hold(model.name, True, now, one_line(why), by, at_ms, condition))
        for condition, held in before.items():
            # Also one that is declared no more.
            if met.get(condition, "") == "":
                said.append(Hold(model.name, False, now, OVER, held.by, at_ms, condition))
        return said

    def _fallen(
        self, model: Model, missing: Sequence[MissingFigures], now: int, at_ms: int
    ) -> list[Message]:
        wanted: Sequence[MissingFigures] = ()
        if model.missing_inputs == FALL_BACK:
            wanted = missing
        features = sorted({feature for each in wanted for feature in each.features})
        known = self._inputs.get(model.name)
        if features == (known.missing if known is not None else []):
            return []
        why = one_line("; ".join(each.reason for each in wanted))
        return [Inputs(model.name, features, why, now, at_ms)]


def _met(
    model: Model, topics: Mapping[str, TopicFigures], missing: Sequence[MissingFigures]
) -> Met:
    met: dict[str, str | None] = {}
    for condition in model.hold:
        if condition.measure == SILENT:
            topic = topics.get(condition.topic)
            met[condition.text] = _silence(topic, condition.longer_than_ms)
    if model.missing_inputs == HOLD:
        for each in missing:
            # Of features trainers decide by themselves, from their log.
            if each.kind == "source":
                met[f"missing_inputs: {each.topic} of {each.view}"] = each.reason
    return met


def _silence(topic: TopicFigures | None, bound_ms: int) -> str | None:
    if topic is None or topic.silent_ms is None:
        return None
    if topic.silent_ms <= bound_ms:
        return ""
    silent = f"topic {topic.name} has had no event for {span(topic.silent_ms)}"
    return f"{silent}, {text_of(bound_ms)} is the bound"
