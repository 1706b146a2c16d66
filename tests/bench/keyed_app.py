"""An app of any number of keys: count, sum and largest value over windows from ten minutes to
thirty days. Beside it the records it runs on, which numpy writes many at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

import freshet as fr
from freshet.features.aggregates import Aggregate
from freshet.schemas.durations import DAY_MS

OVERS = ("10m", "1h", "1d", "7d", "30d")
FIRST_MS = 1_700_000_000_000
SPAN_MS = 20 * DAY_MS
KEYS = int(os.environ.get("FRESHET_BENCH_KEY_COUNT", "1000"))
EVENTS = int(os.environ.get("FRESHET_BENCH_KEY_EVENTS", "1000000"))
HEADER = b"\0\0\0\0\7"
AT_ONCE = 100_000
TIME_BYTES = 6  # of every time in the span, as Avro writes it
SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "seen",
    "schema_id": 7,
    "fields": [
        {"name": "event_id", "type": "string"},
        {"name": "at", "type": "long"},
        {"name": "user", "type": "string"},
        {"name": "x", "type": "double"},
    ],
}
ID_DIGITS = 16
USER_DIGITS = 9
U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]


def features() -> dict[str, Aggregate]:
    found: dict[str, Aggregate] = {}
    for over in OVERS:
        found[f"n_{over}"] = fr.count(over=over)
        found[f"sum_{over}"] = fr.sum("x", over=over)
        found[f"max_{over}"] = fr.max("x", over=over)
    return found


seen = fr.Topic(
    "seen",
    schema=SCHEMA,
    event_id="event_id",
    event_time="at",
    dedup="10m",
    partitions=int(os.environ.get("FRESHET_BENCH_PARTITIONS", "1")),
    # Wider than the times of records that are appended together.
    freshness=fr.Freshness(
        lateness="1d",
        max_future="1d",
        batch_wait=os.environ.get("FRESHET_BENCH_BATCH_WAIT", "50ms"),
    ),
)
by_user = fr.View("by_user", seen, key="user", features=features())
app = fr.App(os.environ.get("FRESHET_BENCH_APP", "keyed"), topics=[seen], views=[by_user])


def records(events: int, keys: int = KEYS) -> Iterator[tuple[bytes, int]]:
    """Events in order of their times, with append times, each of a key drawn at random."""
    for table, times in tables(events, keys):
        yield from zip(_cut(table), times.tolist())


def tables(events: int, keys: int, at_once: int = AT_ONCE) -> Iterator[tuple[U8, I64]]:
    """The same as tables: the records uint8 `[n, width]` and times int64 `[n]` of so many."""
    rng = np.random.default_rng(keys)
    for first in range(0, events, at_once):
        count = min(at_once, events - first)
        numbers = np.arange(first, first + count)
        times = FIRST_MS + numbers * SPAN_MS // events
        users = rng.integers(0, keys, count)
        yield table_of(numbers, times, users, rng.normal(size=count)), times


def encoded(numbers: I64, times: I64, users: I64, values: npt.NDArray[np.float64]) -> list[bytes]:
    """Records of events: the event's number is its id."""
    return _cut(table_of(numbers, times, users, values))


def table_of(numbers: I64, times: I64, users: I64, values: npt.NDArray[np.float64]) -> U8:
    """Records of events, uint8 `[n, width]`, as all are of one length."""
    parts = [
        np.tile(np.frombuffer(HEADER, np.uint8), (len(numbers), 1)),
        _text(numbers, ID_DIGITS),
        _varint(times),
        _text(users, USER_DIGITS),
        values.astype("<f8").view(np.uint8).reshape(-1, 8),
    ]
    return np.concatenate(parts, axis=1)


def _cut(table: U8) -> list[bytes]:
    width = table.shape[1]
    data = table.tobytes()
    return [data[first : first + width] for first in range(0, len(data), width)]


def _text(numbers: I64, digits: int) -> U8:
    """Decimal digits behind their count, as Avro writes a string (specification 1.11, "Binary
    encoding")."""
    found = np.empty((len(numbers), 1 + digits), np.uint8)
    found[:, 0] = 2 * digits  # zigzag
    left = numbers
    for place in range(digits, 0, -1):
        left, digit = np.divmod(left, 10)
        found[:, place] = digit + ord("0")
    return found


def _varint(numbers: I64) -> U8:
    """Zigzag numbers of seven bits a byte, the lowest first."""
    shifted = (2 * numbers[:, None]) >> (7 * np.arange(TIME_BYTES))
    low = shifted & 0x7F
    low[:, :-1] |= 0x80  # another one follows
    return low.astype(np.uint8)
