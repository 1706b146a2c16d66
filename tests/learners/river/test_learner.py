"""River classifiers: what River sees of a vector, and what can and cannot be saved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from river import linear_model, naive_bayes, optim, preprocessing, tree

from freshet.learners.inputs.scaling import Scaling
from freshet.learners.river.spec import River
from freshet.learners.training.prequential import auc
from freshet.schemas.errors import LearnerError
from freshet.schemas.models.vectors import Vectors
from tests.contracts.learner_battery import SCHEMA, stream, teach


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
