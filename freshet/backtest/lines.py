"""The quality of lineages by how often they cut snapshots: what freshness is worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from freshet.backtest.course import Course
from freshet.learners.training.prequential import Figures, figures_of

F64 = npt.NDArray[np.float64]
WEEK_MS = 7 * 24 * 3_600_000
MONDAY_MS = 4 * 24 * 3_600_000  # 5 January 1970; the first day of all was a Thursday


@dataclass(frozen=True, slots=True)
class Line:
    """A lineage with one interval. `weeks` are the moments (ms) at which weeks begin, Mondays in
    UTC, each with the normalised entropy of its questions."""

    lineage: str
    every: str
    figures: Figures
    weeks: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Compared:
    """Lines over the same questions: those with a label from `first_ms` to `last_ms` that every one
    of them could answer. Lines of a lineage rise by their intervals."""

    lines: list[Line]
    questions: int
    first_ms: int
    last_ms: int

    def of(self, lineage: str) -> list[Line]:
        return [line for line in self.lines if line.lineage == lineage]

    @property
    def lineages(self) -> list[str]:
        return list(dict.fromkeys(line.lineage for line in self.lines))


def compared(
    course: Course, answers: Mapping[str, F64], every: list[str], since_ms: int, until_ms: int
) -> Compared:
    """Of what each lineage answered, float64 `[intervals, n]`, to the questions between two
    moments."""
    is_scored = np.isfinite(course.label)
    is_scored &= (course.asked_ms >= since_ms) & (course.asked_ms < until_ms)
    for probability in answers.values():
        is_scored &= np.isfinite(probability).all(axis=0)
    rows = np.flatnonzero(is_scored)
    moments = course.asked_ms[rows]
    lines = []
    for lineage, probability in answers.items():
        for name, own in zip(every, probability):
            figures = figures_of(own[rows], course.label[rows])
            weeks = tuple(_weeks(moments, own[rows], course.label[rows]))
            lines.append(Line(lineage, name, figures, weeks))
    first = int(moments[0]) if len(rows) else 0
    last = int(moments[-1]) if len(rows) else 0
    return Compared(lines, len(rows), first, last)


def _weeks(moments: npt.NDArray[np.int64], p: F64, label: F64) -> Iterator[tuple[int, float]]:
    week = (moments - MONDAY_MS) // WEEK_MS
    for number in np.unique(week).tolist():
        own = week == number
        entropy = figures_of(p[own], label[own]).normalised_entropy
        # NaN where all labels are alike: there is nothing to be told.
        if np.isfinite(entropy):
            yield number * WEEK_MS + MONDAY_MS, entropy
