"""Golden requests: made-up vectors that every snapshot must answer sensibly, and warms up on."""

from __future__ import annotations

import numpy as np

from freshet.learners.contract import Export, Learner
from freshet.schemas.models.vectors import Vectors, VectorSchema

ROWS = 64
ANSWERS = "golden"


def golden_vectors(schema: VectorSchema, rows: int = ROWS) -> Vectors:
    """The same `rows` vectors each time: usual, missing, zero and extreme values. Row 0 is missing
    throughout."""
    rng = np.random.default_rng(20130101)
    # Drawn in this order for ever: snapshots hold their trainers' answers to these very vectors.
    shape = (rows, len(schema.categories))
    categories = rng.integers(1, 1 << 63, shape, np.uint64)
    categories[rng.random(shape) < 0.1] = 0
    shape = (rows, len(schema.numbers))
    normal = rng.normal(0, 1, shape)
    numbers = (normal * 10.0 ** rng.integers(-2, 4, shape)).astype(np.float32)
    kind = rng.random(shape)
    numbers[kind < 0.1] = np.nan
    numbers[(kind >= 0.1) & (kind < 0.15)] = 0.0
    numbers[(kind >= 0.15) & (kind < 0.17)] = np.float32(1e9)
    categories[0] = 0
    numbers[0] = np.nan
    return Vectors(categories, numbers)


def attested(learner: Learner, schema: VectorSchema) -> Export:
    """The learner's export, with the learner's own answers to the golden vectors in `meta`."""
    export = learner.export()
    answers = learner.predict(golden_vectors(schema)).tolist()
    return Export(export.kind, {**export.meta, ANSWERS: answers}, export.arrays)
