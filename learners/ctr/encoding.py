"""How `TorchCtr` reads a vector, in numpy: hashed ids to embed, and numbers bent onto a common
scale.

A number with knots becomes its place among them, from -`WIDEST` to `WIDEST`. One without is brought
to mean 0 and deviation 1 by running moments, and its tails are drawn in: asinh(2 z) / 2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.learners.inputs.numeric import NumberTables
from freshet.learners.inputs.scaling import Scaling
from freshet.schemas.errors import LearnerError
from freshet.schemas.models.vectors import F32, U64, Vectors, VectorSchema

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
        for name in sorted({n for cross in crosses for n in cross} - set(place)):
            raise LearnerError(
                f"crosses with {name!r}",
                "it is no category",
                f"The categories are {', '.join(schema.categories)}.",
            )
        self.members = [[i] for i in range(len(place))] + [
            [place[n] for n in cross] for cross in crosses
        ]
        self.seeds = _seeds([*schema.categories, *("\x1f".join(cross) for cross in crosses)])
        self.shift = np.uint64(64 - meta["bits"])

    @property
    def fields(self) -> int:
        return len(self.members)

    @property
    def width(self) -> int:
        return len(self.tables)

    def ids(self, vectors: Vectors) -> I32:
        out = np.empty((len(vectors), self.fields), np.int32)
        for f, (members, seed) in enumerate(zip(self.members, self.seeds)):
            h = np.full(len(vectors), seed, np.uint64)
            for m in members:
                h = _mix(h ^ vectors.categories[:, m])
            out[:, f] = (h >> self.shift).astype(np.int32)
        return out

    def numbers(self, vectors: Vectors, learn: bool = False) -> F32:
        """With `learn`, the running moments first take these vectors in."""
        x = self.tables.extend(vectors.numbers)
        if learn:
            self.scaling.update(x)
        shift, scale = self.scaling.shift_and_scale()
        out = np.arcsinh(2.0 * (x - shift) * scale) / 2.0
        for j, (a, b) in enumerate(pairwise(self.tables.knot_start.tolist())):
            if b > a:
                places = np.linspace(-WIDEST, WIDEST, b - a)
                out[:, j] = np.interp(x[:, j], self.tables.knots[a:b], places)
        return out.astype(np.float32)


def inputs(numbers: npt.NDArray[Any]) -> F32:
    """What the net sees of numbers `[n, N]`: float32 `[n, 2 N]`, 0 where missing, then 1 where
    missing."""
    missing = np.isnan(numbers)
    return np.concatenate([np.where(missing, 0, numbers), missing], axis=1, dtype=np.float32)


def _mix(h: U64) -> U64:
    """SplitMix64's finaliser (Steele, Lea and Flood, 2014)."""
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


def _seeds(names: Sequence[str]) -> U64:
    digests = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names]
    return np.array([int.from_bytes(d, "little") for d in digests], np.uint64)
