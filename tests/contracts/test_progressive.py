"""`fr.River(model)`, one example at a time, is as good as River's own progressive validation says of
the model: on data that others have published, within 1 %."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from river import linear_model, optim, preprocessing, tree

from freshet.learners.river.spec import River
from tests import published
from tests.datasets import electricity  # noqa: F401
from tests.published import Published, by_river, prequential

WITHIN = 0.01


def logistic() -> Any:
    return linear_model.LogisticRegression(optim.AdaGrad(0.1))


def softmax() -> Any:
    return linear_model.SoftmaxRegression(optim.AdaGrad(0.1))


def linear() -> Any:
    return preprocessing.TargetStandardScaler(linear_model.LinearRegression(optim.AdaGrad(0.3)))


def scaled(model: Callable[[], Any]) -> Any:
    return preprocessing.StandardScaler() | model()


def agree(data: Published, ours: Any, theirs: Any, scale: bool) -> None:
    spec = River(ours, scale=scale)
    expected = data.loss(by_river(theirs, data))
    assert data.loss(prequential(spec, data)) == pytest.approx(expected, rel=WITHIN)


def test_on_electricity(electricity: Path) -> None:  # noqa: F811
    data = published.electricity(electricity)
    agree(data, logistic(), preprocessing.StandardScaler() | logistic(), scale=True)


@pytest.mark.parametrize(
    ("data", "model"),
    [
        (published.image_segments, softmax),
        (published.image_segments, tree.HoeffdingTreeClassifier),
        (published.trump_approval, linear),
        (published.trump_approval, tree.HoeffdingTreeRegressor),
        (published.chick_weights, linear),
    ],
)
def test_as_they_are(data: Callable[[], Published], model: Callable[[], Any]) -> None:
    agree(data(), model(), model(), scale=False)


def test_scaled_by_river_s_own_scaler() -> None:
    data = published.image_segments()
    agree(data, scaled(softmax), scaled(softmax), scale=False)


def test_scaled_by_freshet() -> None:
    agree(published.trump_approval(), linear(), scaled(linear), scale=True)


def test_scaled_by_freshet_where_numbers_lie_far_out() -> None:
    """freshet holds them within four deviations, River's scaler does not: so it may be better."""
    data = published.image_segments()
    ours = data.loss(prequential(River(softmax()), data))
    theirs = data.loss(by_river(scaled(softmax), data))
    assert ours <= theirs * (1 + WITHIN)
