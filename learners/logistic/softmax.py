"""`HashedLogistic` of several classes: softmax regression over the same hashed features, each class
with weights and learning rates of its own."""

from __future__ import annotations

import numpy as np

from freshet.learners.logistic import softmax_kernels as kernels
from freshet.learners.logistic.tables import HashedLearner, HashedPredictor, Made, Method, Tables
from freshet.schemas.errors import LearnerError

KIND = "hashed_softmax"
METHOD = Method(
    KIND,
    ("weights", "bias"),
    kernels.predict,
    ("weights", "squares", "bias"),
    kernels.learn,
)
MOST_WEIGHTS = 1 << 28  # of 8 bytes each in the trainer: as many as the largest binary table has


def learner(made_of: Made, rate: float, start: float) -> HashedLearner:
    """Two float32 tables of `2^bits` rows with a column for each class, and biases. `rate` is
    Adagrad's, `start` what its sums of squares begin with.

    Raises:
        LearnerError: there would be more than 2^28 weights.
    """
    bits = made_of.definition.bits
    width = made_of.schema.task.width
    count = width << bits
    if count > MOST_WEIGHTS:
        raise LearnerError(
            f"{made_of.origin.name} with bits={bits} for {width} classes",
            f"would have {count:,} weights",
            f"Use fewer bits: there may be {MOST_WEIGHTS:,} weights.",
        )

    shape = (1 << bits, width)
    tables: Tables = {
        "weights": np.zeros(shape, np.float32),
        "squares": np.full(shape, start, np.float32),
        # All classes are equal at first; Adagrad's sums of squares are below.
        "bias": np.stack([np.zeros(width), np.full(width, float(start))]),
    }
    return HashedLearner(METHOD, rate, made_of, tables)


class HashedSoftmaxPredictor(HashedPredictor):
    """Probabilities of classes."""

    method = METHOD
