"""What the HTTP side asks of whoever answers: the contract between the wire and the scorer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from freshet.schemas.models.tasks import DEFAULT_TASK, Task
from freshet.schemas.models.vectors import F64

Column = list[Any] | npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Question:
    """`n` rows for a model. `columns` by name, each a list of Python's values (None: missing) or an
    array `[n]` of the declared type (NaN: missing). A column that was not sent is not there.

    `as_of_ms` is the app time to answer for (None: now; refused but in replays), `deadline` the
    moment of `time.monotonic` after which no model should be asked any more, `version` a snapshot
    (None: what the alias serves)."""

    model: str
    columns: Mapping[str, Column]
    n: int
    as_of_ms: int | None = None
    deadline: float | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Answers with the ids of their predictions: `probabilities` float64 `[n]`, of a model of
    classes `[n, k]` in the order declared; of a regression they are the numbers.

    `value_ages_ms` int64 `[n]` is the age of the oldest value that each row used (-1: it used
    none); `sequence` is the number of the first row in the prediction log, the others follow (-1:
    not logged). `parameters` hold for every row: model, lineage, snapshot, segment, model_lag_ms,
    rung."""

    probabilities: F64
    ids: Sequence[str]
    value_ages_ms: npt.NDArray[np.int64]
    sequence: int = -1
    parameters: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    task: Task = DEFAULT_TASK

    def rows(self, a: int, b: int) -> Answer:
        """Rows `a` to `b` (exclusive) as an answer of their own."""
        sequence = -1
        if self.sequence >= 0:
            sequence = self.sequence + a
        return Answer(
            self.probabilities[a:b],
            self.ids[a:b],
            self.value_ages_ms[a:b],
            sequence,
            self.parameters,
            self.task,
        )


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input field. `datatype` is BYTES (text), BOOL, INT32, INT64, FP32 or FP64; `required`
    fields must be sent, unless all of `instead` are (features that are read by this key);
    `nullable` ones may hold nulls. Texts are of `domain` and numbers in `range` (both ends
    included), where the topic's schema says so."""

    name: str
    datatype: str
    required: bool = True
    nullable: bool = True
    instead: tuple[str, ...] = ()
    domain: frozenset[str] | None = None
    range: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a model expects, what it predicts, and the snapshots that it can answer from, newest
    first."""

    name: str
    inputs: tuple[TensorSpec, ...]
    versions: tuple[str, ...] = ()
    platform: str = "freshet"
    task: Task = DEFAULT_TASK
    # Of the inputs, for every request: all by their names, and those that must be sent.
    by_name: Mapping[str, TensorSpec] = field(init=False, compare=False, repr=False)
    required: tuple[TensorSpec, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self,
            "by_name",
            {spec.name: spec for spec in self.inputs},
        )
        required = tuple(spec for spec in self.inputs if spec.required)
        object.__setattr__(self, "required", required)


class Answering(Protocol):
    """The scorer as HTTP sees it. Called from the event loop's thread, so nothing here may wait."""

    def models(self) -> Sequence[str]: ...

    def card(self, model: str) -> ModelCard:
        """`model` is one of `models()`."""
        ...

    def ready(self, model: str, version: str | None = None) -> bool:
        """Whether there is a snapshot, or a declared fallback, to answer from."""
        ...

    def at_once(self, question: Question) -> Answer:
        """Answer all rows, from one snapshot.

        Raises `RequestError` for values that cannot be (with `status=404` for an unknown version),
        `ComponentError` only if no rung can answer, and `NotAtOnce` if what it needs must be waited
        for. The typical mistake is to raise because the store is gone."""
        ...

    async def later(self, question: Question) -> Answer:
        """The same for a question that could not be answered at once; it waits no longer than the
        question's deadline."""
        ...
