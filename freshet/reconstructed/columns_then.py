"""The vectors of questions that were asked before a model read all that it reads now: read as of
each question, by the code that scorers read features with, over rows as they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.learners.model import Model
from freshet.reconstructed.examples import missing_until, store_then
from freshet.reconstructed.rows_then import StoreThen
from freshet.roles.plans import vector_plan
from freshet.runs.opened import OpenedRun
from freshet.schemas.models.layout import Layout, stamps_of
from freshet.schemas.models.vectors import Vectors
from freshet.schemas.text.columns import Texts
from freshet.schemas.text.keys import taken_apart
from freshet.schemas.topics.topic import FieldRef
from freshet.schemas.wire.outcomes import fixed_of, layout_of, texts_of

I64 = npt.NDArray[np.int64]
Arrays = Mapping[str, npt.NDArray[Any]]


class Saved(Protocol):
    """Where a store of then is kept, as of moments."""

    def before(self, moment_ms: int) -> Arrays | None:
        """What was dumped as of the latest moment up to this one."""
        ...

    def save(self, store: StoreThen) -> None:
        """Dump it, if that is due: all that it has settled is folded."""
        ...


class Unsaved:
    """Nowhere: all is read from the beginning."""

    def before(self, moment_ms: int) -> Arrays | None:
        return None

    def save(self, store: StoreThen) -> None:
        return None


class ColumnsThen:
    """Of one model. Of a request is known what was logged with it, under whatever feature; what was
    not is missing, and so are features that are made of it. Rows go on from what was `saved`. Of
    each partition of a topic at `most` so many records are read, the oldest. To be closed."""

    def __init__(
        self,
        run: OpenedRun,
        model: Model,
        saved: Saved,
        most: int | None = None,
    ) -> None:
        self._most = most
        self._run = run
        self._model = model
        self._saved = saved
        self._plan = vector_plan(
            run.app,
            model,
            missing_until(run, run.app, model),
        )
        self.store: StoreThen | None = None
        fields = self._plan.fields
        texts = [FieldRef(model.on.name, name, True) for name in fields]
        numbers = [FieldRef(model.on.name, name, False) for name in fields]
        meanings = tuple(map(model.meanings.of_field, (*texts, *numbers)))
        self._logged = Layout(
            fields,
            fields,
            stamps_of(model.task),
            meanings,
        )

    def of(self, found: Sequence[pa.RecordBatch]) -> Vectors:
        """The vectors of questions, in their order; those of one batch were logged by one
        layout."""
        asked = [self._requests(rows) for rows in found]
        moments = np.concatenate([fixed_of(rows, self._logged)["asked_at"] for rows in found])
        which = np.repeat(np.arange(len(found)), [rows.num_rows for rows in found])
        place = np.concatenate([np.arange(rows.num_rows) for rows in found])
        count = len(moments)
        schema = self._model.vectors
        out = Vectors(
            np.zeros((count, len(schema.categories)), np.uint64),
            np.zeros((count, len(schema.numbers)), np.float32),
        )
        if not count:
            return out
        store = self._from_to(int(moments.min()), int(moments.max()))
        order = np.lexsort((place, which, moments))
        # Questions of one moment see the same rows, and are read at once.
        is_new = np.diff(moments[order]) != 0
        is_new |= np.diff(which[order]) != 0
        edges = [0, *(np.flatnonzero(is_new) + 1).tolist(), count]
        for first, after in pairwise(edges):
            chosen = order[first:after]
            moment = int(moments[chosen[0]])
            said = asked[which[chosen[0]]]
            own = place[chosen].tolist()
            columns = {name: [values[i] for i in own] for name, values in said.items()}
            store.go_to(moment)
            read = self._plan.read(
                store,
                columns,
                len(chosen),
                moment,
            )
            out.categories[chosen] = read.vectors.categories
            out.numbers[chosen] = read.vectors.numbers
        return out

    def known_ms(self) -> int:
        """Up to when all is known of rows."""
        if self.store is None:
            self.store = self._begun()
        return self.store.known_ms

    def _begun(self) -> StoreThen:
        return store_then(
            self._run,
            self._run.app,
            self._model,
            self._most,
        )

    def _from_to(self, first_ms: int, last_ms: int) -> StoreThen:
        """The store for questions from one moment to another one."""
        store = self.store
        # Rows go on only: of a question that was logged late they begin once more.
        if store is None or first_ms < store.reached_ms:
            self.close()
            store = self._begun()
            self.store = store
            state = self._saved.before(first_ms)
            if state is not None:
                store.load(state)
        store.until_ms = last_ms
        store.settled = partial(
            self._save_on_the_way,
            store,
            first_ms,
        )
        return store

    def _save_on_the_way(self, store: StoreThen, first_ms: int) -> None:
        """Before the first question. Later is too late for whoever begins these questions again."""
        if store.reached_ms <= first_ms:
            self._saved.save(store)

    def save(self) -> None:
        """As of what was asked last, if it is due: that need not be asked again."""
        if self.store is not None:
            self.store.fold_all()
            self._saved.save(self.store)

    def close(self) -> None:
        if self.store is not None:
            self.store.close()
            self.store = None

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
