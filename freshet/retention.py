"""For how long a topic's records must stay in its live log: `keep=` is no shorter than what is made
of them within a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

from freshet.features.keeping import longest_ms
from freshet.features.views.view import View
from freshet.learners.model import Model
from freshet.schemas.durations import milliseconds, text_of
from freshet.schemas.errors import DefinitionError, RequestError
from freshet.schemas.topics.topic import Freshness, Topic

# What reaches back in a topic's records, and how far (ms).
Need = tuple[str, int]
# An id is remembered for one to two times as long as `dedup`; see `streams/admission`.
DEDUP_SPANS = 2
# An expired question is kept for one `label_wait` more, for a late label.
LABEL_WAITS = 2


def check(topics: Sequence[Topic], views: Sequence[View], models: Sequence[Model]) -> None:
    """See that what is made of each topic's records within a time is kept for that time.

    Raises:
        DefinitionError: a `keep` is shorter than something that still needs the records.
    """
    for topic, what, least_ms in _too_short(topics, partial(_needs, views=views, models=models)):
        raise DefinitionError(
            f"topic {topic.name}",
            f"keep={topic.keep} is shorter than {what}, {text_of(least_ms)}",
            f'Write keep="{text_of(least_ms)}" or more, or leave it out.',
        )


def check_change(
    topics: Sequence[Topic], models: Sequence[Model], freshness: Mapping[str, Freshness]
) -> None:
    """See that each topic is still kept for long enough under the `freshness` of topics, by name.

    Raises:
        RequestError: a `keep` is shorter than what would need the records then.
    """
    needs = partial(_needs_of_settings, models=models, freshness=freshness)
    for topic, what, least_ms in _too_short(topics, needs):
        raise RequestError(
            f"topic {topic.name}",
            f"keep={topic.keep} would be shorter than {what}, {text_of(least_ms)}",
            f'Set less, or declare keep="{text_of(least_ms)}" first.',
        )


def _too_short(
    topics: Iterable[Topic], needs: Callable[[Topic], Iterable[Need]]
) -> Iterator[tuple[Topic, str, int]]:
    """Each topic whose `keep` is shorter than something that needs its records: what that is, and
    how far it reaches back (ms)."""
    for topic in topics:
        if topic.keep_ms is None:
            continue
        for what, least_ms in needs(topic):
            if topic.keep_ms < least_ms:
                yield topic, what, least_ms


def _needs_of_settings(
    topic: Topic, models: Sequence[Model], freshness: Mapping[str, Freshness]
) -> Iterable[Need]:
    """What reaches back in a topic's records by what is set for topics now, and how far (ms)."""
    yield "its lateness", freshness[topic.name].ms("lateness")
    for model in models:
        answers = model.label.topic.name
        if topic.name in (model.on.name, answers):
            wait_ms = LABEL_WAITS * freshness[answers].ms("label_wait")
            yield f"two times label_wait of model {model.name}", wait_ms


def _needs(topic: Topic, views: Sequence[View], models: Sequence[Model]) -> Iterable[Need]:
    """What reaches back in a topic's records, and how far (ms)."""
    freshness = {one.name: one.freshness for one in (topic, *(m.label.topic for m in models))}
    yield from _needs_of_settings(topic, models, freshness)
    yield "two times its dedup", DEDUP_SPANS * milliseconds(topic.dedup)
    for view in views:
        if view.is_over(topic.name):
            yield f"the longest window of view {view.name}", longest_ms(view.features)
