"""Hashed logistic regression against the slow and obvious kind, with a dict in place of hashing."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import pytest

from freshet.learners.logistic.learner import HashedLogistic
from freshet.schemas.errors import LearnerError
from freshet.schemas.models.vectors import Examples, Vectors, VectorSchema
from tests.contracts.learner_battery import SCHEMA, stream, teach

KNOTS = {
    "size": (-2.0, 0.0, 1.0),
    "weight": (-40.0, 0.0, 40.0),
    "age": (-1000.0, 0.0, 500.0),
    "sum": (-9.0, 0.0, 9.0),
}
SPEC = HashedLogistic(
    bits=22,
    rate=0.1,
    prior=0.3,
    knots=KNOTS,
    combinations={"sum": {"size": 2.0, "weight": 0.1}},
    crosses=[("color", "shape"), ("color", "size"), ("sum", "age")],
    without=("age", "sh*"),
)


def features(
    colour: int, shape: int, numbers: list[float], soft: bool = True
) -> list[tuple[object, float]]:
    """Names and values of a row, as `SPEC` declares them."""
    values = dict(zip(("size", "weight", "age"), numbers))
    values["sum"] = 2.0 * values["size"] + 0.1 * values["weight"]
    out: list[tuple[object, float]] = [(("color", colour), 1.0)]
    interval = {
        n: None if math.isnan(x) else sum(k <= x for k in KNOTS[n]) for n, x in values.items()
    }
    for name in ("size", "weight", "sum"):
        x, knots = values[name], KNOTS[name]
        if math.isnan(x):
            out.append(((name, None), 1.0))
            continue
        lo = max(i for i in range(len(knots) - 1) if i == 0 or knots[i] <= x)
        t = (min(max(x, knots[lo]), knots[lo + 1]) - knots[lo]) / (knots[lo + 1] - knots[lo])
        out += [((name, lo), 1.0 - t), ((name, lo + 1), t)]
    crosses = [(colour, shape), (colour, interval["size"]), (interval["sum"], interval["age"])]
    return out + [((i, cross), 1.0) for i, cross in enumerate(crosses)]


def test_it_learns_and_answers_as_a_dict_of_weights_does() -> None:
    examples = stream(300)
    weights: dict[object, float] = defaultdict(float)
    squares: dict[object, float] = defaultdict(lambda: 1.0)
    bias, bias_square, expected = math.log(0.3 / 0.7), 1.0, []
    v = examples.vectors
    for (colour, shape), numbers, y in zip(
        v.categories.tolist(), v.numbers.tolist(), examples.labels.tolist()
    ):
        row = features(colour, shape, numbers)
        p = 1 / (1 + math.exp(-bias - sum(weights[k] * x for k, x in row)))
        expected.append(p)
        g = p - y
        bias_square += g * g
        bias -= 0.1 * g / math.sqrt(bias_square)
        for k, x in row:
            squares[k] += (g * x) ** 2
            weights[k] -= 0.1 * g * x / math.sqrt(squares[k])
    learner, found = SPEC.make(SCHEMA), []
    for i in range(len(examples)):
        one = Vectors(v.categories[i : i + 1], v.numbers[i : i + 1])
        found.append(learner.predict(one)[0])
        learner.learn(Examples(one, examples.labels[i : i + 1]))
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_any_cuts_give_the_same_bits() -> None:
    whole, cut = SPEC.make(SCHEMA), teach(SPEC.make(SCHEMA), stream(300), [1, 2, 50, 170])
    whole.learn(stream(300))
    for name, array in whole.checkpoint().items():
        np.testing.assert_array_equal(array, cut.checkpoint()[name])


def test_a_feature_that_is_left_out_changes_no_answer() -> None:
    learner = teach(HashedLogistic(bits=12, without=("a*", "w*")).make(SCHEMA), stream(300))
    asked = stream(50, seed=1).vectors
    other = Vectors(asked.categories, asked.numbers * np.array([1, 2, 3], np.float32))
    np.testing.assert_array_equal(learner.predict(asked), learner.predict(other))


def test_adding_a_feature_moves_no_other() -> None:
    wider = VectorSchema((*SCHEMA.categories, "extra"), SCHEMA.numbers)
    narrow, wide = SPEC.plan(SCHEMA), HashedLogistic(bits=22).plan(wider)
    np.testing.assert_array_equal(narrow.seeds, wide.seeds[:2])


def test_weights_that_are_not_finite_are_never_exported() -> None:
    learner = SPEC.make(SCHEMA)
    state = learner.checkpoint()
    state["weights"][3] = np.nan
    learner.restore(state)
    with pytest.raises(LearnerError, match="1 values that are not finite"):
        learner.export()


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (HashedLogistic(crosses=[("color", "sise")]), "no feature"),
        (HashedLogistic(knots={"sise": (0, 1)}), "no number 'sise'"),
        (HashedLogistic(knots={"size": (0, 0)}), "do not rise"),
        (HashedLogistic(combinations={"both": {"size": 1, "sise": 1}}), "no number 'sise'"),
        (HashedLogistic(combinations={"size": {"age": 1}}), "share a name"),
    ],
)
def test_a_name_that_vectors_lack_is_told(spec: HashedLogistic, says: str) -> None:
    with pytest.raises(LearnerError, match=says):
        spec.make(SCHEMA)


def test_settings_out_of_range_are_told() -> None:
    with pytest.raises(LearnerError, match="out of range"):
        HashedLogistic(bits=40)
