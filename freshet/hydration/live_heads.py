"""Where the app's intake began to give a view its events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from freshet.schemas.wire import blocks
from freshet.streams.log.contract import Batch, Log
from freshet.streams.operators.origins import Origin

MOST_RECORDS = 1_000


class LiveHeads:
    """The beginning of a view's own log, as far as it has to be known: of whom it has heard, and
    what its first records hold."""

    def __init__(self, log: Log, clean: str) -> None:
        self._log = log
        self._clean = clean
        self._reader = log.reader([clean], None)
        self._origins: set[Origin] = set()
        # By partition of the log: after which offset of each origin its first record's rows end.
        self._first: dict[int, dict[Origin, int]] = {}

    def meet(self, limits: Mapping[Origin, int], max_wait_seconds: float) -> bool:
        """Whether the past up to these offsets, and the log from its first record on, are all there
        is: every origin has begun to write, at an offset before its limit, since it goes on from a
        checkpoint that is older; and no partition's first record has a row that the past lacks.

        So rows of the past may bear the version of the first record: no event that counts is of it.
        """
        partitions = self._log.bounds(self._clean).spans
        if not self._knows(limits, partitions):
            for batch in self._reader.poll(MOST_RECORDS, max_wait_seconds):
                self._note(batch)
        if not self._knows(limits, partitions):
            return False
        firsts = (item for first in self._first.values() for item in first.items())
        return all(after <= limits.get(origin, 0) for origin, after in firsts)

    def close(self) -> None:
        self._reader.close()

    def _knows(self, origins: Iterable[Origin], partitions: Iterable[int]) -> bool:
        return self._origins.issuperset(origins) and self._first.keys() >= set(partitions)

    def _note(self, batch: Batch) -> None:
        for i in range(len(batch)):
            block = blocks.decode(batch.value(i))
            origin = (block.origin, block.partition)
            self._origins.add(origin)
            if batch.partition not in self._first:
                ends = {}
                if block.rows is not None:
                    ends[origin] = int(block.rows.column("_offset")[-1].as_py()) + 1
                self._first[batch.partition] = ends
