"""How many examples a second does our hashed logistic regression predict and learn, beside River's?

The vectors are as wide as the demo's; both predict each step of 64 before they learn it.
"""

from __future__ import annotations

import numpy as np

from freshet.learners.contract import Learner, LearnerSpec
from freshet.learners.logistic.learner import HashedLogistic
from freshet.learners.river.spec import River
from freshet.learners.training.prequential import auc
from freshet.schemas.models.vectors import Examples, Vectors
from tests.bench import inputs
from tests.bench.harness import Row, in_turns, rates

N, STEP = 64 * 60, 64


def examples() -> Examples:
    """Made-up vectors of the demo's shape, whose label depends on two numbers and a category."""
    schema = inputs.app().models[0].vectors
    rng = np.random.default_rng(2013)
    words = rng.integers(1, 1 << 62, 200).astype(np.uint64)
    pick = rng.integers(0, len(words), (N, len(schema.categories)))
    numbers = rng.normal(size=(N, len(schema.numbers))).astype(np.float32)
    score = numbers[:, 0] - numbers[:, 1] + (pick[:, 0] % 3)
    numbers[rng.random(numbers.shape) < 0.1] = np.nan
    return Examples(Vectors(words[pick], numbers), (score > 1.5).astype(np.float32))


def learned(spec: LearnerSpec, steps: list[Examples]) -> np.ndarray:
    """The predictions that a learner makes on its way."""
    learner: Learner = spec.make(inputs.app().models[0].vectors)
    out = []
    for step in steps:
        out.append(learner.predict(step.vectors))
        learner.learn(step)
    return np.concatenate(out)


def run() -> list[Row]:
    all_, cuts = examples(), range(0, N, STEP)
    at = [np.arange(a, a + STEP) for a in cuts]
    steps = [Examples(all_.vectors.take(rows), all_.labels[rows]) for rows in at]
    figures = {
        x.name: round(auc(all_.labels, learned(x, steps)), 3) for x in (HashedLogistic(), River())
    }
    taken = in_turns(
        lambda: learned(HashedLogistic(), steps), lambda: learned(River(), steps), rounds=3
    )
    return [
        rates(
            "learner", "examples/s", N, taken, "River's logistic regression", step=STEP, auc=figures
        )
    ]
