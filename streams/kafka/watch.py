"""Topics that are removed, or made anew under the same name, while they are being read and
written."""

from __future__ import annotations

import concurrent.futures
import time
from typing import Any

from confluent_kafka import KafkaException

from freshet.schemas.errors import LogError
from freshet.streams.kafka.admin import REACH_SECONDS
from freshet.streams.kafka.cluster import KafkaCluster
from freshet.streams.kafka.errors import error_of, is_unknown_topic
from freshet.streams.log.errors import missing, recreated

WATCH_SECONDS = 2.0


class TopicWatch:
    """Looks every two seconds, without ever waiting, whether topics are still those they were."""

    def __init__(self, cluster: KafkaCluster) -> None:
        self._cluster = cluster
        self._identities: dict[str, str] = {}
        self._futures: dict[str, concurrent.futures.Future[Any]] = {}
        self._next = 0.0

    def add(self, topic: str, identity: str) -> None:
        self._identities[topic] = identity

    def check(self) -> None:
        """Raises `LogError` for a topic that is not the one it was. Brokers that do not answer are
        no answer."""
        now = time.monotonic()
        if self._futures:
            if all(future.done() for future in self._futures.values()):
                # Let go of before any is judged: what raises now must not raise at every call.
                futures = self._futures
                self._futures = {}
                self._next = now + WATCH_SECONDS
                for topic, future in futures.items():
                    self._judge(topic, future)
            elif now > self._next:
                # Late: what the brokers' errors are is heard by polling alone.
                self._cluster.admin.client.poll(0)
        elif now >= self._next and self._identities:
            self._futures = self._cluster.admin.describing(list(self._identities))
            self._next = now + 1.0

    def look(self, topic: str) -> LogError | None:
        """What is wrong with the topic itself, asked now: the better answer to an error about
        it."""
        future = self._cluster.admin.describing([topic])[topic]
        if not concurrent.futures.wait([future], REACH_SECONDS).done:
            return None
        try:
            self._judge(topic, future)
        except LogError as error:
            return error
        return None

    def _judge(self, topic: str, future: concurrent.futures.Future[Any]) -> None:
        before = self._identities[topic]
        # It is done by now, so that nobody waits.
        error = future.exception(0)
        if error is None:
            self._cluster.health.well()
            now = str(future.result().topic_id)
            if now != before:
                raise recreated(topic, before, now)
        elif isinstance(error, KafkaException) and is_unknown_topic(error_of(error)):
            raise missing(
                topic,
                f"kafka://{self._cluster.brokers}",
                f"was removed (its identity was {before})",
            )
