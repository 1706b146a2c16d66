"""How good answers were, as reports hold it: figures by task."""

from __future__ import annotations

from typing import TypedDict


class QualityReport(TypedDict):
    """Of `n` labelled predictions; None where `n` is too small to say, or the answer is no
    probability."""

    n: int
    auc: float | None
    ne: float | None
    calibration: float | None
    log_loss: float | None
    accuracy: float | None


class ClassReport(TypedDict):
    """The same of classes (`freshet.learners.training.class_figures`); `counts` are labels by
    class."""

    n: int
    ne: float | None
    calibration: float | None
    calibration_error: float | None
    log_loss: float | None
    accuracy: float | None
    macro_f1: float | None
    counts: dict[str, int]


class NumberReport(TypedDict):
    """The same of numbers, in the label's unit (`freshet.learners.training.number_figures`), the
    squared error in its square."""

    n: int
    mae: float | None
    rmse: float | None
    bias: float | None
    squared_error: float | None


TaskReport = QualityReport | ClassReport | NumberReport


class ReferencesReport(TypedDict):
    """What needs no features, on the same labels."""

    prior: TaskReport
    no_change: TaskReport
