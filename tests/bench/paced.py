"""A producer that keeps a pace, and now and then sends an event whose row it waits for: the time
from the call that sends it until Redis has the row."""

from __future__ import annotations

import itertools
import random
import socket
import time
from dataclasses import dataclass, field

from confluent_kafka import Producer

from tests.bench.live_events import Events, Flights

# Between two looks at Redis: so much too long is each time, on both sides of a comparison.
LOOK_SECONDS = 0.0005
SENTINEL_SECONDS = 0.025  # on average; at random, so that none keeps step with a batch
AT_ONCE = 10_000  # events between two looks
WAIT_SECONDS = 120.0  # for a row at all: what came before is read first


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
    `prefix` and their key."""

    brokers: str
    topic: str
    address: str
    prefix: str
    partitions: int = 1
    events: Events = field(default_factory=Flights)
    waits_ms: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._producer = Producer({"bootstrap.servers": self.brokers})
        self._looking = Looking(self.address)
        self._numbers = itertools.count()
        self._sent = 0
        self._awaited: dict[str, float] = {}  # when they were sent (monotonic), by their names

    def wait_for_a_row(self) -> None:
        """Return once an event comes through."""
        self._send_sentinel()
        self.wait_for_rows()
        self.waits_ms.clear()

    def send(self, rate: float, seconds: float, with_sentinels: bool = True) -> int:
        """So many events a second, for so long; how many there were."""
        started = time.monotonic()
        sent = 0
        next_sentinel = started
        while (now := time.monotonic()) < started + seconds:
            due = min(int((now - started) * rate), sent + AT_ONCE)
            self._produce(due - sent)
            sent = due
            if with_sentinels and now >= next_sentinel:
                self._send_sentinel()
                next_sentinel = now + random.uniform(0.0, 2 * SENTINEL_SECONDS)
            self._producer.poll(0)
            self._look()
            time.sleep(LOOK_SECONDS)
        self.wait_for_rows()
        self._producer.flush()
        return sent

    def send_until_seen(self, rate: float) -> float:
        """One sentinel, and so many events a second until its row is there; when it was sent
        (monotonic)."""
        self._send_sentinel()
        started = time.monotonic()
        sent = 0
        while self._awaited:
            now = time.monotonic()
            assert now < started + WAIT_SECONDS, f"no row came of {self.topic}"
            due = min(int((now - started) * rate), sent + AT_ONCE)
            self._produce(due - sent)
            sent = due
            self._producer.poll(0)
            self._look()
            time.sleep(LOOK_SECONDS)
        return started

    def wait_for_rows(self) -> None:
        """Of all sentinels that were sent."""
        deadline = time.monotonic() + WAIT_SECONDS
        while self._awaited:
            assert time.monotonic() < deadline, f"{len(self._awaited)} rows of {self.topic} miss"
            self._producer.poll(0.01)
            self._look()

    def _produce(self, count: int) -> None:
        first = self._sent
        self._sent += count
        for place, value in enumerate(self.events.some(first, count, _now_ms())):
            self._append(value, (first + place) % self.partitions)

    def _append(self, value: bytes, partition: int) -> None:
        try:
            self._producer.produce(self.topic, value, partition=partition)
        except BufferError:
            self._producer.poll(0.1)
            self._append(value, partition)

    def _send_sentinel(self) -> None:
        number = next(self._numbers)
        key = self.events.key(number)
        self._awaited[f"{self.prefix}:{key}"] = time.monotonic()
        self._append(self.events.one(number, _now_ms()), number % self.partitions)

    def _look(self) -> None:
        now = time.monotonic
        for name, sent_at in list(self._awaited.items()):
            if self._looking.found(name):
                self.waits_ms.append(1000 * (now() - sent_at))
                del self._awaited[name]

    def close(self) -> None:
        self._looking.close()


def _now_ms() -> int:
    return int(time.time() * 1000)
