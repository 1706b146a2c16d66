"""How far a partition's input is complete, told by ticks of its origins."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.schemas.wire.blocks import NO_TICK

Origin = tuple[str, int]


class Ticks:
    """The newest tick of every expected origin; `finished` is the oldest of them (`NO_TICK` until all have one)."""

    def __init__(self, origins: Sequence[Origin]) -> None:
        self._newest = dict.fromkeys(origins, NO_TICK)

    def note(self, origin: str, partition: int, tick: int) -> None:
        """A tick seen again, or of an origin that is not waited for, changes nothing."""
        key = (origin, partition)
        if tick > self._newest.get(key, tick):
            self._newest[key] = tick

    @property
    def finished(self) -> int:
        return min(self._newest.values(), default=NO_TICK)

    def dump(self) -> npt.NDArray[np.uint8]:
        text = json.dumps([[t, p, v] for (t, p), v in self._newest.items()])
        return np.frombuffer(text.encode(), np.uint8).copy()

    def load(self, array: npt.NDArray[Any]) -> None:
        for topic, partition, tick in json.loads(array.tobytes()):
            self.note(topic, partition, tick)


class Cursors:
    """The last (offset, index) had from every origin, so that rows appended twice are taken once."""

    def __init__(self) -> None:
        self._last: dict[Origin, tuple[int, int]] = {}

    def fresh(
        self, origin: str, partition: int, offsets: npt.NDArray[np.int64], indices: npt.NDArray[np.int32]
    ) -> slice:
        """The rows not had yet (they rise in (offset, index), so they are a tail), and move past them."""
        n, key = len(offsets), (origin, partition)
        if not n:
            return slice(0, 0)
        last = self._last.get(key, (-1, -1))
        first = 0
        if (int(offsets[0]), int(indices[0])) <= last:
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
