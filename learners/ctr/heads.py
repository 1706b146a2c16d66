"""What the net's last numbers mean: the level they begin at, their loss, and the answers that are
made of them; one head for each task."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as nn

from freshet.learners.contract import LOWEST, Arrays, of_classes
from freshet.learners.inputs.scaling import Scaling
from freshet.schemas.models.tasks import CLASSES, REGRESSION, Task
from freshet.schemas.models.vectors import F32, F64


class Head(Protocol):
    """Scores are float64 `[n, k]`, labels float32 `[n]` as examples have them."""

    def level(self, prior: float) -> F64:
        """What scores begin at, `[k]`."""
        ...

    def take_in(self, labels: F32) -> None:
        """Called with new labels, before anything is learned of them."""
        ...

    def targets(self, labels: F32) -> npt.NDArray[Any]:
        """Labels as `loss` wants them."""
        ...

    def loss(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The mean loss of scores `[n, k]`."""
        ...

    def surplus(self, scores: F64, labels: F32) -> F64:
        """By how much scores say too much of labels, in all: `[k]`."""
        ...

    def answers(self, scores: F64) -> F64:
        """What the learner's `predict` gives."""
        ...

    def checkpoint(self) -> dict[str, npt.NDArray[Any]]:
        """All that it has taken in."""
        ...

    def restore(self, state: Arrays) -> None: ...

    def export(self) -> dict[str, npt.NDArray[Any]]:
        """What a predictor needs of it."""
        ...


def head_of(task: Task) -> Head:
    """The head of a task."""
    if task.kind == CLASSES:
        return ClassesHead(task.width)
    if task.kind == REGRESSION:
        return NumberHead()
    return BinaryHead()


class Stateless:
    """Labels teach nothing but the net."""

    def take_in(self, labels: F32) -> None:
        pass

    def checkpoint(self) -> dict[str, npt.NDArray[Any]]:
        return {}

    def restore(self, state: Arrays) -> None:
        pass

    def export(self) -> dict[str, npt.NDArray[Any]]:
        return {}


class BinaryHead(Stateless):
    """One logit."""

    def level(self, prior: float) -> F64:
        return np.array([np.log(prior / (1 - prior))])

    def targets(self, labels: F32) -> npt.NDArray[Any]:
        return labels

    def loss(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return nn.binary_cross_entropy_with_logits(scores.squeeze(1), targets)

    def surplus(self, scores: F64, labels: F32) -> F64:
        return np.array([(_sigmoid(scores[:, 0]) - labels).sum()])

    def answers(self, scores: F64) -> F64:
        return np.clip(_sigmoid(scores[:, 0]), LOWEST, 1 - LOWEST)


class ClassesHead(Stateless):
    """A logit for each class, and cross entropy."""

    def __init__(self, width: int) -> None:
        self._width = width

    def level(self, prior: float) -> F64:
        return np.zeros(self._width)

    def targets(self, labels: F32) -> npt.NDArray[Any]:
        return labels.astype(np.int64)

    def loss(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return nn.cross_entropy(scores, targets)

    def surplus(self, scores: F64, labels: F32) -> F64:
        told = np.equal(labels[:, None], np.arange(self._width))
        surplus: F64 = (_softmax(scores) - told).sum(axis=0)
        return surplus

    def answers(self, scores: F64) -> F64:
        return of_classes(_softmax(scores))


class NumberHead:
    """One number in deviations from the labels' running mean, and squared error."""

    def __init__(self) -> None:
        self._scaling = Scaling(1, active=True)

    def level(self, prior: float) -> F64:
        return np.zeros(1)

    def take_in(self, labels: F32) -> None:
        self._scaling.update(labels[:, None])

    def targets(self, labels: F32) -> npt.NDArray[Any]:
        mean, deviation = self._unit()
        return ((labels - mean) / deviation).astype(np.float32)

    def loss(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return nn.mse_loss(scores.squeeze(1), targets) / 2.0

    def surplus(self, scores: F64, labels: F32) -> F64:
        return np.array([(scores[:, 0] - self.targets(labels)).sum()])

    def answers(self, scores: F64) -> F64:
        mean, deviation = self._unit()
        return scores[:, 0] * deviation + mean

    def checkpoint(self) -> dict[str, npt.NDArray[Any]]:
        return {"target": self._scaling.checkpoint()["moments"]}

    def restore(self, state: Arrays) -> None:
        self._scaling.restore({"moments": state["target"]})

    def export(self) -> dict[str, npt.NDArray[Any]]:
        return {"target": np.array(self._unit())}

    def _unit(self) -> tuple[float, float]:
        """Mean and deviation; 1 where labels never varied."""
        (mean,), (scale,) = self._scaling.shift_and_scale()
        # The scale of what never varied is 0.
        return float(mean), float(1.0 / (scale or 1.0))


def _sigmoid(logits: F64) -> F64:
    # Beyond, the result is 0 or 1 to 17 digits, and the exponential would overflow.
    out: F64 = 1.0 / (1.0 + np.exp(-np.clip(logits, -40.0, 40.0)))
    return out


def _softmax(scores: F64) -> F64:
    # Less the greatest, so that no exponential overflows.
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    out: F64 = shares / shares.sum(axis=1, keepdims=True)
    return out
