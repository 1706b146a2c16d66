"""The log on Kafka: a cluster with a reader and a writer."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

from freshet.schemas.errors import LogError
from freshet.streams.kafka.admin import REACH_SECONDS
from freshet.streams.kafka.client import Wanted
from freshet.streams.kafka.cluster import KafkaCluster
from freshet.streams.kafka.reader import Callbacks, KafkaReader
from freshet.streams.kafka.writer import KafkaWriter
from freshet.streams.log.contract import (
    Headers,
    OnAssign,
    OnGone,
)

LOOK_SECONDS = 0.05


class KafkaLog(KafkaCluster):
    """A `Log` on the brokers of a cluster; see `KafkaCluster` for what it is made of."""

    is_shared = True

    def reader(
        self,
        topics: Sequence[str],
        group: str | None,
        on_assign: OnAssign | None = None,
        on_revoke: OnGone | None = None,
        on_lost: OnGone | None = None,
        headers: Headers | None = None,
    ) -> KafkaReader:
        callbacks = Callbacks(on_assign, on_revoke, on_lost)
        return KafkaReader(self, topics, group, callbacks, Wanted.of(headers or {}))

    def writer(self) -> KafkaWriter:
        return KafkaWriter(self)

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """Next offsets by partition as last committed by `group`; for lag tools."""
        return self.admin.committed(group, topic)


class Brokers:
    """What was made for a version that is taken back goes from the brokers of a cluster: topics,
    and the groups of its processes. `close` it. Raises `LogError` for whatever goes wrong."""

    def __init__(self, cluster: KafkaCluster) -> None:
        self._cluster = cluster
        self._admin = cluster.admin

    def topics(self) -> set[str]:
        """Names of all that there are."""
        return self._admin.names()

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
