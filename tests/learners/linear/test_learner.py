"""Hashed linear regression, bit for bit, against the slow and obvious kind, and in any unit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.learners.linear.learner import HashedLinear
from freshet.learners.logistic.learner import HashedLogistic
from freshet.schemas.errors import LearnerError
from freshet.schemas.models.tasks import Regression
from freshet.schemas.models.vectors import F64, Examples
from tests.contracts.learner_battery import Case, part, teach
from tests.learners.logistic.test_softmax import rows_of

SPEC = HashedLinear(
    bits=8, rate=0.1, crosses=[("color", "shape"), ("color", "size")], without=("age",), huber=1.5
)
FEATURES = HashedLogistic(bits=8, crosses=SPEC.crosses, without=SPEC.without)
CASE = Case(SPEC, within=0.0, task=Regression())


def one_by_one(spec: HashedLinear, examples: Examples) -> F64:
    """What a learner says of each before it learns it."""
    learner = spec.make(CASE.schema)
    found = []
    for i in range(len(examples)):
        row = part(examples, i, i + 1)
        found.append(learner.predict(row.vectors)[0])
        learner.learn(row)
    return np.array(found)


def test_it_learns_and_answers_as_a_loop_over_ids_does() -> None:
    examples = CASE.stream(400)
    # One that is nowhere near the others, when the scale has settled.
    examples.labels[250] = 1e30
    weights = np.zeros(1 << 8, np.float32)
    squares = np.ones(1 << 8, np.float32)
    bias = 0.0
    bias_square = 1.0
    count = 0
    mean = 0.0
    summed = 0.0
    lowest = 0.0
    highest = 0.0
    expected = []
    rows = rows_of(FEATURES, examples.vectors, CASE.schema)
    for row, label in zip(rows, examples.labels.tolist()):
        score = bias
        for at, value in row:
            score += float(weights[at]) * value
        unit = math.sqrt(summed / count) if summed else 1.0
        expected.append(min(max(mean + unit * score, lowest), highest))
        if count >= 100:
            label = min(max(label, mean - 100 * unit), mean + 100 * unit)
        lowest = min(lowest, label) if count else label
        highest = max(highest, label) if count else label
        count += 1
        away = label - mean
        mean += away / count
        summed += away * (label - mean)
        unit = math.sqrt(summed / count) if summed else 1.0
        error = min(max(score - (label - mean) / unit, -1.5), 1.5)
        bias_square += error * error
        bias -= 0.1 * error / math.sqrt(bias_square)
        for at, value in row:
            gradient = error * value
            if gradient:
                square = float(squares[at]) + gradient * gradient
                squares[at] = square
                weights[at] = float(weights[at]) - 0.1 * gradient / math.sqrt(square)
    np.testing.assert_array_equal(one_by_one(SPEC, examples), expected)
    learner = CASE.make()
    learner.learn(examples)
    state = learner.checkpoint()
    np.testing.assert_array_equal(state["weights"], weights)
    np.testing.assert_array_equal(state["squares"], squares)
    np.testing.assert_array_equal(state["bias"], [bias, bias_square])
    np.testing.assert_array_equal(state["scale"], [count, mean, summed, lowest, highest])


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(1, 299), max_size=10, unique=True).map(sorted))
def test_any_cuts_give_the_same_bits(ends: list[int]) -> None:
    whole = CASE.make()
    whole.learn(CASE.stream(300))
    cut = teach(CASE.make(), CASE.stream(300), ends)
    for name, array in whole.checkpoint().items():
        np.testing.assert_array_equal(array, cut.checkpoint()[name])


@pytest.mark.parametrize("power", [-60, -7, 20, 60])
def test_the_unit_of_a_label_does_not_matter(power: int) -> None:
    """By a power of two, which rounds nothing: to the bit."""
    examples = CASE.stream(300)
    scaled = Examples(examples.vectors, examples.labels * np.float32(2.0**power))
    np.testing.assert_array_equal(one_by_one(SPEC, scaled), one_by_one(SPEC, examples) * 2.0**power)


def test_where_labels_begin_does_not_matter() -> None:
    examples = CASE.stream(2_000)
    moved = Examples(examples.vectors, examples.labels - np.float32(5_000.0))
    np.testing.assert_allclose(
        one_by_one(SPEC, moved)[1:] + 5_000.0, one_by_one(SPEC, examples)[1:], atol=0.5
    )


def test_one_absurd_label_does_not_ruin_what_was_learned() -> None:
    spec = HashedLinear(bits=12)
    learner = teach(spec.make(CASE.schema), CASE.stream(4_000))
    held = CASE.stream(1_000, seed=6)
    before = np.abs(learner.predict(held.vectors) - held.labels).mean()
    learner.learn(Examples(part(held, 0, 1).vectors, np.array([1e30], np.float32)))
    teach(learner, CASE.stream(1_000, seed=7))
    after = np.abs(learner.predict(held.vectors) - held.labels).mean()
    assert after < 2 * before < held.labels.std()


def test_by_huber_s_loss_outliers_pull_less() -> None:
    """A fifth of labels is far above: the squared loss follows them, Huber's hardly."""
    examples = CASE.stream(4_000)
    clean = examples.labels.copy()
    examples.labels[::5] += 5_000.0
    held = CASE.stream(1_000, seed=6)
    pulled = []
    for huber in (None, 0.1):
        spec = HashedLinear(bits=12, rate=0.1, huber=huber)
        learner = teach(spec.make(CASE.schema), examples)
        pulled.append(float((learner.predict(held.vectors) - held.labels).mean()))
    assert clean.std() < 1_000
    assert pulled[1] < 0.6 * pulled[0]


def test_settings_out_of_range_are_told() -> None:
    for wrong in ({"bits": 40}, {"rate": 0.0}, {"huber": -1.0}, {"huber": 0.0}):
        with pytest.raises(LearnerError, match="out of range"):
            HashedLinear(**wrong)  # type: ignore[arg-type]
