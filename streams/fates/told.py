"""Reads what was told of fates: by runs, in the order of a partition's events, each event once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from freshet.schemas.errors import SchemaError
from freshet.schemas.wire import blocks
from freshet.streams.log.contract import Batch

Place = tuple[int, int]


class Run(NamedTuple):
    """Events of one partition that share a fate: those of records from the place `first` to
    `last` (offset of the record, and place in it; inclusive)."""

    partition: int
    first: Place
    last: Place
    events: int
    fate: str
    source: Place | None = None  # partition and offset that it came from, of one that was moved


def runs_of(batches: Iterable[Batch], topic: str) -> Iterator[Run]:
    """All runs of a topic's records that batches of its log of fates hold, in the log's order: what
    was told again after a restart comes again."""
    for batch in batches:
        for at in range(len(batch)):
            try:
                block = blocks.decode(batch.value(at))
            except SchemaError:  # somebody else's
                continue
            if (block.kind, block.origin) != (blocks.FATES, topic) or block.rows is None:
                continue
            for row in block.rows.to_pylist():
                source = None
                if row[blocks.SOURCE_OFFSET] is not None:
                    source = (row[blocks.SOURCE_PARTITION], row[blocks.SOURCE_OFFSET])
                yield Run(
                    block.partition,
                    (row["_offset"], row["_index"]),
                    (row["last_offset"], row["last_index"]),
                    row["events"],
                    row["fate"],
                    source,
                )


class Told:
    """The fates of events by their places, of one partition of a topic."""

    def __init__(self, runs: Iterable[Run], partition: int) -> None:
        # Told again, a run may be longer: it says the same of what it shares with another one.
        own = sorted(run for run in runs if run.partition == partition)
        self._runs: list[Run] = []
        for run in own:
            if not self._runs or run.last > self._runs[-1].last:
                self._runs.append(run)
        self._at = 0

    def fate(self, place: Place) -> str | None:
        """The fate of the event at a place; None where it was not told (yet). Places are asked in
        rising order."""
        while self._at < len(self._runs) and self._runs[self._at].last < place:
            self._at += 1
        if self._at == len(self._runs) or self._runs[self._at].first > place:
            return None
        return self._runs[self._at].fate
