"""Figures of answers that say which class it is.

Log loss is multiclass, in nats, the probability of the label's class clipped at 1e-6. The class
answered is that of the highest probability, the first of equal ones. Macro F1 is the mean over
the classes that occurred or were answered, as in scikit-learn, of 2 hits / (occurred + answered).
Calibration is that of confidence: the mean highest probability over accuracy; the expected
calibration error (Guo et al., "On calibration of modern neural networks", 2017) is the mean
distance of both within ten equal steps of the highest probability, by their counts. Normalised
entropy is log loss over that of always answering with the shares of the classes.

*Prior* answers with the shares of the classes so far (one half of a label each before the first;
Krichevsky and Trofimov, 1981), *no change* with the label before: a class, without a log loss.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.learners.contract import Arrays
from freshet.learners.training.tallies import I64
from freshet.schemas.models.vectors import F64

NAN = float("nan")
LOWEST = 1e-6
STEPS = 10
PRIOR_WEIGHT = 0.5  # of each class before the first label
# Sums: rows, log loss, highest probability; of each step rows, highest probability, hits.
_STEPS_FROM = 3
_CLASSES_FROM = _STEPS_FROM + 3 * STEPS


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """Quality over `n` examples; `counts` are labels by class. NaN where it means nothing."""

    n: int
    log_loss: float = NAN
    accuracy: float = NAN
    macro_f1: float = NAN
    calibration: float = NAN
    calibration_error: float = NAN
    normalised_entropy: float = NAN
    counts: list[int] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        # NaN, which JSON does not know, is the only value that differs from itself.
        return {name: None if value != value else value for name, value in asdict(self).items()}


class ClassMeasure:
    """Of `classes` classes. A row is label, class answered, probability of the label's class and
    highest probability."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.columns = 4
        # and of each class: labels, answers, hits
        self.sums = _CLASSES_FROM + 3 * classes

    def rows(self, p: F64, y: npt.NDArray[Any]) -> F64:
        """Of answers `[n, classes]` and labels `[n]`, each the place of a class."""
        label = np.asarray(y).astype(np.int64)
        top = p.argmax(axis=1)
        every = np.arange(len(label))
        return np.stack([label, top, p[every, label], p[every, top]], axis=1).astype(np.float64)

    def add(self, table: F64, places: I64, rows: F64) -> None:
        label = rows[:, 0].astype(np.int64)
        top = rows[:, 1].astype(np.int64)
        hit = (label == top).astype(np.float64)
        highest = rows[:, 3]
        loss = -np.log(np.clip(rows[:, 2], LOWEST, 1 - LOWEST))
        # An answer without probabilities has no step; its sums are unknown anyway.
        step = np.clip((np.nan_to_num(highest) * STEPS).astype(np.int64), 0, STEPS - 1)
        by_step = _STEPS_FROM + 3 * step
        ones = np.ones(len(rows))
        # By `np.add.at`, since one place may come several times: `+=` would count it once.
        np.add.at(table, (places, np.full(len(rows), 0)), ones)
        np.add.at(table, (places, np.full(len(rows), 1)), loss)
        np.add.at(table, (places, np.full(len(rows), 2)), highest)
        np.add.at(table, (places, by_step), ones)
        np.add.at(table, (places, by_step + 1), highest)
        np.add.at(table, (places, by_step + 2), hit)
        np.add.at(table, (places, _CLASSES_FROM + 3 * label), ones)
        np.add.at(table, (places, _CLASSES_FROM + 3 * top + 1), ones)
        np.add.at(table, (places, _CLASSES_FROM + 3 * label + 2), hit)

    def figures(self, sums: F64) -> ClassFigures:
        n = int(sums[0])
        by_class = sums[_CLASSES_FROM:].reshape(-1, 3)
        counts = by_class[:, 0].astype(np.int64).tolist()
        if not n:
            return ClassFigures(0, counts=counts)
        by_step = sums[_STEPS_FROM:_CLASSES_FROM].reshape(-1, 3)
        hits = float(by_class[:, 2].sum())
        met = by_class[:, 0] + by_class[:, 1]
        known = met > 0
        calibration = NAN
        if hits:
            calibration = float(sums[2]) / hits
        share = by_class[by_class[:, 0] > 0, 0] / n
        entropy = float(-(share * np.log(share)).sum())
        loss = float(sums[1]) / n
        normalised = NAN
        if entropy > 0:
            normalised = loss / entropy
        return ClassFigures(
            n,
            log_loss=loss,
            accuracy=hits / n,
            macro_f1=float((2 * by_class[known, 2] / met[known]).mean()),
            calibration=calibration,
            calibration_error=float(np.abs(by_step[:, 1] - by_step[:, 2]).sum()) / n,
            normalised_entropy=normalised,
            counts=counts,
        )


class ClassGuesses:
    """Rows of what prior and no change would have answered, label by label."""

    def __init__(self, measure: ClassMeasure) -> None:
        self.measure = measure
        self._counts = np.zeros(measure.classes)
        self._last = NAN  # the label before; NaN before the first

    def rows(self, y: npt.NDArray[Any]) -> tuple[F64, F64]:
        """Of the prior `[n, 4]`, and of no change, which has none for the very first label."""
        label = np.asarray(y).astype(np.int64)
        prior = np.empty((len(label), 4))
        weight = PRIOR_WEIGHT * len(self._counts)
        seen = float(self._counts.sum())
        # One by one: a table of all classes for each label would be large.
        for at, found in enumerate(label.tolist()):
            top = int(self._counts.argmax())
            of_label = (self._counts[found] + PRIOR_WEIGHT) / (seen + weight)
            of_top = (self._counts[top] + PRIOR_WEIGHT) / (seen + weight)
            prior[at] = (found, top, of_label, of_top)
            self._counts[found] += 1
            seen += 1
        before = np.concatenate([[self._last], label[:-1]])[: len(label)]
        if len(label):
            self._last = float(label[-1])
        unknown = np.full(len(label), NAN)
        no_change = np.stack([label, before, unknown, unknown], axis=1)
        return prior, no_change[before == before]

    def checkpoint(self) -> dict[str, npt.NDArray[Any]]:
        return {"counts": self._counts.copy(), "last": np.array([self._last])}

    def restore(self, state: Arrays) -> None:
        self._counts = state["counts"].copy()
        self._last = float(state["last"][0])
