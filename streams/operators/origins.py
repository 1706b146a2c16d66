"""How far a partition's input is complete, told by ticks of its origins."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.schemas.wire.blocks import NO_TICK, Block

Origin = tuple[str, int]


class Ticks:
    """The newest tick of every partition of every origin, as the log told of them.

    Each tick says how many partitions its origin had then. So one that was added is waited for from
    the first tick on that knew of it, by whichever partition that came: nothing overtakes its rows.
    Origins that are `expected` are waited for before they were heard of.
    """

    def __init__(self, expected: Collection[str] = ()) -> None:
        self._expected = frozenset(expected)
        self._newest: dict[str, dict[int, int]] = {}
        self._partitions: dict[str, int] = {}
        self._finished = NO_TICK

    def note(self, block: Block) -> None:
        """The tick of a block, if it has one; one that was seen before changes nothing."""
        if block.tick == NO_TICK:
            return
        newest = self._newest.setdefault(block.origin, {})
        newest[block.partition] = max(block.tick, newest.get(block.partition, NO_TICK))
        known = self._partitions.get(block.origin, 0)
        self._partitions[block.origin] = max(known, block.partitions, block.partition + 1)
        if not self._expected <= self._partitions.keys():
            return
        if all(len(self._newest[origin]) == n for origin, n in self._partitions.items()):
            # Never less than before: a partition that is new may begin with an older tick.
            oldest = min(min(ticks.values()) for ticks in self._newest.values())
            self._finished = max(self._finished, oldest)

    @property
    def finished(self) -> int:
        """The oldest of all newest ticks; `NO_TICK` until all partitions have had one."""
        return self._finished

    def dump(self) -> npt.NDArray[np.uint8]:
        newest = [
            [origin, p, t] for origin, ticks in self._newest.items() for p, t in ticks.items()
        ]
        state = {"newest": newest, "partitions": self._partitions, "finished": self._finished}
        return np.frombuffer(json.dumps(state).encode(), np.uint8).copy()

    def load(self, array: npt.NDArray[Any]) -> None:
        state = json.loads(array.tobytes())
        for origin, partition, tick in state["newest"]:
            self._newest.setdefault(origin, {})[partition] = tick
        self._partitions = state["partitions"]
        self._finished = state["finished"]


class Cursors:
    """The last (offset, index) had from every origin, so that rows appended twice are taken
    once."""

    def __init__(self) -> None:
        self._last: dict[Origin, tuple[int, int]] = {}

    def fresh(
        self,
        origin: str,
        partition: int,
        offsets: npt.NDArray[np.int64],
        indices: npt.NDArray[np.int32],
    ) -> slice:
        """The rows not had yet (they rise in (offset, index), so they are a tail), and move past
        them."""
        n = len(offsets)
        key = (origin, partition)
        if not n:
            return slice(0, 0)
        # Before the first of all: offsets begin at 0.
        last = self._last.get(key, (-1, -1))
        first = 0
        if (int(offsets[0]), int(indices[0])) <= last:
            # Of the last offset some rows may be new: from its first row on they are looked at
            # singly.
            first = int(np.searchsorted(offsets, last[0], "left"))
            while first < n and (int(offsets[first]), int(indices[first])) <= last:
                first += 1
        if first < n:
            self._last[key] = (int(offsets[-1]), int(indices[-1]))
        return slice(first, n)

    def dump(self) -> npt.NDArray[np.uint8]:
        text = json.dumps([[t, p, o, i] for (t, p), (o, i) in self._last.items()])
        return np.frombuffer(text.encode(), np.uint8).copy()

    def load(self, array: npt.NDArray[Any]) -> None:
        self._last = {(t, p): (o, i) for t, p, o, i in json.loads(array.tobytes())}
