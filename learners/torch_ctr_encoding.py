"""How `TorchCtr` reads a vector, in numpy: hashed ids to embed, and numbers bent onto a common scale."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from learners.numbers import NumberTables
from schemas.errors import LearnerError
from schemas.vectors import F32, U64, Vectors, VectorSchema

I32 = npt.NDArray[np.int32]
WIDEST = 1.5  # where the outermost knots are mapped to


class Encoding:
    """Ids int32 `[n, F]` of categories and their crosses; inputs float32 `[n, D]`: numbers, then which are missing."""

    def __init__(self, schema: VectorSchema, meta: Mapping[str, Any]) -> None:
        self.numbers = NumberTables.compile(schema, meta["knots"], meta["combinations"])
        crosses: Sequence[Sequence[str]] = meta["crosses"]
        for name in sorted({n for cross in crosses for n in cross} - set(schema.categories)):
            raise LearnerError(
                f"crosses with {name!r}", "it is no category", f"The categories are {', '.join(schema.categories)}."
            )
        place = {name: i for i, name in enumerate(schema.categories)}
        self.members = [[i] for i in range(len(place))] + [[place[n] for n in cross] for cross in crosses]
        self.seeds = _seeds([*schema.categories, *("\x1f".join(cross) for cross in crosses)])
        self.shift = np.uint64(64 - meta["bits"])

    @property
    def fields(self) -> int:
        return len(self.members)

    @property
    def inputs(self) -> int:
        return 2 * len(self.numbers)

    def ids(self, vectors: Vectors) -> I32:
        out = np.empty((len(vectors), self.fields), np.int32)
        for f, (members, seed) in enumerate(zip(self.members, self.seeds)):
            h = np.full(len(vectors), seed, np.uint64)
            for m in members:
                h = _mix(h ^ vectors.categories[:, m])
            out[:, f] = (h >> self.shift).astype(np.int32)
        return out

    def dense(self, vectors: Vectors) -> F32:
        """Each number by its place among its knots, from -1.5 to 1.5 (0 where missing), then 1 where missing."""
        x = self.numbers.extend(vectors.numbers)
        missing = np.isnan(x)
        out = np.zeros((len(x), self.inputs), np.float32)
        starts, n = self.numbers.knot_start.tolist(), len(self.numbers)
        for j, (a, b) in enumerate(zip(starts[:-1], starts[1:])):
            out[:, j] = np.interp(x[:, j], self.numbers.knots[a:b], np.linspace(-WIDEST, WIDEST, b - a))
        out[:, :n][missing] = 0.0
        out[:, n:] = missing
        return out


def _mix(h: U64) -> U64:
    """SplitMix64's finaliser (Steele, Lea and Flood, 2014)."""
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


def _seeds(names: Sequence[str]) -> U64:
    digests = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names]
    return np.array([int.from_bytes(d, "little") for d in digests], np.uint64)
