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
    for r in range(out.size):
        s = intercept[0]
        for j in range(n_numbers):
            x = np.float64(numbers[r, j])
            if np.isfinite(x):
                s += weights[j] * min(max((x - shift[j]) * scale[j], -widest), widest)
        for c in range(categories.shape[1]):
            h = categories[r, c]
            if h != np.uint64(0):
                s += weights[n_numbers + c * buckets + np.int64(h % np.uint64(buckets))]
        out[r] = min(max(1.0 / (1.0 + np.exp(-s)), LOWEST), HIGHEST)
