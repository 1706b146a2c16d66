"""How features become ids: hashed once more under a seed of their own, alike by every learner that
hashes; numpy only."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from freshet.schemas.models.vectors import U64

u64 = np.uint64


def mix(hashed: Any) -> Any:
    """SplitMix64's finaliser (Steele, Lea and Flood, 2014), of uint64: of a column, or compiled
    (`freshet.learners.feature_kernels`) of one."""
    hashed = (hashed ^ (hashed >> u64(30))) * u64(0xBF58476D1CE4E5B9)
    hashed = (hashed ^ (hashed >> u64(27))) * u64(0x94D049BB133111EB)
    return hashed ^ (hashed >> u64(31))


def seeds_of(names: Sequence[str]) -> U64:
    """A seed for each name, which no other name moves."""
    digests = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names]
    return np.array([int.from_bytes(digest, "little") for digest in digests], np.uint64)
