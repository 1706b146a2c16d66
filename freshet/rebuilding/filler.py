"""Computes what columns were, as of each question that was asked before anybody read them: one file
of questions after the other, in the order of the examples log, from its beginning on.

Killed, it goes on after the newest file. Of the rows that it reads columns of nothing is saved:
they are folded of their topics once more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from msgspec.structs import replace

from freshet.hydration import past_columns
from freshet.hydration.past_columns import Filling, Part
from freshet.learners.model import Model
from freshet.past.own_logs import Told, blocks_in
from freshet.reconstructed.columns_then import ColumnsThen
from freshet.roles import plans
from freshet.runs.opened import OpenedRun
from freshet.schemas.models.layout import Layout
from freshet.schemas.models.vectors import Vectors
from freshet.schemas.wire.outcomes import ASKED, layout_of
from freshet.streams.log.spans import PartitionSpans
from freshet.streams.operators.checkpoints import positions

QUESTIONS = 2_000  # a file: what is computed again after a kill


class _Lacking(NamedTuple):
    """Questions of one block that lack a column."""

    asks: np.ndarray[tuple[int], np.dtype[np.int64]]
    rows: pa.RecordBatch


class Filler:
    """Of one model. Not thread-safe.

    Raises:
        CheckpointError: what was kept of it is not whole.
        LogError: a log cannot be reached.
    """

    def __init__(
        self, run: OpenedRun, model: Model, filling: Filling, questions: int = QUESTIONS
    ) -> None:
        self.questions = 0  # by this process
        self._run = run
        self._model = model
        self._filling = filling
        self._size = questions
        self._layout = Layout.of(model.vectors)
        self._then = ColumnsThen(run, model)
        self._url = run.settings.checkpoints_url
        kept = past_columns.parts(self._url, filling)
        self._at = max((part.after for part in kept), default=0)
        self._last = max((part.last for part in kept), default=-1)

    @property
    def done(self) -> bool:
        return self._filling.finished_ms is not None

    def step(self, now_ms: int) -> bool:
        """One file more, or the end, where all is there; whether there was anything to do."""
        # Before the log is read: what it appended by then is seen.
        is_joined = self._is_joined()
        found = self._next()
        if found:
            self._keep(found)
            return True
        if not is_joined:
            return False
        self._filling = past_columns.finish(
            self._url,
            replace(self._filling, finished_ms=now_ms),
        )
        return True

    def _is_joined(self) -> bool:
        """Whether the join has saved that it appended all that was asked before."""
        task = plans.kept_as(self._run.app, f"join:{self._model.name}:0")
        saved = [offset for _, offset in positions(self._url, task)]
        return max(saved, default=0) >= self._filling.asked_until

    def _next(self) -> list[_Lacking]:
        """The next questions that lack a column, as many as a file has."""
        found = []
        count = 0
        for told in self._told():
            self._at = told.offset + 1
            rows = told.block.rows
            if rows is None or not self._layout.lacking(layout_of(rows)):
                continue
            asks = rows.column("ask").to_numpy()
            # Numbers rise, and whoever was killed appends some twice.
            new = (rows.column("kind").to_numpy() == ASKED) & (asks > self._last)
            if not new.any():
                continue
            chosen = rows.take(pa.array(np.flatnonzero(new)))
            chosen = chosen.replace_schema_metadata(rows.schema.metadata)
            self._last = int(asks[new].max())
            found.append(_Lacking(asks[new].copy(), chosen))
            count += len(chosen)
            if count >= self._size:
                break
        return found

    def _told(self) -> Iterator[Told]:
        with PartitionSpans(self._run.log, self._run.app.examples_log_of(self._model)) as spans:
            for batch in spans.read(max(self._at, spans.first), spans.after):
                yield from blocks_in(batch)

    def _keep(self, found: list[_Lacking]) -> None:
        asks = np.concatenate([each.asks for each in found])
        vectors = Vectors.concatenate([self._then.of(each.rows) for each in found])
        part = Part(
            int(asks[0]),
            int(asks[-1]),
            self._at,
        )
        past_columns.keep(self._url, self._filling, part, asks, vectors)
        self.questions += len(asks)
