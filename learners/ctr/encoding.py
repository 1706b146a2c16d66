"""How `TorchCtr` reads a vector, in numpy: hashed ids to embed, and numbers bent onto a common
scale.

A number with knots becomes its place among them, from -`WIDEST` to `WIDEST`. One without is brought
to mean 0 and deviation 1 by running moments, and its tails are drawn in: asinh(2 z) / 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.learners.hashing import mix, seeds_of
from freshet.learners.inputs.numeric import NumberTables
from freshet.learners.inputs.scaling import Scaling
from freshet.schemas.errors import LearnerError
from freshet.schemas.models.vectors import F32, Vectors, VectorSchema

I32 = npt.NDArray[np.int32]
DEFINITION = ("bits", "knots", "crosses", "combinations")  # the entries of `meta`
WIDEST = 1.5


class Encoding:
    """Ids int32 `[n, F]` of categories and their crosses; numbers and combinations float32 `[n,
    N]`, NaN where missing."""

    def __init__(self, schema: VectorSchema, meta: Mapping[str, Any]) -> None:
        self.tables = NumberTables.compile(schema, meta["knots"], meta["combinations"], default=())
        self.scaling = Scaling(len(self.tables), active=True)
        crosses: Sequence[Sequence[str]] = meta["crosses"]
        place = {name: i for i, name in enumerate(schema.categories)}
        crossed = {member for cross in crosses for member in cross}
        for name in sorted(crossed - set(place)):
            raise LearnerError(
                f"crosses with {name!r}",
                "it is no category",
                f"The categories are {', '.join(schema.categories)}.",
            )
        # Each category alone, then the crosses.
        self.members = [[at] for at in place.values()]
        self.members += [[place[member] for member in cross] for cross in crosses]
        self.seeds = seeds_of([*schema.categories, *("\x1f".join(cross) for cross in crosses)])
        self.shift = np.uint64(64 - meta["bits"])

    @property
    def fields(self) -> int:
        return len(self.members)

    @property
    def width(self) -> int:
        return len(self.tables)

    def ids(self, vectors: Vectors) -> I32:
        out = np.empty((len(vectors), self.fields), np.int32)
        for field, (members, seed) in enumerate(zip(self.members, self.seeds)):
            hashed = np.full(len(vectors), seed, np.uint64)
            for member in members:
                hashed = mix(hashed ^ vectors.categories[:, member])
            out[:, field] = (hashed >> self.shift).astype(np.int32)
        return out

    def numbers(self, vectors: Vectors, learn: bool = False) -> F32:
        """With `learn`, the running moments first take these vectors in."""
        values = self.tables.extend(vectors.numbers)
        if learn:
            self.scaling.update(values)
        shift, scale = self.scaling.shift_and_scale()
        out = np.arcsinh(2.0 * (values - shift) * scale) / 2.0
        for column, (first, after) in enumerate(pairwise(self.tables.knot_start.tolist())):
            if after > first:
                # Beyond the outermost knots `interp` stays at their places.
                places = np.linspace(-WIDEST, WIDEST, after - first)
                out[:, column] = np.interp(
                    values[:, column], self.tables.knots[first:after], places
                )
        return out.astype(np.float32)


def inputs(numbers: npt.NDArray[Any]) -> F32:
    """What the net sees of numbers `[n, N]`: float32 `[n, 2 N]`, 0 where missing, then 1 where
    missing."""
    missing = np.isnan(numbers)
    return np.concatenate([np.where(missing, 0, numbers), missing], axis=1, dtype=np.float32)
