"""Every learner in the catalog keeps the promises of `learner_battery`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from freshet.learners.catalog import LEARNERS, learner_spec
from tests.contracts.learner_battery import Case, LearnerBattery


def baseline() -> Case:
    return Case(learner_spec("Baseline")(half_life=300), within=0.0, separates=False)


def hashed_logistic() -> Case:
    crosses = [("color", "shape"), ("color", "gap")]
    spec = learner_spec("HashedLogistic")(
        bits=12,
        rate=0.1,
        crosses=crosses,
        combinations={"gap": {"size": 1, "age": -0.001}},
        without=("sha*",),
    )
    return Case(spec, within=0.0)


def hashed_logistic_in_buckets() -> Case:
    return Case(
        learner_spec("HashedLogistic")(bits=12, rate=0.1, soft=False, knots={"size": (-1, 0, 1)}),
        within=0.0,
    )


def river() -> Case:
    return Case(learner_spec("River")(buckets=32), within=1e-9)


def river_with_adam() -> Case:
    from river import linear_model, optim

    model = linear_model.LogisticRegression(optim.Adam(0.01))
    return Case(learner_spec("River")(model, buckets=32), within=1e-9)


def torch_ctr() -> Case:
    spec = learner_spec("TorchCtr")(
        dim=4, hidden=(16, 8), bits=10, batch=16, memory=200, warm_up=32, crosses=[("color", "shape")],
        knots={"size": (-2, -1, 0, 1, 2)}, combinations={"gap": {"size": 1, "age": -0.001}}, rate=5e-3, device="cpu",
    )  # fmt: skip
    return Case(spec, within=1e-5)


CASES: dict[str, list[Callable[[], Case]]] = {
    "Baseline": [baseline],
    "HashedLogistic": [hashed_logistic, hashed_logistic_in_buckets],
    "River": [river, river_with_adam],
    "TorchCtr": [torch_ctr],
}


@pytest.fixture(
    params=[make for makes in CASES.values() for make in makes], ids=lambda make: make.__name__
)
def case(request: pytest.FixtureRequest) -> Case:
    try:
        return request.param()
    except ImportError as error:
        pytest.skip(str(error))


class TestLearner(LearnerBattery):
    pass


def test_no_learner_of_the_catalog_is_left_out() -> None:
    assert set(CASES) == set(LEARNERS)
