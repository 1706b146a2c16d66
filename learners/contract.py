"""The contract of a learner: learns from examples in order, predicts without changing, exports
plain arrays.

What it predicts is the task of its `VectorSchema`. An *answer* is float64: `[n]` probabilities of
true in (0, 1) (binary); `[n, k]` probabilities of the classes, in the order declared, each in
(0, 1) and in a row adding up to 1 within 1e-9; or `[n]` finite numbers (regression).

A learner is made from its spec (a frozen dataclass beside it, which users write in the app) and a
`VectorSchema`. Implementations are listed in `learners/catalog.py` and held to `tests/contracts/`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from freshet.schemas.models.tasks import BINARY
from freshet.schemas.models.vectors import F64, Examples, Vectors, VectorSchema

Arrays = Mapping[str, npt.NDArray[Any]]
# So far probabilities stay from 0 and 1: one certain error would else cost an infinite loss.
LOWEST = 1e-6


@dataclass(frozen=True, slots=True)
class Export:
    """What serving needs of a model: `kind` names the predictor, `meta` is JSON-like, `arrays` are
    flat and finite."""

    kind: str
    meta: Mapping[str, Any]
    arrays: Arrays


class Predictor(Protocol):
    """A model that only answers. Built from an `Export`; holds views of its arrays, never writes
    them."""

    def predict(self, vectors: Vectors) -> F64:
        """An answer for each vector, `[n]` or `[n, k]`. Pure: the same vectors give the same bits,
        alone or in a batch for CPU predictors that say `row_exact`."""
        ...


class Learner(Protocol):
    """Called from one thread, in log order: `predict` on what was asked, later `learn` on what was
    answered."""

    def learn(self, examples: Examples) -> None:
        """One step on `n >= 1` examples, in order. Labels are those of the task (0 and 1; places
        of declared classes; numbers), never non-finite. A number may be as large as float32 holds:
        after it, all that is exported is finite, or `export` raises `LearnerError`."""
        ...

    def predict(self, vectors: Vectors) -> F64:
        """An answer for each vector, `[n]` or `[n, k]`; a class that no label had yet has a
        probability, too. Must not change the learner: not its weights, counters or random state.
        The typical mistake is to see a new category here and make room for it."""
        ...

    def checkpoint(self) -> dict[str, npt.NDArray[Any]]:
        """Everything that is needed to go on bit-equal, as arrays (JSON goes in as uint8)."""
        ...

    def restore(self, state: Arrays) -> None:
        """Become the learner that made `state`. Raises `LearnerError` if it was made by another
        spec or schema."""
        ...

    def export(self) -> Export:
        """What a predictor needs, all of it, as of now."""
        ...


class LearnerSpec(Protocol):
    """A learner as users declare it: frozen, comparable, printable; its fields are its
    definition.

    It may say in `tasks` which kinds of tasks it carries, such as `("binary", "classes")`; one
    that does not carries binary ones (see `tasks_of`), and is asked for no other."""

    @property
    def name(self) -> str:
        """Short and unique within a model, such as `hashed_logistic`."""
        ...

    def make(self, schema: VectorSchema) -> Learner: ...


def tasks_of(spec: object) -> tuple[str, ...]:
    """The kinds of tasks that a declared learner carries."""
    # Learners of users' own were written before there were others.
    carried: tuple[str, ...] = getattr(spec, "tasks", (BINARY,))
    return carried


def of_classes(shares: F64) -> F64:
    """Shares `[n, k]`, 0 or more, as probabilities of classes: those of a row add up to 1, each of
    them is at least 1e-6 before that. A row of nothing but zeros says that all are equal."""
    held = np.maximum(shares, LOWEST)
    probabilities: F64 = held / held.sum(axis=1, keepdims=True)
    return probabilities


def pack_json(value: Any) -> npt.NDArray[np.uint8]:
    """JSON as a uint8 array, for checkpoints."""
    # A copy, since an array over bytes cannot be written to.
    return np.frombuffer(json.dumps(value, sort_keys=True).encode(), np.uint8).copy()


def unpack_json(array: npt.NDArray[Any]) -> Any:
    """What `pack_json` was given."""
    return json.loads(array.tobytes())
