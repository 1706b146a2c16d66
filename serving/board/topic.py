"""What is known of one topic: its figures, its rate, and its settings beside the declared ones."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import asdict

import msgspec

from freshet.schemas.topics.topic import Freshness, Topic
from freshet.serving.board.rate import Rate
from freshet.serving.board.topic_figures import Facts, records, topic_figures
from freshet.serving.status.status import TopicFigures


class TopicBoard:
    """Figures are converted once for each time that intake tells them: a status may be asked for
    much more often."""

    def __init__(self, topic: Topic) -> None:
        self.topic = topic
        self._declared = asdict(topic.freshness)
        self._rate = Rate()
        self._told: Sequence[Facts] = ()
        self._figures = topic_figures(topic, ())

    def sample(self, told: Sequence[Facts], seconds: float) -> None:
        """Sample the rate, at `seconds` of a monotonic clock."""
        if told:
            self._rate.sample(seconds, records(told))

    def figures(
        self, told: Sequence[Facts], settings: Freshness, lag_ms: int | None
    ) -> TopicFigures:
        """`told` are the newest facts of each partition's intake, `settings` the topic's freshness
        as it is now."""
        if len(told) != len(self._told) or not all(map(operator.is_, told, self._told)):
            self._told = told
            self._figures = topic_figures(self.topic, told)
        return msgspec.structs.replace(
            self._figures,
            per_second=self._rate.per_second,
            lag_ms=lag_ms,
            settings=asdict(settings),
            declared=self._declared,
        )
