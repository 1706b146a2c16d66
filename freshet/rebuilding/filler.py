"""Computes what columns were, as of each question that was asked before anybody read them: one file
of questions after the other, in the order of the examples log, from its beginning on.

Killed, it goes on after the newest file, and with the rows of views from their newest checkpoint.
They are saved after a file, and on the way to the first question of the next one; so what is read
again of topics is what was read since then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from msgspec.structs import replace

from freshet.hydration import past_columns
from freshet.hydration.past_columns import Filling, Part
from freshet.learners.model import Model
from freshet.past.own_logs import Told, blocks_in
from freshet.reconstructed.columns_then import ColumnsThen
from freshet.reconstructed.rows_then import StoreThen
from freshet.roles import plans
from freshet.runs.opened import OpenedRun
from freshet.schemas.models.layout import Layout
from freshet.schemas.wire.facts import one_line
from freshet.schemas.wire.outcomes import ASKED, layout_of
from freshet.streams.log.spans import PartitionSpans
from freshet.streams.operators.checkpoints import Checkpoints, positions

QUESTIONS = 2_000  # a file: what is computed again after a kill
# There is more to compute; all is there that the join has saved; all is there.
HYDRATING = "hydrating"
LAGGING = "lagging"
READY = "ready"


@dataclass(frozen=True)
class Rhythm:
    """How often the rows are saved, by the clock `wall` (seconds): what is read again after a
    kill."""

    save_seconds: float = 10.0
    wall: Callable[[], float] = time.monotonic


class _SavedRows:
    """The rows of a filling's views, as of moments; see `Saved`."""

    def __init__(self, run: OpenedRun, model: Model, filling: Filling, rhythm: Rhythm) -> None:
        identity = run.log.bounds(run.app.examples_log_of(model)).identity
        self._url = run.settings.checkpoints_url
        self._task = past_columns.rows_kept_as(filling)
        self._kept = Checkpoints(self._url, self._task, identity)
        self._rhythm = rhythm
        self._saved_at = rhythm.wall()

    def before(self, moment_ms: int) -> Mapping[str, npt.NDArray[Any]] | None:
        if all(at > moment_ms for _, at in positions(self._url, self._task)):
            return None
        found = self._kept.load(until=moment_ms)
        return None if found is None else found[1]

    def save(self, store: StoreThen) -> None:
        if self._rhythm.wall() - self._saved_at >= self._rhythm.save_seconds:
            # By its moment: rows as of a moment are the same, whoever folds them.
            self._kept.save(max(0, store.reached_ms), store.dump(), full=True, again=True)
            self._saved_at = self._rhythm.wall()


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
        self,
        run: OpenedRun,
        model: Model,
        filling: Filling,
        questions: int = QUESTIONS,
        rhythm: Rhythm | None = None,
    ) -> None:
        self.questions = 0  # by this process
        self.waits_for = ""
        self._lags = False
        self._columns: set[str] = set()  # that questions lacked, as far as they were seen
        self._rhythm = rhythm or Rhythm()
        self._worked_seconds = 0.0
        self._run = run
        self._model = model
        self._filling = filling
        self._size = questions
        self._layout = Layout.of(model.vectors)
        saved = _SavedRows(run, model, filling, self._rhythm)
        self._then = ColumnsThen(run, model, saved)
        self._url = run.settings.checkpoints_url
        kept = past_columns.parts(self._url, filling)
        self._before = sum(part.last - part.first + 1 for part in kept)
        self._at = max((part.after for part in kept), default=0)
        self._began = self._at
        self._last = max((part.last for part in kept), default=-1)

    @property
    def done(self) -> bool:
        return self._filling.finished_ms is not None

    def step(self, now_ms: int) -> bool:
        """One file more, or the end, where all is there; whether there was anything to do."""
        began_at = self._rhythm.wall()
        # Before the log is read: what it appended by then is seen.
        is_joined = self._is_joined()
        found = self._next()
        self._lags = not found
        self.waits_for = ""
        if found:
            self._keep(found)
            self._worked_seconds += self._rhythm.wall() - began_at
            return True
        if not is_joined:
            self.waits_for = f"join: it has not saved yet all that {self._model.name} was asked"
            return False
        self._filling = past_columns.finish(
            self._url,
            replace(self._filling, finished_ms=now_ms),
        )
        return True

    def facts(self) -> dict[str, Any]:
        """For status: which columns, of how many questions, how fast, and how long it will take
        (seconds)."""
        state = LAGGING if self._lags else HYDRATING
        left = self._left()
        rate = self.questions / max(self._worked_seconds, 1e-3)
        read, to_read = (0, 0) if self._then.store is None else self._then.store.records
        return {
            "state": READY if self.done else state,
            "columns": len(self._columns),
            "questions": self._before + self.questions,
            "questions_left": left,
            "questions_a_second": round(rate),
            "seconds_left": round(left / rate) if rate else None,
            "records": read,
            "records_left": to_read,
            "waits_for": one_line(self.waits_for),
        }

    def _left(self) -> int:
        """About how many questions are to come: as many a record as there were so far."""
        _, end = self._run.log.bounds(self._run.app.examples_log_of(self._model)).spans[0]
        a_record = self.questions / max(1, self._at - self._began)
        return round(a_record * max(0, end - self._at))

    def close(self) -> None:
        self._then.close()

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
            if rows is None:
                continue
            lacking = self._layout.lacking(layout_of(rows))
            if not lacking:
                continue
            asks = rows.column("ask").to_numpy()
            # Numbers rise, and whoever was killed appends some twice.
            new = (rows.column("kind").to_numpy() == ASKED) & (asks > self._last)
            if not new.any():
                continue
            self._columns.update(lacking)
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
        vectors = self._then.of([each.rows for each in found])
        part = Part(
            int(asks[0]),
            int(asks[-1]),
            self._at,
        )
        past_columns.keep(self._url, self._filling, part, asks, vectors)
        self.questions += len(asks)
        # After the file: what it holds is not asked again.
        self._then.save()
