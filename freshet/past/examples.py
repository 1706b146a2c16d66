"""The examples of a model as a frame: each question with its vector, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import polars as pl

from freshet.learners.model import Model
from freshet.past.answers import NOT_YET, Answers, answers_of
from freshet.past.columns import answer_columns, labels_in, named, times, vector_columns, where
from freshet.past.own_logs import Told, example_rows
from freshet.schemas.models.layout import Layout
from freshet.schemas.models.tasks import Task
from freshet.schemas.wire.outcomes import (
    ASKED,
    CONFLICTED,
    CORRECTED,
    EXPIRED,
    KINDS,
    LABELLED,
    ExampleRows,
)

OPEN = "open"
# By kind of row; what is asked is open until another row says what became of it.
FATES = (OPEN, *KINDS[1:])
SERVED = "served"
RECONSTRUCTED = "reconstructed"
# Some of the columns came to be read only later, and were not logged.
IN_PART = "served in part"
VECTOR = pl.Enum([SERVED, RECONSTRUCTED, IN_PART])
# The later overrules what comes before it: what was settled before it was contested stands, and
# what has expired may be corrected.
_RANKED = (CONFLICTED, EXPIRED, LABELLED, CORRECTED)


def frame_of(model: Model, told: Iterable[Told]) -> pl.DataFrame:
    """A row for each question, in the order of the log, of the blocks of a model's examples log."""
    layout = Layout.of(model.vectors)
    told = list(told)
    rows, whole = example_rows(told, layout)
    asked = np.flatnonzero(rows.kind == ASKED)
    asked = asked[np.argsort(rows.ask[asked], kind="stable")]
    own = {name: column.take(asked) for name, column in rows.texts.items()}
    fixed = rows.fixed[asked]
    answers = answer_columns(fixed, own, model.task)
    numbers = fixed["numbers"].astype(np.float32, copy=False)
    vectors = vector_columns(
        model.vectors,
        own["categories"],
        numbers,
    )
    columns = {
        "id": answers.pop("id"),
        "asked_at": answers.pop("asked_at"),
        **_outcomes(rows, rows.ask[asked], answers_of(told), model.task),
        **answers,
        "vector": pl.Series(np.where(whole[asked], SERVED, IN_PART), dtype=VECTOR),
        **vectors,
    }
    return pl.DataFrame(columns)


def _outcomes(
    rows: ExampleRows,
    asks: npt.NDArray[np.int64],
    answers: Answers,
    task: Task,
) -> dict[str, pl.Series]:
    """What became of the questions of these numbers (rising)."""
    count = len(asks)
    fate = np.zeros(count, np.uint32)
    label = np.full(count, np.nan)
    labelled_at = np.zeros(count, np.int64)
    expired_at = np.zeros(count, np.int64)
    has_expired = np.zeros(count, np.bool_)
    saw_future = np.zeros(count, np.bool_)
    for kind in _RANKED:
        found = np.flatnonzero((rows.kind == kind) & np.isin(rows.ask, asks))
        at = np.searchsorted(asks, rows.ask[found])
        fate[at] = kind
        if kind == EXPIRED:
            expired_at[at] = rows.t[found]
            has_expired[at] = True
        elif kind != CONFLICTED:
            label[at] = rows.label[found]
            labelled_at[at] = rows.t[found]
            saw_future[at] = rows.saw_future[found]
    has_label = ~np.isnan(label)
    answer = np.full(count, NOT_YET)
    known_at = np.full(count, NOT_YET)
    # Of questions by another layout nothing is told.
    own = np.flatnonzero(np.isin(answers.ask, asks))
    at = np.searchsorted(asks, answers.ask[own])
    answer[at] = own
    known_at[at] = answers.known_ms[own]
    return {
        "fate": named(fate, FATES),
        "label": labels_in(label, task),
        "labelled_at": times(labelled_at, has_label),
        "expired_at": times(expired_at, has_expired),
        "saw_future": pl.Series(saw_future & has_label),
        "answer": where(pl.Series(answer), answer >= 0),
        "known_at": times(known_at, known_at >= 0),
    }
