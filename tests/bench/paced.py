"""A producer that keeps a pace, and now and then sends an event whose row it waits for: the time
from the call that sends it until Redis has the row."""

from __future__ import annotations

import io
import itertools
import random
import socket
import time
from dataclasses import dataclass, field
from typing import Any

import fastavro
from confluent_kafka import Producer

from tests.bench.flight_features import HEADER, KEYS, SCHEMA

# Between two looks at Redis: so much too long is each time, on both sides of a comparison.
LOOK_SECONDS = 0.0005
SENTINEL_SECONDS = 0.025  # on average; at random, so that none keeps step with a batch
WAIT_SECONDS = 120.0  # for a row at all: what came before is read first
_PARSED: Any = fastavro.parse_schema({k: v for k, v in SCHEMA.items() if k != "schema_id"})


def encoded(number: int, origin: str, at_ms: int) -> bytes:
    """An event of its own."""
    out = io.BytesIO(HEADER)
    out.seek(len(HEADER))
    event = {
        "event_id": f"{number:016x}",
        "ts": at_ms,
        "carrier": "AA",
        "origin": origin,
        "dest": "XXX",
        "tailnum": None,
        "flight": number % 9_999,
        "dep_delay": float(number % 60),
        "arr_delay": float(number % 90),
        "distance": 800,
        "air_time": 100.0,
        "source": "bts",
    }
    fastavro.schemaless_writer(out, _PARSED, event)
    return out.getvalue()


class Looking:
    """Asks one Redis whether a key is there, as cheaply as can be."""

    def __init__(self, address: str) -> None:
        host, port = address.split(":")
        self._socket = socket.create_connection((host, int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def found(self, key: str) -> bool:
        self._socket.sendall(f"EXISTS {key}\r\n".encode())
        return self._socket.recv(64).startswith(b":1")

    def close(self) -> None:
        self._socket.close()


@dataclass
class Paced:
    """To partition 0 (or to `partitions` in turns) of `topic`; rows are found in Redis under
    `prefix` and their origin."""

    brokers: str
    topic: str
    address: str
    prefix: str
    partitions: int = 1
    waits_ms: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._producer = Producer({"bootstrap.servers": self.brokers})
        self._looking = Looking(self.address)
        self._numbers = itertools.count(random.getrandbits(60))
        self._origins = [f"K{key:03}" for key in range(KEYS)]
        self._awaited: dict[str, float] = {}

    def wait_for_a_row(self) -> None:
        """Return once an event comes through."""
        self._send_sentinel()
        deadline = time.monotonic() + WAIT_SECONDS
        while self._awaited:
            assert time.monotonic() < deadline, f"no row came of {self.topic}"
            self._producer.poll(0.01)
            self._look()
        self.waits_ms.clear()

    def send(self, rate: float, seconds: float, with_sentinels: bool = True) -> int:
        """So many events a second, for so long; how many there were."""
        started = time.monotonic()
        sent = 0
        next_sentinel = started
        while (now := time.monotonic()) < started + seconds:
            due = int((now - started) * rate)
            while sent < due:
                self._produce(self._origins[sent % KEYS])
                sent += 1
            if with_sentinels and now >= next_sentinel:
                self._send_sentinel()
                next_sentinel = now + random.uniform(0.0, 2 * SENTINEL_SECONDS)
            self._producer.poll(0)
            self._look()
            time.sleep(LOOK_SECONDS)
        deadline = time.monotonic() + WAIT_SECONDS
        while self._awaited:
            assert time.monotonic() < deadline, f"{len(self._awaited)} rows never came"
            self._producer.poll(0.01)
            self._look()
        self._producer.flush()
        return sent

    def _produce(self, origin: str) -> None:
        number = next(self._numbers)
        value = encoded(number, origin, int(time.time() * 1000))
        self._producer.produce(self.topic, value, partition=number % self.partitions)

    def _send_sentinel(self) -> None:
        origin = f"S{next(self._numbers):x}"
        self._awaited[f"{self.prefix}:{origin}"] = time.monotonic()
        self._produce(origin)

    def _look(self) -> None:
        for key, sent_at in list(self._awaited.items()):
            if self._looking.found(key):
                self.waits_ms.append(1000 * (time.monotonic() - sent_at))
                del self._awaited[key]

    def close(self) -> None:
        self._looking.close()
