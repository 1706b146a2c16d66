"""For how long a topic's records must stay in its live log: `keep=` is no shorter than what is made
of them within a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from freshet.features.keeping import longest_ms
from freshet.features.views.view import View
from freshet.learners.model import Model
from freshet.schemas.durations import milliseconds, text_of
from freshet.schemas.errors import DefinitionError
from freshet.schemas.topics.topic import Topic

# An id is remembered for one to two times as long as `dedup`; see `streams/admission`.
DEDUP_SPANS = 2
# An expired question is kept for one `label_wait` more, for a late label.
LABEL_WAITS = 2


def check(topics: Sequence[Topic], views: Sequence[View], models: Sequence[Model]) -> None:
    """See that what is made of each topic's records within a time is kept for that time.

    Raises:
        DefinitionError: a `keep` is shorter than something that still needs the records.
    """
    for topic in topics:
        if topic.keep_ms is None:
            continue
        for what, least_ms in _needs(topic, views, models):
            if topic.keep_ms < least_ms:
                raise DefinitionError(
                    f"topic {topic.name}",
                    f"keep={topic.keep} is shorter than {what}, {text_of(least_ms)}",
                    f'Write keep="{text_of(least_ms)}" or more, or leave it out.',
                )


def _needs(
    topic: Topic, views: Sequence[View], models: Sequence[Model]
) -> Iterable[tuple[str, int]]:
    """What reaches back in a topic's records, and how far (ms)."""
    yield "its lateness", topic.freshness.ms("lateness")
    yield "two times its dedup", DEDUP_SPANS * milliseconds(topic.dedup)
    for view in views:
        if view.is_over(topic.name):
            yield f"the longest window of view {view.name}", longest_ms(view.features)
    for model in models:
        if topic.name in (model.on.name, model.label.topic.name):
            wait_ms = model.label.topic.freshness.ms("label_wait")
            yield f"two times label_wait of model {model.name}", LABEL_WAITS * wait_ms
