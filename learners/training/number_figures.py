"""Figures of answers that are numbers, all in the label's unit but for `squared_error`, the loss by
which lineages are compared, which is in its square.

Bias is the mean prediction less the mean label: positive where answers are too high on the whole.

*Prior* answers with the mean of the labels so far, *no change* with the label before; the very
first label has neither.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.learners.contract import Arrays
from freshet.learners.training.tallies import I64
from freshet.schemas.models.vectors import F64

NAN = float("nan")


@dataclass(frozen=True, slots=True)
class NumberFigures:
    """Quality over `n` examples; NaN where there are none."""

    n: int
    mae: float = NAN
    rmse: float = NAN
    bias: float = NAN
    squared_error: float = NAN
    mean_label: float = NAN
    mean_prediction: float = NAN

    def as_json(self) -> dict[str, Any]:
        # What JSON does not know; so large an error is none that anybody can compare.
        return {
            name: value if math.isfinite(value) else None for name, value in asdict(self).items()
        }


class NumberMeasure:
    """A row is answer and label."""

    def __init__(self) -> None:
        self.columns = 2
        self.sums = 5  # rows, absolute error, squared error, answers, labels

    def rows(self, p: F64, y: npt.NDArray[Any]) -> F64:
        return np.stack([p, y], axis=1).astype(np.float64)

    def add(self, table: F64, places: I64, rows: F64) -> None:
        answer = rows[:, 0]
        label = rows[:, 1]
        # A square beyond floats is infinite, and told as unknown: no warning is needed.
        with np.errstate(over="ignore"):
            error = answer - label
            parts = (np.ones(len(rows)), np.abs(error), error * error, answer, label)
            for column, values in enumerate(parts):
                # One place may come several times: `+=` would count it once.
                np.add.at(table, (places, np.full(len(rows), column)), values)

    def figures(self, sums: F64) -> NumberFigures:
        n = int(sums[0])
        if not n:
            return NumberFigures(0)
        absolute, squared, answers, labels = (sums[1:] / n).tolist()
        return NumberFigures(
            n,
            mae=absolute,
            rmse=math.sqrt(squared),
            bias=answers - labels,
            squared_error=squared,
            mean_label=labels,
            mean_prediction=answers,
        )


class NumberGuesses:
    """Rows of what prior and no change would have answered, label by label."""

    def __init__(self, measure: NumberMeasure) -> None:
        self.measure = measure
        self._seen = 0
        self._sum = 0.0
        self._last = NAN  # the label before; NaN before the first

    def rows(self, y: npt.NDArray[Any]) -> tuple[F64, F64]:
        """Of both, which have none for the very first label: `[n, 2]` or `[n - 1, 2]`."""
        label = np.asarray(y, np.float64)
        if not len(label):
            return np.empty((0, 2)), np.empty((0, 2))
        # `cumsum` adds one by one, as a loop would: sums must not depend on where the log was cut.
        sums = np.cumsum(np.concatenate([[self._sum], label]))
        seen = self._seen + np.arange(len(label))
        before = np.concatenate([[self._last], label[:-1]])
        mean = sums[:-1] / np.maximum(seen, 1)
        follows = seen > 0
        self._seen += len(label)
        self._sum = float(sums[-1])
        self._last = float(label[-1])
        prior = np.stack([mean, label], axis=1)
        no_change = np.stack([before, label], axis=1)
        return prior[follows], no_change[follows]

    def checkpoint(self) -> dict[str, npt.NDArray[Any]]:
        return {"sums": np.array([self._seen, self._sum, self._last])}

    def restore(self, state: Arrays) -> None:
        seen, self._sum, self._last = state["sums"].tolist()
        self._seen = int(seen)
