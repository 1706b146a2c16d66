"""numba kernel that answers for River's logistic regression, so that serving needs no River."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

LOWEST = 1e-6
HIGHEST = 1.0 - 1e-6


@nb.njit(nogil=True, cache=True)
def predict(
    categories: Any,
    numbers: Any,
    weights: Any,
    shift: Any,
    scale: Any,
    intercept: Any,
    buckets: Any,
    widest: Any,
    out: Any,
) -> None:
    """Probabilities into `out`, float64 `[n]`. `weights` holds the numbers', then each category's
    `buckets`."""
    n_numbers = numbers.shape[1]
    for row in range(out.size):
        total = intercept[0]
        for number in range(n_numbers):
            value = np.float64(numbers[row, number])
            if np.isfinite(value):
                total += weights[number] * min(
                    max((value - shift[number]) * scale[number], -widest), widest
                )
        for category in range(categories.shape[1]):
            hashed = categories[row, category]
            if hashed != np.uint64(0):  # which stands for a missing one
                total += weights[
                    n_numbers + category * buckets + np.int64(hashed % np.uint64(buckets))
                ]
        out[row] = min(max(1.0 / (1.0 + np.exp(-total)), LOWEST), HIGHEST)
