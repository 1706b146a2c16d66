"""Any River classifier or regressor as a learner, one example at a time.

A vector becomes River's dict: each number under its name, scaled by its running mean and deviation;
each category as `name=bucket: 1.0`, in a bounded number of buckets; what is missing is left out.
Storms look like drift: detectors reset trees for them and cost .08 AUC on the flights, so pass
`drift.NoDrift()` to models that have one.

Only logistic, softmax and linear regression have flat arrays to save and to serve, with any
optimizer whose state is numbers by feature. Other models learn and predict (to be compared,
prequentially), but `checkpoint()` and `export()` refuse: the one way to save them is pickle, which
freshet never reads. `River.servable` tells beforehand.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import numpy.typing as npt
from river.base import Estimator

from freshet.learners.contract import LOWEST, Arrays, Export, of_classes, pack_json
from freshet.learners.inputs.scaling import Scaling
from freshet.learners.river.exports import exported
from freshet.learners.river.names import FlatNames
from freshet.learners.river.portable import is_portable
from freshet.learners.river.state import fill, saved
from freshet.learners.state import Origin, check_finite, check_origin
from freshet.schemas.errors import LearnerError
from freshet.schemas.models.tasks import CLASSES, REGRESSION, Classes, Task
from freshet.schemas.models.vectors import F32, F64, Examples, Vectors, VectorSchema


class RiverLearner:
    """A copy of the model, and the running scales of the numbers."""

    def __init__(
        self, model: Estimator, buckets: int, scale: bool, schema: VectorSchema, origin: Origin
    ) -> None:
        self._declared = model
        self._buckets = buckets
        self._scale = scale
        self._schema = schema
        self._origin = origin
        self._labels = _labels_of(schema.task)
        # What was declared stays as it is: a restored learner begins from it.
        self._model: Any = copy.deepcopy(model)
        self._scaling = Scaling(len(schema.numbers), scale)
        self._names = FlatNames(schema, buckets)

    def learn(self, examples: Examples) -> None:
        """The scales first take in the whole step, then its examples are learned one by one."""
        self._scaling.update(examples.vectors.numbers)
        for event, label in zip(self._dicts(examples.vectors), self._told(examples.labels)):
            self._model.learn_one(event, label)

    def predict(self, vectors: Vectors) -> F64:
        events = self._dicts(vectors)
        task = self._schema.task
        if task.kind == REGRESSION:
            return np.array([self._model.predict_one(event) for event in events], np.float64)
        shares = [self._model.predict_proba_one(event) for event in events]
        if task.kind == CLASSES:
            # A class that had no label yet is not named.
            rows = [[named.get(label, 0.0) for label in self._labels] for named in shares]
            return of_classes(np.array(rows, np.float64).reshape(len(rows), task.width))
        # A model that has seen no label yet may name no class at all.
        predicted = np.array([named.get(True, 0.5) for named in shares], np.float64)
        return np.clip(predicted, LOWEST, 1 - LOWEST)

    def checkpoint(self) -> dict[str, npt.NDArray[Any]]:
        """Raises `LearnerError` for a model that is not `servable`."""
        self._require_portable("checkpoint")
        facts, arrays = saved(self._model, self._names)
        packed = pack_json({**facts, **self._origin.facts()})
        return {"origin": packed, **arrays, **self._scaling.checkpoint()}

    def restore(self, state: Arrays) -> None:
        self._require_portable("restore")
        facts = check_origin(state, self._origin)
        self._model = copy.deepcopy(self._declared)
        fill(self._model, self._names, facts, state)
        self._scaling.restore(state)

    def export(self) -> Export:
        """Always everything. Raises `LearnerError` for a model that is not `servable`."""
        self._require_portable("export")
        kind, arrays = exported(
            self._model,
            self._names,
            self._labels,
        )
        shift, scale = self._scaling.shift_and_scale()
        meta = {
            "buckets": self._buckets,
            "scale": self._scale,
            "vectors": self._schema.digest,
        }
        return check_finite(Export(kind, meta, {**arrays, "shift": shift, "scale": scale}))

    def _told(self, labels: F32) -> list[Any]:
        """Labels as River has them: numbers, or those of `_labels_of`."""
        if self._schema.task.kind == REGRESSION:
            told: list[Any] = labels.tolist()
            return told
        return [self._labels[round(label)] for label in labels.tolist()]

    def _dicts(self, vectors: Vectors) -> list[dict[str, float]]:
        names = self._schema.numbers
        buckets = np.uint64(self._buckets)
        rows = []
        scaled = self._scaling.apply(vectors.numbers).tolist()
        hashes = vectors.categories.tolist()
        ids = (vectors.categories % buckets).tolist()
        for numbers, full, cut in zip(scaled, hashes, ids):
            # NaN alone is not equal to itself.
            event = {name: value for name, value in zip(names, numbers) if value == value}
            event |= {
                f"{name}={bucket}": 1.0
                for name, hashed, bucket in zip(self._schema.categories, full, cut)
                # 0 is the hash of a missing text, and of no other.
                if hashed
            }
            rows.append(event)
        return rows

    def _require_portable(self, what: str) -> None:
        if not is_portable(self._declared):
            raise LearnerError(
                f"{self._origin.name}: {what} of {type(self._model).__name__}",
                "has no flat arrays, and freshet neither writes nor reads pickle",
                "Compare it prequentially, or declare linear_model.LogisticRegression(...), "
                "SoftmaxRegression(...) or LinearRegression(...) to save and serve it.",
            )


def _labels_of(task: Task) -> tuple[Any, ...]:
    """What River is told for the label at each place: true or false, or the class's own text."""
    if isinstance(task, Classes):
        return tuple(task.classes)
    return (False, True)
