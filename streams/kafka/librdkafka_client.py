"""librdkafka under `KafkaReader`, called through ctypes: a batch is read, copied into columns and
freed in bulk.

A Python `Message` object costs about 0.6 µs to make, which is most of the time that a columnar
reader would spend.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import structlog
from confluent_kafka import KafkaError

from freshet.schemas.errors import LogError
from freshet.schemas.text.columns import Texts, arrow_validity
from freshet.streams.kafka import librdkafka as rd
from freshet.streams.kafka import librdkafka_kernels as kernels
from freshet.streams.kafka.client import (
    Assigned,
    Fault,
    Revoked,
    Wanted,
)
from freshet.streams.log.contract import Batch, TopicPartition, headers_type

log = structlog.get_logger()
SEEK_SECONDS = 10.0
# Told with nearly every batch of a reader that keeps up, and the same each time.
_END = KafkaError(KafkaError._PARTITION_EOF)


class LibrdkafkaClient:
    """A `Client`."""

    def __init__(self, settings: Mapping[str, Any], wanted: Wanted) -> None:
        self._whole = wanted.whole
        # As the C library wants them: with a zero byte at the end.
        self._headers = {
            topic: [name.encode() + b"\0" for name in names]
            for topic, names in wanted.headers.items()
        }
        self._lib = rd.load()
        self._assigned: Assigned | None = None
        self._revoked: Revoked | None = None
        self._heard = settings["error_cb"]
        self._make_room(1024)
        # ctypes keeps no reference to a callback: they must live as long as the client
        self._callbacks = (
            rd.RebalanceCallback(self._rebalance),
            rd.ErrorCallback(self._error),
            rd.LogCallback(self._log),
        )
        self._rk = self._new({key: value for key, value in settings.items() if key != "error_cb"})
        # with log.queue: log lines come in `poll`, not on other threads
        self._lib.set_log_queue(self._rk, None)
        self._lib.poll_set_consumer(self._rk)
        self._queue = self._lib.queue_get_consumer(self._rk)

    def _new(self, settings: Mapping[str, Any]) -> Any:
        lib = self._lib
        text = ctypes.create_string_buffer(512)
        conf = lib.conf_new()
        for name, value in {**settings, "log.queue": True}.items():
            plain = str(value).lower() if isinstance(value, bool) else str(value)
            if lib.conf_set(conf, name.encode(), plain.encode(), text, len(text)) != rd.CONF_OK:
                lib.conf_destroy(conf)
                raise LogError(
                    f"kafka setting {name}", text.value.decode(), "Check the kafka:// address."
                )
        lib.conf_set_rebalance_cb(conf, self._callbacks[0])
        lib.conf_set_error_cb(conf, self._callbacks[1])
        lib.conf_set_log_cb(conf, self._callbacks[2])
        rk = lib.new(rd.CONSUMER, conf, text, len(text))
        if not rk:
            lib.conf_destroy(conf)
            raise LogError(
                "kafka client", text.value.decode(), "Check the settings in the kafka:// address."
            )
        return rk

    def _rebalance(self, rk: int, code: int, parts: Any, opaque: Any) -> None:
        pairs = _pairs(parts)
        if code == rd.ASSIGN_PARTITIONS and self._assigned is not None:
            positions = self._assigned(pairs)
            error = self._done(
                self._with(positions, lambda list_: self._lib.incremental_assign(rk, list_))
            )
        elif self._revoked is not None:
            self._revoked(pairs, bool(self._lib.assignment_lost(rk)))
            error = self._done(self._lib.incremental_unassign(rk, parts))
        else:
            return
        if error is not None:
            log.warning(
                "librdkafka refused a rebalance",
                error=error.name(),
                text=error.str(),
                partitions=pairs,
            )

    def _error(self, rk: int, code: int, reason: bytes, opaque: Any) -> None:
        self._heard(KafkaError(code, reason.decode(errors="replace")))

    def _log(self, rk: int, level: int, facility: bytes, text: bytes) -> None:
        if level <= 5:  # of syslog: notice, and what is worse
            log.info(
                "librdkafka",
                level=level,
                facility=facility.decode(),
                text=text.decode(errors="replace"),
            )

    def _with(self, positions: Mapping[TopicPartition, int], action: Any) -> Any:
        """Call `action` with a partition list of `positions`."""
        list_ = self._lib.topic_partition_list_new(len(positions))
        try:
            for (topic, partition), offset in positions.items():
                self._lib.topic_partition_list_add(
                    list_, topic.encode(), partition
                ).contents.offset = offset
            return action(list_)
        finally:
            self._lib.topic_partition_list_destroy(list_)

    def _done(self, error: int | None) -> KafkaError | None:
        """The content of an rd_kafka_error_t, which is freed."""
        if not error:
            return None
        out = KafkaError(self._lib.error_code(error), self._lib.error_string(error).decode())
        self._lib.error_destroy(error)
        return out

    def subscribe(self, topics: Sequence[str], assigned: Assigned, revoked: Revoked) -> None:
        self._assigned = assigned
        self._revoked = revoked
        names = {(topic, -1): 0 for topic in topics}
        self._with(names, lambda list_: self._lib.subscribe(self._rk, list_))

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        self._with(positions, lambda list_: self._lib.assign(self._rk, list_))

    def poll(self, max_records: int, seconds: float) -> tuple[list[Batch], list[Fault]]:
        if max_records > len(self._messages):
            self._make_room(max_records)
        consume = self._lib.consume_batch_queue
        at = self._messages_at
        if not seconds:
            count = consume(self._queue, 0, at, max_records)
            return self._columns(self._messages[:count]) if count > 0 else ([], [])
        # librdkafka waits until as many as were asked for are there: ask for one, then for what
        # else there is
        count = consume(self._queue, int(seconds * 1000), at, 1)
        if count == 1 and max_records > 1:
            count += max(0, consume(self._queue, 0, at + 8, max_records - 1))
        return self._columns(self._messages[:count]) if count > 0 else ([], [])

    def _make_room(self, count: int) -> None:
        """For so many messages of a poll."""
        self._messages = np.zeros(count, np.uint64)
        # Once: it is asked for at each poll, and takes a microsecond.
        self._messages_at = self._messages.ctypes.data

    def _columns(self, messages: Any) -> tuple[list[Batch], list[Fault]]:
        group, first, count, size, nulls = kernels.survey(messages)
        batches = []
        faults = list[Fault]()
        for wanted in range(len(first)):
            topic, partition = self._place(int(messages[first[wanted]]))
            data, edges, offsets, times = kernels.copy_out(
                messages, group, wanted, count[wanted], size[wanted]
            )
            batch = Batch(
                topic or "",
                partition,
                data,
                edges[:-1],
                edges[1:],
                offsets,
                times,
            )
            if batch.topic in self._whole:
                batch = _whole(batch, messages, group, wanted)
            elif nulls[wanted]:
                keys = kernels.copy_keys(
                    messages,
                    group,
                    wanted,
                    len(batch),
                    False,
                )
                batch = _with_keys(batch, *keys)
            names = self._headers.get(batch.topic)
            if names:
                batch = replace(batch, headers=_headers(messages, group, wanted, names))
            batches.append(batch)
        for pointer in messages[group < 0].tolist():
            message = rd.Message.from_address(pointer)
            error = _END
            if message.error != KafkaError._PARTITION_EOF:
                text = self._lib.message_errstr(pointer).decode(errors="replace")
                error = KafkaError(message.error, text)
            about, partition = self._place(pointer)
            faults.append(Fault(error, about, partition, message.offset))
        # Last: what was not copied is gone with them.
        kernels.give_back(messages)
        return batches, faults

    def _place(self, pointer: int) -> tuple[str | None, int]:
        message = rd.Message.from_address(pointer)
        topic = self._lib.topic_name(message.topic).decode() if message.topic else None
        return topic, message.partition

    def seek(self, topic: str, partition: int, offset: int) -> KafkaError | None:
        deadline = time.monotonic() + SEEK_SECONDS
        while True:
            error = self._with({(topic, partition): offset}, self._seek)
            # the state is erroneous until the new assignment has reached librdkafka's own thread
            if error is None or error.code() not in (KafkaError._STATE, KafkaError._TIMED_OUT):
                return error
            if time.monotonic() > deadline:
                return error
            time.sleep(0.005)

    def _seek(self, list_: Any) -> KafkaError | None:
        error = self._done(self._lib.seek_partitions(self._rk, list_, 1000))
        code = list_.contents.parts[0].error
        return error or (KafkaError(code) if code else None)

    def pause(self, parts: Sequence[TopicPartition], paused: bool) -> None:
        action = self._lib.pause_partitions if paused else self._lib.resume_partitions
        if parts:
            self._with(dict.fromkeys(parts, 0), lambda list_: action(self._rk, list_))

    def commit(self, positions: Mapping[TopicPartition, int], wait: bool) -> None:
        self._with(positions, lambda list_: self._lib.commit(self._rk, list_, 0 if wait else 1))

    def close(self) -> None:
        if self._rk:
            # In this order: a handle is freed after all that was made of it.
            self._lib.consumer_close(self._rk)
            self._lib.queue_destroy(self._queue)
            self._lib.destroy(self._rk)
            self._rk = None


def _headers(messages: Any, group: Any, wanted: int, names: Sequence[bytes]) -> tuple[Texts, ...]:
    columns = []
    for name in names:
        own = np.frombuffer(name, np.uint8).copy()
        data, edges, there = kernels.copy_headers(
            messages,
            group,
            wanted,
            own,
        )
        columns.append(Texts(data, edges[:-1], edges[1:], there))
    return tuple(columns)


def _whole(batch: Batch, messages: Any, group: Any, wanted: int) -> Batch:
    """With all keys and all headers."""
    count = len(batch)
    nulls = np.empty(count, np.bool_)
    in_place = kernels.IN_PLACE
    has_keys, has_headers = kernels.look_beside(
        messages,
        group,
        wanted,
        nulls,
        in_place,
    )
    if has_keys:
        batch = _with_keys(batch, *kernels.copy_keys(messages, group, wanted, count, True))
    else:
        batch = replace(
            batch,
            nulls=nulls,
            keys=Texts.missing(count),
        )
    if has_headers:
        found = kernels.copy_all_headers(
            messages,
            group,
            wanted,
            count,
            in_place,
        )
        headers = _all_headers(*found)
    else:
        none = np.zeros(0, np.uint8)
        edge = np.zeros(1, np.int32)
        headers = _all_headers(
            np.zeros(count + 1, np.int32),
            none,
            edge,
            none,
            edge,
            none > 0,
        )
    return replace(batch, all_headers=headers)


def _all_headers(
    edges: Any, names: Any, name_edges: Any, values: Any, value_edges: Any, there: Any
) -> pa.Array:
    count = len(there)
    of_names = [None, pa.py_buffer(name_edges), pa.py_buffer(names)]
    of_values = [arrow_validity(there), pa.py_buffer(value_edges), pa.py_buffer(values)]
    columns = [
        pa.Array.from_buffers(pa.binary(), count, of_names),
        pa.Array.from_buffers(pa.binary(), count, of_values),
    ]
    fields = pa.StructArray.from_arrays(columns, fields=list(headers_type().value_type))
    return pa.ListArray.from_arrays(
        pa.array(edges),
        fields,
        type=headers_type(),
    )


def _with_keys(batch: Batch, nulls: Any, data: Any, edges: Any, there: Any) -> Batch:
    keys = Texts(data, edges[:-1], edges[1:], there)
    return replace(batch, nulls=nulls, keys=keys)


def _pairs(parts: Any) -> list[TopicPartition]:
    list_ = parts.contents
    return [(list_.parts[i].topic.decode(), list_.parts[i].partition) for i in range(list_.count)]
