"""The log on Kafka: topics, identities and bounds here; appending in `kafka_writer.py`, reading in
`kafka_reader.py`.

Address: `host:port,host:port`, with `user:password@` before it (SASL PLAIN) and `?name=value&...` after it
for any setting of librdkafka, such as `security.protocol=SASL_SSL`. Needs Kafka 3.0 or newer, for topic
ids.
"""

from __future__ import annotations

import concurrent.futures
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec

from schemas.errors import LogError
from streams.kafka_errors import Health, error_of, is_unknown_topic, translated
from streams.log import Bounds, OnAssign, OnGone
from streams.log_errors import frozen, missing, recreated

if TYPE_CHECKING:
    from streams.kafka_reader import KafkaReader
    from streams.kafka_writer import KafkaWriter

REACH_SECONDS = 10.0  # how long a call waits for brokers that do not answer
WATCH_SECONDS = 2.0  # how often readers and writers look whether their topics are still the same
RECORD_BYTES = 16 << 20  # largest batch that a topic made by freshet takes
_TOPIC_CONFIG = {
    "retention.ms": "-1",  # a replay's records carry the replay's time: Kafka would delete those of 2013
    "retention.bytes": "-1",
    "cleanup.policy": "delete",
    "message.timestamp.type": "CreateTime",
    "message.timestamp.after.max.ms": str(2**63 - 1),
    "max.message.bytes": str(RECORD_BYTES),
}
T = TypeVar("T")


class KafkaLog:
    """A `Log`. `instance` names this process in its groups (static membership): if it comes back within
    `session_seconds` it gets its partitions back without a rebalance; if not, others get them.

    `fast` chooses the reader: True for librdkafka through ctypes, False for confluent-kafka's Consumer,
    None for the first of the two that works here.
    """

    def __init__(
        self,
        brokers: str,
        instance: str | None = None,
        settings: Mapping[str, str] | None = None,
        session_seconds: float = 10.0,
        fast: bool | None = None,
    ) -> None:
        self.brokers, self.instance, self.session_seconds, self.fast = (
            brokers,
            instance,
            session_seconds,
            fast,
        )
        self.health = Health(brokers)
        self._settings = dict(settings or {})
        self._admin_client: AdminClient | None = None

    @classmethod
    def of_address(cls, address: str, instance: str | None = None) -> KafkaLog:
        rest, _, query = address.partition("?")
        login, _, brokers = rest.rpartition("@")
        settings = dict(urllib.parse.parse_qsl(query))
        if login:
            user, _, password = login.partition(":")
            settings = {
                "security.protocol": "SASL_PLAINTEXT",
                "sasl.mechanism": "PLAIN",
                "sasl.username": urllib.parse.unquote(user),
                "sasl.password": urllib.parse.unquote(password),
                **settings,
            }
        return cls(brokers.rstrip("/"), instance, settings)

    @property
    def trouble(self) -> LogError | None:
        """The outage that readers and writers are waiting out, if there is one."""
        return self.health.trouble

    def client_settings(self) -> dict[str, Any]:
        """What every client of this log is configured with."""
        return {
            "bootstrap.servers": self.brokers,
            "client.id": self.instance or "freshet",
            "reconnect.backoff.ms": 100,
            "reconnect.backoff.max.ms": 1000,
            "log_level": 2,  # its lines about connections say what `error_cb` hears, again and again
            "allow.auto.create.topics": False,
            "error_cb": self.health.heard,
            **self._settings,
        }

    @property
    def admin(self) -> AdminClient:
        if self._admin_client is None:
            settings = self.client_settings()
            del settings["allow.auto.create.topics"]
            try:
                self._admin_client = AdminClient(settings)
            except KafkaException as exception:
                next_step = "Check the settings in the kafka:// address."
                raise LogError(f"kafka://{self.brokers}", str(error_of(exception)), next_step) from exception
        return self._admin_client

    def ensure(self, topic: str, partitions: int) -> None:
        """Topics are made with the brokers' replication factor, unlimited retention and 16 MB batches."""
        found = self._partitions(topic)
        if found is None:
            new = NewTopic(topic, partitions, -1, config=_TOPIC_CONFIG)
            self._call(lambda: self.admin.create_topics([new])[topic], topic, KafkaError.TOPIC_ALREADY_EXISTS)
            found = self._settled(lambda: self._partitions(topic), topic)
            self._settled(lambda: self.bounds(topic), topic)
        if found != partitions:
            raise frozen(topic, found, partitions)

    def _partitions(self, topic: str) -> int | None:
        """The partition count of a topic, None if there is no such topic."""
        try:
            return len(self._describe([topic])[topic].partitions)
        except LogError as error:
            if error.facts.get("topic") == topic:
                return None
            raise

    def _settled(self, look: Callable[[], T | None], topic: str) -> T:
        """What `look` sees once the brokers agree that a new topic exists."""
        deadline = time.monotonic() + REACH_SECONDS
        while True:
            try:
                if (seen := look()) is not None:
                    return seen
            except LogError:
                if time.monotonic() > deadline:
                    raise
            if time.monotonic() > deadline:
                raise missing(topic, f"kafka://{self.brokers}", "was made, but does not appear")
            time.sleep(0.01)

    def bounds(self, topic: str) -> Bounds:
        return self.bounds_of([topic])[topic]

    def bounds_of(self, topics: Sequence[str]) -> dict[str, Bounds]:
        """Bounds of several topics, in three round trips."""
        described = self._describe(topics)
        parts = [TopicPartition(t, info.id) for t in topics for info in described[t].partitions]
        first = self._offsets(parts, OffsetSpec.earliest())
        after = self._offsets(parts, OffsetSpec.latest())
        return {
            t: Bounds(
                str(described[t].topic_id),
                {p.id: (first[t, p.id], after[t, p.id]) for p in described[t].partitions},
            )
            for t in topics
        }

    def _describe(self, topics: Sequence[str]) -> dict[str, Any]:
        """Descriptions by topic, asked for at once. Raises `LogError` if one is missing."""
        futures = dict(self.admin.describe_topics(TopicCollection(list(topics))))  # theirs must stay whole

        def again(topic: str) -> Callable[[], Any]:
            return lambda: futures.pop(topic, None) or self._description(topic)

        return {topic: self._call(again(topic), topic) for topic in topics}

    def _description(self, topic: str) -> Any:
        return self.admin.describe_topics(TopicCollection([topic]))[topic]

    def _offsets(self, parts: Sequence[TopicPartition], spec: OffsetSpec) -> dict[tuple[str, int], int]:
        futures = self.admin.list_offsets(dict.fromkeys(parts, spec))
        return {
            (part.topic, part.partition): self._result(future, part.topic).offset for part, future in futures.items()
        }

    def record_limit(self, topic: str) -> int:
        """The largest batch of records that the topic takes, in bytes."""
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        config = self._call(lambda: self.admin.describe_configs([resource])[resource], topic)
        return int(config["max.message.bytes"].value)

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """Next offsets by partition as last committed by `group`; for lag tools."""
        parts = [TopicPartition(topic, info.id) for info in self._describe([topic])[topic].partitions]
        request = [ConsumerGroupTopicPartitions(group, parts)]
        answer = self._call(lambda: self.admin.list_consumer_group_offsets(request)[group], topic)
        return {part.partition: part.offset for part in answer.topic_partitions if part.offset >= 0}

    def _call(self, request: Callable[[], Any], topic: str, *fine: int) -> Any:
        """The result of a request, tried again while its error may pass; None for the error codes in
        `fine`."""
        deadline = time.monotonic() + REACH_SECONDS
        while True:
            try:
                return self._result(request(), topic)
            except LogError as error:
                cause = error_of(error.__cause__) if isinstance(error.__cause__, Exception) else None
                if cause is not None and cause.code() in fine:
                    return None
                passes = cause is not None and not is_unknown_topic(cause) and _may_pass(cause)
                if not passes or time.monotonic() > deadline:
                    raise
            time.sleep(0.05)

    def _result(self, future: concurrent.futures.Future[T], topic: str) -> T:
        deadline = time.monotonic() + REACH_SECONDS
        while not concurrent.futures.wait([future], 0.05).done:
            self.admin.poll(0)  # serves the error callback
            if self.health.refused is not None:
                raise self.health.refused
            if time.monotonic() > deadline:
                cause = self.health.trouble.cause if self.health.trouble else "no answer"
                raise LogError(
                    f"kafka://{self.brokers}",
                    f"{cause} within {REACH_SECONDS:.0f} s",
                    "Check the address, and that the broker is running.",
                )
        try:
            result = future.result()
        except KafkaException as exception:
            raise translated(error_of(exception), self.brokers, topic) from exception
        self.health.well()
        return result

    def reader(
        self,
        topics: Sequence[str],
        group: str | None,
        on_assign: OnAssign | None = None,
        on_revoke: OnGone | None = None,
        on_lost: OnGone | None = None,
    ) -> KafkaReader:
        from streams.kafka_reader import KafkaReader

        return KafkaReader(self, topics, group, on_assign, on_revoke, on_lost)

    def writer(self) -> KafkaWriter:
        from streams.kafka_writer import KafkaWriter

        return KafkaWriter(self)

    def close(self) -> None:
        self._admin_client = None


def _may_pass(error: KafkaError) -> bool:
    """Errors of a cluster that is just starting, or moving a leader."""
    return bool(error.retriable()) or error.code() in (
        KafkaError.INVALID_REPLICATION_FACTOR,  # no broker has registered yet
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
    )


class TopicWatch:
    """Notices, without ever waiting, that topics were removed or made anew."""

    def __init__(self, log: KafkaLog) -> None:
        self._log = log
        self._identities: dict[str, str] = {}
        self._futures: dict[str, concurrent.futures.Future[Any]] = {}
        self._next = 0.0

    def add(self, topic: str, identity: str) -> None:
        self._identities[topic] = identity

    def check(self) -> None:
        """Raises `LogError` for a topic that is not the one it was. Brokers that do not answer are no
        answer."""
        now = time.monotonic()
        if self._futures:
            if all(future.done() for future in self._futures.values()):
                futures, self._futures, self._next = self._futures, {}, now + WATCH_SECONDS
                for topic, future in futures.items():
                    self._judge(topic, future)
            elif now > self._next:
                self._log.admin.poll(0)
        elif now >= self._next and self._identities:
            self._futures = self._log.admin.describe_topics(TopicCollection(list(self._identities)))
            self._next = now + 1.0

    def look(self, topic: str) -> LogError | None:
        """What is wrong with the topic itself, asked now: the better answer to an error about it."""
        future = self._log._description(topic)
        concurrent.futures.wait([future], REACH_SECONDS)
        try:
            self._judge(topic, future)
        except LogError as error:
            return error
        return None

    def _judge(self, topic: str, future: concurrent.futures.Future[Any]) -> None:
        before = self._identities[topic]
        error = future.exception(0)
        if error is None:
            self._log.health.well()
            now = str(future.result().topic_id)
            if now != before:
                raise recreated(topic, before, now)
        elif isinstance(error, KafkaException) and is_unknown_topic(error_of(error)):
            raise missing(topic, f"kafka://{self._log.brokers}", f"was removed (its identity was {before})")
