"""Which models of River there are to declare, for which tasks, and which of them have flat
arrays."""

from __future__ import annotations

from typing import Any

from river.base import Classifier, Estimator, Regressor
from river.compose import Pipeline
from river.linear_model import LinearRegression, LogisticRegression, SoftmaxRegression
from river.optim import AdaGrad
from river.optim.base import Scheduler
from river.optim.initializers import Constant
from river.optim.losses import CrossEntropy
from river.preprocessing import TargetStandardScaler
from river.utils import VectorDict

from freshet.schemas.errors import LearnerError
from freshet.schemas.models.tasks import BINARY, CLASSES, REGRESSION, Task


def declared(model: object, name: str) -> Estimator:
    """The River model that was declared.

    Raises:
        LearnerError: it is no classifier and no regressor, nor a function that makes one.
    """
    made = model() if callable(model) else model
    if not isinstance(made, Estimator) or not tasks_of_model(made):
        raise LearnerError(
            name,
            f"{type(made).__name__} is no River classifier or regressor",
            "Pass one, or a function that makes one.",
        )
    return made


def default_for(task: Task) -> Estimator:
    """What `fr.River()` is: a linear model by AdaGrad, of numbers in deviations of theirs."""
    if task.kind == CLASSES:
        return SoftmaxRegression(AdaGrad(0.03))
    if task.kind == REGRESSION:
        return TargetStandardScaler(LinearRegression(AdaGrad(0.03), intercept_lr=0.003))
    return LogisticRegression(AdaGrad(0.03), intercept_lr=0.003)


def tasks_of_model(model: Any) -> tuple[str, ...]:
    """The kinds of tasks that a model of River can learn; none where it predicts no label."""
    if isinstance(model, Pipeline):
        # Its last step is what predicts.
        return tasks_of_model(list(model.steps.values())[-1])
    if isinstance(model, Regressor):
        return (REGRESSION,)
    if not isinstance(model, Classifier):
        return ()
    if model._multiclass:
        return (BINARY, CLASSES)
    return (BINARY,)


def is_portable(model: Any) -> bool:
    """Logistic, softmax or linear regression (also of a scaled target) whose weights start at 0
    and whose optimizer's state is numbers by feature."""
    # Not by `isinstance`: a subclass may keep more than weights.
    kind = type(model)
    if kind is TargetStandardScaler:
        return type(model.regressor) is LinearRegression and is_portable(model.regressor)
    if kind is SoftmaxRegression:
        plain_loss = type(model.loss) is CrossEntropy
        return model.l2 == 0 and plain_loss and _is_plain(model.optimizer)
    if kind not in (LogisticRegression, LinearRegression) or model.l1 != 0.0 or model.l2 != 0.0:
        return False
    start = model.initializer
    if not isinstance(start, Constant) or start.value != 0.0:
        return False
    return _is_plain(model.optimizer)


def _is_plain(optimizer: object) -> bool:
    plain = (bool, int, float, type(None), Scheduler, dict, VectorDict)
    return all(isinstance(value, plain) for value in vars(optimizer).values())
