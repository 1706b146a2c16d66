"""Running means and deviations of numbers, merged step by step (Chan, Golub and LeVeque, 1979)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.learners.contract import Arrays
from freshet.schemas.models.vectors import F32, F64

WIDEST = 4.0  # deviations; what lies further out counts as that


class Scaling:
    """Numbers that are not finite are missing: not counted, and left out. Without `active`, numbers
    pass as they are."""

    def __init__(self, width: int, active: bool) -> None:
        self._active = active
        # how many, their mean, their summed squared deviations
        self._moments = np.zeros((3, width))

    def update(self, numbers: F32 | F64) -> None:
        """Take in numbers `[n, N]`, `n >= 1`."""
        x = numbers.astype(np.float64)
        present = np.isfinite(x)
        x = np.where(present, x, 0.0)
        n = present.sum(axis=0)
        seen, mean, squares = self._moments
        step_mean = x.sum(axis=0) / np.maximum(n, 1)
        step_squares = (np.where(present, x - step_mean, 0.0) ** 2).sum(axis=0)
        share = n / np.maximum(seen + n, 1)
        delta = step_mean - mean
        self._moments = np.stack(
            [seen + n, mean + delta * share, squares + step_squares + delta**2 * seen * share]
        )

    def shift_and_scale(self) -> tuple[F64, F64]:
        """What to subtract and what to multiply with, float64 `[N]` each; a number that never
        varied becomes 0."""
        seen, mean, squares = self._moments
        if not self._active:
            return np.zeros_like(mean), np.ones_like(mean)
        deviation = np.sqrt(squares / np.maximum(seen, 1))
        return mean.copy(), np.divide(
            1.0, deviation, out=np.zeros_like(deviation), where=deviation > 1e-9
        )

    def apply(self, numbers: F32) -> F64:
        """Scaled numbers, float64 `[n, N]`; NaN where missing or infinite."""
        x = np.where(np.isfinite(numbers), numbers, np.nan).astype(np.float64)
        if not self._active:
            return x
        shift, scale = self.shift_and_scale()
        return np.clip((x - shift) * scale, -WIDEST, WIDEST)

    def checkpoint(self) -> dict[str, npt.NDArray[Any]]:
        return {"moments": self._moments.copy()}

    def restore(self, state: Arrays) -> None:
        self._moments = state["moments"].copy()
