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
    rng = np.random.default_rng(keys)
    for first in range(0, events, AT_ONCE):
        count = min(AT_ONCE, events - first)
        numbers = np.arange(first, first + count)
        times = FIRST_MS + numbers * SPAN_MS // events
        users = rng.integers(0, keys, count)
        yield from zip(encoded(numbers, times, users, rng.normal(size=count)), times.tolist())


def encoded(
    numbers: npt.NDArray[np.int64],
    times: npt.NDArray[np.int64],
    users: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
) -> list[bytes]:
    """Records of events, all of one length: the event's number is its id."""
    parts = [
        np.tile(np.frombuffer(HEADER, np.uint8), (len(numbers), 1)),
        _text(numbers, ID_DIGITS),
        _varint(times),
        _text(users, USER_DIGITS),
        values.astype("<f8").view(np.uint8).reshape(-1, 8),
    ]
    table = np.concatenate(parts, axis=1)
    width = table.shape[1]
    data = table.tobytes()
    return [data[first : first + width] for first in range(0, len(data), width)]


def _text(numbers: npt.NDArray[np.int64], digits: int) -> U8:
    """Decimal digits behind their count, as Avro writes a string (specification 1.11, "Binary
    encoding")."""
    place = 10 ** np.arange(digits - 1, -1, -1)
    digit = numbers[:, None] // place % 10
    length = np.full((len(numbers), 1), 2 * digits)  # zigzag
    return np.concatenate([length, digit + ord("0")], axis=1).astype(np.uint8)


def _varint(numbers: npt.NDArray[np.int64]) -> U8:
    """Zigzag numbers of seven bits a byte, the lowest first."""
    shifted = (2 * numbers[:, None]) >> (7 * np.arange(TIME_BYTES))
    low = shifted & 0x7F
    low[:, :-1] |= 0x80  # another one follows
    return low.astype(np.uint8)
