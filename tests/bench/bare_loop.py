"""The flight-features job as one would write it by hand: a consumer, fastavro, dictionaries, one
Redis pipeline a batch."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import fastavro
import redis
from confluent_kafka import Consumer, TopicPartition

from tests.bench.stream_peers.flight_job import HEADER, LIMIT, PARSED, Seen, State

BATCH = 1000
WAIT_SECONDS = 0.05


def consume(
    brokers: str,
    topic: str,
    n: int,
    address: str,
    wait_seconds: float = WAIT_SECONDS,
    rows: str = "bare",
    partitions: Sequence[int] = (0,),
) -> None:
    """Fold `n` records of these partitions; rows are hashes `{rows}:{origin}`. A batch is what came
    in `wait_seconds`."""
    settings = {
        "group.id": "bare",
        "enable.auto.commit": False,
        "fetch.wait.max.ms": 10,
        "fetch.queue.backoff.ms": 5,
    }
    consumer = Consumer({"bootstrap.servers": brokers, "auto.offset.reset": "earliest", **settings})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    host, port = address.split(":")
    store = redis.Redis(host=host, port=int(port))
    seen, states, done = Seen(), dict[str, State](), 0
    while done < n:
        touched = {}
        found = consumer.consume(min(BATCH, n - done), wait_seconds)
        for message in found:
            value = message.value()
            if value[:5] != HEADER:
                continue
            event: Any = fastavro.schemaless_reader(io.BytesIO(value[5:]), PARSED, None)
            ts, delay, origin = event["ts"], event["arr_delay"], event["origin"]
            if (
                seen.again(event["event_id"], ts)
                or not origin
                or (delay is not None and abs(delay) > LIMIT)
            ):
                continue
            state = states.get(origin)
            if state is None:
                state = states[origin] = State()
            dep_delay = event["dep_delay"]
            state.fold(ts, delay, 0.0 if dep_delay is None else dep_delay)
            touched[origin] = state.row(ts)
        done += len(found)
        pipeline = store.pipeline(transaction=False)
        for origin, row in touched.items():
            pipeline.hset(f"{rows}:{origin}", mapping=row)
        pipeline.execute()
        if found:
            consumer.commit(asynchronous=True)
    consumer.close()
