"""What a lineage would have lived through: questions in the order of their moments, and answers in
the order and in the steps in which a trainer learns them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl

from freshet.past.columns import FEATURE
from freshet.schemas.models.tasks import DEFAULT_TASK, Classes, Task
from freshet.schemas.models.vectors import Vectors, VectorSchema
from freshet.schemas.text.columns import Texts

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Step:
    """Rows of answers that are learned together, int64 `[n]`, once the clock is at `at_ms`."""

    at_ms: int
    rows: I64


@dataclass(frozen=True, slots=True)
class Course:
    """Of `n` questions: `asked_ms` int64 `[n]`, rising; their vectors; `label` float64 `[n]`, NaN
    where there is none, or none that may be learned (of classes its place among those declared);
    the steps in their order; what is predicted."""

    asked_ms: I64
    vectors: Vectors
    label: npt.NDArray[np.float64]
    steps: list[Step]
    task: Task = DEFAULT_TASK

    def __len__(self) -> int:
        return len(self.asked_ms)

    def read_by(self, own: VectorSchema, among: VectorSchema) -> Course:
        """The same with the columns alone that a learner reads, of `among`, which the vectors
        have."""
        places = own.places_in(among)
        if places is None:
            return self
        return replace(self, vectors=places.of(self.vectors))


def course_of(examples: pl.DataFrame, schema: VectorSchema, batch: int) -> Course:
    """Of a frame as `RecordedRun.examples` has it, for a model that learns `batch` examples at
    once."""
    frame = examples.sort("asked_at", maintain_order=True)
    is_learned = frame["answer"].is_not_null() & frame["known_at"].is_not_null()
    is_fair = (is_learned & ~frame["saw_future"]).to_numpy()
    label = _labels(frame["label"], schema.task)
    label[~is_fair] = np.nan
    answered = np.flatnonzero(is_learned.to_numpy())
    order = frame["answer"].fill_null(-1).to_numpy()
    # By when they were known first: of several partitions that is not the order of their places.
    known_ms = frame["known_at"].to_physical().fill_null(-1).to_numpy()
    answered = answered[np.lexsort((order[answered], known_ms[answered]))]
    return Course(
        frame["asked_at"].to_physical().to_numpy(),
        _vectors(frame, schema),
        label,
        _steps(answered, known_ms[answered], is_fair, batch),
        schema.task,
    )


def _labels(column: pl.Series, task: Task) -> npt.NDArray[np.float64]:
    """As they travel, float64 `[n]`; NaN where there is none. Frames have classes as texts."""
    if isinstance(task, Classes):
        column = column.replace_strict(
            list(task.classes),
            list(range(task.width)),
            return_dtype=pl.Float64,
        )
    column = column.cast(pl.Float64)
    return column.fill_null(np.nan).to_numpy().copy()


def _steps(
    answered: I64, known_ms: I64, is_fair: npt.NDArray[np.bool_], batch: int
) -> list[Step]:  # fmt: skip
    """As `freshet.learners.training.task` closes them: at so many answers, or at a tick. One that
    saw the future counts, and is not learned."""
    if not len(answered):
        return []
    begins = np.flatnonzero(np.diff(known_ms, prepend=known_ms[0] - 1))
    within = np.arange(len(answered)) - np.repeat(begins, np.diff(begins, append=len(answered)))
    edges = np.append(np.flatnonzero(within % batch == 0), len(answered)).tolist()
    steps = []
    for first, after in pairwise(edges):
        rows = answered[first:after]
        rows = rows[is_fair[rows]]
        if len(rows):
            steps.append(Step(int(known_ms[first]), rows))
    return steps


def _vectors(frame: pl.DataFrame, schema: VectorSchema) -> Vectors:
    categories = np.empty((len(frame), len(schema.categories)), np.uint64)
    for at, name in enumerate(schema.categories):
        column = frame[FEATURE + name].cast(pl.String)
        categories[:, at] = Texts.from_arrow(column.to_arrow().cast("string")).hashes()
    numbers = np.empty((len(frame), len(schema.numbers)), np.float32)
    for at, name in enumerate(schema.numbers):
        numbers[:, at] = frame[FEATURE + name].cast(pl.Float32).fill_null(np.nan).to_numpy()
    return Vectors(categories, numbers)
