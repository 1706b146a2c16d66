"""Exact figures of answers and labels, by what a model predicts, and how reports hold them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from freshet.learners.training import by_task
from freshet.learners.training.class_figures import ClassFigures, ClassMeasure
from freshet.learners.training.number_figures import NumberFigures, NumberMeasure
from freshet.learners.training.prequential import Figures, figures_of
from freshet.quality.report_types import (
    ClassReport,
    NumberReport,
    QualityReport,
    ReferencesReport,
    TaskReport,
)
from freshet.schemas.models.tasks import BINARY, REGRESSION, Classes, Task
from freshet.schemas.models.vectors import F64

TaskFigures = Figures | ClassFigures | NumberFigures
# Of reports: probabilities have a scale, numbers are in whatever unit the label is in.
PLACES = 5
DIGITS = 6


def no_answers(task: Task) -> F64:
    """Answers of no question: `[0]`, or `[0, k]` of classes."""
    if isinstance(task, Classes):
        return np.empty((0, task.width))
    return np.empty(0)


def figures(task: Task, answers: F64, labels: F64) -> TaskFigures:
    """Of answers `[n]` or `[n, k]` and labels `[n]`; those that were never given, NaN, are left
    out."""
    known = by_task.known(task, answers)
    answers = answers[known]
    labels = labels[known]
    if task.kind == BINARY:
        return figures_of(answers, labels)
    measure = by_task.measure_of(task)
    return _of_rows(measure, measure.rows(answers, labels))


def guessed(task: Task, labels: F64) -> tuple[TaskFigures, TaskFigures]:
    """What prior and no change would have scored on labels `[n]` in their order, of a task that is
    not binary."""
    guesses = by_task.guesses_of(task)
    prior, no_change = guesses.rows(labels)
    return _of_rows(guesses.measure, prior), _of_rows(guesses.measure, no_change)


def quality(task: Task, answers: F64, labels: F64) -> TaskReport:
    """The same as reports hold it, rounded."""
    found = figures(task, answers, labels)
    return of_json(task, _rounded(task, found.as_json()))


def references(task: Task, labels: F64, after: int = 0) -> ReferencesReport:
    """What needs no features, over the labels after the first `after`, knowing those, too."""
    found = by_task.references(task, max(1, len(labels) - after))
    found.update(labels)
    told = found.rolling().as_json()
    prior = _rounded(task, told["prior"])
    no_change = _rounded(task, told["no_change"])
    return ReferencesReport(
        prior=of_json(task, prior),
        no_change=of_json(task, no_change),
    )


def of_json(task: Task, told: Mapping[str, Any]) -> TaskReport:
    """Of figures as trainers tell them, which are not rounded."""
    if task.kind == REGRESSION:
        return NumberReport(
            n=told["n"],
            mae=told["mae"],
            rmse=told["rmse"],
            bias=told["bias"],
            squared_error=told["squared_error"],
        )
    if isinstance(task, Classes):
        return ClassReport(
            n=told["n"],
            ne=told["normalised_entropy"],
            calibration=told["calibration"],
            calibration_error=told["calibration_error"],
            log_loss=told["log_loss"],
            accuracy=told["accuracy"],
            macro_f1=told["macro_f1"],
            counts=dict(zip(task.classes, told["counts"])),
        )
    return QualityReport(
        n=told["n"],
        auc=told["auc"],
        ne=told["normalised_entropy"],
        calibration=told["calibration"],
        log_loss=told["log_loss"],
        accuracy=told["accuracy"],
    )


def _of_rows(measure: ClassMeasure | NumberMeasure, rows: F64) -> TaskFigures:
    sums = np.zeros((1, measure.sums))
    measure.add(sums, np.zeros(len(rows), np.int64), rows)
    return measure.figures(sums[0])


def _rounded(task: Task, told: Mapping[str, Any]) -> dict[str, Any]:
    shorten = _shortened if task.kind == REGRESSION else _to_places
    floats = {name: shorten(value) for name, value in told.items() if isinstance(value, float)}
    return {**told, **floats}


def _to_places(figure: float) -> float:
    return round(float(figure), PLACES)


def _shortened(figure: float) -> float:
    """To so many digits from the first one on: places behind the point mean nothing of a unit."""
    if not figure:
        return 0.0
    return round(figure, DIGITS - 1 - math.floor(math.log10(abs(figure))))
