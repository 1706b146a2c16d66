"""What serving needs of a portable model of River: weights in flat tables, a row for each class."""

from __future__ import annotations

from typing import Any

import numpy as np
from river.linear_model import LogisticRegression, SoftmaxRegression
from river.preprocessing import TargetStandardScaler

from freshet.learners.contract import Arrays
from freshet.learners.river.names import FlatNames
from freshet.schemas.models.vectors import F64

LOGISTIC = "river_logistic"
SOFTMAX = "river_softmax"
LINEAR = "river_linear"


def exported(model: Any, names: FlatNames, labels: tuple[Any, ...]) -> tuple[str, Arrays]:
    """The kind of its predictor, and its arrays; `labels` are those of the task, in order."""
    if type(model) is SoftmaxRegression:
        return SOFTMAX, _of_classes(model, names, labels)
    if type(model) is LogisticRegression:
        return LOGISTIC, _of_one(model, names)
    # Deviation and mean of the target, where it is scaled: a score is made a number by them.
    target = np.array([1.0, 0.0])
    inner = model
    if type(model) is TargetStandardScaler:
        inner = model.regressor
        target = np.array([model.var.get() ** 0.5, model.var.mean.get()], np.float64)
    return LINEAR, {**_of_one(inner, names), "target": target}


def _of_one(model: Any, names: FlatNames) -> dict[str, F64]:
    keys, values = names.flat(model._weights)
    weights = np.zeros(len(names))
    weights[keys] = values
    return {
        "weights": weights,
        "intercept": np.array([model.intercept], np.float64),
    }


def _of_classes(model: Any, names: FlatNames, labels: tuple[Any, ...]) -> Arrays:
    weights = np.zeros((len(labels), len(names)))
    # River gives a class no share before its first label.
    seen = np.zeros(len(labels), np.uint8)
    for place, label in enumerate(labels):
        if label in model.weights:
            keys, values = names.flat(model.weights[label])
            weights[place, keys] = values
            seen[place] = 1
    return {"weights": weights, "seen": seen}
