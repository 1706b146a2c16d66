"""Which models of River there are to declare, and which of them have flat arrays."""

from __future__ import annotations

from typing import Any

from river.base import Classifier
from river.linear_model import LogisticRegression
from river.optim import AdaGrad
from river.optim.base import Scheduler
from river.optim.initializers import Constant
from river.utils import VectorDict

from freshet.schemas.errors import LearnerError


def classifier(model: object, name: str) -> Classifier:
    """The River classifier that was declared; None stands for logistic regression by AdaGrad.

    Raises:
        LearnerError: it is none, nor a function that makes one.
    """
    if model is None:
        return LogisticRegression(AdaGrad(0.03), intercept_lr=0.003)
    made = model() if callable(model) else model
    if not isinstance(made, Classifier):
        raise LearnerError(
            name,
            f"{type(made).__name__} is no River classifier",
            "Pass one, or a function that makes one.",
        )
    return made


def is_portable(model: Any) -> bool:
    """Logistic regression whose weights start at 0 and whose optimizer's state is numbers by
    feature."""
    # Not by `isinstance`: a subclass may keep more than weights.
    if type(model) is not LogisticRegression or model.l1 != 0.0 or model.l2 != 0.0:
        return False
    start = model.initializer
    if not isinstance(start, Constant) or start.value != 0.0:
        return False
    plain = (bool, int, float, type(None), Scheduler, dict, VectorDict)
    return all(isinstance(value, plain) for value in vars(model.optimizer).values())
