"""numba kernels from a number to the code of its bucket, and back to the value of that."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from freshet.features.compiled_kernels import inlined, kernel

# The exponent of the least float64 above 0, as `frexp` has it: what codes are counted from, so that
# those of numbers above 0 are.
LEAST_EXPONENT = -1073


@kernel
def bucket_of(value: Any, edges: Any, first: Any, parts: Any) -> Any:
    """The code of a finite number: of the larger number the larger code, and 0 of both zeros. The
    edges of its `parts` begin at `first`."""
    if value == 0.0:
        return 0
    share, exponent = math.frexp(abs(value))
    low = 0
    high = parts
    while high - low > 1:
        middle = (low + high) // 2
        if edges[first + middle] <= share:
            low = middle
        else:
            high = middle
    code = (np.int64(exponent) - LEAST_EXPONENT) * parts + low + 1
    return code if value > 0.0 else -code


@inlined
def value_of(code: Any, middles: Any, first: Any, parts: Any) -> Any:
    """The value that stands for all numbers of a bucket."""
    if code == 0:
        return 0.0
    at = abs(code) - 1
    value = math.ldexp(middles[first + at % parts], at // parts + LEAST_EXPONENT)
    return value if code > 0 else -value
