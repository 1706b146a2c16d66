"""Random draws that belong to a row: another row more or less changes none of them."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]


class Draws:
    """SplitMix64 of the seed, the topic, a purpose and the row's place in the data.

    Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014.
    """

    def __init__(self, seed: int, topic: str, rows: npt.NDArray[Any]) -> None:
        self._key = f"{seed}/{topic}"
        self._rows = rows.astype(np.uint64)

    def _bits(self, purpose: str) -> U64:
        stream = random.Random(f"{self._key}/{purpose}").getrandbits(64)
        z = self._rows * np.uint64(0x9E3779B97F4A7C15) + np.uint64(stream)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))

    def share(self, purpose: str, probability: float) -> npt.NDArray[np.bool_]:
        """True for about this share of rows."""
        # The upper 53 bits, as many as a double holds.
        return (self._bits(purpose) >> np.uint64(11)) < np.uint64(probability * (1 << 53))

    def below(self, purpose: str, most: int) -> I64:
        """Whole numbers from 0 to `most` - 1."""
        return (self._bits(purpose) % np.uint64(most)).astype(np.int64)
