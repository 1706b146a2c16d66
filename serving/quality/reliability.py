"""What was answered beside what came: the reliability diagram of the newest labelled answers
(Murphy and Winkler, 1977), of each task.

Of a binary model it is by steps of the probability, of classes by steps of the highest one and
whether that class came (Guo et al., "On calibration of modern neural networks", 2017). Numbers have
no steps of their own: theirs are tenths of the answers, from the smallest to the largest.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from freshet.learners.contract import Arrays
from freshet.learners.training.class_figures import ClassMeasure
from freshet.learners.training.number_figures import NumberMeasure
from freshet.learners.training.prequential import RollingQuality, reliability
from freshet.learners.training.tallies import Ring
from freshet.schemas.models.tasks import Binary, Classes, Task
from freshet.schemas.models.vectors import F64
from freshet.serving.status import status as s

BINS = 10


class Diagram(Protocol):
    """Of the newest labelled answers."""

    def update(self, p: F64, y: npt.NDArray[Any]) -> None:
        """Add answers `[n]` or `[n, k]` and labels `[n]`, in the order of the log."""
        ...

    def bins(self) -> tuple[s.CalibrationBin, ...]: ...

    def by_class(self) -> tuple[s.ClassCounts, ...]:
        """Empty where there are no classes."""
        ...

    def checkpoint(self) -> dict[str, npt.NDArray[Any]]: ...

    def restore(self, state: Arrays) -> None: ...


class Probabilities:
    """Of a binary model."""

    def __init__(self, newest: int) -> None:
        self._newest = RollingQuality(newest)

    def update(self, p: F64, y: npt.NDArray[Any]) -> None:
        self._newest.update(p, y)

    def bins(self) -> tuple[s.CalibrationBin, ...]:
        return _steps(self._newest.reliability(BINS))

    def by_class(self) -> tuple[s.ClassCounts, ...]:
        return ()

    def checkpoint(self) -> dict[str, npt.NDArray[Any]]:
        return self._newest.checkpoint()

    def restore(self, state: Arrays) -> None:
        self._newest = RollingQuality.restored(state)


class Confidence:
    """Of classes: the highest probability, and whether its class came."""

    def __init__(self, task: Classes, newest: int) -> None:
        self._names = task.classes
        self._measure = ClassMeasure(task.width)
        self._ring = Ring(self._measure, newest)

    def update(self, p: F64, y: npt.NDArray[Any]) -> None:
        self._ring.add(self._measure.rows(p, y))

    def bins(self) -> tuple[s.CalibrationBin, ...]:
        label, top, _, highest = self._ring.newest().T
        return _steps(reliability(highest, label == top, BINS))

    def by_class(self) -> tuple[s.ClassCounts, ...]:
        label, top, _, _ = self._ring.newest().astype(np.int64).T
        every = len(self._names)
        labelled = np.bincount(label, minlength=every).tolist()
        answered = np.bincount(top, minlength=every).tolist()
        right = np.bincount(label[label == top], minlength=every).tolist()
        counts = zip(self._names, labelled, answered, right, strict=True)
        return tuple(
            s.ClassCounts(name=name, labelled=came, answered=said, right=both)
            for name, came, said, both in counts
        )

    def checkpoint(self) -> dict[str, npt.NDArray[Any]]:
        return self._ring.checkpoint()

    def restore(self, state: Arrays) -> None:
        self._ring.restore(state)


class Numbers:
    """Of numbers: tenths of the answers, and the labels of each."""

    def __init__(self, newest: int) -> None:
        self._measure = NumberMeasure()
        self._ring = Ring(self._measure, newest)

    def update(self, p: F64, y: npt.NDArray[Any]) -> None:
        self._ring.add(self._measure.rows(p, y))

    def bins(self) -> tuple[s.CalibrationBin, ...]:
        rows = self._ring.newest()
        # What grew beyond all floats has no place on an axis; alerts speak of it.
        answers, labels = rows[np.isfinite(rows).all(axis=1)].T
        if not len(answers):
            return ()
        # A tenth that is one value is no tenth: equal answers stand in one bin.
        # By answers that were given, since between two huge ones there may be no float.
        shares = np.arange(1, BINS) / BINS
        edges = np.unique(np.quantile(answers, shares, method="higher"))
        place = np.searchsorted(edges, answers, side="right")
        return tuple(
            _of_numbers(answers[place == at], labels[place == at]) for at in np.unique(place)
        )

    def by_class(self) -> tuple[s.ClassCounts, ...]:
        return ()

    def checkpoint(self) -> dict[str, npt.NDArray[Any]]:
        return self._ring.checkpoint()

    def restore(self, state: Arrays) -> None:
        self._ring.restore(state)


def diagram(task: Task, newest: int, state: Arrays | None = None) -> Diagram:
    """Of so many answers; with a `state`, from that checkpoint."""
    made: Diagram
    if isinstance(task, Binary):
        made = Probabilities(newest)
    elif isinstance(task, Classes):
        made = Confidence(task, newest)
    else:
        made = Numbers(newest)
    if state is not None:
        made.restore(state)
    return made


def _steps(table: F64) -> tuple[s.CalibrationBin, ...]:
    """Of `[BINS, 3]` of counts, sums of probabilities, and how many came."""
    return tuple(
        s.CalibrationBin(
            low=i / BINS,
            high=(i + 1) / BINS,
            n=int(n),
            predicted=sum_p / n if n else None,
            observed=sum_y / n if n else None,
        )
        for i, (n, sum_p, sum_y) in enumerate(table.tolist())
    )


def _of_numbers(answers: F64, labels: F64) -> s.CalibrationBin:
    with np.errstate(over="ignore"):
        predicted = float(answers.mean())
    return s.CalibrationBin(
        low=float(answers.min()),
        high=float(answers.max()),
        n=len(answers),
        predicted=_finite(predicted),
        observed=float(labels.mean()),
        deviation=float(labels.std()),
    )


def _finite(value: float) -> float | None:
    # Even finite answers may add up to more than a float holds.
    return value if math.isfinite(value) else None
