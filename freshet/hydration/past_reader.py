"""The records of several partitions from the past, in the order in which they were appended."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from freshet.streams.log.contract import Batch, Headers, Log, TopicPartition
from freshet.streams.operators.reading import MAX_RECORDS

# No record is as late.
LAST_MS = (1 << 63) - 1


class PastReader:
    """Reads partitions from where it is told to, each up to a limit that may move on. Between
    partitions the time of records decides what comes first, as far as they lie below the limits:
    what was appended to one while another was silent is not read after that has gone on.

    That holds of batches; of partitions that stand `apart`, of records: all that the others have of
    earlier times is handed out before, and nothing of a later one."""

    def __init__(
        self,
        log: Log,
        headers: Headers,
        positions: Mapping[TopicPartition, int],
        apart: Collection[TopicPartition] = (),
    ) -> None:
        topics = sorted({topic for topic, _ in positions})
        own = {topic: headers[topic] for topic in topics if topic in headers}
        self._reader = log.reader(topics, None, headers=own)
        self._at = dict(positions)
        self._apart = frozenset(apart)
        self._queued: dict[TopicPartition, Batch] = {}
        for key, at in positions.items():
            self._reader.seek(*key, at)

    def poll(self, limits: Mapping[TopicPartition, int], max_wait_seconds: float) -> list[Batch]:
        """The records that come next, a batch a partition; none where all below the limits was
        read, or some of it is not there yet."""
        hungry = [
            key for key in self._at if key not in self._queued and self._is_below(key, limits)
        ]
        if hungry:
            self._fetch(hungry, limits, max_wait_seconds)
        # One of which nothing is known yet may have what comes first.
        if any(key not in self._queued and self._is_below(key, limits) for key in self._at):
            return []
        return self._oldest(limits)

    def is_at(self, limits: Mapping[TopicPartition, int]) -> bool:
        """Whether all below the limits was handed out."""
        return not self._queued and not any(self._is_below(key, limits) for key in self._at)

    def close(self) -> None:
        self._reader.close()

    def _is_below(self, key: TopicPartition, limits: Mapping[TopicPartition, int]) -> bool:
        return self._at[key] < limits[key]

    def _fetch(
        self, hungry: list[TopicPartition], limits: Mapping[TopicPartition, int], wait: float
    ) -> None:
        self._reader.pause(self._at)
        self._reader.pause(hungry, False)
        for batch in self._reader.poll(MAX_RECORDS, wait):
            key = (batch.topic, batch.partition)
            if key not in self._at:  # a partition that was added a moment ago
                continue
            below = batch.rows(0, int(np.searchsorted(batch.offsets, limits[key])))
            if len(below) < len(batch):
                # It may count once the limit has moved on.
                self._reader.seek(*key, int(batch.offsets[len(below)]))
            if len(below):
                self._queued[key] = below
        for key in hungry:
            # Also past offsets that hold no record.
            self._at[key] = self._reader.position(*key)

    def _oldest(self, limits: Mapping[TopicPartition, int]) -> list[Batch]:
        times = {key: np.maximum.accumulate(batch.times) for key, batch in self._queued.items()}
        # What follows the last one of a partition may be as old as that.
        ends = [int(own[-1]) for key, own in times.items() if self._is_below(key, limits)]
        until = min(ends, default=LAST_MS)
        lone = [int(own[0]) for key, own in times.items() if key in self._apart]
        others = [int(own[0]) for key, own in times.items() if key not in self._apart]
        # Either what lies before the next lone record, or lone records alone.
        are_lone = bool(lone) and min(lone) <= min(others, default=LAST_MS)
        if are_lone:
            until = min([until, *others])
        else:
            until = min([until, *(at - 1 for at in lone)])
        found = []
        for key, own in times.items():
            batch = self._queued.pop(key)
            count = 0
            if not lone or (key in self._apart) == are_lone:
                count = int(np.searchsorted(own, until, "right"))
            if count:
                found.append(batch.rows(0, count))
            if count < len(batch):
                self._queued[key] = batch.rows(count, len(batch))
        return found
