"""What one label says of one answer: a bounded loss, by task and metric.

Losses are in their own unit; `LossOf.range` is how far apart two can be, by which differences are
scaled into [-1, 1]. A number has no such bound of itself: answers and labels are moved into a
*span* first, which is declared, or learned from labels before the comparison begins, and which
never changes within one. What is judged of numbers is so the loss of what the span shows of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from freshet.schemas.errors import DefinitionError
from freshet.schemas.models.tasks import BINARY, CLASSES, REGRESSION, Task
from freshet.schemas.models.vectors import F64

# As figures do: one certain error would else cost an infinite loss.
LOWEST = 1e-6
WORST_LOG_LOSS = -float(np.log(LOWEST))
EACH_END = 0.001  # of the labels that a span is learned from, so many lie beyond either end
BRIER = 2.0  # the most that two classes' squares add up to


class Span(NamedTuple):
    """Between which numbers labels and answers of a regression are judged."""

    low: float
    high: float


class LossOf(NamedTuple):
    """A metric as a loss: smaller is better, whatever the metric says."""

    range: float
    # Of answers `[n]` or `[n, k]` and labels `[n]`: losses `[n]`.
    losses: Callable[[F64, F64], F64]
    # Of two answers: how far apart their losses could be, whatever the label, `[n]`.
    apart: Callable[[F64, F64], F64]


def learned_span(labels: F64) -> Span:
    """Of labels `[n]` that are not judged themselves: all but a thousandth at either end.

    Raises:
        DefinitionError: they are fewer than two different ones.
    """
    low = 0.0
    high = 0.0
    if len(labels):
        low = float(np.quantile(labels, EACH_END))
        high = float(np.quantile(labels, 1 - EACH_END))
    if not low < high:
        raise DefinitionError(
            "a span to judge numbers in",
            f"{len(labels)} labels have no two values",
            "Wait for more labels, or declare low and high.",
        )
    return Span(low, high)


def loss_of(metric: str, task: Task, span: Span | None) -> LossOf:
    """The loss that a metric is the mean of. Accuracy is one less the share of errors.

    Raises:
        DefinitionError: numbers without a span.
    """
    if task.kind == REGRESSION:
        if span is None:
            raise DefinitionError(
                "judging numbers",
                "squares of them have no bound",
                "Give a span: declared, or of labels before.",
            )
        return _of_numbers(metric, span)
    if task.kind == CLASSES:
        return _OF_CLASSES[metric]
    assert task.kind == BINARY
    return _OF_BINARY[metric]


def _log_losses(answers: F64, labels: F64) -> F64:
    right = np.where(labels > 0.5, answers, 1 - answers)
    return np.asarray(-np.log(np.clip(right, LOWEST, 1 - LOWEST)))


def _binary_apart(losses: Callable[[F64, F64], F64]) -> Callable[[F64, F64], F64]:
    def apart(one: F64, other: F64) -> F64:
        false = np.zeros(len(one))
        true = np.ones(len(one))
        if_false = losses(one, false) - losses(other, false)
        if_true = losses(one, true) - losses(other, true)
        return np.maximum(np.abs(if_false), np.abs(if_true))

    return apart


def _squares(answers: F64, labels: F64) -> F64:
    return np.asarray((answers - labels) ** 2)


def _errors(answers: F64, labels: F64) -> F64:
    return np.asarray((answers >= 0.5) != (labels > 0.5), np.float64)


def _own(answers: F64, labels: F64) -> F64:
    """The probability of the class that it was."""
    return np.asarray(answers[np.arange(len(labels)), labels.astype(np.int64)])


def _class_log_losses(answers: F64, labels: F64) -> F64:
    return np.asarray(-np.log(np.clip(_own(answers, labels), LOWEST, 1.0)))


def _class_squares(answers: F64, labels: F64) -> F64:
    # |p - e_y|² = |p|² - 2 p_y + 1, without making e_y.
    return np.asarray((answers**2).sum(axis=1) - 2 * _own(answers, labels) + 1)


def _class_errors(answers: F64, labels: F64) -> F64:
    # Of several that are equally likely it is the first, as figures count.
    return np.asarray(answers.argmax(axis=1) != labels.astype(np.int64), np.float64)


def _classes_apart(losses: Callable[[F64, F64], F64]) -> Callable[[F64, F64], F64]:
    def apart(one: F64, other: F64) -> F64:
        most = np.zeros(len(one))
        # A loop over classes, not over labels.
        for each in range(one.shape[1]):
            label = np.full(len(one), float(each))
            difference = losses(one, label) - losses(other, label)
            most = np.maximum(most, np.abs(difference))
        return most

    return apart


_OF_BINARY = {
    "brier": LossOf(1.0, _squares, _binary_apart(_squares)),
    "log_loss": LossOf(WORST_LOG_LOSS, _log_losses, _binary_apart(_log_losses)),
    "accuracy": LossOf(1.0, _errors, _binary_apart(_errors)),
}
_OF_CLASSES = {
    "brier": LossOf(BRIER, _class_squares, _classes_apart(_class_squares)),
    "log_loss": LossOf(WORST_LOG_LOSS, _class_log_losses, _classes_apart(_class_log_losses)),
    "accuracy": LossOf(1.0, _class_errors, _classes_apart(_class_errors)),
}


def _of_numbers(metric: str, span: Span) -> LossOf:
    width = span.high - span.low
    power = {"mae": 1, "mse": 2}[metric]

    def losses(answers: F64, labels: F64) -> F64:
        own = np.clip(answers, span.low, span.high)
        right = np.clip(labels, span.low, span.high)
        return np.asarray(np.abs(own - right) ** power)

    def apart(one: F64, other: F64) -> F64:
        # Two convex losses of a label lie farthest apart at an end of the span.
        low = np.full(len(one), span.low)
        high = np.full(len(one), span.high)
        at_low = losses(one, low) - losses(other, low)
        at_high = losses(one, high) - losses(other, high)
        return np.maximum(np.abs(at_low), np.abs(at_high))

    return LossOf(width**power, losses, apart)
