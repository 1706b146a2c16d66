"""Every learner that users can declare, and every predictor that a scorer can build. To add one,
add its lines here.

Nothing is imported until it is asked for: the scorer never sees torch or River.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, cast

from freshet.learners.contract import Export, Predictor
from freshet.schemas.errors import SnapshotError
from freshet.schemas.models.vectors import VectorSchema

# By name: an app with one learner loads no library of another's.
LEARNERS = {
    "Baseline": "freshet.learners.baseline_learner",
    "HashedLogistic": "freshet.learners.logistic.learner",
    "HashedLinear": "freshet.learners.linear.learner",
    "River": "freshet.learners.river.spec",
    "TorchCtr": "freshet.learners.ctr.spec",
}


def learner_spec(name: str) -> Callable[..., Any]:
    """The spec class of that name, imported now. Raises `KeyError` for an unknown one,
    `ImportError` without its library."""
    return cast("Callable[..., Any]", getattr(import_module(LEARNERS[name]), name))


def _lazy(module: str, name: str) -> Callable[[Export, VectorSchema], Predictor]:
    def build(export: Export, schema: VectorSchema) -> Predictor:
        return cast(Predictor, getattr(import_module(module), name)(export, schema))

    return build


PREDICTORS: dict[str, Callable[[Export, VectorSchema], Predictor]] = {
    "baseline": _lazy("freshet.learners.baseline_learner", "BaselinePredictor"),
    "hashed_logistic": _lazy("freshet.learners.logistic.learner", "HashedLogisticPredictor"),
    "hashed_softmax": _lazy("freshet.learners.logistic.softmax", "HashedSoftmaxPredictor"),
    "hashed_linear": _lazy("freshet.learners.linear.learner", "HashedLinearPredictor"),
    "river_logistic": _lazy("freshet.learners.river.predictor", "RiverLogisticPredictor"),
    "river_softmax": _lazy("freshet.learners.river.predictor", "RiverSoftmaxPredictor"),
    "river_linear": _lazy("freshet.learners.river.predictor", "RiverLinearPredictor"),
    "torch_ctr": _lazy("freshet.learners.ctr.predictor", "TorchCtrPredictor"),
}


def predictor(export: Export, schema: VectorSchema) -> Predictor:
    """The predictor of an export. Raises `SnapshotError` for a kind that this version does not
    know."""
    if export.kind not in PREDICTORS:
        raise SnapshotError(
            f"of kind {export.kind!r}",
            "no predictor is known for it",
            f"Known: {', '.join(PREDICTORS)}. Update freshet.",
        )
    return PREDICTORS[export.kind](export, schema)
