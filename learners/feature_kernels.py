"""How features are read, alike by every learner that hashes: seeds and ids, numbers and their
combinations."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numba as nb
import numpy as np

from freshet.schemas.models.vectors import U64

u64 = np.uint64


@nb.njit(inline="always", nogil=True, cache=True)
def mix(hashed: Any) -> Any:
    """SplitMix64's finaliser (Steele, Lea and Flood, 2014), of a uint64."""
    hashed = (hashed ^ (hashed >> u64(30))) * u64(0xBF58476D1CE4E5B9)
    hashed = (hashed ^ (hashed >> u64(27))) * u64(0x94D049BB133111EB)
    return hashed ^ (hashed >> u64(31))


def mixed(hashed: U64) -> U64:
    """`mix` of a whole column, by numpy."""
    out: U64 = mix.py_func(hashed)
    return out


def seeds_of(names: Sequence[str]) -> U64:
    """A seed for each name, which no other name moves."""
    digests = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names]
    return np.array([int.from_bytes(digest, "little") for digest in digests], np.uint64)


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
