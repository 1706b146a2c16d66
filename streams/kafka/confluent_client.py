"""confluent-kafka's Consumer under `KafkaReader`: works everywhere, at one Python object per
message."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as Part

from freshet.schemas.text.columns import Texts
from freshet.streams.kafka.client import (
    Assigned,
    Fault,
    Revoked,
    Wanted,
)
from freshet.streams.kafka.errors import error_of
from freshet.streams.log.contract import (
    Batch,
    TopicPartition,
    headers_type,
)

SEEK_SECONDS = 10.0


class ConfluentClient:
    """A `Client`."""

    def __init__(self, settings: Mapping[str, Any], wanted: Wanted) -> None:
        self._wanted = wanted
        self._consumer = Consumer(dict(settings))

    def subscribe(self, topics: Sequence[str], assigned: Assigned, revoked: Revoked) -> None:
        def on_assign(consumer: Any, parts: list[Any]) -> None:
            positions = assigned(_pairs(parts))
            consumer.incremental_assign(_parts(positions))

        def gone(lost: bool) -> Any:
            def on_gone(consumer: Any, parts: list[Any]) -> None:
                revoked(_pairs(parts), lost)
                consumer.incremental_unassign(parts)

            return on_gone

        self._consumer.subscribe(
            list(topics), on_assign=on_assign, on_revoke=gone(False), on_lost=gone(True)
        )

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        self._consumer.assign(_parts(positions))

    def poll(self, max_records: int, seconds: float) -> tuple[list[Batch], list[Fault]]:
        first = self._consumer.poll(seconds)  # consume(n, t) would wait for n until t has passed
        if first is None:
            return [], []
        messages = [first]
        if max_records > 1:
            messages += self._consumer.consume(max_records - 1, 0)
        faults: list[Fault] = []
        groups: dict[TopicPartition, list[Any]] = {}
        for message in messages:
            error = message.error()
            topic = message.topic()
            partition = message.partition()
            if error is not None:
                faults.append(Fault(error, topic, partition, message.offset() or 0))
            else:
                groups.setdefault((topic, partition), []).append(message)
        batches = []
        for (topic, partition), group in groups.items():
            batch = _batch(topic, partition, group)
            if topic in self._wanted.whole:
                every = pa.array([_pairs_of(message) for message in group], headers_type())
                batch = replace(_with_keys(batch, group, True), all_headers=every)
            names = self._wanted.headers.get(topic, ())
            batches.append(replace(batch, headers=_headers(group, names)))
        return batches, faults

    def seek(self, topic: str, partition: int, offset: int) -> KafkaError | None:
        deadline = time.monotonic() + SEEK_SECONDS
        while True:
            try:
                self._consumer.seek(Part(topic, partition, offset))
                return None
            except KafkaException as exception:
                error = error_of(exception)
                # the state is erroneous until the new assignment has reached librdkafka's own
                # thread
                if (
                    error.code() not in (KafkaError._STATE, KafkaError._TIMED_OUT)
                    or time.monotonic() > deadline
                ):
                    return error
                time.sleep(0.005)

    def pause(self, parts: Sequence[TopicPartition], paused: bool) -> None:
        if parts:
            action = self._consumer.pause if paused else self._consumer.resume
            action([Part(topic, partition) for topic, partition in parts])

    def commit(self, positions: Mapping[TopicPartition, int], wait: bool) -> None:
        with contextlib.suppress(KafkaException):  # for lag tools only: the next one will do
            self._consumer.commit(offsets=_parts(positions), asynchronous=not wait)

    def close(self) -> None:
        self._consumer.close()


def _parts(positions: Mapping[TopicPartition, int]) -> list[Any]:
    return [Part(topic, partition, offset) for (topic, partition), offset in positions.items()]


def _pairs(parts: Sequence[Any]) -> list[TopicPartition]:
    return [(part.topic, part.partition) for part in parts]


def _batch(topic: str, partition: int, messages: Sequence[Any]) -> Batch:
    found = [message.value() for message in messages]
    values = [value or b"" for value in found]
    count = len(values)
    edges = np.zeros(count + 1, np.int64)
    np.cumsum(np.fromiter(map(len, values), np.int64, count), out=edges[1:])
    data = np.frombuffer(bytearray().join(values), np.uint8)
    offsets = np.fromiter((message.offset() for message in messages), np.int64, count)
    times = np.fromiter((message.timestamp()[1] for message in messages), np.int64, count)
    batch = Batch(topic, partition, data, edges[:-1], edges[1:], offsets, times)
    if None in found:
        return _with_keys(batch, messages)
    return batch


def _headers(messages: Sequence[Any], names: Sequence[str]) -> tuple[Texts, ...]:
    """The last header of each name, of each message."""
    if not names:
        return ()
    # Of several of one name the last one stays.
    found = [dict(message.headers() or ()) for message in messages]
    columns = []
    for name in names:
        values = pa.array([headers.get(name) for headers in found], pa.binary())
        columns.append(Texts.from_arrow(values))
    return tuple(columns)


def _pairs_of(message: Any) -> list[dict[str, Any]]:
    """All headers of a message."""
    found = message.headers() or ()
    return [{"name": name.encode(), "value": value} for name, value in found]


def _with_keys(batch: Batch, messages: Sequence[Any], every: bool = False) -> Batch:
    """Of a batch in which some records have no value, or of which `every` key is wanted."""
    keys = []
    for message in messages:
        key = None
        if every or message.value() is None:
            key = message.key()
        keys.append(key)
    nulls = np.array([message.value() is None for message in messages])
    # As they came: whether they are text is for whoever reads them to find out.
    column = pa.array(keys, pa.binary())
    return replace(batch, nulls=nulls, keys=Texts.from_arrow(column))
