"""The events behind a feature row: a clean log read backwards from the row's version.

Intake takes no event that is ahead of the app's clock by more than `max_future`, and writes the
clock's time, a tick, into the clean log again and again. What stands before a tick was read before
the next one's time, but for `SLACK_MS`. So nothing before a tick can matter once the one after it
lies before what is looked for by more than both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc

from freshet.schemas.errors import SchemaError
from freshet.schemas.text.columns import Texts
from freshet.schemas.topics.settings import SKEW_MS, TICK_MS
from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import NO_TICK, Block
from freshet.streams.log.contract import Batch
from freshet.streams.log.spans import PartitionSpans, holding

CHUNK_RECORDS = 256
LARGEST_CHUNK = 8_192
# By so much clocks may differ, and the time that is told next may be older than when it is told.
SLACK_MS = SKEW_MS + TICK_MS
Version = tuple[int, int]


@dataclass(frozen=True, slots=True)
class CleanEvent:
    """An event as a view took it (or what `erases` the row): its place in the clean log, where it
    came from, its event time (ms), the fields that the view reads, imputed where they were missing,
    and its `place` in its record, where that is more than one event."""

    version: Version
    topic: str
    partition: int
    offset: int
    t: int
    fields: dict[str, int | float | str | None]
    erases: bool = False
    place: int = 0

    @property
    def origin(self) -> tuple[str, int, int, int]:
        return self.topic, self.partition, self.offset, self.place


def partition_of(key: str, partitions: int) -> int:
    """The partition of a clean log that holds a key."""
    return int(Texts.of([key]).partitions(partitions)[0])


def key_at(spans: PartitionSpans, version: Version) -> str | None:
    """The key of the row at a place of a clean partition; None if there is no such row (any
    more)."""
    found = spans.record(version[0])
    if found is None:
        return None
    block = blocks.decode(found.value)
    if block.rows is None or block.rows.num_rows <= version[1]:
        return None
    key: str = block.rows.column("key")[version[1]].as_py()
    return key


def events_of(
    spans: PartitionSpans,
    key: str,
    version: Version,
    since_ms: int | None,
    origins: Sequence[tuple[str, int]],
    max_future_ms: int,
) -> list[CleanEvent]:
    """A key's events up to and including the one at `version`, with event times from `since_ms` on
    (None: from the time of that one on), oldest in the log first. `origins` are the partitions
    whose ticks stand in the clean log: those that intake settles."""
    found: dict[tuple[str, int, int, int], CleanEvent] = {}
    stop = version[0] + 1
    size = CHUNK_RECORDS
    missing = set(origins)
    last_erased = -1
    while stop > spans.first and missing:
        start = max(spans.first, stop - size)
        parts = list(spans.read(start, stop))
        for part in reversed(parts):
            events = [event for event in _of_key(part, key) if event.version <= version]
            if since_ms is None:
                since_ms = max(
                    (event.t for event in events if event.version == version), default=None
                )
            for event in events:
                # appended twice, it was taken the first time
                earlier = found.get(event.origin)
                if earlier is None or event.version < earlier.version:
                    found[event.origin] = event
        if since_ms is None:
            return []
        # Nothing was appended longer before its time than this.
        missing -= _older(parts, missing, since_ms - max_future_ms - SLACK_MS)
        # Wider each time: most keys are there in the first part, a rare one may be far back.
        stop = start
        size = min(2 * size, LARGEST_CHUNK)
    events = sorted(found.values(), key=lambda event: event.version)
    for i, event in enumerate(events):
        if event.erases:
            last_erased = i
    # What is older than the newest erasure left nothing in the row.
    return [event for event in events[last_erased + 1 :] if event.t >= (since_ms or 0)]


def _of_key(batch: Batch, key: str) -> Iterator[CleanEvent]:
    for record in holding(batch, key.encode()):
        block = _clean(record.value)
        if block is None or block.rows is None:
            continue
        same = pc.equal(block.rows.column("key"), key)
        rows = np.flatnonzero(same.to_numpy(zero_copy_only=False))
        for i, row in zip(rows.tolist(), block.rows.take(rows).to_pylist()):
            fields = {
                name.removeprefix(blocks.FIELD): _number(value)
                for name, value in row.items()
                if name.startswith(blocks.FIELD)
            }
            place = (blocks.topic_of(block.origin), *source_of(block, row), row["t"])
            erases = row.get(blocks.ERASED, False)
            yield CleanEvent((record.offset, i), *place, fields, erases, element_of(row))


def element_of(row: Mapping[str, Any]) -> int:
    """Which event of its record a row is. Of records that were moved each is one event, and the
    index is that of the record in its block."""
    if blocks.SOURCE_OFFSET in row:
        return 0
    index: int = row["_index"]
    return index


def source_of(block: Block, row: Mapping[str, Any]) -> tuple[int, int]:
    """Partition and offset of the record that a row came from."""
    if blocks.SOURCE_OFFSET in row:
        return row[blocks.SOURCE_PARTITION], row[blocks.SOURCE_OFFSET]
    return block.partition, row["_offset"]


def _older(
    parts: Sequence[Batch], origins: set[tuple[str, int]], bound_ms: int
) -> set[tuple[str, int]]:
    """The origins of which nothing before these parts can be as new as the bound, as their two
    first ticks there say."""
    first: set[tuple[str, int]] = set()
    second: dict[tuple[str, int], int] = {}
    for part in parts:
        for i in range(len(part)):
            block = _clean(part.value(i))
            if block is None or block.tick == NO_TICK:
                continue
            origin = (block.origin, block.partition)
            if origin in first:
                second.setdefault(origin, block.tick)
            first.add(origin)
            if second.keys() >= origins:
                return {origin for origin in origins if second[origin] < bound_ms}
    return {origin for origin, tick in second.items() if tick < bound_ms}


def _clean(value: memoryview) -> Block | None:
    try:
        return blocks.decode(value)
    except SchemaError:  # dead-lettered by the view, too
        return None


def _number(value: int | float | str | None) -> int | float | str | None:
    """As the view took it: what is not finite is missing, and whole numbers keep every digit."""
    if value is None or isinstance(value, str):
        return value
    if not np.isfinite(value):
        return None
    if isinstance(value, bool):
        return float(value)
    return value
