"""Events as they are published live: with the time of now, and an id of their own. Some are
*sentinels*, whose keys nobody else has."""

from __future__ import annotations

import io
import random
from typing import Any, Protocol

import fastavro
import numpy as np

from tests.bench import flight_features, keyed_app

SENTINELS_FROM = 500_000_000  # of nine digits, which all keys have


class Events(Protocol):
    """Of one topic. A run's ids are its own."""

    def some(self, first: int, count: int, at_ms: int) -> list[bytes]:
        """Events number `first` and those that follow."""
        ...

    def one(self, number: int, at_ms: int) -> bytes:
        """A sentinel."""
        ...

    def key(self, number: int) -> str:
        """A sentinel's key."""
        ...


class Flights:
    """Of the flight-features app: 300 origins in turns."""

    def __init__(self) -> None:
        fields = {k: v for k, v in flight_features.SCHEMA.items() if k != "schema_id"}
        self._schema: Any = fastavro.parse_schema(fields)
        self._run = random.getrandbits(32)

    def some(self, first: int, count: int, at_ms: int) -> list[bytes]:
        numbers = range(first, first + count)
        return [self._encoded(n, f"K{n % flight_features.KEYS}", at_ms) for n in numbers]

    def one(self, number: int, at_ms: int) -> bytes:
        return self._encoded(-number - 1, self.key(number), at_ms)

    def key(self, number: int) -> str:
        return f"S{number}"

    def _encoded(self, number: int, origin: str, at_ms: int) -> bytes:
        out = io.BytesIO()
        out.write(flight_features.HEADER)
        event = {
            "event_id": f"{self._run}:{number}",
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
        fastavro.schemaless_writer(out, self._schema, event)
        return out.getvalue()


class Keyed:
    """Of the app of many keys, made many at once."""

    def __init__(self, keys: int) -> None:
        self._keys = keys
        self._run = random.getrandbits(20) * 10**9

    def some(self, first: int, count: int, at_ms: int) -> list[bytes]:
        numbers = np.arange(first, first + count)
        return self._encoded(numbers, numbers % self._keys, at_ms)

    def one(self, number: int, at_ms: int) -> bytes:
        return self._encoded(np.array([SENTINELS_FROM + number]), None, at_ms)[0]

    def key(self, number: int) -> str:
        return str(SENTINELS_FROM + number)

    def _encoded(self, numbers: Any, users: Any, at_ms: int) -> list[bytes]:
        who = numbers if users is None else users
        times = np.full(len(numbers), at_ms)
        return keyed_app.encoded(self._run + numbers, times, who, numbers * 0.5)
