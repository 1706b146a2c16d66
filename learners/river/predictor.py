"""Serves River's linear models from their flat arrays, without River."""

from __future__ import annotations

import numpy as np

from freshet.learners.contract import LOWEST, Export, of_classes
from freshet.learners.inputs.scaling import WIDEST
from freshet.learners.river import kernels
from freshet.learners.state import check_vectors, plain
from freshet.learners.targets.kernels import sigmoid_rows, softmax_rows
from freshet.schemas.models.tasks import CLASSES
from freshet.schemas.models.vectors import F64, Vectors, VectorSchema


class Scores:
    """Weighted sums float64 `[n, k]` of an export's weights. Row-exact. Sums in another order than
    River does."""

    def __init__(self, export: Export, schema: VectorSchema) -> None:
        check_vectors(export.meta, export.kind, schema)
        arrays = export.arrays
        # Of one score, weights are a row.
        weights = np.atleast_2d(arrays["weights"])
        intercepts = arrays.get("intercept", np.zeros(len(weights)))
        self._arrays = weights, arrays["shift"], arrays["scale"], intercepts
        self._buckets = export.meta["buckets"]
        self._widest = WIDEST if export.meta["scale"] else np.inf

    def of(self, vectors: Vectors) -> F64:
        out = np.empty((len(vectors), len(self._arrays[0])))
        given = plain(vectors)
        kernels.scores(
            given.categories, given.numbers, *self._arrays, self._buckets, self._widest, out
        )
        return out


class RiverLogisticPredictor:
    """Row-exact, and within 1e-9 of the learner."""

    row_exact = True

    def __init__(self, export: Export, schema: VectorSchema) -> None:
        self._scores = Scores(export, schema)

    def predict(self, vectors: Vectors) -> F64:
        out = np.empty(len(vectors))
        sigmoid_rows(self._scores.of(vectors), out)
        return out


class RiverSoftmaxPredictor:
    """Row-exact, and within 1e-9 of the learner. A class that had no label has the least
    probability."""

    row_exact = True

    def __init__(self, export: Export, schema: VectorSchema) -> None:
        self._scores = Scores(export, schema)
        self._seen = export.arrays["seen"].astype(np.bool_)
        self._task = schema.task

    def predict(self, vectors: Vectors) -> F64:
        scores = np.ascontiguousarray(self._scores.of(vectors)[:, self._seen])
        shares = np.zeros((len(vectors), len(self._seen)))
        if self._seen.any():
            softmax_rows(scores)
            shares[:, self._seen] = scores
        if self._task.kind == CLASSES:
            return of_classes(shares)
        if not self._seen[1]:
            # As the learner says it of what has had no label yet.
            return np.full(len(vectors), 0.5)
        return np.clip(shares[:, 1], LOWEST, 1 - LOWEST)


class RiverLinearPredictor:
    """Row-exact, and within 1e-9 of the learner, of numbers near 1."""

    row_exact = True

    def __init__(self, export: Export, schema: VectorSchema) -> None:
        self._scores = Scores(export, schema)
        self._target = export.arrays["target"].tolist()

    def predict(self, vectors: Vectors) -> F64:
        deviation, mean = self._target
        numbers: F64 = self._scores.of(vectors)[:, 0] * deviation + mean
        return numbers
