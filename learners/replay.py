"""A uniform sample of all examples so far, in bounded memory (algorithm R, Vitter 1985)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from learners.learner import Arrays
from schemas.vectors import F32

I32 = npt.NDArray[np.int32]
START = 1024


class Reservoir:
    """Encoded examples: ids int32 `[n, F]`, inputs kept as float16 `[n, D]`, labels float32 `[n]`."""

    def __init__(self, capacity: int, fields: int, inputs: int) -> None:
        self._capacity, self._seen = capacity, 0
        size = min(capacity, START)
        self._ids = np.zeros((size, fields), np.int32)
        self._x = np.zeros((size, inputs), np.float16)
        self._y = np.zeros(size, np.float32)

    def __len__(self) -> int:
        return min(self._seen, self._capacity)

    def add(self, ids: I32, x: F32, y: F32, rng: np.random.Generator) -> None:
        """Each example takes a free place, or that of a random one with the chance that keeps the sample uniform."""
        order = self._seen + np.arange(len(y))
        place = np.where(order < self._capacity, order, rng.integers(0, order + 1))
        keep = place < self._capacity
        self._seen += len(y)
        while len(self._y) < len(self):
            self._grow()
        at = place[keep]
        self._ids[at], self._x[at], self._y[at] = ids[keep], x[keep], y[keep]

    def draw(self, n: int, rng: np.random.Generator) -> tuple[I32, F32, F32]:
        """`n` of them, with replacement."""
        at = rng.integers(0, len(self), n)
        return self._ids[at], self._x[at].astype(np.float32), self._y[at]

    def checkpoint(self) -> dict[str, npt.NDArray[Any]]:
        n = len(self)
        arrays = {"ids": self._ids[:n].copy(), "x": self._x[:n].copy(), "y": self._y[:n].copy()}
        return {**{f"memory.{k}": v for k, v in arrays.items()}, "memory.seen": np.array([self._seen])}

    def restore(self, state: Arrays) -> None:
        self._seen = int(state["memory.seen"][0])
        self._ids, self._x, self._y = (state[f"memory.{k}"].copy() for k in ("ids", "x", "y"))
        if not len(self._y):
            self._grow(START)

    def _grow(self, more: int = 0) -> None:
        more = more or min(len(self._y), self._capacity - len(self._y))
        for name in ("_ids", "_x", "_y"):
            old = getattr(self, name)
            setattr(self, name, np.concatenate([old, np.zeros((more, *old.shape[1:]), old.dtype)]))
