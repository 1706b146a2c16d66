"""Serves River's logistic regression from its flat arrays, without River."""

from __future__ import annotations

import numpy as np

from freshet.learners.contract import Export
from freshet.learners.inputs.scaling import WIDEST
from freshet.learners.river import kernels
from freshet.learners.state import check_vectors, plain
from freshet.schemas.models.vectors import F64, Vectors, VectorSchema


class RiverLogisticPredictor:
    """Row-exact. Sums in another order than River does, so within 1e-9 of the learner."""

    row_exact = True

    def __init__(self, export: Export, schema: VectorSchema) -> None:
        check_vectors(export.meta, export.kind, schema)
        arrays = export.arrays
        self._arrays = arrays["weights"], arrays["shift"], arrays["scale"], arrays["intercept"]
        self._buckets = export.meta["buckets"]
        self._widest = WIDEST if export.meta["scale"] else np.inf

    def predict(self, vectors: Vectors) -> F64:
        out = np.empty(len(vectors))
        given = plain(vectors)
        kernels.predict(
            given.categories, given.numbers, *self._arrays, self._buckets, self._widest, out
        )
        return out
