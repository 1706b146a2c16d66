"""`HashedLogistic` of several classes: softmax regression over the same hashed features, each class
with weights and learning rates of its own."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from freshet.learners.contract import Arrays, Export, pack_json
from freshet.learners.logistic import softmax_kernels as kernels
from freshet.learners.logistic.plan import Definition, compile_plan
from freshet.learners.state import Origin, check_finite, check_origin, check_vectors, plain
from freshet.schemas.errors import LearnerError
from freshet.schemas.models.vectors import F64, Examples, Vectors, VectorSchema

KIND = "hashed_softmax"
MOST_WEIGHTS = 1 << 28  # of 8 bytes each in the trainer: as many as the largest binary table has


class Steps(NamedTuple):
    """How Adagrad learns: its rate, and what its sums of squares begin with."""

    rate: float
    start: float


class HashedSoftmaxLearner:
    """Two float32 tables of `2^bits` rows with a column for each class, biases, and a count. The
    same examples in order give the same bits in any cuts.

    Raises:
        LearnerError: there would be more than 2^28 weights.
    """

    def __init__(
        self, definition: Definition, steps: Steps, schema: VectorSchema, origin: Origin
    ) -> None:
        width = schema.task.width
        shape = (1 << definition.bits, width)
        count = width << definition.bits
        if count > MOST_WEIGHTS:
            raise LearnerError(
                f"{origin.name} with bits={definition.bits} for {width} classes",
                f"would have {count:,} weights",
                f"Use fewer bits: there may be {MOST_WEIGHTS:,} weights.",
            )
        self._definition = definition
        self._rate = steps.rate
        self._schema = schema
        self._origin = origin
        self._plan = compile_plan(schema, definition)
        self._weights = np.zeros(shape, np.float32)
        self._squares = np.full(shape, steps.start, np.float32)
        # All classes are equal at first; Adagrad's sums of squares are below.
        self._bias = np.stack([np.zeros(width), np.full(width, float(steps.start))])
        self._learned = 0

    def learn(self, examples: Examples) -> None:
        given = plain(examples.vectors)
        kernels.learn(
            given.categories,
            given.numbers,
            examples.labels,
            self._plan,
            self._weights,
            self._squares,
            self._bias,
            self._rate,
        )
        self._learned += len(examples)

    def predict(self, vectors: Vectors) -> F64:
        out = np.empty((len(vectors), self._schema.task.width))
        given = plain(vectors)
        kernels.predict(
            given.categories,
            given.numbers,
            self._plan,
            self._weights,
            self._bias,
            out,
        )
        return out

    def checkpoint(self) -> dict[str, npt.NDArray[Any]]:
        return {
            "origin": pack_json({**self._origin.facts(), "learned": self._learned}),
            "weights": self._weights.copy(),
            "squares": self._squares.copy(),
            "bias": self._bias.copy(),
        }

    def restore(self, state: Arrays) -> None:
        facts = check_origin(state, self._origin)
        self._weights = state["weights"].copy()
        self._squares = state["squares"].copy()
        self._bias = state["bias"].copy()
        self._learned = facts["learned"]

    def export(self) -> Export:
        """Always the whole table: at 2^18 rows it is 1 MB a class."""
        meta = {
            **self._definition._asdict(),
            "vectors": self._schema.digest,
            "learned": self._learned,
        }
        return check_finite(
            Export(KIND, meta, {"weights": self._weights.copy(), "bias": self._bias.copy()})
        )


class HashedSoftmaxPredictor:
    """Holds views of an export's arrays. Row-exact, and bit-equal with the learner that exported
    it."""

    row_exact = True

    def __init__(self, export: Export, schema: VectorSchema) -> None:
        check_vectors(export.meta, KIND, schema)
        definition = Definition(*(export.meta[name] for name in Definition._fields))
        self._plan = compile_plan(schema, definition)
        self._weights = export.arrays["weights"]
        self._bias = export.arrays["bias"]

    def predict(self, vectors: Vectors) -> F64:
        out = np.empty((len(vectors), self._weights.shape[1]))
        given = plain(vectors)
        kernels.predict(
            given.categories,
            given.numbers,
            self._plan,
            self._weights,
            self._bias,
            out,
        )
        return out
