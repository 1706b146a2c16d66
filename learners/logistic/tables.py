"""What learners over hashed features share: tables of weights that a kernel steps on, their
checkpoint, their export, and a predictor that holds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from freshet.learners.contract import Arrays, Export, LearnerSpec, pack_json
from freshet.learners.logistic.plan import Definition, compile_plan
from freshet.learners.state import Origin, check_finite, check_origin, check_vectors, origin, plain
from freshet.schemas.models.vectors import F64, Examples, Vectors, VectorSchema

Tables = dict[str, npt.NDArray[Any]]


class Method(NamedTuple):
    """How tables learn and answer: the `kind` of their export, and two kernels with the names of
    the tables that each is given, in its order. `predict` is given categories, numbers, plan, its
    tables (`exported`) and room for the answers; `learn` categories, numbers, labels, plan, its
    tables (`stepped`) and how large steps are."""

    kind: str
    exported: tuple[str, ...]
    predict: Callable[..., None]
    stepped: tuple[str, ...]
    learn: Callable[..., None]


class Made(NamedTuple):
    """What a learner is made of, and for which vectors."""

    definition: Definition
    schema: VectorSchema
    origin: Origin


class HashedSpec(LearnerSpec, Protocol):
    @property
    def definition(self) -> Definition: ...


def made(spec: HashedSpec, schema: VectorSchema) -> Made:
    """Of a declaration, for these vectors."""
    return Made(spec.definition, schema, origin(spec, schema))


class HashedLearner:
    """Tables and a count. One step an example, in order, so that the same examples in order give
    the same bits in any cuts."""

    def __init__(self, method: Method, steps: Any, made_of: Made, tables: Tables) -> None:
        self._method = method
        self._steps = steps
        self._made = made_of
        self._plan = compile_plan(made_of.schema, made_of.definition)
        self._tables = tables
        self._width = _width(tables)
        self._learned = 0

    def learn(self, examples: Examples) -> None:
        given = plain(examples.vectors)
        self._method.learn(
            given.categories,
            given.numbers,
            examples.labels,
            self._plan,
            *(self._tables[name] for name in self._method.stepped),
            self._steps,
        )
        self._learned += len(examples)

    def predict(self, vectors: Vectors) -> F64:
        method = self._method
        answers = np.empty((len(vectors), *self._width))
        given = plain(vectors)
        method.predict(
            given.categories,
            given.numbers,
            self._plan,
            *(self._tables[name] for name in method.exported),
            answers,
        )
        return answers

    def checkpoint(self) -> dict[str, npt.NDArray[Any]]:
        facts = {**self._made.origin.facts(), "learned": self._learned}
        return {
            "origin": pack_json(facts),
            **{name: table.copy() for name, table in self._tables.items()},
        }

    def restore(self, state: Arrays) -> None:
        facts = check_origin(state, self._made.origin)
        self._tables = {name: state[name].copy() for name in self._tables}
        self._learned = facts["learned"]

    def export(self) -> Export:
        """Always the whole tables: at 2^18 weights 1 MB, of classes 1 MB each."""
        meta = {
            **self._made.definition._asdict(),
            "vectors": self._made.schema.digest,
            "learned": self._learned,
        }
        tables = {name: self._tables[name].copy() for name in self._method.exported}
        return check_finite(Export(self._method.kind, meta, tables))


class HashedPredictor:
    """Holds views of an export's arrays. Row-exact, and bit-equal with the learner that exported
    it."""

    row_exact = True
    method: ClassVar[Method]

    def __init__(self, export: Export, schema: VectorSchema) -> None:
        check_vectors(export.meta, self.method.kind, schema)
        definition = Definition(*(export.meta[name] for name in Definition._fields))
        self._plan = compile_plan(schema, definition)
        # Once, and not for each request.
        self._arrays = tuple(export.arrays[name] for name in self.method.exported)
        self._width = _width(export.arrays)

    def predict(self, vectors: Vectors) -> F64:
        answers = np.empty((len(vectors), *self._width))
        given = plain(vectors)
        self.method.predict(given.categories, given.numbers, self._plan, *self._arrays, answers)
        return answers


def _width(tables: Arrays) -> tuple[int, ...]:
    """Of one answer: a number, or one for each bias where there are several."""
    return tables["bias"].shape[1:]
