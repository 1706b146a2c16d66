"""Every learner in the catalog keeps the promises of `learner_battery`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from freshet.learners.catalog import LEARNERS, learner_spec
from freshet.learners.contract import LearnerSpec, tasks_of
from freshet.schemas.models.tasks import REGRESSION, Binary, Regression, Task
from tests.contracts.learner_battery import LABELS_UNIT, OF_CLASSES, Case, LearnerBattery

Specs = Callable[[], LearnerSpec]
ALL: tuple[Task, ...] = (Binary(), OF_CLASSES, Regression())
PLAN: dict[str, Any] = {
    "bits": 12,
    "rate": 0.1,
    "crosses": [("color", "shape"), ("color", "gap")],
    "combinations": {"gap": {"size": 1, "age": -0.001}},
    "without": ("sha*",),
}
BUCKETS: dict[str, Any] = {
    "bits": 12,
    "rate": 0.1,
    "soft": False,
    "knots": {"size": (-2, -1, 0, 1, 2)},
}


def baseline() -> LearnerSpec:
    return learner_spec("Baseline")(half_life=300)


def hashed_logistic() -> LearnerSpec:
    return learner_spec("HashedLogistic")(**PLAN)


def hashed_logistic_in_buckets() -> LearnerSpec:
    return learner_spec("HashedLogistic")(**BUCKETS | {"knots": {"size": (-1, 0, 1)}})


def hashed_linear() -> LearnerSpec:
    return learner_spec("HashedLinear")(**PLAN)


def hashed_linear_by_huber() -> LearnerSpec:
    return learner_spec("HashedLinear")(**BUCKETS, huber=1.5)


def river() -> LearnerSpec:
    return learner_spec("River")(buckets=32)


def river_with_adam() -> LearnerSpec:
    from river import linear_model, optim

    return learner_spec("River")(linear_model.LogisticRegression(optim.Adam(0.01)), buckets=32)


def river_softmax_with_adam() -> LearnerSpec:
    from river import linear_model, optim

    return learner_spec("River")(linear_model.SoftmaxRegression(optim.Adam(0.01)), buckets=32)


def river_linear() -> LearnerSpec:
    from river import linear_model, optim

    # In the labels' own unit, which is hundreds.
    model = linear_model.LinearRegression(optim.AdaGrad(30.0), intercept_lr=0.1)
    return learner_spec("River")(model, buckets=32)


def torch_ctr() -> LearnerSpec:
    return learner_spec("TorchCtr")(
        dim=4, hidden=(16, 8), bits=10, batch=16, memory=200, warm_up=32, crosses=[("color", "shape")],
        knots={"size": (-2, -1, 0, 1, 2)}, combinations={"gap": {"size": 1, "age": -0.001}}, rate=5e-3, device="cpu",
    )  # fmt: skip


# Of each learner what is declared, for which tasks, and how far its predictor may be from it.
CASES: dict[str, list[tuple[Specs, tuple[Task, ...], float]]] = {
    "Baseline": [(baseline, ALL, 0.0)],
    "HashedLogistic": [
        (hashed_logistic, ALL[:2], 0.0),
        (hashed_logistic_in_buckets, ALL[:2], 0.0),
    ],
    "HashedLinear": [(hashed_linear, ALL[2:], 0.0), (hashed_linear_by_huber, ALL[2:], 0.0)],
    "River": [
        (river, ALL, 1e-9),
        (river_with_adam, ALL[:1], 1e-9),
        (river_softmax_with_adam, ALL[:2], 1e-9),
        (river_linear, ALL[2:], 1e-9),
    ],
    "TorchCtr": [(torch_ctr, ALL, 1e-5)],
}
PAIRS = [
    (make, task, within)
    for cases in CASES.values()
    for make, tasks, within in cases
    for task in tasks
]


@pytest.fixture(params=PAIRS, ids=lambda pair: f"{pair[0].__name__}-{pair[1].kind}")
def case(request: pytest.FixtureRequest) -> Case:
    make, task, within = request.param
    try:
        spec = make()
    except ImportError as error:
        pytest.skip(str(error))
    # Sums of float32 are as far from each other as the numbers they are of are large.
    unit = LABELS_UNIT if task.kind == REGRESSION else 1.0
    return Case(spec, within * unit, separates=make is not baseline, task=task)


class TestLearner(LearnerBattery):
    pass


def test_no_learner_of_the_catalog_is_left_out_and_none_of_its_tasks() -> None:
    assert set(CASES) == set(LEARNERS)
    for name, cases in CASES.items():
        tried = {task.kind for _, tasks, _ in cases for task in tasks}
        carried = {kind for make, _, _ in cases for kind in tasks_of(make())}
        assert tried == carried, name
