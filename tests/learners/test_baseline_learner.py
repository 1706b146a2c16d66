"""The decayed base rate, of all tasks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from freshet.learners.baseline_learner import Baseline
from freshet.schemas.models.tasks import Regression
from freshet.schemas.models.vectors import F32, F64, Examples, Vectors
from tests.contracts.learner_battery import OF_CLASSES, SCHEMA, Case, stream


def shares(labels: F32, width: int) -> F64:
    return np.bincount(labels.astype(np.int64), minlength=width) / len(labels)


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


def test_of_classes_it_is_the_decayed_share_of_each() -> None:
    case = Case(Baseline(half_life=10), within=0.0, task=OF_CLASSES)
    learner = case.make()
    examples = case.stream(40)
    learner.learn(examples)
    totals = [0.25] * 4
    weight = 1.0
    for label in examples.labels.tolist():
        totals = [total * 0.5**0.1 + (one == label) for one, total in enumerate(totals)]
        weight = weight * 0.5**0.1 + 1
    expected = [total / weight for total in totals]
    np.testing.assert_allclose(learner.predict(examples.vectors)[0], expected, rtol=1e-5)


def test_of_numbers_it_is_their_decayed_mean_and_0_before_the_first() -> None:
    learner = Baseline(half_life=10).make(replace(SCHEMA, task=Regression()))
    asked = stream(2).vectors
    np.testing.assert_array_equal(learner.predict(asked), [0.0, 0.0])
    total = 0.0
    weight = 0.0
    for label in (100.0, 300.0, -50.0):
        learner.learn(Examples(stream(1).vectors, np.array([label], np.float32)))
        total = total * 0.5**0.1 + label
        weight = weight * 0.5**0.1 + 1
        np.testing.assert_allclose(learner.predict(asked), total / weight, rtol=1e-12)
