"""Skew: how far the vectors that a model is asked on are from those that it learned from.

Both are the newest of their kind, so what is compared moves on with time. The reference lags by as
long as labels take, and lacks whatever gets none: that is what models learn from, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.serving.status.status import SkewFigures
from freshet.streams.sketches.comparison import compared
from freshet.streams.sketches.sketch import Sketch
from freshet.streams.sketches.sketch_kernels import BOUND, DROPPED_BITS, HASH_BITS

LEARNED = 5_000
ASKED = 1_000
# Of fewer the distance is large by chance alone.
LEAST = 100
MOST_FEATURES = 100
MOST_PARTS = 32
_MAGNITUDE = np.int64(0x7FFFFFFFFFFFFFFF)
I64 = npt.NDArray[np.int64]
Fixed = npt.NDArray[np.void]


class Skew:
    """Of one model. `categories` and `numbers` name its vector's columns in order."""

    def __init__(self, categories: tuple[str, ...], numbers: tuple[str, ...]) -> None:
        self._categories = categories[:MOST_FEATURES]
        self._numbers = numbers[: MOST_FEATURES - len(self._categories)]
        self._asked: list[Fixed] = []
        self._learned: list[Fixed] = []

    def take(self, asked: Fixed, learned: Fixed) -> None:
        """Rows in the order of the examples log: vectors that were asked on, and learned from."""
        self._asked = _newest(self._asked, asked, ASKED)
        self._learned = _newest(self._learned, learned, LEARNED)

    @property
    def is_known(self) -> bool:
        """Whether there are enough vectors of both to tell anything."""
        return min(_count(self._asked), _count(self._learned)) >= LEAST

    def figures(self) -> list[SkewFigures]:
        """By feature, categories first; none before enough of both are known."""
        if not self.is_known:
            return []
        return list(self._compared(_joined(self._asked, ASKED), _joined(self._learned, LEARNED)))

    def _compared(self, asked: Fixed, learned: Fixed) -> Iterator[SkewFigures]:
        for at, name in enumerate(self._categories):
            pair = (_categories(rows["categories"][:, at]) for rows in (asked, learned))
            yield _figures(name, *pair)
        for at, name in enumerate(self._numbers):
            pair = (_numbers(rows["numbers"][:, at]) for rows in (asked, learned))
            yield _figures(name, *pair)


def _newest(kept: list[Fixed], given: Fixed, most: int) -> list[Fixed]:
    """Parts of so many rows, and of a few more."""
    if not len(given):
        return kept
    # Copied: they are a view of a whole block of the log.
    found = [*kept, given[-most:].copy()]
    # Joined now and then: each time would copy thousands of rows for each one that comes.
    if len(found) > MOST_PARTS:
        return [_joined(found, most)]
    return found


def _count(parts: list[Fixed]) -> int:
    return sum(map(len, parts))


def _joined(parts: list[Fixed], most: int) -> Fixed:
    return np.concatenate(parts)[-most:]


def _figures(name: str, asked: Sketch, learned: Sketch) -> SkewFigures:
    found = compared(asked, learned)
    # Both have rows, and all that is known of those is known.
    assert found is not None
    return SkewFigures(
        feature=name,
        psi=found.psi,
        jensen_shannon=found.jensen_shannon,
        largest=found.largest,
        asked=found.now,
        learned=found.reference,
    )


def _categories(hashes: npt.NDArray[Any]) -> Sketch:
    """Hashes of categories as a sketch of texts; nobody is told their names."""
    keys = np.ascontiguousarray(hashes).astype(np.uint64) >> np.uint64(64 - HASH_BITS)
    values, counts = np.unique(keys.astype(np.int64), return_counts=True)
    names = [""] * len(values)
    rows = len(hashes)
    return Sketch(rows, rows, keys=values.tolist(), counts=counts.tolist(), names=names)


def _numbers(column: npt.NDArray[Any]) -> Sketch:
    """Numbers as `sketch_kernels.count_numbers` makes a sketch of them, but for the moments."""
    values = np.ascontiguousarray(column).astype(np.float64) + 0.0  # which gives zero one sign
    there = values[~np.isnan(values)]
    if not len(there):
        return Sketch(len(values))
    bits = there.view(np.int64)
    ordered = bits ^ ((bits >> 63) & _MAGNITUDE)
    level = 0
    keys, counts = np.unique(ordered >> DROPPED_BITS, return_counts=True)
    while len(keys) > BOUND:
        level += 1
        keys, counts = _halved(keys, counts)
    return Sketch(
        len(values),
        len(there),
        float(there.min()),
        float(there.max()),
        level=level,
        keys=keys.tolist(),
        counts=counts.tolist(),
    )


def _halved(keys: I64, counts: I64) -> tuple[I64, I64]:
    found, place = np.unique(keys >> 1, return_inverse=True)
    return found, np.bincount(place, weights=counts).astype(np.int64)
