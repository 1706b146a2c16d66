"""How fine sketches are: buckets of a declared relative error, registers of a declared standard
error.

A bucket is a part of a power of two: each is cut into so many parts of one ratio. Its value is the
one that is as far, in ratio, from both of its edges. Source: the mapping of DDSketch, whose gamma
is the 2^(1/parts) here (Masson, Rim and Lee, "DDSketch: a fast and fully-mergeable quantile sketch
with relative-error guarantees", 2019). Edges come from a table, as logarithms differ in the last
bit from one processor to another.
"""

from __future__ import annotations

import math
from decimal import Decimal
from functools import lru_cache

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
# Of each sign a tile keeps as many buckets as so many powers of two have; beyond, those that are
# nearest to zero become one. A million lies between the ends of them.
POWERS_A_SIGN = 20
LEAST_ERROR = 0.001
LARGEST_ERROR = 0.25
# Of the estimate from so many registers: Ertl (2017), the square root of 3 ln 2 - 1.
_SPREAD = 1.0390
FEWEST_BITS = 4
MOST_BITS = 14
LEAST_DISTINCT_ERROR = 0.01


def parts_of(error: float) -> int:
    """Into how many parts a power of two is cut, so that no value is off by more than `error`, as a
    share of itself."""
    exact = Decimal(repr(error))
    ratio = (1 + exact) / (1 - exact)
    # In decimals: of 28 digits on every machine.
    return math.ceil(Decimal(2).ln() / ratio.ln())


@lru_cache(maxsize=64)
def edges_of(parts: int) -> F64:
    """Where the parts of the numbers from 0.5 to 1 begin, and the last one ends, float64
    `[parts + 1]`."""
    return np.array([float(Decimal(2) ** (Decimal(at) / parts - 1)) for at in range(parts + 1)])


def middles_of(parts: int) -> F64:
    """The values of these parts, float64 `[parts + 1]`; the last is nobody's."""
    edges = edges_of(parts)
    low = edges[:-1]
    high = edges[1:]
    return np.append(2.0 * low * high / (low + high), 1.0)


def bits_of(error: float) -> int:
    """The bits of a register's number, so that the estimate's standard error is `error` at most."""
    bits = FEWEST_BITS
    while bits < MOST_BITS and _SPREAD / math.sqrt(1 << bits) > error:
        bits += 1
    return bits
