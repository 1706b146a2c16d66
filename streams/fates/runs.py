"""What became of each record of a topic, as runs of neighbours that share a fate: what intake
writes of it, at ticks, to a log that is archived.

A run is a row of a block (kind `FATES`) whose origin is the topic, and whose partition is that of
the log that was settled: the topic's own, or the one that its records were brought together in by
their ids.

    _offset, _index           the first event: the offset of its record, and its place in that
    last_offset, last_index   the last one
    events                    how many there are; offsets without a record have none
    fate                      as `freshet.streams.intake.fates` names it

Of records that were brought together, an event that was not applied is a run by itself, and says
where it came from (`_source_partition`, `_source_offset`; null elsewhere). What is settled again
after a restart is told again, and may be cut otherwise; it says the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.schemas.durations import HOUR_MS
from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import Block
from freshet.streams.log.moved import Moved

I64 = npt.NDArray[np.int64]
APPLIED = 0  # the code of this fate, in every topic
# What a run is, as columns of a table of int64; `SOURCE` and the one after it are -1 where nothing
# was moved.
FIRST, FIRST_INDEX, LAST, LAST_INDEX, EVENTS, FATE, SOURCE, SOURCE_OFFSET = range(8)
_COLUMNS = 8
# How long runs may wait to be told, by ticks: a block costs as much as some hundred of them.
TOLD_MS = 60_000
# The same, where the clock goes by strides: else each step of a replay would be a block. What is
# told of them is awaited no sooner than the clock stops, and then a tick without events comes.
TOLD_BY_STRIDES_MS = 6 * HOUR_MS
# And how many: they are part of every checkpoint until they are told.
MOST = 8192


class FateRuns:
    """The runs of one partition that were not told yet; `fates` are the names of codes, by the
    topic's `origin`."""

    def __init__(self, fates: Sequence[str], origin: str, partition: int) -> None:
        self._fates = list(fates)
        self._origin = origin
        self._partition = partition
        self._runs = np.zeros((0, _COLUMNS), np.int64)
        self._told_at = blocks.NO_TICK
        self._is_quiet = True  # since the newest tick

    def take(
        self,
        code: npt.NDArray[np.uint8],
        offsets: I64,
        indices: npt.NDArray[np.int32],
        moved: Moved | None = None,
    ) -> None:
        """The next events, in order: the fate of each (uint8 `[n]`), the offset of its record and
        its place in that."""
        self._is_quiet = self._is_quiet and not len(code)
        if not len(code) or (moved is None and self._continues(code, offsets, indices)):
            return
        cut = code[1:] != code[:-1]
        if moved is not None:
            cut |= code[1:] != APPLIED
        first = np.concatenate([[0], np.flatnonzero(cut) + 1])
        after = np.append(first[1:], len(code))
        new = np.full((len(first), _COLUMNS), -1, np.int64)
        new[:, FIRST] = offsets[first]
        new[:, FIRST_INDEX] = indices[first]
        new[:, LAST] = offsets[after - 1]
        new[:, LAST_INDEX] = indices[after - 1]
        new[:, EVENTS] = after - first
        new[:, FATE] = code[first]
        if moved is not None:
            alone = first[code[first] != APPLIED]
            rows = code[first] != APPLIED
            new[rows, SOURCE] = moved.partitions[alone]
            new[rows, SOURCE_OFFSET] = moved.offsets[alone]
        if len(self._runs) and self._goes_on(new[0]):
            before = self._runs[-1]
            before[[LAST, LAST_INDEX]] = new[0, [LAST, LAST_INDEX]]
            before[EVENTS] += new[0, EVENTS]
            new = new[1:]
        if len(new):
            self._runs = np.concatenate([self._runs, new])

    def _continues(
        self, code: npt.NDArray[np.uint8], offsets: I64, indices: npt.NDArray[np.int32]
    ) -> bool:
        """Make the last run longer, if all of these events are part of it: nearly always."""
        if not len(self._runs):
            return False
        before = self._runs[-1]
        fate = int(before[FATE])
        if before[SOURCE] >= 0 or np.count_nonzero(code == fate) < len(code):
            return False
        before[LAST] = offsets[-1]
        before[LAST_INDEX] = indices[-1]
        before[EVENTS] += len(code)
        return True

    def _goes_on(self, run: I64) -> bool:
        """Whether a run is part of the one before it."""
        before = self._runs[-1]
        is_moved = before[SOURCE] >= 0 or run[SOURCE] >= 0
        return bool(before[FATE] == run[FATE]) and not is_moved

    @property
    def are_many(self) -> bool:
        """Whether they are to be told at once: a long way behind there are no ticks."""
        return len(self._runs) >= MOST

    def due(self, tick: int, by_strides: bool = False) -> bool:
        """Whether they are to be told at this tick, to which the clock may have gone in one
        stride."""
        wait_ms = TOLD_MS
        if by_strides and not self._is_quiet:
            wait_ms = TOLD_BY_STRIDES_MS
        self._is_quiet = True
        is_late = self._told_at == blocks.NO_TICK or tick - self._told_at >= wait_ms
        return bool(len(self._runs)) and is_late

    def tell(self, tick: int = blocks.NO_TICK) -> list[bytes]:
        """All of them as records, at a tick if there is one."""
        if tick != blocks.NO_TICK:
            self._told_at = tick
        found = self._runs
        self._runs = self._runs[:0]
        is_moved = found[:, SOURCE] >= 0
        names = pa.array(self._fates, pa.string())
        columns = {
            "_offset": pa.array(found[:, FIRST]),
            "_index": pa.array(found[:, FIRST_INDEX].astype(np.int32)),
            "last_offset": pa.array(found[:, LAST]),
            "last_index": pa.array(found[:, LAST_INDEX].astype(np.int32)),
            "events": pa.array(found[:, EVENTS].astype(np.int32)),
            "fate": names.take(pa.array(found[:, FATE])),
            blocks.SOURCE_PARTITION: pa.array(found[:, SOURCE].astype(np.int32), mask=~is_moved),
            blocks.SOURCE_OFFSET: pa.array(found[:, SOURCE_OFFSET], mask=~is_moved),
        }
        out = []
        # Of what is told at once there may be far more than a record holds.
        rows = pa.RecordBatch.from_pydict(columns)
        for first in range(0, rows.num_rows, MOST):
            part = rows.slice(first, MOST)
            block = Block(
                blocks.FATES,
                self._origin,
                self._partition,
                part,
            )
            out.append(blocks.encode(block, compressed=True))
        return out

    def dump(self) -> dict[str, npt.NDArray[Any]]:
        return {"fate_runs": self._runs, "fates_told": np.array([self._told_at])}

    def load(self, state: Mapping[str, npt.NDArray[Any]], known: Sequence[str]) -> None:
        """Become what was dumped when these fates were known; of a checkpoint that an earlier
        version made, which has none, none."""
        if "fate_runs" not in state:
            return
        self._runs = state["fate_runs"].copy()
        places = np.array([self._fates.index(name) for name in known], np.int64)
        self._runs[:, FATE] = places[self._runs[:, FATE]]
        self._told_at = int(state["fates_told"][0])
