"""The figures of a task, behind one interface: what a trainer and the board update, save and tell.

Those of a binary task are `freshet.learners.training.prequential` and `references`, as ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from freshet.learners.contract import Arrays
from freshet.learners.training.class_figures import ClassGuesses, ClassMeasure
from freshet.learners.training.number_figures import NumberGuesses, NumberMeasure
from freshet.learners.training.prequential import Quality, RollingQuality, SliceQuality
from freshet.learners.training.references import References
from freshet.learners.training.tallies import Measure, Ring, Tally
from freshet.schemas.models.tasks import BINARY, CLASSES, Task
from freshet.schemas.models.vectors import F64

Saved = dict[str, npt.NDArray[Any]]
MOST_SLICES = 64


class Told(Protocol):
    def as_json(self) -> Mapping[str, Any]: ...


class QualityFigures(Protocol):
    """Over everything, or over the newest examples."""

    def update(self, p: F64, y: npt.NDArray[Any]) -> None: ...
    def figures(self) -> Told: ...
    def checkpoint(self) -> Saved: ...


class SlicedFigures(Protocol):
    def update(self, slices: Sequence[str], p: F64, y: npt.NDArray[Any]) -> None: ...
    def figures(self) -> Mapping[str, Told]: ...
    def checkpoint(self) -> Saved: ...


class ReferenceSums(Protocol):
    """What prior and no change would have scored."""

    def update(self, y: npt.NDArray[Any]) -> None: ...
    def figures(self) -> Told: ...
    def rolling(self) -> Told: ...
    def checkpoint(self) -> Saved: ...


class Overall:
    """Figures over everything since it was made."""

    def __init__(self, measure: Measure[Told]) -> None:
        self._measure = measure
        self._tally = Tally(measure)

    def update(self, p: F64, y: npt.NDArray[Any]) -> None:
        self._tally.add(self._measure.rows(p, y))

    def merge(self, other: Overall) -> None:
        self._tally.merge(other._tally)

    def figures(self) -> Told:
        return self._tally.figures()

    def checkpoint(self) -> Saved:
        return self._tally.checkpoint()

    def restore(self, state: Arrays) -> None:
        self._tally.restore(state)


class Rolling:
    """Figures over the newest `window` examples."""

    def __init__(self, measure: Measure[Told], window: int) -> None:
        self._measure = measure
        self._ring = Ring(measure, window)

    def update(self, p: F64, y: npt.NDArray[Any]) -> None:
        self._ring.add(self._measure.rows(p, y))

    def figures(self) -> Told:
        return self._ring.figures()

    def checkpoint(self) -> Saved:
        return self._ring.checkpoint()

    def restore(self, state: Arrays) -> None:
        self._ring.restore(state)


class Slices:
    """Figures by slice; the first 64 slices seen are told apart."""

    def __init__(self, measure: Measure[Told]) -> None:
        self._measure = measure
        self._tally = Tally(measure, MOST_SLICES)

    def update(self, slices: Sequence[str], p: F64, y: npt.NDArray[Any]) -> None:
        self._tally.add_by(slices, self._measure.rows(p, y))

    def figures(self) -> Mapping[str, Told]:
        return self._tally.by_slice()

    def checkpoint(self) -> Saved:
        return self._tally.checkpoint()

    def restore(self, state: Arrays) -> None:
        self._tally.restore(state)


class Both:
    """Figures of prior and no change."""

    def __init__(self, prior: Told, no_change: Told) -> None:
        self.prior = prior
        self.no_change = no_change

    def as_json(self) -> Mapping[str, Any]:
        return {"prior": self.prior.as_json(), "no_change": self.no_change.as_json()}


class Guessed:
    """Prior and no change over the same labels, overall and over the newest `window`."""

    def __init__(self, guesses: ClassGuesses | NumberGuesses, window: int) -> None:
        measure: Measure[Told] = guesses.measure
        self._guesses = guesses
        self._prior = Tally(measure)
        self._no_change = Tally(measure)
        self._newest_prior = Ring(measure, window)
        self._newest_no_change = Ring(measure, window)

    def update(self, y: npt.NDArray[Any]) -> None:
        """Add labels `[n]`, in the order of the log."""
        prior, no_change = self._guesses.rows(y)
        self._prior.add(prior)
        self._newest_prior.add(prior)
        self._no_change.add(no_change)
        self._newest_no_change.add(no_change)

    def figures(self) -> Told:
        return Both(self._prior.figures(), self._no_change.figures())

    def rolling(self) -> Told:
        return Both(self._newest_prior.figures(), self._newest_no_change.figures())

    def checkpoint(self) -> Saved:
        return {
            f"{part}.{name}": array
            for part, kept in self._parts().items()
            for name, array in kept.checkpoint().items()
        }

    def restore(self, state: Arrays) -> None:
        for part, kept in self._parts().items():
            begin = f"{part}."
            own = {k.removeprefix(begin): v for k, v in state.items() if k.startswith(begin)}
            kept.restore(own)

    def _parts(self) -> dict[str, Any]:
        return {
            "guesses": self._guesses,
            "prior": self._prior,
            "no_change": self._no_change,
            "newest_prior": self._newest_prior,
            "newest_no_change": self._newest_no_change,
        }


def measure_of(task: Task) -> ClassMeasure | NumberMeasure:
    """What is measured of a task that is not binary."""
    if task.kind == CLASSES:
        return ClassMeasure(task.width)
    return NumberMeasure()


def guesses_of(task: Task) -> ClassGuesses | NumberGuesses:
    """What prior and no change say, of a task that is not binary."""
    measure = measure_of(task)
    if isinstance(measure, ClassMeasure):
        return ClassGuesses(measure)
    return NumberGuesses(measure)


def quality(task: Task, state: Arrays | None = None) -> QualityFigures:
    """Over everything; with a `state`, from that checkpoint."""
    if task.kind == BINARY:
        return Quality() if state is None else Quality.restored(state)
    made = Overall(measure_of(task))
    if state is not None:
        made.restore(state)
    return made


def rolling(task: Task, window: int, state: Arrays | None = None) -> QualityFigures:
    """Over the newest `window` examples."""
    if task.kind == BINARY:
        return RollingQuality(window) if state is None else RollingQuality.restored(state)
    made = Rolling(measure_of(task), window)
    if state is not None:
        made.restore(state)
    return made


def sliced(task: Task, state: Arrays | None = None) -> SlicedFigures:
    """By slice."""
    if task.kind == BINARY:
        return SliceQuality() if state is None else SliceQuality.restored(state)
    made = Slices(measure_of(task))
    if state is not None:
        made.restore(state)
    return made


def references(task: Task, window: int, state: Arrays | None = None) -> ReferenceSums:
    """Of what answers without any feature."""
    if task.kind == BINARY:
        return References(window) if state is None else References.restored(state)
    made = Guessed(guesses_of(task), window)
    if state is not None:
        made.restore(state)
    return made


def known(task: Task, answers: F64) -> npt.NDArray[np.bool_]:
    """Which of `[n]` or `[n, k]` answers were ever given; what was not is NaN."""
    if task.kind == BINARY:
        return np.isfinite(answers)
    # A number that grew beyond all bounds was answered: leaving it out would flatter its learner.
    first = answers if answers.ndim == 1 else answers[:, 0]
    out: npt.NDArray[np.bool_] = ~np.isnan(first)
    return out
