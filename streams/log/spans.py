"""Reading back: any span of one partition of a log, and the records in it that hold some bytes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType

import numpy as np

from freshet.schemas.errors import LogError
from freshet.schemas.text.columns import Texts
from freshet.streams.log.contract import Batch, Log

PATIENCE_SECONDS = 30.0
POLL_RECORDS = 10_000


@dataclass(frozen=True, slots=True)
class Found:
    """A record: its offset, its append time (ms), its bytes, and the headers that were asked for,
    as columns of one row."""

    offset: int
    time_ms: int
    value: memoryview
    headers: tuple[Texts, ...] = ()


class PartitionSpans:
    """One partition, in no group and without writing anything; a context manager. `first` is its
    first retained offset, `after` the one after the last, both as of the opening. Records come with
    `headers` of these names.

    Raises:
        LogError: there is no such topic, or the log does not answer.
    """

    def __init__(
        self, log: Log, topic: str, partition: int = 0, headers: Sequence[str] = ()
    ) -> None:
        self.topic = topic
        self.partition = partition
        spans = log.bounds(topic).spans
        self.first, self.after = spans[partition]
        self._reader = log.reader([topic], None, headers={topic: headers})
        # A reader of no group has all partitions: the others are not to be handed out.
        self._reader.pause([(topic, other) for other in spans if other != partition])

    def read(self, start: int, stop: int) -> Iterator[Batch]:
        """The records with offsets from `start` to `stop` (exclusive), in order, as far as they are
        retained."""
        at = max(start, self.first)
        stop = min(stop, self.after)
        if at >= stop:
            return
        self._reader.seek(self.topic, self.partition, at)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while at < stop:
            for batch in self._reader.poll(min(stop - at, POLL_RECORDS), 1.0):
                at = int(batch.offsets[-1]) + 1
                # The last batch may go on beyond what was asked for.
                yield batch.rows(0, int(np.searchsorted(batch.offsets, stop)))
                # Patience is with silence: a long span may take as long as it takes, and so may
                # whoever reads it between two batches.
                deadline = time.monotonic() + PATIENCE_SECONDS
            # What is no record at the end (of a transaction, compacted away) is never handed out.
            at = max(at, self._reader.position(self.topic, self.partition))
            if time.monotonic() > deadline:
                silent = f"handed out nothing from offset {at} on for {PATIENCE_SECONDS:.0f} s"
                raise LogError(
                    f"topic {self.topic} partition {self.partition}",
                    f"{silent}, and has records up to {stop}",
                    "Is the log reachable?",
                )

    def record(self, offset: int) -> Found | None:
        """The record at an offset, if it is there (still)."""
        for batch in self.read(offset, offset + 1):
            if len(batch):
                return Found(
                    int(batch.offsets[0]),
                    int(batch.times[0]),
                    batch.value(0),
                    batch.rows(0, 1).headers,
                )
        return None

    def holding(self, needle: bytes, start: int, stop: int) -> Iterator[Found]:
        """The records from `start` to `stop` whose bytes hold `needle`. Blocks hold texts as they
        are, so those without it need not be decoded."""
        for batch in self.read(start, stop):
            yield from holding(batch, needle)

    def __enter__(self) -> PartitionSpans:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._reader.close()


def holding(batch: Batch, needle: bytes) -> Iterator[Found]:
    """The records of a batch whose bytes hold `needle`."""
    # In all of them at once: a search for each record would cost more than the search itself.
    data = batch.data.tobytes()
    i = 0
    while i < len(batch):
        at = data.find(needle, int(batch.start[i]), int(batch.end[-1]))
        if at < 0:
            return
        i = int(np.searchsorted(batch.end, at, "right"))
        if i == len(batch):
            return
        if at < batch.start[i]:  # between two records
            continue
        if at + len(needle) <= batch.end[i]:
            yield Found(int(batch.offsets[i]), int(batch.times[i]), batch.value(i))
        i += 1
