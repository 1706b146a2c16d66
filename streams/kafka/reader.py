"""Reads from Kafka: what the contract promises, over either of two clients.

KafkaReader ── Client ─┬─ librdkafka_client.py   librdkafka through ctypes: no object per message
                       └─ confluent_client.py    confluent-kafka's Consumer
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

import structlog
from confluent_kafka import KafkaError

from freshet.schemas.errors import LogError
from freshet.streams.kafka.client import Client, Fault, Wanted
from freshet.streams.kafka.cluster import KafkaCluster
from freshet.streams.kafka.errors import (
    Fenced,
    is_unknown_topic,
    translated,
)
from freshet.streams.kafka.watch import TopicWatch
from freshet.streams.log.contract import (
    Batch,
    OnAssign,
    OnGone,
    TopicPartition,
)
from freshet.streams.log.errors import (
    no_partition,
    not_assigned,
    outside,
    recreated,
)

log = structlog.get_logger()

SLICE_SECONDS = 0.5  # a long poll looks up this often, for signals and for recreated topics
COMMIT_SECONDS = 0.5
# So long after an outage a member that fences itself joins anew, and so often meanwhile.
REJOIN_SECONDS = 60.0
REJOINS = 3
# How long a member that lost its partitions is told nothing, once the brokers are back, before it
# joins anew. A group settles within a session, 10 s; a client was seen that had lost its
# partitions, and never asked for any again.
UNTOLD_SECONDS = 30.0
_SETTINGS = {
    "partition.assignment.strategy": "cooperative-sticky",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,  # says where all is read, also past offsets without a record
    "auto.offset.reset": "error",
    # by default a fast reader stalls for a second whenever the queue was full
    "fetch.queue.backoff.ms": 5,
    # delays a seek, not a new record; at 5 an idle reader costs 20 % of a core
    "fetch.wait.max.ms": 50,
    "fetch.error.backoff.ms": 50,
    "queued.max.messages.kbytes": 64 << 10,
    "max.poll.interval.ms": 600_000,
}
_HARMLESS = {
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TIMED_OUT,
    KafkaError._MAX_POLL_EXCEEDED,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
}


def open_client(
    settings: Mapping[str, Any], fast: bool | None, wanted: Wanted | None = None
) -> Client:
    """The fast client where the wheel's library can be used; else confluent-kafka's."""
    if fast is not False:
        from freshet.streams.kafka import librdkafka

        if fast or librdkafka.available():
            from freshet.streams.kafka.librdkafka_client import LibrdkafkaClient

            return LibrdkafkaClient(settings, wanted or Wanted())
    from freshet.streams.kafka.confluent_client import ConfluentClient

    return ConfluentClient(settings, wanted or Wanted())


class Callbacks(NamedTuple):
    """What is told of partitions that come and go; see `Log.reader`."""

    on_assign: OnAssign | None = None
    on_revoke: OnGone | None = None
    on_lost: OnGone | None = None


class KafkaReader:
    """A `Reader`. While no broker answers, `poll` returns nothing and `KafkaCluster.trouble` says
    why."""

    def __init__(
        self,
        cluster: KafkaCluster,
        topics: Sequence[str],
        group: str | None,
        callbacks: Callbacks | None = None,
        wanted: Wanted | None = None,
    ) -> None:
        self._cluster = cluster
        self._topics = list(topics)
        self._group = group
        self._on_assign, self._on_revoke, self._on_lost = callbacks or Callbacks()
        self._wanted_of_records = wanted
        bounds = cluster.admin.bounds(self._topics)
        self._identities = {topic: found.identity for topic, found in bounds.items()}
        # Of a group, those that were assigned since are among them, too: some may be added.
        self._parts: dict[TopicPartition, None] = {
            (topic, partition): None for topic, found in bounds.items() for partition in found.spans
        }
        self._watch = TopicWatch(cluster)
        for topic, identity in self._identities.items():
            self._watch.add(topic, identity)
        self._client = self._open()
        self._wanted: dict[TopicPartition, int] = {}  # seeks before the assignment
        self._next: dict[TopicPartition, int] = {}  # what is assigned, and where it stands
        # what a rebalance has taken away during this `poll`
        self._gone: set[TopicPartition] = set()
        self._paused: set[TopicPartition] = set()
        self._failed: BaseException | None = None
        self._started = self._closing = False
        self._rejoined: list[float] = []  # when (monotonic)
        # when partitions were lost (monotonic), until the group is heard of again
        self._lost_at: float | None = None
        self._commits: dict[TopicPartition, int] = {}
        self._commit_at = 0.0

    def _open(self) -> Client:
        return open_client(self._settings(), self._cluster.fast, self._wanted_of_records)

    def _settings(self) -> dict[str, Any]:
        settings = {**self._cluster.client_settings(), **_SETTINGS}
        settings["group.id"] = self._group or f"freshet-reader-{uuid4().hex}"
        if self._group is not None:
            session = int(self._cluster.session_seconds * 1000)
            settings |= {
                "session.timeout.ms": session,
                "heartbeat.interval.ms": min(1000, session // 3),
                # how soon partitions that were added are taken up; by default in five minutes
                "topic.metadata.refresh.interval.ms": 2000,
            }
            if self._cluster.instance is not None:
                settings["group.instance.id"] = _member(self._cluster.instance, self._topics)
        return settings

    def poll(self, max_records: int, max_wait: float) -> list[Batch]:
        if not self._started:
            self._start()
        deadline = time.monotonic() + max_wait
        while True:
            self._raise_failure()
            self._watch.check()
            left = deadline - time.monotonic()
            self._gone.clear()
            batches, faults = self._client.poll(max_records, max(0.0, min(left, SLICE_SECONDS)))
            if self._gone:
                batches = self._without_gone(batches)
            for batch in batches:
                self._next[batch.topic, batch.partition] = int(batch.offsets[-1]) + 1
            for fault in faults:
                if fault.error.code() == KafkaError._PARTITION_EOF:
                    self._reach_end(fault)
                else:
                    # The first counts: what follows it may be its consequence.
                    self._failed = self._failed or self._judge(fault)
            if self._fenced_by_itself() or self._is_forgotten():
                self._rejoin()
                continue
            if batches:
                if self._cluster.trouble is not None:
                    self._cluster.health.well()
                return batches
            self._raise_failure()
            self._write_commits(time.monotonic())
            if left <= 0:
                return []

    def _without_gone(self, batches: list[Batch]) -> list[Batch]:
        """A rebalance in the middle of `poll`: leave out what came before it of partitions that
        went meanwhile."""
        read = {(batch.topic, batch.partition) for batch in batches}
        for topic, partition in read & self._gone & self._next.keys():
            # it came back at once: read it from where it now starts
            self._client.seek(topic, partition, self._next[topic, partition])
        return [batch for batch in batches if (batch.topic, batch.partition) not in self._gone]

    def _raise_failure(self) -> None:
        if self._failed is None and self._cluster.health.refused is not None:
            raise self._cluster.health.refused
        if self._failed is not None:
            raise self._failed

    def _fenced_by_itself(self) -> bool:
        """After an outage a static member joins anew, and where its first answer comes late, once
        more: the coordinator then fences the first of the two. Nobody else was there; but where
        somebody is, it will not go on fencing."""
        if not isinstance(self._failed, Fenced):
            return False
        since = time.monotonic() - REJOIN_SECONDS
        self._rejoined = [at for at in self._rejoined if at > since]
        away = self._cluster.trouble is not None or self._cluster.health.back_at > since
        return away and len(self._rejoined) < REJOINS

    def _is_forgotten(self) -> bool:
        """Partitions were lost, the brokers are back, and the group has said nothing to this member
        since."""
        if self._lost_at is None or self._cluster.trouble is not None:
            return False
        waited = time.monotonic() - max(self._lost_at, self._cluster.health.back_at)
        return waited > UNTOLD_SECONDS

    def _rejoin(self) -> None:
        """Begin anew as the same member; what was assigned is lost, and comes again."""
        log.warning(
            "kafka reader joins its group again", group=self._group, instance=self._cluster.instance
        )
        self._rejoined.append(time.monotonic())
        if self._lost_at is not None:
            self._lost_at = time.monotonic()
        lost = list(self._next)
        self._next.clear()
        self._commits.clear()
        self._paused.clear()
        if self._on_lost is not None and lost:
            self._on_lost(lost)
        self._client.close()
        self._client = self._open()
        self._failed = None
        self._started = True
        self._start()

    def _start(self) -> None:
        self._started = True
        if self._group is not None:
            self._client.subscribe(self._topics, self._assigned, self._revoked)
            return
        positions = self._positions(list(self._parts))
        self._next.update(positions)
        self._client.assign(positions)
        self._client.pause([part for part in self._paused if part in positions], True)

    def _positions(self, parts: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Where each partition starts, held to what the log has."""
        starts = dict(self._wanted)
        if self._on_assign is not None:
            starts |= self._on_assign(parts)
        bounds = self._cluster.admin.bounds(sorted({topic for topic, _ in parts}))
        out = {}
        for topic, partition in parts:
            if bounds[topic].identity != self._identities[topic]:
                raise recreated(topic, self._identities[topic], bounds[topic].identity)
            if partition not in bounds[topic].spans:
                # added a moment ago, and not every broker knows it
                raise no_partition(topic, partition, len(bounds[topic].spans))
            first, after = bounds[topic].spans[partition]
            offset = starts.get((topic, partition), first)
            # Else librdkafka would find it out later, and reset to where nobody asked for.
            if not first <= offset <= after:
                raise outside(topic, partition, offset, first, after)
            out[topic, partition] = offset
        return out

    def _assigned(self, parts: list[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Also where there are none: all are others' then."""
        self._lost_at = None
        try:
            positions = self._positions(parts)
        except BaseException as error:  # raised by poll, once librdkafka is out of its callback
            self._failed = error
            return {}
        self._parts.update(dict.fromkeys(parts))
        self._next.update(positions)
        return positions

    def _revoked(self, parts: list[TopicPartition], lost: bool) -> None:
        mine = [part for part in parts if part in self._next]
        if lost:
            self._lost_at = time.monotonic()
        callback = self._on_lost if lost else self._on_revoke
        try:
            if callback is not None and mine and not self._closing:
                callback(mine)
        except BaseException as error:
            self._failed = error
        self._gone.update(mine)
        for part in mine:
            del self._next[part]
            self._commits.pop(part, None)
            self._paused.discard(part)

    def _judge(self, fault: Fault) -> LogError | None:
        """The error to raise for a fault that the client reported; None if the client goes on by
        itself."""
        error, topic, partition, _ = fault
        reset = error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)
        if topic is not None and (reset or is_unknown_topic(error)):
            # An offset that is not there may be one of a topic that was made anew: say that first.
            cause = self._watch.look(topic)
            if cause is not None:
                return cause
        if topic is not None and reset:
            first, after = self._cluster.bounds(topic).spans[partition]
            return outside(topic, partition, self._next.get((topic, partition), -1), first, after)
        if not error.fatal() and (error.code() in _HARMLESS or error.retriable()):
            log.info("kafka reader", error=error.name(), text=error.str())
            return None
        return translated(error, self._cluster.brokers, topic)

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Raises `LogError` if the log starts after `offset`, or ends before it."""
        # Before the first poll nothing is assigned: a seek says where to start, once it is.
        part = (topic, partition)
        if part not in self._parts or (self._started and part not in self._next):
            raise not_assigned(topic, partition)
        first, after = self._cluster.bounds(topic).spans[partition]
        if not first <= offset <= after:
            raise outside(topic, partition, offset, first, after)
        if not self._started:
            self._wanted[topic, partition] = offset
            return
        error = self._client.seek(topic, partition, offset)
        if error is not None:
            raise translated(error, self._cluster.brokers, topic)
        self._next[topic, partition] = offset

    def position(self, topic: str, partition: int) -> int:
        if (topic, partition) not in self._next:
            raise not_assigned(topic, partition)
        return self._next[topic, partition]

    def _reach_end(self, fault: Fault) -> None:
        """Nothing more is there, whatever it was that stood before the fault's offset."""
        part = (fault.topic or "", fault.partition)
        if part in self._next and part not in self._gone:
            self._next[part] = max(self._next[part], fault.offset)

    def pause(self, partitions: Iterable[TopicPartition], paused: bool = True) -> None:
        parts = list(partitions)
        for topic, partition in parts:
            if (topic, partition) not in self._parts:
                raise not_assigned(topic, partition)
        if paused:
            self._paused.update(parts)
        else:
            self._paused.difference_update(parts)
        if self._started:
            self._client.pause([part for part in parts if part in self._next], paused)

    def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        if self._group is not None:
            self._commits.update(positions)
            self._write_commits(time.monotonic())

    def _write_commits(self, now: float, wait: bool = False) -> None:
        # with no broker there, a commit would only hold up `close`
        if self._commits and now >= self._commit_at and self._cluster.trouble is None:
            self._commit_at = now + COMMIT_SECONDS
            self._client.commit(self._commits, wait)
            self._commits = {}

    def close(self) -> None:
        """Callbacks are not called any more."""
        self._closing = True
        self._write_commits(float("inf"), wait=True)
        self._client.close()


def _member(instance: str, topics: Sequence[str]) -> str:
    """What a process is called in its group: by its name, and by what it reads.

    Kafka's coordinator gives a static member that comes back what it had before, also where it
    subscribes to other topics now (KAFKA-12759). So with other topics it is another member; the one
    before is let go of once its session is over.
    """
    read = hashlib.sha256("\n".join(sorted(topics)).encode()).hexdigest()
    return f"{instance}.{read[:8]}"
