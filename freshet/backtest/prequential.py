"""Prequential answers of the past: each question is answered by the newest snapshot of its moment,
which knows of no answer that came after it (Gama, Sebastião and Rodrigues, 2013)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from freshet.backtest.course import Course
from freshet.learners.contract import Learner
from freshet.schemas.models.tasks import CLASSES, Task
from freshet.schemas.models.vectors import Examples

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
# So many questions are answered at once: memory stays bounded, and vectors in the cache.
PIECE = 4096


def answered(learner: Learner, course: Course, every_ms: Sequence[int]) -> F64:
    """What a lineage would have answered, had it cut snapshots so often.

    A snapshot is cut whenever the clock is at a multiple of the interval, and serves from that
    moment on; it has learned what was known by then. The learner learns once, whatever the number
    of intervals: none of them changes what it learns.

    Returns:
        Answers float64 `[intervals, n]`, of classes `[intervals, n, k]`; NaN where there was
        nothing to answer from.
    """
    answers = np.full((len(every_ms), *_shape(course.task, len(course))), np.nan)
    cuts = [course.asked_ms // every * every for every in every_ms]
    has_learned = False
    done = 0
    for moment in np.unique(np.concatenate([np.empty(0, np.int64), *cuts])).tolist():
        while done < len(course.steps) and course.steps[done].at_ms <= moment:
            rows = course.steps[done].rows
            labels = course.label[rows].astype(np.float32)
            learner.learn(Examples(course.vectors.take(rows), labels))
            has_learned = True
            done += 1
        if has_learned:
            _answer(learner, course, cuts, moment, answers)
    return answers


def _shape(task: Task, count: int) -> tuple[int, ...]:
    """Of so many answers."""
    if task.kind == CLASSES:
        return count, task.width
    return (count,)


def _answer(
    learner: Learner, course: Course, cuts: Sequence[I64], moment: int, answers: F64
) -> None:
    """By the snapshot that is cut at a moment, until the next one of the same interval."""
    spans = []
    for cut in cuts:
        spans.append(
            (int(np.searchsorted(cut, moment)), int(np.searchsorted(cut, moment, "right")))
        )
    # All begin at this moment: the questions of the longest interval hold those of the others.
    first = min((span[0] for span in spans if span[0] < span[1]), default=0)
    after = max((span[1] for span in spans if span[0] < span[1]), default=0)
    found = np.empty(_shape(course.task, after - first))
    for at in range(first, after, PIECE):
        rows = np.arange(at, min(at + PIECE, after))
        found[rows - first] = learner.predict(course.vectors.take(rows))
    for own, (begin, end) in zip(answers, spans):
        own[begin:end] = found[begin - first : end - first]
