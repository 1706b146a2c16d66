"""How far a partition of a clean log has come in time, as its records say."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.features.rows.layout import NEVER
from freshet.schemas.wire.blocks import NO_TICK, Block

Origin = tuple[str, int]
I64 = npt.NDArray[np.int64]


class LogClock:
    """The earliest of: the time at which the newest record was appended, and, of each partition
    that flows into the log, its newest event or tick.

    So neither a producer whose clock is ahead, nor a partition that is read faster than another,
    nor old events that are loaded late make it go ahead of what was seen; and one that is silent
    does not hold it back, as long as intake tells its time. It follows from the log alone, never
    goes back, and knows nothing of how events were cut into blocks.
    """

    def __init__(self) -> None:
        self._now = NEVER
        self._appended = NEVER
        self._newest: dict[Origin, int] = {}

    @property
    def now_ms(self) -> int:
        """The time; before all times while nothing was seen."""
        return self._now

    def record(self, appended_ms: int) -> None:
        """The next record was appended at this time (ms)."""
        self._appended = max(self._appended, appended_ms)

    def at_events(self, block: Block, times: I64) -> I64:
        """The time at each event of the record's block, int64 `[n]`, for their times; it has moved
        on past them."""
        own = (block.origin, block.partition)
        others = [newest for origin, newest in self._newest.items() if origin != own]
        bound = min([self._appended, *others])
        newest = np.maximum.accumulate(times)
        np.maximum(newest, self._newest.get(own, NEVER), out=newest)
        # Not less than before: a partition that is new may begin with older events.
        clocks = np.maximum(np.minimum(newest, bound), self._now)
        self._newest[own] = int(newest[-1])
        self._now = int(clocks[-1])
        return clocks

    def after(self, block: Block) -> None:
        """The record's block may end with a tick."""
        if block.tick == NO_TICK:
            return
        own = (block.origin, block.partition)
        self._newest[own] = max(block.tick, self._newest.get(own, NEVER))
        self._now = max(self._now, min([self._appended, *self._newest.values()]))

    def dump(self) -> npt.NDArray[np.uint8]:
        newest = [[origin, partition, at] for (origin, partition), at in self._newest.items()]
        state = {"now": self._now, "appended": self._appended, "newest": newest}
        return np.frombuffer(json.dumps(state).encode(), np.uint8).copy()

    def load(self, array: npt.NDArray[Any]) -> None:
        state = json.loads(array.tobytes())
        self._now = state["now"]
        self._appended = state["appended"]
        self._newest = {(origin, partition): at for origin, partition, at in state["newest"]}
