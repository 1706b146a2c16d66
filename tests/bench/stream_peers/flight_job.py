"""What every program of the flight-features job is made of: schema, rules, and one origin's
state."""

from __future__ import annotations

import io
import json
import os
import resource
import time
from typing import Any

import fastavro

LIMIT = 1e5
TILE_MS, TILES, HORIZON_MS, HALF_LIFE_MS = 60_000, 60, 600_000, 3_600_000.0
SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "flight",
    "schema_id": 7,
    "fields": [
        {"name": "event_id", "type": "string"},
        {"name": "ts", "type": "long"},
        {"name": "carrier", "type": "string"},
        {"name": "origin", "type": "string"},
        {"name": "dest", "type": "string"},
        {"name": "tailnum", "type": ["null", "string"], "default": None},
        {"name": "flight", "type": "int"},
        {"name": "dep_delay", "type": ["null", "double"], "default": None},
        {
            "name": "arr_delay",
            "type": ["null", "double"],
            "default": None,
            "range": [-LIMIT, LIMIT],
        },
        {"name": "distance", "type": "int"},
        {"name": "air_time", "type": ["null", "double"], "default": None},
        {"name": "source", "type": "string"},
    ],
}
HEADER = b"\0\0\0\0\7"
PARSED: Any = fastavro.parse_schema({k: v for k, v in SCHEMA.items() if k != "schema_id"})


def decoded(value: bytes) -> Any:
    """The event of a record; None where it is of another schema."""
    if value[:5] != HEADER:
        return None
    return fastavro.schemaless_reader(io.BytesIO(value[5:]), PARSED, None)


def is_valid(event: Any) -> bool:
    delay = event["arr_delay"]
    return bool(event["origin"]) and (delay is None or abs(delay) <= LIMIT)


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


class Meter:
    """Counts events, and CPU from the first of them to the last."""

    def __init__(self) -> None:
        self.events = 0
        self.cpu = 0.0

    def count(self, events: int = 1) -> None:
        if not self.events:
            self._cpu = _cpu()
            self._at = time.monotonic()
        self.events += events

    def tell(self) -> None:
        """One line of JSON, for whoever started the program."""
        taken = {"cpu": _cpu() - self._cpu, "seconds": time.monotonic() - self._at}
        line = json.dumps({"events": self.events, **taken})
        # Not by `print`: Faust makes a log of what goes that way.
        os.write(1, f"{line}\n".encode())


def _cpu() -> float:
    every = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(sum(resource.getrusage(who)[:2]) for who in every)
