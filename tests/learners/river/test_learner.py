"""River classifiers: what River sees of a vector, and what can and cannot be saved."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
from river import linear_model, multiclass, naive_bayes, optim, preprocessing, tree

from freshet.learners.catalog import predictor
from freshet.learners.inputs.scaling import Scaling
from freshet.learners.river.spec import River
from freshet.learners.training.prequential import auc
from freshet.schemas.errors import LearnerError
from freshet.schemas.models.tasks import BINARY, CLASSES, REGRESSION, Regression
from freshet.schemas.models.vectors import Vectors
from tests.contracts.learner_battery import OF_CLASSES, SCHEMA, Case, frozen, stream, teach


class Seen(linear_model.LogisticRegression):  # type: ignore[misc]
    """Keeps what it was last asked."""

    last: dict[str, float]

    def predict_proba_one(self, x: dict[str, float]) -> Any:
        type(self).last = x
        return super().predict_proba_one(x)


def test_river_sees_numbers_by_name_and_categories_as_buckets_and_nothing_that_is_missing() -> None:
    asked = Vectors(
        np.array([[4097 + 5, 0]], np.uint64), np.array([[1.5, np.nan, 7.0]], np.float32)
    )
    River(Seen(), buckets=4096, scale=False).make(SCHEMA).predict(asked)
    assert Seen.last == {"size": 1.5, "age": 7.0, "color=6": 1.0}


@pytest.mark.parametrize(
    "model", [tree.HoeffdingTreeClassifier(grace_period=50), naive_bayes.GaussianNB()]
)
def test_any_classifier_learns_and_predicts_but_only_arrays_are_saved(model: Any) -> None:
    spec = River(model, scale=False)
    assert not spec.servable
    learner, held = teach(spec.make(SCHEMA), stream(2_000)), stream(500, seed=1)
    assert auc(held.labels, learner.predict(held.vectors)) > 0.7
    for refused in (learner.checkpoint, learner.export, lambda: learner.restore({})):
        with pytest.raises(LearnerError, match="pickle"):
            refused()


@pytest.mark.parametrize(
    ("model", "servable"),
    [
        (linear_model.LogisticRegression(), True),
        (linear_model.LogisticRegression(optim.FTRLProximal()), True),
        (linear_model.LogisticRegression(optim.SGD(optim.schedulers.InverseScaling(0.1))), True),
        (linear_model.LogisticRegression(optim.Newton()), False),
        (linear_model.LogisticRegression(initializer=optim.initializers.Normal()), False),
        (linear_model.LogisticRegression(l1=0.1), False),
        (linear_model.SoftmaxRegression(), True),
        (linear_model.SoftmaxRegression(optim.FTRLProximal()), True),
        (linear_model.SoftmaxRegression(l2=0.1), False),
        (linear_model.SoftmaxRegression(optim.Newton()), False),
        (linear_model.LinearRegression(), True),
        (linear_model.LinearRegression(l2=0.1), False),
        (preprocessing.TargetStandardScaler(linear_model.LinearRegression()), True),
        (preprocessing.TargetStandardScaler(tree.HoeffdingTreeRegressor()), False),
        (preprocessing.StandardScaler() | linear_model.LogisticRegression(), False),
    ],
)
def test_a_definition_says_beforehand_whether_it_can_be_served(model: Any, servable: bool) -> None:
    assert River(model).servable is servable


@pytest.mark.parametrize(
    "optimizer", [optim.AdaGrad, optim.Adam, optim.RMSProp, optim.FTRLProximal, optim.Momentum]
)
def test_every_optimizer_resumes_bit_equal(optimizer: Any) -> None:
    spec = River(linear_model.LogisticRegression(optimizer()), buckets=16)
    one, two = teach(spec.make(SCHEMA), stream(200)), spec.make(SCHEMA)
    two.restore(one.checkpoint())
    for learner in (one, two):
        learner.learn(stream(100, seed=1))
    asked = stream(50, seed=2).vectors
    np.testing.assert_array_equal(one.predict(asked), two.predict(asked))


def test_a_definition_is_told_apart_by_its_model_and_never_changed_by_learning() -> None:
    spec = River(lambda: linear_model.LogisticRegression(optim.SGD(0.1)))
    assert spec == River(linear_model.LogisticRegression(optim.SGD(0.1)))
    assert spec != River(linear_model.LogisticRegression(optim.SGD(0.2)))
    printed = repr(spec)
    teach(spec.make(SCHEMA), stream(100))
    assert repr(spec) == printed


def test_what_is_no_classifier_is_told() -> None:
    with pytest.raises(LearnerError, match="no River classifier or regressor"):
        River(preprocessing.StandardScaler())


def test_scales_are_those_of_everything_seen_in_any_steps() -> None:
    x = stream(500).vectors.numbers.astype(np.float64)
    scaling = Scaling(3, active=True)
    for a, b in ((0, 1), (1, 7), (7, 300), (300, 500)):
        scaling.update(x[a:b])
    shift, scale = scaling.shift_and_scale()
    np.testing.assert_allclose(shift, np.nanmean(x, axis=0), rtol=1e-9)
    np.testing.assert_allclose(1 / scale, np.nanstd(x, axis=0), rtol=1e-9)


@pytest.mark.parametrize(
    ("model", "tasks"),
    [
        (None, (BINARY, CLASSES, REGRESSION)),
        (linear_model.LogisticRegression(), (BINARY,)),
        (linear_model.SoftmaxRegression(), (BINARY, CLASSES)),
        (tree.HoeffdingTreeClassifier(), (BINARY, CLASSES)),
        (multiclass.OneVsRestClassifier(linear_model.LogisticRegression()), (BINARY, CLASSES)),
        (linear_model.LinearRegression(), (REGRESSION,)),
        (preprocessing.StandardScaler() | linear_model.LinearRegression(), (REGRESSION,)),
    ],
)
def test_which_tasks_a_model_carries_is_river_s_own_say(model: Any, tasks: Any) -> None:
    assert River(model).tasks == tasks


@pytest.mark.parametrize(
    ("model", "task"),
    [
        (tree.HoeffdingTreeClassifier(grace_period=50), OF_CLASSES),
        (multiclass.OneVsRestClassifier(linear_model.LogisticRegression()), OF_CLASSES),
        (preprocessing.StandardScaler() | linear_model.SoftmaxRegression(), OF_CLASSES),
        (tree.HoeffdingTreeRegressor(grace_period=50), Regression()),
    ],
)
def test_models_of_river_learn_classes_and_numbers(model: Any, task: Any) -> None:
    case = Case(River(model), within=0.0, task=task)
    learner = teach(case.make(), case.stream(3_000))
    held = case.stream(500, seed=1)
    answers = learner.predict(held.vectors)
    if task == OF_CLASSES:
        np.testing.assert_allclose(answers.sum(axis=1), 1.0, atol=1e-9)
        assert (answers.argmax(axis=1) == held.labels).mean() > 0.52
        return
    assert np.abs(answers - held.labels).mean() < 0.7 * np.abs(held.labels - 5_000).mean()


def test_river_is_told_classes_by_their_own_texts() -> None:
    class Told(linear_model.SoftmaxRegression):  # type: ignore[misc]
        """Keeps what it was told."""

        labels: ClassVar[set[str]] = set()

        def learn_one(self, x: dict[str, float], y: str) -> None:
            self.labels.add(y)
            super().learn_one(x, y)

    case = Case(River(Told()), within=0.0, task=OF_CLASSES)
    teach(case.make(), case.stream(200))
    assert Told.labels == {"low", "middle", "high"}


@pytest.mark.parametrize("optimizer", [optim.AdaGrad, optim.Adam, optim.FTRLProximal])
@pytest.mark.parametrize("task", [OF_CLASSES, Regression()])
def test_every_optimizer_of_classes_and_numbers_resumes_bit_equal(
    optimizer: Any, task: Any
) -> None:
    model = linear_model.SoftmaxRegression(optimizer())
    if task != OF_CLASSES:
        inner = linear_model.LinearRegression(optimizer())
        model = preprocessing.TargetStandardScaler(inner)
    case = Case(River(model, buckets=16), within=0.0, task=task)
    one = teach(case.make(), case.stream(200))
    two = case.make()
    two.restore(one.checkpoint())
    for learner in (one, two):
        learner.learn(case.stream(100, seed=1))
    asked = case.stream(50, seed=2).vectors
    np.testing.assert_array_equal(one.predict(asked), two.predict(asked))


def test_softmax_of_true_and_false_is_served_as_it_learns() -> None:
    """Before any label, after one of one kind, and after many."""
    case = Case(River(linear_model.SoftmaxRegression()), within=0.0)
    learner = case.make()
    asked = stream(50, seed=2).vectors
    only_false = stream(100)
    only_false.labels[:] = 0.0
    for examples in (only_false, stream(300)):
        served = predictor(frozen(learner.export()), SCHEMA).predict(asked)
        np.testing.assert_allclose(served, learner.predict(asked), atol=1e-9)
        learner.learn(examples)
    served = predictor(frozen(learner.export()), SCHEMA).predict(asked)
    np.testing.assert_allclose(served, learner.predict(asked), atol=1e-9)
