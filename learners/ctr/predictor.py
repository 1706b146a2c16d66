"""Serves `TorchCtr` from its flat arrays, without torch."""

from __future__ import annotations

import numpy as np

from freshet.learners.contract import Export
from freshet.learners.ctr import kernels
from freshet.learners.ctr.encoding import WIDEST, Encoding
from freshet.learners.state import check_vectors, plain
from freshet.schemas.models.vectors import F64, Vectors, VectorSchema

WEIGHTS = ("table", "first", "first_bias", "second", "second_bias", "last", "last_bias", "direct")


class TorchCtrPredictor:
    """Row-exact. Sums in another order than torch does, so within 1e-5 of the learner."""

    row_exact = True

    def __init__(self, export: Export, schema: VectorSchema) -> None:
        check_vectors(export.meta, export.kind, schema)
        encoding = Encoding(schema, export.meta)
        arrays = export.arrays
        tables = encoding.tables
        members = [m for field in encoding.members for m in field]
        self._plan = (
            encoding.seeds,
            np.cumsum([0, *map(len, encoding.members)]).astype(np.int32),
            np.array(members, np.int32),
            tables.knots,
            tables.knot_start,
            tables.start,
            tables.inputs,
            tables.factors,
            arrays["shift"],
            arrays["scale"],
        )
        self._bits_away = 64 - export.meta["bits"]
        self._weights = tuple(arrays[name] for name in WEIGHTS)

    def predict(self, vectors: Vectors) -> F64:
        out = np.empty(len(vectors))
        v = plain(vectors)
        kernels.predict(
            v.categories, v.numbers, self._plan, WIDEST, self._bits_away, self._weights, out
        )
        return out
