"""The vectors of questions that were asked before a model read all that it reads now: read as of
each question, by the code that scorers read features with, over rows as they were."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.learners.model import Model
from freshet.reconstructed.examples import missing_until, store_then
from freshet.reconstructed.rows_then import StoreThen
from freshet.roles.plans import vector_plan
from freshet.runs.opened import OpenedRun
from freshet.schemas.models.layout import Layout
from freshet.schemas.models.vectors import Vectors
from freshet.schemas.text.columns import Texts
from freshet.schemas.text.keys import taken_apart
from freshet.schemas.topics.topic import FieldRef
from freshet.schemas.wire.outcomes import fixed_of, layout_of, texts_of

I64 = npt.NDArray[np.int64]


class ColumnsThen:
    """Of one model. Of a request is known what was logged with it, under whatever feature; what was
    not is missing, and so are features that are made of it. Of each partition of a topic at `most`
    so many records are read, the oldest."""

    def __init__(self, run: OpenedRun, model: Model, most: int | None = None) -> None:
        self._most = most
        self._run = run
        self._model = model
        self._plan = vector_plan(run.app, model, missing_until(run, run.app, model))
        self._store: StoreThen | None = None
        self._newest_ms: int | None = None
        fields = self._plan.fields
        texts = [FieldRef(model.on.name, name, True) for name in fields]
        numbers = [FieldRef(model.on.name, name, False) for name in fields]
        meanings = tuple(map(model.meanings.of_field, (*texts, *numbers)))
        self._logged = Layout(fields, fields, meanings=meanings)

    def of(self, rows: pa.RecordBatch) -> Vectors:
        """The vectors of questions, in their order, of which all were logged by one layout."""
        moments = np.array(fixed_of(rows, self._logged)["asked_at"])
        order = np.argsort(moments, kind="stable")
        asked = self._requests(rows)
        count = len(moments)
        schema = self._model.vectors
        out = Vectors(
            np.zeros((count, len(schema.categories)), np.uint64),
            np.zeros((count, len(schema.numbers)), np.float32),
        )
        sorted_ms = moments[order]
        # Questions of one moment see the same rows, and are read at once.
        steps = np.diff(
            sorted_ms,
            prepend=sorted_ms[:1] - 1,
            append=sorted_ms[-1:] + 1,
        )
        for first, after in pairwise(np.flatnonzero(steps).tolist()):
            chosen = order[first:after]
            moment = int(sorted_ms[first])
            columns = {name: [values[i] for i in chosen] for name, values in asked.items()}
            read = self._plan.read(
                self._as_of(moment),
                columns,
                len(chosen),
                moment,
            )
            out.categories[chosen] = read.vectors.categories
            out.numbers[chosen] = read.vectors.numbers
        return out

    def known_ms(self) -> int:
        """Up to when all is known of rows."""
        return self._opened().known_ms

    def _opened(self) -> StoreThen:
        if self._store is None:
            self._store = store_then(
                self._run,
                self._run.app,
                self._model,
                self._most,
            )
        return self._store

    def _as_of(self, moment: int) -> StoreThen:
        store = self._opened()
        # Rows go on only: of a question that was logged late they begin once more.
        if self._newest_ms is not None and moment < self._newest_ms:
            store.begin_again()
        self._newest_ms = moment
        store.go_to(moment)
        return store

    def _requests(self, rows: pa.RecordBatch) -> dict[str, list[Any]]:
        """What requests said, as far as it was logged."""
        written = layout_of(rows)
        fixed = fixed_of(rows, self._logged)
        joined: Texts = texts_of(rows, self._logged)["categories"]
        parts = taken_apart(joined, len(self._logged.categories))
        categories, numbers = self._logged.columns
        found: dict[str, list[Any]] = {}
        for at, name in enumerate(self._plan.fields):
            if categories[at] in written.columns[0]:
                found[name] = parts[at].to_arrow().to_pylist()
            elif numbers[at] in written.columns[1]:
                values = fixed["numbers"][:, at].astype(np.float64)
                found[name] = [None if np.isnan(value) else value for value in values.tolist()]
            elif name == self._model.id:
                found[name] = rows.column("id").to_pylist()
        return found
