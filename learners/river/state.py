"""What a portable model of River has learned, as JSON facts and flat arrays, and back."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import numpy.typing as npt
from river.linear_model import SoftmaxRegression
from river.optim.base import Scheduler
from river.preprocessing import TargetStandardScaler
from river.utils import VectorDict

from freshet.learners.contract import Arrays
from freshet.learners.river.names import FlatNames

Saved = tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]
TARGET = "target"


def saved(model: Any, names: FlatNames) -> Saved:
    """Its facts and arrays."""
    if type(model) is SoftmaxRegression:
        return _saved_classes(model, names)
    if type(model) is TargetStandardScaler:
        facts, arrays = saved(model.regressor, names)
        mean = model.var.mean
        moments = [
            mean.n,
            mean._mean,
            model.var._S,
        ]
        return facts, {**arrays, TARGET: np.array(moments, np.float64)}
    kept, state = _saved_optimizer(model.optimizer, names)
    keys, values = names.flat(model._weights)
    weights: dict[str, npt.NDArray[Any]] = {
        "weight_keys": keys,
        "weights": values,
    }
    return {"intercept": model.intercept, **kept}, {**weights, **state}


def fill(model: Any, names: FlatNames, facts: dict[str, Any], arrays: Arrays) -> None:
    """Make a model that has learned nothing the one whose facts and arrays these are."""
    if type(model) is SoftmaxRegression:
        return _fill_classes(model, names, facts, arrays)
    if type(model) is TargetStandardScaler:
        seen, mean, squares = arrays[TARGET].tolist()
        model.var.mean.n = seen
        model.var.mean._mean = mean
        model.var._S = squares
        return fill(model.regressor, names, facts, arrays)
    model.intercept = facts["intercept"]
    model._weights = VectorDict(names.named(arrays["weight_keys"], arrays["weights"]))
    return _fill_optimizer(model.optimizer, names, facts, arrays)


def _saved_classes(model: Any, names: FlatNames) -> Saved:
    """Classes in River's own order, which is that in which it will sum them again."""
    facts: list[dict[str, Any]] = []
    arrays: dict[str, npt.NDArray[Any]] = {}
    for place, (label, weights) in enumerate(model.weights.items()):
        kept, state = _saved_optimizer(model.optimizers[label], names)
        keys, values = names.flat(weights)
        facts.append({"label": label, **kept})
        parts = {
            "weight_keys": keys,
            "weights": values,
            **state,
        }
        arrays |= {f"class.{place}.{name}": part for name, part in parts.items()}
    return {"classes": facts}, arrays


def _fill_classes(model: Any, names: FlatNames, facts: dict[str, Any], arrays: Arrays) -> None:
    for place, kept in enumerate(facts["classes"]):
        first = f"class.{place}."
        own = {n.removeprefix(first): part for n, part in arrays.items() if n.startswith(first)}
        weights = names.named(own["weight_keys"], own["weights"])
        model.weights[kept["label"]] = defaultdict(float, weights)
        _fill_optimizer(
            model.optimizers[kept["label"]],
            names,
            kept,
            own,
        )


def _saved_optimizer(optimizer: object, names: FlatNames) -> Saved:
    """Its numbers as JSON facts, its numbers by feature as arrays. Schedules have no state of their
    own."""
    values: dict[str, Any] = {}
    kinds: dict[str, str] = {}
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, value in vars(optimizer).items():
        if isinstance(value, dict | VectorDict):
            kinds[name] = "vector" if isinstance(value, VectorDict) else "dict"
            arrays[f"optimizer.{name}.keys"], arrays[f"optimizer.{name}"] = names.flat(value)
        elif not isinstance(value, Scheduler):
            values[name] = value
    return {"values": values, "kinds": kinds}, arrays


def _fill_optimizer(
    optimizer: object, names: FlatNames, facts: dict[str, Any], arrays: Arrays
) -> None:
    for name, kind in facts["kinds"].items():
        named = names.named(arrays[f"optimizer.{name}.keys"], arrays[f"optimizer.{name}"])
        # As River's optimizers make them: what they have not seen counts as 0.0.
        kept = VectorDict(named) if kind == "vector" else defaultdict(float, named)
        setattr(optimizer, name, kept)
    for name, value in facts["values"].items():
        setattr(optimizer, name, value)
