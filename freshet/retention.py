"""For how long records stay in the app's live logs, where an archive holds them beside.

A topic says so by `keep=`. What is made of it stays as long: of what several topics made, as long
as the longest, and for ever where one of them is kept whole. The logs of messages are always
whole: whoever starts reads all settings and decisions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from freshet.features.keeping import longest_ms
from freshet.schemas.durations import milliseconds, text_of
from freshet.schemas.errors import DefinitionError
from freshet.schemas.topics.topic import Topic

if TYPE_CHECKING:
    from freshet.app import App

# An id is remembered for one to two times as long as `dedup`; see `streams/admission`.
DEDUP_SPANS = 2
# An expired question is kept for one `label_wait` more, for a late label.
LABEL_WAITS = 2


def kept_ms(app: App) -> Mapping[str, int]:
    """By log, how long (ms) its records stay; those of other logs stay for ever."""
    topics: dict[str, Sequence[Topic]] = {app.log_of(topic.name): [topic] for topic in app.topics}
    topics |= {app.by_id_log_of(topic): [topic] for topic in app.topics if topic.by_id}
    topics |= {app.clean_log_of(view): view.topics for view in app.views}
    for model in app.models:
        both = [model.on, model.label.topic]
        topics |= {app.outcomes_log_of(model): both, app.examples_log_of(model): both}
    topics |= {app.dead_log: app.topics, app.statistics_log: app.topics}
    found = {}
    for log, of in topics.items():
        longest = _longest(of)
        if longest is not None:
            found[log] = longest
    return found


def _longest(topics: Iterable[Topic]) -> int | None:
    keeps = [topic.keep_ms for topic in topics]
    if None in keeps:
        return None
    return max(keep for keep in keeps if keep is not None)


def check(app: App) -> None:
    """See that what is made of each topic's records within a time is kept for that time.

    Raises:
        DefinitionError: a `keep` is shorter than something that still needs the records.
    """
    for topic in app.topics:
        if topic.keep_ms is None:
            continue
        for what, least_ms in _needs(app, topic):
            if topic.keep_ms < least_ms:
                raise DefinitionError(
                    f"topic {topic.name}",
                    f"keep={topic.keep} is shorter than {what}, {text_of(least_ms)}",
                    f'Write keep="{text_of(least_ms)}" or more, or leave it out.',
                )


def _needs(app: App, topic: Topic) -> Iterable[tuple[str, int]]:
    """What reaches back in a topic's records, and how far (ms)."""
    yield "its lateness", topic.freshness.ms("lateness")
    yield "two times its dedup", DEDUP_SPANS * milliseconds(topic.dedup)
    for view in app.views:
        if view.is_over(topic.name):
            yield f"the longest window of view {view.name}", longest_ms(view.features)
    for model in app.models:
        if topic.name in (model.on.name, model.label.topic.name):
            wait_ms = model.label.topic.freshness.ms("label_wait")
            yield f"two times label_wait of model {model.name}", LABEL_WAITS * wait_ms
