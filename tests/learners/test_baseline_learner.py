"""The decayed base rate."""

from __future__ import annotations

import numpy as np

from freshet.learners.baseline_learner import Baseline
from freshet.schemas.models.vectors import Examples, Vectors
from tests.contracts.learner_battery import SCHEMA, stream


def test_it_is_the_decayed_mean_of_the_labels() -> None:
    learner, examples = Baseline(half_life=10, prior=0.2).make(SCHEMA), stream(40)
    learner.learn(examples)
    total, weight = 0.2, 1.0
    for y in examples.labels.tolist():
        total, weight = total * 0.5**0.1 + y, weight * 0.5**0.1 + 1
    np.testing.assert_allclose(learner.predict(examples.vectors), total / weight, rtol=1e-12)


def test_it_never_says_never() -> None:
    learner, none = Baseline(half_life=1).make(SCHEMA), np.zeros(2000, np.float32)
    learner.learn(
        Examples(Vectors(np.zeros((2000, 2), np.uint64), np.zeros((2000, 3), np.float32)), none)
    )
    assert 0 < learner.predict(stream(1).vectors)[0] < 1e-5
