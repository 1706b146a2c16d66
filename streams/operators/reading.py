"""Reading for an operator: as many records at once as may be waited for, none while it rests, and
of a partition whose next records cannot be understood yet no further."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

from freshet.schemas.errors import RegistryError
from freshet.schemas.sizes import READ_BYTES
from freshet.streams.log.contract import Batch, Reader, TopicPartition, joined
from freshet.streams.operators.task import Preparing
from freshet.streams.outages import Outages

MAX_RECORDS = 20_000  # of a turn: a hundredth of a second of work, in blocks that are worth it
WAITS = (
    "topics with records of a schema that is not known yet are not read further; nothing of them "
    "is settled or lost"
)


class Reading:
    """The records of the partitions that a reader was given. `wall` is a clock in seconds."""

    def __init__(
        self,
        reader: Reader,
        max_records: int = MAX_RECORDS,
        wall: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reader = reader
        self._max_records = max_records
        self._wall = wall
        self._gathered: list[Batch] = []
        self._handed_over_at = float("-inf")  # never yet, so the first go at once
        self._resting = False

    def rest(self, resting: bool, partitions: Sequence[TopicPartition]) -> None:
        """Read nothing, or go on. Partitions that came meanwhile rest, too."""
        if resting or self._resting:
            self._reader.pause(list(partitions), resting)
        self._resting = resting

    def gather(
        self,
        max_wait_seconds: float,
        more_seconds: Callable[[], float],
        enough: Callable[[], bool],
    ) -> list[Batch]:
        """Records as soon as there are any, but not before `more_seconds` are over since the ones
        before them were handed over, unless there are many or `enough` says so: else every event
        would become a block of its own.

        What is gathered may shrink while more is waited for: a rebalance `forget`s.
        """
        self._gathered = self._reader.poll(self._max_records, max_wait_seconds)
        if self._resting:
            return self._put_back()
        wait_seconds = 0.0 if not self._gathered else more_seconds()
        # Not from now: while the last ones were worked on, these have waited already.
        deadline = self._handed_over_at + wait_seconds
        while wait_seconds and not enough():
            room = self._max_records - sum(map(len, self._gathered))
            left_seconds = deadline - self._wall()
            # Few records may be many bytes: what is taken at once must fit into memory, with all
            # that is made of it.
            is_full = room <= 0 or sum(map(_bytes_of, self._gathered)) >= READ_BYTES
            if is_full or left_seconds <= 0:
                break
            more = self._reader.poll(room, left_seconds)
            self._gathered = [*self._gathered, *more]
        gathered = joined(self._gathered)
        self._gathered = []
        if gathered:
            self._handed_over_at = self._wall()
        return gathered

    def forget(self, gone: Collection[TopicPartition]) -> None:
        """These partitions are no longer ours."""
        self._gathered = [b for b in self._gathered if (b.topic, b.partition) not in gone]

    def _put_back(self) -> list[Batch]:
        """Records of partitions that came while it rests are read later."""
        partitions = [(batch.topic, batch.partition) for batch in self._gathered]
        if partitions:
            self._reader.pause(partitions)
        for batch in self._gathered:
            self._reader.seek(batch.topic, batch.partition, int(batch.offsets[0]))
        self._gathered = []
        return []


def _bytes_of(batch: Batch) -> int:
    return len(batch.data)


class Waiting:
    """Of one operator. A partition that waits is read again from where it stopped, every
    `retry_seconds` of the clock `wall`."""

    def __init__(
        self,
        reader: Reader,
        outages: Outages,
        wall: Callable[[], float],
        retry_seconds: float,
    ) -> None:
        self._reader = reader
        self._outages = outages
        self._wall = wall
        self._retry_seconds = retry_seconds
        self._until: dict[TopicPartition, float] = {}

    def may_apply(self, key: TopicPartition, batch: Batch, preparing: Preparing | None) -> bool:
        """Whether a batch can be understood. One that cannot is read once more, later."""
        if preparing is None:
            return True
        try:
            preparing.prepare(batch)
        except RegistryError as error:
            self._outages.begin(error, WAITS)
            self._reader.pause([key])
            self._reader.seek(*key, int(batch.offsets[0]))
            self._until[key] = self._wall() + self._retry_seconds
            return False
        self._passed(key)
        return True

    def go_on(self) -> None:
        """Have those read again whose time has come."""
        if not self._until:
            return
        now = self._wall()
        due = [key for key, until in self._until.items() if until <= now]
        self._reader.pause(due, False)
        # Still waiting, as far as anybody is told: that is found out by reading.
        for key in due:
            self._until[key] = float("inf")

    def forget(self, gone: Collection[TopicPartition]) -> None:
        """These partitions are no longer ours."""
        for key in gone:
            self._passed(key)

    def _passed(self, key: TopicPartition) -> None:
        if self._until.pop(key, None) is not None and not self._until:
            self._outages.over(RegistryError.component)
