"""numba kernels that answer for River's linear models, so that serving needs no River."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np


@nb.njit(inline="always", nogil=True, cache=True)
def score(
    categories: Any,
    numbers: Any,
    row: Any,
    weights: Any,
    shift: Any,
    scale: Any,
    first: Any,
    buckets: Any,
    widest: Any,
) -> Any:
    """The weighted sum of a row, from `first` on. `weights` holds the numbers', then each
    category's `buckets`."""
    n_numbers = numbers.shape[1]
    total = first
    for number in range(n_numbers):
        value = np.float64(numbers[row, number])
        if np.isfinite(value):
            total += weights[number] * min(
                max((value - shift[number]) * scale[number], -widest), widest
            )
    for category in range(categories.shape[1]):
        hashed = categories[row, category]
        if hashed != np.uint64(0):  # which stands for a missing one
            total += weights[n_numbers + category * buckets + np.int64(hashed % np.uint64(buckets))]
    return total


@nb.njit(nogil=True, cache=True)
def scores(
    categories: Any,
    numbers: Any,
    weights: Any,
    shift: Any,
    scale: Any,
    intercepts: Any,
    buckets: Any,
    widest: Any,
    out: Any,
) -> None:
    """Weighted sums into `out`, float64 `[n, k]`, by weights `[k, …]` and `intercepts` `[k]`."""
    for row in range(out.shape[0]):
        for one in range(out.shape[1]):
            out[row, one] = score(
                categories,
                numbers,
                row,
                weights[one],
                shift,
                scale,
                intercepts[one],
                buckets,
                widest,
            )
