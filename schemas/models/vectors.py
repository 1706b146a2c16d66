"""What a model sees: vectors, and the examples that pair them with labels. numpy only, so learners
run anywhere.

A vector has `C` categories and `N` numbers. A category is the 64-bit hash of its text (0: missing);
a number is a float32 (NaN: missing). Both are computed once, in the scorer, logged, and never
computed again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from freshet.schemas.models.tasks import DEFAULT_TASK, Task

U64 = npt.NDArray[np.uint64]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
# A column of vectors: its name, and the digest of what its values come from.
Column = tuple[str, str]


class Places(NamedTuple):
    """Where the columns of some vectors stand among those of others: int `[C]` and `[N]`."""

    categories: npt.NDArray[np.intp]
    numbers: npt.NDArray[np.intp]

    def of(self, vectors: Vectors) -> Vectors:
        """Those columns alone, in their order."""
        # Taken and not indexed: that keeps rows contiguous, as kernels want them.
        return Vectors(
            np.take(vectors.categories, self.categories, axis=1),
            np.take(vectors.numbers, self.numbers, axis=1),
        )


@dataclass(frozen=True, slots=True)
class VectorSchema:
    """The names of a vector's categories and numbers, in order.

    `meaning` is the digest of what is asked, and of what its label says: vectors for another label
    are others. `meanings` are those of the columns, categories first: a column of the same name
    over another view is another one. Without any (`()`) a column is its name alone. `task` says
    what is predicted of such vectors, and what their labels are."""

    categories: tuple[str, ...]
    numbers: tuple[str, ...]
    meaning: str = field(default="", repr=False)
    meanings: tuple[str, ...] = field(default=(), repr=False)
    task: Task = field(default=DEFAULT_TASK, repr=False)

    @property
    def digest(self) -> str:
        """16 hex digits that change when a name, the order or a meaning does."""
        names: tuple[str, ...] = (
            "\x1f".join(self.categories),
            "\x1f".join(self.numbers),
            self.meaning,
            "\x1f".join(self.meanings),
        )
        # Of a binary one nothing: what was learned before there were tasks goes on.
        if self.task.facts:
            names += ("\x1f".join(self.task.facts),)
        # By separators that no name of a field has, so that ("a", "b") is not ("ab",).
        text = "\x1e".join(names)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def lacking(self, among: VectorSchema) -> tuple[str, ...]:
        """The names of its columns that others do not have."""
        own = with_meanings(
            self.categories,
            self.numbers,
            self.meanings,
        )
        theirs = with_meanings(
            among.categories,
            among.numbers,
            among.meanings,
        )
        return tuple(
            name
            for mine, others in zip(own, theirs)
            for name, meaning in mine
            if (name, meaning) not in others
        )

    def places_in(self, among: VectorSchema) -> Places | None:
        """Where its columns stand among others, which have them all; None where they are the
        same."""
        if (self.categories, self.numbers) == (among.categories, among.numbers):
            return None
        return Places(
            places(self.categories, among.categories),
            places(self.numbers, among.numbers),
        )


def with_meanings(
    categories: Sequence[str], numbers: Sequence[str], meanings: Sequence[str]
) -> tuple[list[Column], list[Column]]:
    """Categories and numbers, each with its meaning."""
    # Of columns without meanings it is empty.
    told = meanings or [""] * (len(categories) + len(numbers))
    return (
        list(zip(categories, told)),
        list(zip(numbers, told[len(categories) :])),
    )


def places(wanted: Sequence[str], among: Sequence[str]) -> npt.NDArray[np.intp]:
    """Where each of the `wanted` names stands."""
    return np.array([among.index(name) for name in wanted], np.intp)


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
    """`n` vectors with their labels, float32 `[n]`, in log order: 0.0 or 1.0, of classes the place
    among those declared (0.0, 1.0, 2.0 …), of a regression the number."""

    vectors: Vectors
    labels: F32

    def __len__(self) -> int:
        return len(self.labels)
