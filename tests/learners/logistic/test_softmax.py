"""Hashed softmax regression, bit for bit, against the slow and obvious kind: a loop over rows, ids
and classes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.learners.logistic import kernels
from freshet.learners.logistic.learner import HashedLogistic
from freshet.schemas.errors import LearnerError
from freshet.schemas.models.tasks import Classes
from freshet.schemas.models.vectors import Vectors, VectorSchema
from tests.contracts.learner_battery import OF_CLASSES, Case, part, teach
from tests.learners.test_baseline_learner import shares

SPEC = HashedLogistic(
    bits=8, rate=0.1, crosses=[("color", "shape"), ("color", "size")], without=("age",)
)
CASE = Case(SPEC, within=0.0, task=OF_CLASSES)


def rows_of(spec: Any, vectors: Vectors, schema: VectorSchema) -> list[list[tuple[int, float]]]:
    """Ids and values of each row; that these are right is told by `test_learner`."""
    plan = spec.plan(schema)
    x = np.empty(plan.knot_start.size - 1)
    codes = np.empty(plan.seeds.size + x.size, np.uint64)
    ids = np.empty(kernels.most_ids.py_func(plan), np.int32)
    values = np.empty(ids.size)
    out = []
    for row in range(len(vectors)):
        used = kernels.encode(vectors.categories, vectors.numbers, row, plan, x, codes, ids, values)
        out.append(list(zip(ids[:used].tolist(), values[:used].tolist())))
    return out


def probabilities(scores: list[float]) -> list[float]:
    raised = [math.exp(score - max(scores)) for score in scores]
    total = 0.0
    for one in raised:
        total += one
    held = [max(one / total, 1e-6) for one in raised]
    total = 0.0
    for one in held:
        total += one
    return [one / total for one in held]


def test_it_learns_and_answers_as_a_loop_over_classes_does() -> None:
    examples = CASE.stream(400)
    width = OF_CLASSES.width
    weights = np.zeros((1 << 8, width), np.float32)
    squares = np.ones((1 << 8, width), np.float32)
    bias = [0.0] * width
    bias_squares = [1.0] * width
    expected = []
    rows = rows_of(SPEC, examples.vectors, CASE.schema)
    for row, label in zip(rows, examples.labels.tolist()):
        scores = list(bias)
        for at, value in row:
            for one in range(width):
                scores[one] += float(weights[at, one]) * value
        told = probabilities(scores)
        expected.append(told)
        for one in range(width):
            error = told[one] - (one == label)
            bias_squares[one] += error * error
            bias[one] -= 0.1 * error / math.sqrt(bias_squares[one])
            for at, value in row:
                gradient = error * value
                if gradient:
                    square = float(squares[at, one]) + gradient * gradient
                    squares[at, one] = square
                    step = 0.1 * gradient / math.sqrt(square)
                    weights[at, one] = float(weights[at, one]) - step
    learner = CASE.make()
    found = []
    for i in range(len(examples)):
        one_row = part(examples, i, i + 1)
        found.append(learner.predict(one_row.vectors)[0])
        learner.learn(one_row)
    np.testing.assert_array_equal(np.array(found), np.array(expected))
    state = learner.checkpoint()
    np.testing.assert_array_equal(state["weights"], weights)
    np.testing.assert_array_equal(state["squares"], squares)
    np.testing.assert_array_equal(state["bias"], [bias, bias_squares])


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(1, 299), max_size=10, unique=True).map(sorted))
def test_any_cuts_give_the_same_bits(ends: list[int]) -> None:
    whole = CASE.make()
    whole.learn(CASE.stream(300))
    cut = teach(CASE.make(), CASE.stream(300), ends)
    for name, array in whole.checkpoint().items():
        np.testing.assert_array_equal(array, cut.checkpoint()[name])


def test_shares_of_classes_are_those_of_the_labels_where_nothing_else_is_known() -> None:
    """Softmax regression of vectors without anything has biases alone."""
    case = Case(HashedLogistic(bits=8, rate=0.03), within=0.0, task=OF_CLASSES)
    examples = case.stream(3_000)
    examples.vectors.categories[:] = 0
    examples.vectors.numbers[:] = np.nan
    told = teach(case.make(), examples).predict(examples.vectors)[0]
    np.testing.assert_allclose(told, shares(examples.labels, OF_CLASSES.width), atol=0.05)


def test_more_weights_than_memory_has_room_for_are_refused() -> None:
    many = VectorSchema(("color",), (), task=Classes([f"class {i}" for i in range(1_000)]))
    with pytest.raises(LearnerError, match="268,435,456 weights"):
        HashedLogistic(bits=20).make(many)
    HashedLogistic(bits=8).make(many)
