"""The flight-features job as one would write it by hand: a consumer, fastavro, dictionaries, one
Redis pipeline a batch."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import redis
from confluent_kafka import Consumer, TopicPartition

from tests.bench.flight_features import HEADER, LIMIT, SCHEMA

BATCH, TILE_MS, TILES, HORIZON_MS, HALF_LIFE_MS = 1000, 60_000, 60, 600_000, 3_600_000.0
WAIT_SECONDS = 0.05


class Seen:
    """Ids of one to two horizons of event time."""

    def __init__(self) -> None:
        self.new: set[str] = set()
        self.old: set[str] = set()
        self.began: int | None = None

    def again(self, event_id: str, ts: int) -> bool:
        if self.began is None:
            self.began = ts
        elif ts - self.began >= HORIZON_MS:
            self.old, self.new, self.began = self.new, set(), ts
        if event_id in self.new or event_id in self.old:
            return True
        self.new.add(event_id)
        return False


class State:
    """One origin: a ring of the last hour's tiles (events, delays, sum), their totals, and the
    decayed mean."""

    __slots__ = (
        "delays",
        "dep_at",
        "dep_delay",
        "events",
        "newest",
        "ring",
        "sum",
        "top",
        "weight",
        "weighted",
    )

    def __init__(self) -> None:
        self.ring = [[0, 0, 0.0] for _ in range(TILES)]
        self.events = self.delays = 0
        self.sum = self.weighted = self.weight = self.dep_delay = 0.0
        self.top = self.newest = self.dep_at = 0

    def fold(self, ts: int, delay: float | None, dep_delay: float) -> None:
        tile = ts // TILE_MS
        if tile > self.top:
            for t in range(max(self.top + 1, tile - TILES + 1), tile + 1):
                old = self.ring[t % TILES]
                self.events -= int(old[0])
                self.delays -= int(old[1])
                self.sum -= old[2]
                old[:] = 0, 0, 0.0
            self.top = tile
        inside = self.top - tile < TILES
        kept = self.ring[tile % TILES]
        if inside:
            kept[0] += 1
            self.events += 1
        if ts >= self.dep_at:
            self.dep_at, self.dep_delay = ts, dep_delay
        if delay is None:
            return
        if inside:
            kept[1] += 1
            kept[2] += delay
            self.delays += 1
            self.sum += delay
        if ts >= self.newest:
            factor = 2.0 ** (-(ts - self.newest) / HALF_LIFE_MS)
            self.weighted, self.weight, self.newest = (
                self.weighted * factor + delay,
                self.weight * factor + 1.0,
                ts,
            )
        else:
            factor = 2.0 ** (-(self.newest - ts) / HALF_LIFE_MS)
            self.weighted += delay * factor
            self.weight += factor

    def row(self, ts: int) -> dict[str, float]:
        return {
            "ts": ts,
            "n_1h": self.events,
            "delay_1h": self.sum / self.delays if self.delays else 0.0,
            "delay_ewm": self.weighted / self.weight if self.weight else 0.0,
            "dep_delay": self.dep_delay,
        }


def consume(
    brokers: str,
    topic: str,
    n: int,
    address: str,
    wait_seconds: float = WAIT_SECONDS,
    rows: str = "bare",
) -> None:
    """Fold `n` records of partition 0; rows are hashes `{rows}:{origin}`. A batch is what came in
    `wait_seconds`."""
    schema: Any = fastavro.parse_schema({k: v for k, v in SCHEMA.items() if k != "schema_id"})
    settings = {
        "group.id": "bare",
        "enable.auto.commit": False,
        "fetch.wait.max.ms": 10,
        "fetch.queue.backoff.ms": 5,
    }
    consumer = Consumer({"bootstrap.servers": brokers, "auto.offset.reset": "earliest", **settings})
    consumer.assign([TopicPartition(topic, 0, 0)])
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
            event: Any = fastavro.schemaless_reader(io.BytesIO(value[5:]), schema, None)
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
