"""How learners read numbers: combinations of them under a name of their own, and knots to
interpolate between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from freshet.schemas.errors import LearnerError
from freshet.schemas.models.vectors import F32, F64, VectorSchema

Knots = Mapping[str, Sequence[float]]
Combinations = Mapping[str, Mapping[str, float]]
I32 = npt.NDArray[np.int32]

# Dense near 0 and ever wider away from it, so that shares, minutes and counts all fall between some
# of them.
DEFAULT_KNOTS = tuple(round(0.1 * float(np.sinh(u)), 4) for u in np.arange(-17.0, 17.25, 0.5))


@dataclass(frozen=True, slots=True)
class NumberTables:
    """Flat tables that drive kernels. Number `j < N` is a vector's; after them come the
    combinations.

    Knots of `j` are `knots[knot_start[j]:knot_start[j + 1]]` (float64, rising); combination `m` is
    the sum of `factors[i] * x[inputs[i]]` for `i` in `start[m]:start[m + 1]`.
    """

    names: tuple[str, ...]
    knots: F64
    knot_start: I32
    start: I32
    inputs: I32
    factors: F64

    @staticmethod
    def compile(
        schema: VectorSchema,
        knots: Knots | None,
        combinations: Combinations | None,
        default: Sequence[float] = DEFAULT_KNOTS,
    ) -> NumberTables:
        """`default` are the knots of numbers that are given none; it may be empty.

        Raises:
            LearnerError: a name that the schema lacks, or knots that do not rise.
        """
        # In order of their names, whatever order a definition has when it comes back from JSON.
        sums = {
            name: dict(sorted(terms.items()))
            for name, terms in sorted((combinations or {}).items())
        }
        names = (*schema.numbers, *sums)
        if len(set(names)) != len(names):
            raise LearnerError(
                f"combinations {list(sums)}", "share a name with a number", "Rename them."
            )
        for name in knots or {}:
            _known(name, names, "knots")
        columns = [
            _rising(n, knots[n]) if knots and n in knots else np.array(default, np.float64)
            for n in names
        ]
        for name, terms in sums.items():
            for term in terms:
                _known(term, schema.numbers, f"combination {name!r}")
        place = {n: i for i, n in enumerate(schema.numbers)}
        return NumberTables(
            names,
            np.concatenate([*columns, np.zeros(0)]),
            _starts([len(c) for c in columns]),
            _starts([len(terms) for terms in sums.values()]),
            np.array([place[t] for terms in sums.values() for t in terms], np.int32),
            np.array([f for terms in sums.values() for f in terms.values()], np.float64),
        )

    def __len__(self) -> int:
        return len(self.names)

    def extend(self, numbers: F32) -> F64:
        """The numbers float32 `[n, N]` and their combinations, float64 `[n, len(self)]`; NaN where
        missing or infinite."""
        x = np.where(np.isfinite(numbers), numbers, np.nan).astype(np.float64)
        parts = [x]
        for a, b in zip(self.start[:-1], self.start[1:]):
            parts.append(np.sum(x[:, self.inputs[a:b]] * self.factors[a:b], axis=1, keepdims=True))
        return np.concatenate(parts, axis=1)


def _starts(lengths: list[int]) -> I32:
    return np.cumsum([0, *lengths]).astype(np.int32)


def _known(name: str, names: Sequence[str], where: str) -> None:
    if name not in names:
        raise LearnerError(
            where, f"there is no number {name!r}", f"The numbers are {', '.join(names)}."
        )


def _rising(name: str, knots: Sequence[float]) -> F64:
    out = np.array(knots, np.float64)
    if len(out) < 2 or not np.isfinite(out).all() or not (np.diff(out) > 0).all():
        raise LearnerError(
            f"knots of {name!r}", f"{list(knots)} do not rise", "Give at least two rising numbers."
        )
    return out
