"""What a model sees: vectors, and the examples that pair them with labels. numpy only, so learners
run anywhere.

A vector has `C` categories and `N` numbers. A category is the 64-bit hash of its text (0: missing);
a number is a float32 (NaN: missing). Both are computed once, in the scorer, logged, and never
computed again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class VectorSchema:
    """The names of a vector's categories and numbers, in order.

    `meaning` is the digest of what its values and their labels come from: vectors of the same names
    over other views, or for another label, are others."""

    categories: tuple[str, ...]
    numbers: tuple[str, ...]
    meaning: str = field(default="", repr=False)

    @property
    def digest(self) -> str:
        """16 hex digits that change when a name, the order or the meaning does."""
        names = ("\x1f".join(self.categories), "\x1f".join(self.numbers), self.meaning)
        # By separators that no name of a field has, so that ("a", "b") is not ("ab",).
        text = "\x1e".join(names)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Vectors:
    """`n` vectors: `categories` uint64 `[n, C]` and `numbers` float32 `[n, N]`, both
    C-contiguous."""

    categories: U64
    numbers: F32

    def __len__(self) -> int:
        return len(self.categories)

    def take(self, rows: npt.NDArray[np.intp]) -> Vectors:
        return Vectors(self.categories[rows], self.numbers[rows])

    @staticmethod
    def concatenate(parts: list[Vectors]) -> Vectors:
        return Vectors(
            np.concatenate([part.categories for part in parts]),
            np.concatenate([part.numbers for part in parts]),
        )


@dataclass(frozen=True, slots=True)
class Examples:
    """`n` vectors with their labels, float32 `[n]` of 0.0 or 1.0, in log order."""

    vectors: Vectors
    labels: F32

    def __len__(self) -> int:
        return len(self.labels)
