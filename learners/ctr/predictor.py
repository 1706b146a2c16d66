"""Serves `TorchCtr` from its flat arrays, without torch."""

from __future__ import annotations

import numpy as np

from freshet.learners.contract import Export
from freshet.learners.ctr import kernels
from freshet.learners.ctr.encoding import WIDEST, Encoding
from freshet.learners.state import check_vectors, plain
from freshet.learners.targets.kernels import sigmoid_rows, softmax_rows
from freshet.schemas.models.tasks import CLASSES
from freshet.schemas.models.vectors import F64, Vectors, VectorSchema


class TorchCtrPredictor:
    """Row-exact. Sums in another order than torch does, so within 1e-5 of the learner."""

    row_exact = True

    def __init__(self, export: Export, schema: VectorSchema) -> None:
        check_vectors(export.meta, export.kind, schema)
        encoding = Encoding(schema, export.meta)
        arrays = export.arrays
        tables = encoding.tables
        members = [member for field in encoding.members for member in field]
        self._plan = kernels.Plan(
            seeds=encoding.seeds,
            member_start=np.cumsum([0, *map(len, encoding.members)]).astype(np.int32),
            members=np.array(members, np.int32),
            knots=tables.knots,
            knot_start=tables.knot_start,
            start=tables.start,
            inputs=tables.inputs,
            factors=tables.factors,
            centre=arrays["shift"],
            scale=arrays["scale"],
            widest=WIDEST,
            shift=encoding.shift,
        )
        self._weights = kernels.Weights(*(arrays[name] for name in kernels.Weights._fields))

        self._target = arrays.get("target")
        self._task = schema.task

    def predict(self, vectors: Vectors) -> F64:
        scores = np.empty((len(vectors), self._task.width))
        given = plain(vectors)
        kernels.scores(
            given.categories,
            given.numbers,
            self._plan,
            self._weights,
            scores,
        )
        if self._task.kind == CLASSES:
            softmax_rows(scores)
            return scores
        if self._target is not None:
            mean, deviation = self._target.tolist()
            numbers: F64 = scores[:, 0] * deviation + mean
            return numbers
        out = np.empty(len(vectors))
        sigmoid_rows(scores, out)
        return out
