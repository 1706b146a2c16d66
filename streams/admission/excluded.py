"""Events that a person has taken out of the views that folded them, by their places."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from freshet.streams.log.contract import Batch
from freshet.streams.log.moved import Moved

I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
EXCLUDED = "excluded"
# What a run is: partition, place within each record, and offsets from the first to the last one.
Run = tuple[int, int, int, int]


@dataclass(frozen=True)
class Excluded:
    """Of one topic. `numbers` are those of the records that say so, `places` int64 `[n, 3]` the
    partition, offset and index of each event in the topic's own log, sorted, each once."""

    numbers: tuple[int, ...]
    places: I64

    def __len__(self) -> int:
        return len(self.places)

    def of(self, batch: Batch, moved: Moved | None) -> Bools:
        """Which events of these records are, bool `[n]`; of those that were moved by where they
        came from."""
        count = len(batch)
        indices = batch.places
        if indices is None:
            # Each record is one event.
            indices = np.zeros(
                count,
                np.int32,
            )
        if moved is not None:
            return self.at(
                moved.partitions,
                moved.offsets,
                indices,
            )
        return self.at(np.full(count, batch.partition), batch.offsets, indices)

    def at(self, partitions: I64, offsets: I64, indices: npt.NDArray[np.int32]) -> Bools:
        """Which of these places are, bool `[n]`."""
        found = np.zeros(len(offsets), np.bool_)
        if not len(self.places) or not len(offsets):
            return found
        # Few are: only of those in a record of which something is, the whole place is looked up.
        near = np.isin(
            offsets,
            self.places[:, 1],
        )
        for row in np.flatnonzero(near).tolist():
            place = (int(partitions[row]), int(offsets[row]), int(indices[row]))
            found[row] = place in self._known
        return found

    @property
    def _known(self) -> set[tuple[int, ...]]:
        known: set[tuple[int, ...]] | None = self.__dict__.get("_set")
        if known is None:
            known = set(map(tuple, self.places.tolist()))
            self.__dict__["_set"] = known
        return known


def together(numbers: Sequence[int], parts: Iterable[I64]) -> Excluded:
    """All of several records' places."""
    every = np.concatenate([np.empty((0, 3), np.int64), *parts])
    return Excluded(tuple(sorted(numbers)), np.unique(every, axis=0))


def runs_of(places: I64) -> list[Run]:
    """Places as runs of neighbours."""
    order = np.lexsort((places[:, 1], places[:, 2], places[:, 0]))
    sorted_ = places[order]
    steps = np.diff(
        sorted_,
        axis=0,
    )
    # A run goes on with the next offset of the same partition and place in its record.
    ends = (steps[:, 0] != 0) | (steps[:, 2] != 0) | (steps[:, 1] != 1)
    firsts = np.concatenate([[0], np.flatnonzero(ends) + 1])
    lasts = np.append(firsts[1:], len(sorted_)) - 1
    if not len(sorted_):
        return []
    return [
        (int(partition), int(index), int(first), int(sorted_[last, 1]))
        for (partition, first, index), last in zip(sorted_[firsts].tolist(), lasts.tolist())
    ]


def places_of(runs: Iterable[Run]) -> I64:
    """The places of runs, int64 `[n, 3]`.

    >>> places_of([(0, 0, 5, 6)]).tolist()
    [[0, 5, 0], [0, 6, 0]]
    """
    parts = [np.empty((0, 3), np.int64)]
    for partition, index, first, last in runs:
        offsets = np.arange(
            first,
            last + 1,
        )
        part = np.empty((len(offsets), 3), np.int64)
        part[:, 0] = partition
        part[:, 1] = offsets
        part[:, 2] = index
        parts.append(part)
    return np.concatenate(parts)


NOTHING: Mapping[str, Excluded] = {}
