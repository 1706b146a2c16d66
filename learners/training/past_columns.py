"""What a lineage is told of columns that nobody read yet when its examples were asked."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from freshet.schemas.models.vectors import Vectors


class Reconstructed(NamedTuple):
    """Vectors as of their questions, and which of them are known, bool `[n]`: of the others nothing
    is told."""

    vectors: Vectors
    known: npt.NDArray[np.bool_]


class PastColumns(Protocol):
    """Values as they were at each question, computed of the past. They are facts: a question's are
    the same each time."""

    def covers(self, after: int) -> bool:
        """Whether all is told of questions before this offset of the examples log."""
        ...

    def of(self, asks: npt.NDArray[np.int64]) -> Reconstructed:
        """Of questions by their numbers `[n]`, by the columns of the lineage."""
        ...
