"""The quality of lineages by how often they cut snapshots: what freshness is worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from freshet.backtest.course import Course
from freshet.learners.training import by_task
from freshet.quality.figures import TaskFigures, figures, guessed
from freshet.schemas.models.tasks import BINARY, CLASSES, REGRESSION, Task

F64 = npt.NDArray[np.float64]
WEEK_MS = 7 * 24 * 3_600_000
MONDAY_MS = 4 * 24 * 3_600_000  # 5 January 1970; the first day of all was a Thursday
# What freshness is worth is told in: of each task a figure that is the less the better.
CURVES = {
    BINARY: "normalised_entropy",
    CLASSES: "normalised_entropy",
    REGRESSION: "rmse",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A lineage with one interval. `weeks` are the moments (ms) at which weeks begin, Mondays in
    UTC, each with the curve's figure of its questions."""

    lineage: str
    every: str
    figures: TaskFigures
    weeks: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """What needs no features, on the same questions in the order asked."""

    name: str
    figures: TaskFigures


@dataclass(frozen=True, slots=True)
class Compared:
    """Lines over the same questions: those with a label from `first_ms` to `last_ms` that every one
    of them could answer. Lines of a lineage rise by their intervals. `references` are none of a
    binary task: its normalised entropy is told against one already."""

    lines: list[Line]
    questions: int
    first_ms: int
    last_ms: int
    task: Task
    references: tuple[Reference, ...] = ()

    def of(self, lineage: str) -> list[Line]:
        return [line for line in self.lines if line.lineage == lineage]

    @property
    def lineages(self) -> list[str]:
        return list(dict.fromkeys(line.lineage for line in self.lines))


def compared(
    course: Course, answers: Mapping[str, F64], every: list[str], since_ms: int, until_ms: int
) -> Compared:
    """Of what each lineage answered, float64 `[intervals, n]` (of classes `[intervals, n, k]`), to
    the questions between two moments."""
    task = course.task
    is_scored = np.isfinite(course.label)
    is_scored &= (course.asked_ms >= since_ms) & (course.asked_ms < until_ms)
    for every_own in answers.values():
        for own in every_own:
            is_scored &= by_task.known(task, own)
    rows = np.flatnonzero(is_scored)
    moments = course.asked_ms[rows]
    lines = []
    label = course.label[rows]
    for lineage, every_own in answers.items():
        for name, own in zip(every, every_own):
            found = figures(task, own[rows], label)
            weeks = tuple(_weeks(task, moments, own[rows], label))
            lines.append(Line(lineage, name, found, weeks))
    first = int(moments[0]) if len(rows) else 0
    last = int(moments[-1]) if len(rows) else 0
    return Compared(lines, len(rows), first, last, task, _references(task, label))


def value_of(figures: TaskFigures, name: str) -> float:
    """One of them; NaN where it means nothing."""
    value: float = getattr(figures, name)
    return value


def _references(task: Task, label: F64) -> tuple[Reference, ...]:
    if task.kind == BINARY:
        return ()
    prior, no_change = guessed(task, label)
    return Reference("prior", prior), Reference("no change", no_change)


def _weeks(
    task: Task, moments: npt.NDArray[np.int64], answers: F64, label: F64
) -> Iterator[tuple[int, float]]:
    week = (moments - MONDAY_MS) // WEEK_MS
    for number in np.unique(week).tolist():
        own = week == number
        told = value_of(figures(task, answers[own], label[own]), CURVES[task.kind])
        # An entropy is NaN where all labels are alike: there is nothing to be told.
        if np.isfinite(told):
            yield number * WEEK_MS + MONDAY_MS, told
