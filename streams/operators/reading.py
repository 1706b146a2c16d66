"""Reading for an operator: as many records at once as may be waited for, none while it rests, and
of a partition whose next records cannot be understood yet no further."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

from freshet.schemas.errors import RegistryError
from freshet.schemas.sizes import READ_BYTES
from freshet.streams.log.contract import Batch, Reader, TopicPartition, joined
from freshet.streams.operators.task import NotYet, Preparing
from freshet.streams.outages import Outages

MAX_RECORDS = 20_000  # of a turn: a hundredth of a second of work, in blocks that are worth it
# How often it is looked for more, where a fuller batch is waited for: each look costs as much as
# some hundred records, and callbacks of the reader wait for it.
LOOK_SECONDS = 0.02
# Of a wait that is long, where that is more; but callbacks wait no longer than so.
LOOK_SHARE = 0.1
LONGEST_LOOK_SECONDS = 0.1
WAITS = (
    "topics with records of a schema that is not known yet are not read further; nothing of them "
    "is settled or lost"
)


class Reading:
    """The records of the partitions that a reader was given. `wall` is a clock in seconds, and
    `sleep` waits for so many of them."""

    def __init__(
        self,
        reader: Reader,
        max_records: int = MAX_RECORDS,
        wall: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._reader = reader
        self._max_records = max_records
        self._wall = wall
        self._sleep = sleep
        self._gathered: list[Batch] = []
        self._handed_over_at = float("-inf")  # never yet
        self._is_worked_on = False  # what was handed over, since the last look for more
        self._next_at = float("-inf")  # the first go at once
        self._wait_seconds = 0.0  # from one to the next
        self._was_full = False
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
        """Records as soon as there are any, but not before `more_seconds` are over since the work
        on the ones before them, unless there are many or `enough` says so: else every event would
        become a block of its own. Where that work took longer, those that came meanwhile have
        waited long enough.

        What is gathered may shrink while more is waited for: a rebalance `forget`s.
        """
        if self._resting:
            self._gathered = self._reader.poll(self._max_records, max_wait_seconds)
            return self._put_back()
        until = self._wall() + max_wait_seconds
        # Behind: what comes next is there already, and as much as is worth a turn.
        if self._was_full:
            self._take(0.0)
        if self._is_worked_on:
            self._is_worked_on = False
            self._wait_seconds = more_seconds()
            # From now, so that what a turn costs by itself is spread over the events of as long;
            # and once, however often it is asked before any come.
            self._next_at = self._wall()
            if self._next_at - self._handed_over_at < self._wait_seconds:
                self._next_at += self._wait_seconds
        while not self._is_full and not enough():
            now = self._wall()
            left_seconds = self._next_at - now
            if not self._gathered:
                # Whoever waits has to see to other things by then.
                left_seconds = min(left_seconds, until - now)
            if left_seconds <= 0:
                break
            # Asleep, and not in the reader, which comes back with each few that arrive.
            self._sleep(min(left_seconds, self._look_seconds))
            self._take(0.0)
        if not self._gathered:
            self._take(max(0.0, until - self._wall()))
        self._was_full = self._is_full
        gathered = joined(self._gathered)
        self._gathered = []
        if gathered:
            self._handed_over_at = self._wall()
            self._is_worked_on = True
        return gathered

    @property
    def _look_seconds(self) -> float:
        look_seconds = max(LOOK_SECONDS, LOOK_SHARE * self._wait_seconds)
        return min(look_seconds, LONGEST_LOOK_SECONDS)

    def _take(self, max_wait_seconds: float) -> None:
        """More records, if there are any within that time."""
        room = self._max_records - sum(map(len, self._gathered))
        more = self._reader.poll(room, max_wait_seconds)
        # After that: the reader's callbacks may have forgotten some of those before.
        self._gathered = [*self._gathered, *more]

    @property
    def _is_full(self) -> bool:
        """Whether there are as many as are taken at once."""
        if sum(map(len, self._gathered)) >= self._max_records:
            return True
        # Few records may be many bytes: what is taken at once must fit into memory, with all that
        # is made of it.
        return sum(map(_bytes_of, self._gathered)) >= READ_BYTES

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
        # Those of them that wait for a registry.
        self._ill_understood: set[TopicPartition] = set()

    def may_apply(self, key: TopicPartition, batch: Batch, preparing: Preparing | None) -> bool:
        """Whether a batch can be understood. One that cannot is read once more, later."""
        if preparing is None:
            return True
        try:
            preparing.prepare(batch)
        except RegistryError as error:
            self._outages.begin(error, WAITS)
            self._ill_understood.add(key)
            self._put_off(key, batch)
            return False
        except NotYet:
            self._put_off(key, batch)
            return False
        self._passed(key)
        return True

    def _put_off(self, key: TopicPartition, batch: Batch) -> None:
        self._reader.pause([key])
        self._reader.seek(*key, int(batch.offsets[0]))
        self._until[key] = self._wall() + self._retry_seconds

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
        self._until.pop(key, None)
        if key in self._ill_understood:
            self._ill_understood.remove(key)
            if not self._ill_understood:
                self._outages.over(RegistryError.component)
