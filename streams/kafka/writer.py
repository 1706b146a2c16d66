"""Appends to Kafka: idempotent, acknowledged by all replicas, with no limit on how long a record
may take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Producer

from freshet.schemas.sizes import RECORD_BYTES
from freshet.streams.kafka.cluster import KafkaCluster
from freshet.streams.kafka.errors import error_of, translated
from freshet.streams.kafka.watch import TopicWatch
from freshet.streams.log.errors import no_partition, too_large

RECORD_OVERHEAD_BYTES = 100  # of a batch's header and a record's own, at most
QUEUE_KBYTES = 128 << 10
EARLIEST_TIME_MS = 1  # Kafka takes no times before 1970, and gives 0 a meaning of its own
_SETTINGS = {
    # Retries neither repeat a record nor change the order of two.
    "enable.idempotence": True,
    "acks": "all",
    # Never given up: a record that timed out would be a gap, with later ones behind it.
    "message.timeout.ms": 0,
    "linger.ms": 5,  # a flush does not wait for it
    "message.max.bytes": RECORD_BYTES,
    "queue.buffering.max.kbytes": QUEUE_KBYTES,
    "delivery.report.only.error": True,
}


class _Open(NamedTuple):
    """What a writer knows of a topic."""

    partitions: int
    largest_value: int


class KafkaWriter:
    """While no broker answers, `flush` waits (and `append`, once 128 MB are queued):
    `KafkaCluster.trouble` says so.

    After a failed flush the records that failed are gone; whoever goes on does so from a
    checkpoint. Times are at least 1 ms: Kafka refuses records of before 1970, and librdkafka takes
    0 for "now". So a record of 1905 is stamped as of 1970; what its event says of its own time
    stays.
    """

    def __init__(self, cluster: KafkaCluster) -> None:
        self._cluster = cluster
        self._watch = TopicWatch(cluster)
        self._topics: dict[str, _Open] = {}
        # Errors, each with its topic, until `flush` or `append` raises the first.
        self._failed: list[tuple[KafkaError, str]] = []
        self._producer = Producer({**cluster.client_settings(), **_SETTINGS})

    def append(self, topic: str, partition: int, values: Sequence[bytes], time_ms: int) -> None:
        """Raises `LogError` if there is no such topic or partition, and `RecordTooLarge` if a
        record is larger than the topic takes; then nothing of this call is queued."""
        known = self._topics.get(topic) or self._open(topic)
        if not 0 <= partition < known.partitions:
            raise no_partition(topic, partition, known.partitions)
        time_ms = max(time_ms, EARLIEST_TIME_MS)
        # Before the first is queued: of a call that fails nothing may come through.
        largest = max(map(len, values), default=0)
        if largest > known.largest_value:
            raise too_large(topic, largest, known.largest_value)
        produce = self._producer.produce
        for value in values:
            try:
                produce(
                    topic,
                    value,
                    partition=partition,
                    timestamp=time_ms,
                    on_delivery=self._delivered,
                )
            except BufferError:
                self._produce_when_there_is_room(topic, value, partition, time_ms)

    def _open(self, topic: str) -> _Open:
        bounds = self._cluster.bounds(topic)
        self._watch.add(topic, bounds.identity)
        largest_batch = min(self._cluster.admin.largest_batch(topic), RECORD_BYTES)
        opened = _Open(len(bounds.spans), largest_batch - RECORD_OVERHEAD_BYTES)
        self._topics[topic] = opened
        return opened

    def _produce_when_there_is_room(
        self, topic: str, value: bytes, partition: int, time_ms: int
    ) -> None:
        while True:
            self._producer.poll(0.1)
            self._check()
            try:
                self._producer.produce(
                    topic,
                    value,
                    partition=partition,
                    timestamp=time_ms,
                    on_delivery=self._delivered,
                )
                return
            except BufferError:
                continue

    def _delivered(self, error: KafkaError | None, message: Any) -> None:
        # Purged by `close`: nobody waits for those any more.
        if error is not None and error.code() != KafkaError._PURGE_QUEUE:
            self._failed.append((error, message.topic()))

    def flush(self) -> None:
        """Waits as long as it takes, in slices of a second so that signals are heard; an outage is
        not waited out by a process that is to end."""
        sent = len(self._producer) > 0
        while self._producer.flush(1.0) > 0:
            self._check()
        self._check()
        if sent and self._cluster.trouble is not None:
            self._cluster.health.well()

    def _check(self) -> None:
        if (given_up := self._cluster.health.given_up) is not None:
            raise given_up
        if self._failed:
            error, topic = self._failed[0]
            self._failed = []
            # A topic that was made anew refuses records with an error that says nothing of it.
            raise self._watch.look(topic) or translated(error, self._cluster.brokers, topic)
        self._watch.check()

    def close(self) -> None:
        """Forgets what was not flushed."""
        try:
            self._producer.purge()
            self._producer.flush(1.0)
        except KafkaException as exception:
            raise translated(error_of(exception), self._cluster.brokers) from exception
