"""The log on Kafka: a cluster with a reader and a writer."""

from __future__ import annotations

from collections.abc import Sequence

from freshet.streams.kafka.client import Wanted
from freshet.streams.kafka.cluster import KafkaCluster
from freshet.streams.kafka.reader import Callbacks, KafkaReader
from freshet.streams.kafka.writer import KafkaWriter
from freshet.streams.log.contract import (
    Headers,
    OnAssign,
    OnGone,
)


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
