"""Real snapshots for tests, signed and approved: hashed logistic models that differ from number to
number."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from freshet.learners.contract import Export
from freshet.learners.logistic.learner import HashedLogistic
from freshet.learners.snapshots import files as snapshots
from freshet.learners.snapshots.files import Facts
from freshet.learners.snapshots.keys import create_key
from freshet.learners.snapshots.signing import Signer
from freshet.schemas.models.manifest import Identity
from freshet.schemas.models.vectors import Vectors, VectorSchema

SCHEMA = VectorSchema(("carrier",), ("distance",))
LINEAGE = "hashed_logistic-0a"


class Mint:
    """Makes keys once, and snapshots as they are asked for."""

    def __init__(self, directory: Path, bits: int = 14) -> None:
        self.trainer = directory / "trainer"
        self.qualifier = directory / "qualifier"
        self.directory = directory / "snapshots"
        create_key(self.trainer)
        create_key(self.qualifier)
        self.bits = bits

    def export(self, number: int) -> Export:
        learner = HashedLogistic(bits=self.bits).make(SCHEMA)
        rng = np.random.default_rng(number)
        state = learner.checkpoint()
        state["weights"] = rng.normal(0, 0.3, 1 << self.bits).astype(np.float32)
        learner.restore(state)
        return learner.export()

    def cut(
        self,
        number: int,
        export: Export | None = None,
        approved: bool = True,
        vectors: VectorSchema = SCHEMA,
    ) -> Identity:
        facts = Facts(
            "flights",
            "late",
            LINEAGE,
            number,
            vectors,
            1000 * number,
            10 * number,
            7 * number,
        )
        which = snapshots.write(
            self.directory, facts, export or self.export(number), Signer.load(self.trainer)
        )
        if approved:
            snapshots.approve(self.directory, which, Signer.load(self.qualifier))
        return which

    def path(self, which: Identity) -> Path:
        return snapshots.path_of(self.directory, which)


def vectors(n: int) -> Vectors:
    """The same `n` vectors each time; row `i` is what `ToyScorer` makes of distance `i`."""
    categories = np.arange(1, n + 1, dtype=np.uint64)[:, None] * np.uint64(0x9E3779B97F4A7C15)
    return Vectors(categories, np.arange(n, dtype=np.float32)[:, None])
