"""numba kernels of how features are read, alike by every learner that hashes."""

from __future__ import annotations

from typing import Any

import numba as nb

from freshet.learners import hashing

mix = nb.njit(inline="always", nogil=True, cache=True)(hashing.mix)


@nb.njit(nogil=True, cache=True)
def read_numbers(numbers: Any, row: Any, start: Any, inputs: Any, factors: Any, x: Any) -> None:
    """The numbers of a row into `x`, and after them the combinations, as
    `learners.inputs.numeric.NumberTables` has them."""
    given = numbers.shape[1]
    for j in range(given):
        x[j] = numbers[row, j]
    for m in range(start.size - 1):
        total = 0.0
        for i in range(start[m], start[m + 1]):
            total += factors[i] * x[inputs[i]]
        x[given + m] = total
