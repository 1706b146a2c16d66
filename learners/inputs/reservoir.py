"""A uniform sample of all examples so far, in bounded memory (algorithm R; Vitter, 1985)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.learners.contract import Arrays
from freshet.schemas.models.vectors import F32

I32 = npt.NDArray[np.int32]
COLUMNS = ("ids", "numbers", "labels")


class Reservoir:
    """Encoded examples: ids int32 `[n, F]`, numbers kept as float16 `[n, N]`, labels float32
    `[n]`."""

    def __init__(self, capacity: int, fields: int, width: int) -> None:
        self._capacity = capacity
        self._seen = 0
        self._columns: list[npt.NDArray[Any]] = [
            np.zeros((0, fields), np.int32),
            np.zeros((0, width), np.float16),
            np.zeros(0, np.float32),
        ]

    def __len__(self) -> int:
        return min(self._seen, self._capacity)

    def add(self, ids: I32, numbers: F32, labels: F32, rng: np.random.Generator) -> None:
        """Each example takes a free place or, with the chance that keeps the sample uniform, that
        of a random one."""
        order = self._seen + np.arange(len(labels))
        place = np.where(order < self._capacity, order, rng.integers(0, order + 1))
        keep = place < self._capacity
        self._seen += len(labels)
        self._make_room()
        for column, new in zip(self._columns, (ids, numbers, labels)):
            # Where two want one place the later one stays, as if they had come one by one.
            column[place[keep]] = new[keep]

    def draw(self, n: int, rng: np.random.Generator) -> tuple[I32, F32, F32]:
        """`n` of them, with replacement."""
        at = rng.integers(0, len(self), n)
        ids, numbers, labels = (column[at] for column in self._columns)
        return ids, numbers.astype(np.float32), labels

    def checkpoint(self) -> dict[str, npt.NDArray[Any]]:
        n = len(self)
        columns = {f"memory.{name}": c[:n].copy() for name, c in zip(COLUMNS, self._columns)}
        return {**columns, "memory.seen": np.array([self._seen])}

    def restore(self, state: Arrays) -> None:
        self._seen = int(state["memory.seen"][0])
        self._columns = [state[f"memory.{name}"].copy() for name in COLUMNS]

    def _make_room(self) -> None:
        """Grows by half, so that a short stream does not pay for a long one's memory."""
        have = len(self._columns[-1])
        need = len(self)
        if have < need:
            more = min(self._capacity, max(need, have + have // 2)) - have
            self._columns = [
                np.concatenate([c, np.zeros((more, *c.shape[1:]), c.dtype)]) for c in self._columns
            ]
