"""What was made for a version that is taken back goes from the brokers: topics, and the groups of
its processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from confluent_kafka import KafkaException

from freshet.schemas.errors import LogError
from freshet.streams.kafka.admin import REACH_SECONDS
from freshet.streams.kafka.cluster import KafkaCluster
from freshet.streams.kafka.errors import error_of, translated

LOOK_SECONDS = 0.05


class Brokers:
    """Of one cluster; `close` it. Raises `LogError` for whatever goes wrong."""

    def __init__(self, cluster: KafkaCluster) -> None:
        self._cluster = cluster
        self._admin = cluster.admin

    def topics(self) -> set[str]:
        """Names of all that there are."""
        try:
            return set(self._admin.client.list_topics(timeout=REACH_SECONDS).topics)
        except KafkaException as exception:
            raise translated(error_of(exception), self._cluster.brokers) from exception

    def groups(self) -> list[str]:
        return self._admin.groups()

    def remove(self, topics: Collection[str], is_gone: Callable[[str], bool]) -> None:
        """Remove those of the topics that are there, and the groups of whom is gone. Returns once
        they are not listed any more: a topic of that name may be made again."""
        there = sorted(self.topics() & {*topics})
        for topic in there:
            self._admin.delete(topic)
        deadline = time.monotonic() + REACH_SECONDS
        while left := self.topics() & {*there}:
            if time.monotonic() > deadline:
                raise LogError(
                    f"topic {min(left)}",
                    f"is still there {REACH_SECONDS:.0f} s after it was deleted",
                    "See whether the brokers may delete topics (delete.topic.enable).",
                )
            time.sleep(LOOK_SECONDS)
        for group in self._admin.groups():
            if is_gone(group):
                self._admin.delete_group(group)

    def is_empty(self, topic: str) -> bool:
        """Whether nobody has ever written into it."""
        return all(end == 0 for _, end in self._cluster.bounds(topic).spans.values())

    def close(self) -> None:
        self._cluster.close()
