"""How near the archive is to losing records of topics that others write: those are deleted by the
log itself after a time, whether they are archived or not."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import structlog

from freshet.schemas.errors import ComponentError
from freshet.serving.status.bounds import RETENTION_SHARES
from freshet.streams.archive.layout import SOURCE, task_of
from freshet.streams.clock import WallClock
from freshet.streams.log.contract import Log, TopicPartition
from freshet.streams.operators.checkpoints import positions

logger = structlog.get_logger()
LOOK_SECONDS = 30.0


class RetentionWatch:
    """Looks now and then how old the oldest record is that is not archived for good, beside the
    retention of its topic."""

    def __init__(self, checkpoints_url: str) -> None:
        self._url = checkpoints_url
        self._found: dict[TopicPartition, dict[str, float]] = {}

    def of(self, part: TopicPartition) -> Mapping[str, float]:
        """`retention_ms` of a partition; `spent`, the share of it that the oldest record has been
        there for, in steps of `RETENTION_SHARES`; and how many offsets were `lost`. Empty where
        nothing is deleted, or nobody has looked yet."""
        return self._found.get(part, {})

    def run(self, log: Log, topics: Sequence[str], stop: threading.Event) -> None:
        """Until it is to stop."""
        while True:
            for topic in topics:
                try:
                    self.look(log, topic, WallClock().now_ms())
                except ComponentError as error:
                    logger.warning("retention is not known", topic=topic, error=str(error))
            if stop.wait(LOOK_SECONDS):
                return

    def look(self, log: Log, topic: str, now_ms: int) -> None:
        kept_ms = log.retention_ms(topic)
        bounds = log.bounds(topic)
        if kept_ms is None:
            for partition in bounds.spans:
                self._found.pop((topic, partition), None)
            return
        # By share: the first offset that is younger than that.
        younger = {
            share: log.since(topic, now_ms - int(kept_ms * share)) for share in RETENTION_SHARES
        }
        for partition, (first, _) in bounds.spans.items():
            task = task_of(SOURCE, topic, partition)
            saved = [at for of, at in positions(self._url, task) if of == bounds.identity]
            # It begins at the first record, whichever that is then.
            archived = max(saved, default=first)
            spent = [share for share in RETENTION_SHARES if archived < younger[share][partition]]
            self._found[topic, partition] = {
                "retention_ms": kept_ms,
                "spent": max(spent, default=0.0),
                "lost": max(0, first - archived),
            }
