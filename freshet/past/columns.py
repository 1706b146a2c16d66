"""What a prediction's row holds, as columns of a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from freshet.schemas.models.tasks import BINARY, CLASSES, REGRESSION, Classes, Task
from freshet.schemas.models.vectors import VectorSchema
from freshet.schemas.text.columns import Texts
from freshet.schemas.text.keys import taken_apart
from freshet.schemas.wire.outcomes import RUNGS, Fixed

# Before the names of a vector's features: one may be called as a column of ours.
FEATURE = "feature."
TIME = pl.Datetime("ms", "UTC")
SPAN = pl.Duration("ms")
Columns = dict[str, pl.Series]


def times(values: npt.NDArray[np.int64], there: npt.NDArray[np.bool_] | None = None) -> pl.Series:
    """Milliseconds since 1970 as moments; null where they are not `there`."""
    return where(pl.Series(values), there).cast(TIME)


def spans(values: npt.NDArray[np.int64]) -> pl.Series:
    """Milliseconds as durations; null where they are below 0, which stands for unknown."""
    return where(pl.Series(values), values >= 0).cast(SPAN)


def texts(values: Texts) -> pl.Series:
    """Texts; null where they are missing."""
    return pl.Series(values.to_arrow(), dtype=pl.String)


def named(codes: npt.NDArray[Any], names: Sequence[str]) -> pl.Series:
    """Names by their places among all of them."""
    return pl.Series(names, dtype=pl.Enum(names)).gather(np.ascontiguousarray(codes))


def where(column: pl.Series, there: npt.NDArray[np.bool_] | None) -> pl.Series:
    """The column, null where it is not `there`."""
    if there is None or not len(column):
        return column
    return column.set(pl.Series(~there), None)


def answer_column(task: Task) -> str:
    """What the column of answers is called."""
    return {BINARY: "probability", CLASSES: "probabilities", REGRESSION: "value"}[task.kind]


def answers_in(fixed: Fixed, task: Task) -> pl.Series:
    """What was answered, float64; of classes a list of `k`, in the order declared."""
    answers = np.ascontiguousarray(fixed["p"])
    if isinstance(task, Classes):
        return pl.Series(answers, dtype=pl.Array(pl.Float64, task.width)).arr.to_list()
    return pl.Series(answers)


def labels_in(labels: npt.NDArray[np.float64], task: Task) -> pl.Series:
    """Labels as they were said: of classes the class. NaN is none."""
    found = pl.Series(labels).fill_nan(None)
    if isinstance(task, Classes):
        names = pl.Series(list(task.classes), dtype=pl.Enum(list(task.classes)))
        return names.gather(found.cast(pl.UInt32))
    return found


def answer_columns(fixed: Fixed, own: Mapping[str, Texts], task: Task) -> Columns:
    """Of answers: their ids, when they were asked, and who answered what."""
    snapshot = np.ascontiguousarray(fixed["snapshot"])
    return {
        "id": texts(own["id"]),
        "asked_at": times(np.ascontiguousarray(fixed["asked_at"])),
        answer_column(task): answers_in(fixed, task),
        "rung": named(fixed["rung"], RUNGS),
        "lineage": texts(own["lineage"]),
        "snapshot": where(pl.Series(snapshot), snapshot >= 0),
        "model_lag": spans(np.ascontiguousarray(fixed["model_lag"])),
        "value_age": spans(np.ascontiguousarray(fixed["value_age"])),
    }


def vector_columns(
    schema: VectorSchema, categories: Texts, numbers: npt.NDArray[np.float32]
) -> Columns:
    """Of vectors each feature: categories by their joined texts, numbers float32 `[n, N]`."""
    parts = taken_apart(categories, len(schema.categories))
    found = {FEATURE + name: texts(part) for name, part in zip(schema.categories, parts)}
    for at, name in enumerate(schema.numbers):
        column = pl.Series(np.ascontiguousarray(numbers[:, at]))
        # In a vector NaN says that there is nothing.
        found[FEATURE + name] = column.fill_nan(None)
    return found
