"""Requests to Kafka's brokers about topics, each waited for with patience and a limit."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec

from freshet.schemas.errors import LogError
from freshet.streams.kafka.errors import error_of, is_unknown_topic, translated
from freshet.streams.kafka.health import Health
from freshet.streams.log.contract import Bounds

REACH_SECONDS = 10.0  # how long a request waits for brokers that do not answer
PROBE_SECONDS = 1.0
T = TypeVar("T")


class KafkaAdmin:
    """Asks brokers. Raises `LogError` for whatever goes wrong, named by topic."""

    def __init__(self, brokers: str, settings: Mapping[str, Any], health: Health) -> None:
        self._brokers = brokers
        self._health = health
        try:
            self.client = AdminClient(dict(settings))
        except KafkaException as exception:
            next_step = "Check the settings in the kafka:// address."
            cause = error_of(exception).str()
            raise LogError(f"kafka://{brokers}", cause, next_step) from exception

    def create(self, topic: str, partitions: int, config: Mapping[str, str]) -> None:
        """Make a topic with the brokers' replication factor, unless it is there."""
        new = NewTopic(topic, partitions, -1, config=dict(config))
        # Another process may have made it meanwhile: then it is there, which was asked for.
        self._call(
            lambda: self.client.create_topics([new])[topic], topic, KafkaError.TOPIC_ALREADY_EXISTS
        )

    def describe(self, topics: Sequence[str]) -> dict[str, Any]:
        """Descriptions by topic, asked for at once. Raises `LogError` if one is missing."""
        first = dict(self.describing(topics))  # the client's own must stay whole

        def ask(topic: str) -> Any:
            return first.pop(topic, None) or self.describing([topic])[topic]

        return {topic: self._call(partial(ask, topic), topic) for topic in topics}

    def describing(self, topics: Sequence[str]) -> dict[str, concurrent.futures.Future[Any]]:
        """Descriptions on their way."""
        futures: dict[str, concurrent.futures.Future[Any]]
        futures = self.client.describe_topics(TopicCollection(list(topics)))
        return futures

    def bounds(self, topics: Sequence[str]) -> dict[str, Bounds]:
        """Bounds of several topics, in three round trips."""
        described = self.describe(topics)
        parts = [
            TopicPartition(topic, info.id)
            for topic in topics
            for info in described[topic].partitions
        ]
        # In this order: what is appended in between may be in the span, and nothing is missing.
        first = self._offsets(parts, OffsetSpec.earliest())
        after = self._offsets(parts, OffsetSpec.latest())
        spans: dict[str, dict[int, tuple[int, int]]] = {topic: {} for topic in topics}
        for part in parts:
            spans[part.topic][part.partition] = first[part], after[part]
        return {topic: Bounds(str(described[topic].topic_id), spans[topic]) for topic in topics}

    def since(self, topic: str, time_ms: int) -> dict[int, int]:
        """By partition, the first offset of that time or later, or the one after the last."""
        described = self.describe([topic])[topic]
        parts = [TopicPartition(topic, info.id) for info in described.partitions]
        # In this order: what is appended in between is after an end that is told, and is read.
        after = self._offsets(parts, OffsetSpec.latest())
        # No record's time is before 1970, and numbers below it are other questions to the broker.
        found = self._offsets(parts, OffsetSpec.for_timestamp(max(0, time_ms)))
        out: dict[int, int] = {}
        for part in parts:
            offset = found[part]
            # A broker that has no such record answers with -1.
            if offset < 0:
                offset = after[part]
            out[part.partition] = offset
        return out

    def retention_ms(self, topic: str) -> int | None:
        """None where the brokers delete nothing by its age."""
        wanted = ConfigResource(ConfigResource.Type.TOPIC, topic)
        found = self._call(lambda: self.client.describe_configs([wanted])[wanted], topic)
        kept_ms = int(found["retention.ms"].value)
        if kept_ms < 0 or "delete" not in found["cleanup.policy"].value:
            return None
        return kept_ms

    def delete_before(self, topic: str, offsets: Mapping[int, int]) -> None:
        """Kafka's DeleteRecords: what comes first is then `offsets`, by partition."""
        parts = []
        for partition, offset in offsets.items():
            parts.append(TopicPartition(topic, partition, offset))
        first = dict(self.client.delete_records(parts))

        def ask(part: TopicPartition) -> Any:
            return first.pop(part, None) or self.client.delete_records([part])[part]

        for part in parts:
            self._call(partial(ask, part), topic)

    def _offsets(
        self, parts: Sequence[TopicPartition], spec: OffsetSpec
    ) -> dict[TopicPartition, int]:
        first = dict(self._listing(dict.fromkeys(parts, spec)))

        def ask(part: TopicPartition) -> Any:
            return first.pop(part, None) or self._listing({part: spec})[part]

        return {part: self._call(partial(ask, part), part.topic).offset for part in parts}

    def _listing(self, asked: Mapping[TopicPartition, OffsetSpec]) -> dict[TopicPartition, Any]:
        # The end is where transactions are settled: beyond one that is open nothing can be read,
        # and whoever waits for the end would wait for a producer that may have died.
        offsets: dict[TopicPartition, Any] = self.client.list_offsets(
            dict(asked), isolation_level=IsolationLevel.READ_COMMITTED
        )
        return offsets

    def largest_batch(self, topic: str) -> int:
        """The largest batch of records that the topic takes, in bytes."""
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        config = self._call(lambda: self.client.describe_configs([resource])[resource], topic)
        return int(config["max.message.bytes"].value)

    def answers(self) -> bool:
        """Whether any broker answers right now."""
        try:
            self.client.list_topics(timeout=PROBE_SECONDS)
        except KafkaException:
            return False
        return True

    def committed(self, group: str, topic: str) -> dict[int, int]:
        parts = [
            TopicPartition(topic, info.id) for info in self.describe([topic])[topic].partitions
        ]
        request = [ConsumerGroupTopicPartitions(group, parts)]
        answer = self._call(lambda: self.client.list_consumer_group_offsets(request)[group], topic)
        return {part.partition: part.offset for part in answer.topic_partitions if part.offset >= 0}

    def names(self) -> set[str]:
        """Of all topics."""
        try:
            return set(self.client.list_topics(timeout=REACH_SECONDS).topics)
        except KafkaException as exception:
            raise translated(error_of(exception), self._brokers) from exception

    def delete(self, topic: str) -> None:
        """A topic, unless another process has done so meanwhile."""
        self._call(
            lambda: self.client.delete_topics([topic])[topic],
            topic,
            KafkaError.UNKNOWN_TOPIC_OR_PART,
        )

    def groups(self) -> list[str]:
        """Names of all consumer groups that the brokers know of."""
        found = self._call(self.client.list_consumer_groups, "of groups")
        return sorted(listed.group_id for listed in found.valid)

    def delete_group(self, group: str) -> None:
        """A group without members, unless it is gone already."""
        self._call(
            lambda: self.client.delete_consumer_groups([group])[group],
            f"of group {group}",
            KafkaError.GROUP_ID_NOT_FOUND,
        )

    def _call(self, request: Callable[[], Any], topic: str, *fine: int) -> Any:
        """The result of a request, tried again while its error may pass; None for an error code in
        `fine`."""
        deadline = time.monotonic() + REACH_SECONDS
        while True:
            try:
                return self._result(request(), topic)
            except LogError as error:
                # Without a cause it was not Kafka that said so, and asking again will not help.
                if not isinstance(error.__cause__, Exception):
                    raise
                cause = error_of(error.__cause__)
                if cause.code() in fine:
                    return None
                passes = not is_unknown_topic(cause) and _may_pass(cause)
                if not passes or time.monotonic() > deadline:
                    raise
            time.sleep(0.05)

    def _result(self, future: concurrent.futures.Future[T], topic: str) -> T:
        deadline = time.monotonic() + REACH_SECONDS
        while not concurrent.futures.wait([future], 0.05).done:
            self.client.poll(0)  # serves the error callback
            if self._health.refused is not None:
                raise self._health.refused
            if time.monotonic() > deadline:
                cause = "there was no answer"
                next_step = "Check the address, and that the broker is running."
                if self._health.trouble:
                    cause = self._health.trouble.cause
                    next_step = self._health.trouble.next_step
                raise LogError(
                    f"kafka://{self._brokers}",
                    f"{cause}; tried for {REACH_SECONDS:.0f} s",
                    next_step,
                )
        try:
            result = future.result()
        except KafkaException as exception:
            raise translated(error_of(exception), self._brokers, topic) from exception
        self._health.well()
        return result


def _may_pass(error: KafkaError) -> bool:
    """Errors of a cluster that is just starting, or moving a leader."""
    return bool(error.retriable()) or error.code() in (
        KafkaError.INVALID_REPLICATION_FACTOR,  # no broker has registered yet
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.NON_EMPTY_GROUP,  # its members are kept for a session after they were killed
        KafkaError._NOENT,  # no leader is known of a partition that was made a moment ago
        KafkaError.FENCED_LEADER_EPOCH,  # it was asked as it stood before its leader was known
    )
