"""Any River classifier as a learner, one example at a time.

A vector becomes River's dict: each number under its name, scaled by its running mean and deviation;
each category as `name=bucket: 1.0`, in a bounded number of buckets; what is missing is left out.
Storms look like drift: detectors reset trees for them and cost .08 AUC on the flights, so pass
`drift.NoDrift()` to models that have one.

Only logistic regression has flat arrays to save and to serve, with any optimizer whose state is
numbers by feature. Other classifiers learn and predict (to be compared, prequentially), but
`checkpoint()` and `export()` refuse: the one way to save them is pickle, which freshet never reads.
`River.servable` tells beforehand.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from river.base import Classifier
from river.optim.base import Scheduler
from river.utils import VectorDict

from freshet.learners.contract import Arrays, Export, pack_json
from freshet.learners.inputs.scaling import Scaling
from freshet.learners.river.portable import is_portable
from freshet.learners.state import Origin, check_finite, check_origin
from freshet.schemas.errors import LearnerError
from freshet.schemas.models.vectors import F64, Examples, Vectors, VectorSchema

KIND = "river_logistic"
LOWEST = 1e-6


class RiverLearner:
    """A copy of the model, and the running scales of the numbers."""

    def __init__(
        self, model: Classifier, buckets: int, scale: bool, schema: VectorSchema, origin: Origin
    ) -> None:
        self._declared = model
        self._buckets = buckets
        self._scale = scale
        self._schema = schema
        self._origin = origin
        # What was declared stays as it is: a restored learner begins from it.
        self._model: Any = copy.deepcopy(model)
        self._scaling = Scaling(len(schema.numbers), scale)
        self._places: dict[str, int] = {}  # found once; no more than there are weights

    def learn(self, examples: Examples) -> None:
        """The scales first take in the whole step, then its examples are learned one by one."""
        self._scaling.update(examples.vectors.numbers)
        for event, label in zip(self._dicts(examples.vectors), (examples.labels > 0.5).tolist()):
            self._model.learn_one(event, label)

    def predict(self, vectors: Vectors) -> F64:
        ask = self._model.predict_proba_one
        # A model that has seen no label yet may name no class at all.
        predicted = np.array(
            [ask(event).get(True, 0.5) for event in self._dicts(vectors)], np.float64
        )
        return np.clip(predicted, LOWEST, 1 - LOWEST)

    def checkpoint(self) -> dict[str, npt.NDArray[Any]]:
        """Raises `LearnerError` for a model that is not `servable`."""
        self._require_portable("checkpoint")
        kept, arrays = _optimizer_state(self._model.optimizer, self._place)
        facts = {"intercept": self._model.intercept, **kept, **self._origin.facts()}
        keys, values = _flat(self._model._weights, self._place)
        weights: dict[str, npt.NDArray[Any]] = {"weight_keys": keys, "weights": values}
        return {"origin": pack_json(facts), **weights, **arrays, **self._scaling.checkpoint()}

    def restore(self, state: Arrays) -> None:
        self._require_portable("restore")
        facts = check_origin(state, self._origin)
        self._model = copy.deepcopy(self._declared)
        self._model.intercept = facts["intercept"]
        self._model._weights = VectorDict(self._named(state["weight_keys"], state["weights"]))
        for name, kind in facts["kinds"].items():
            named = self._named(state[f"optimizer.{name}.keys"], state[f"optimizer.{name}"])
            # As River's optimizers make them: what they have not seen counts as 0.0.
            kept = VectorDict(named) if kind == "vector" else defaultdict(float, named)
            setattr(self._model.optimizer, name, kept)
        for name, value in facts["values"].items():
            setattr(self._model.optimizer, name, value)
        self._scaling.restore(state)

    def export(self) -> Export:
        """Always everything. Raises `LearnerError` for a model that is not `servable`."""
        self._require_portable("export")
        keys, values = _flat(self._model._weights, self._place)
        weights = np.zeros(len(self._schema.numbers) + self._buckets * len(self._schema.categories))
        weights[keys] = values
        shift, scale = self._scaling.shift_and_scale()
        meta = {"buckets": self._buckets, "scale": self._scale, "vectors": self._schema.digest}
        intercept = np.array([self._model.intercept], np.float64)
        arrays = {"weights": weights, "shift": shift, "scale": scale, "intercept": intercept}
        return check_finite(Export(KIND, meta, arrays))

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

    def _place(self, name: str) -> int:
        """Where a feature's weight is among the flat ones: numbers first, then each category's
        buckets."""
        place = self._places.get(name)
        if place is None:
            place = self._places[name] = self._find(name)
        return place

    def _find(self, name: str) -> int:
        category, _, bucket = name.rpartition("=")
        if not category:
            return self._schema.numbers.index(name)
        first = len(self._schema.numbers) + self._schema.categories.index(category) * self._buckets
        return first + int(bucket)

    def _named(self, keys: npt.NDArray[Any], values: npt.NDArray[Any]) -> dict[str, float]:
        """Weights by name, in the order they were in, since River sums in the order of its
        dicts."""
        names = zip(map(self._name, keys.tolist()), values.tolist())
        return dict(names)

    def _name(self, place: int) -> str:
        """The feature whose weight has this place: the inverse of `_place`."""
        numbers = self._schema.numbers
        if place < len(numbers):
            return numbers[place]
        category, bucket = divmod(place - len(numbers), self._buckets)
        return f"{self._schema.categories[category]}={bucket}"

    def _require_portable(self, what: str) -> None:
        if not is_portable(self._declared):
            raise LearnerError(
                f"{self._origin.name}: {what} of {type(self._model).__name__}",
                "has no flat arrays, and freshet neither writes nor reads pickle",
                "Compare it prequentially, or declare River(linear_model.LogisticRegression(...)) "
                "to save and serve it.",
            )


def _optimizer_state(
    optimizer: object, place: Callable[[str], int]
) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Its numbers as JSON facts, its numbers by feature as arrays. Schedules have no state of their
    own."""
    values: dict[str, Any] = {}
    kinds: dict[str, str] = {}
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, value in vars(optimizer).items():
        if isinstance(value, dict | VectorDict):
            kinds[name] = "vector" if isinstance(value, VectorDict) else "dict"
            arrays[f"optimizer.{name}.keys"], arrays[f"optimizer.{name}"] = _flat(value, place)
        elif not isinstance(value, Scheduler):
            values[name] = value
    return {"values": values, "kinds": kinds}, arrays


def _flat(
    named: Mapping[str, float] | VectorDict, place: Callable[[str], int]
) -> tuple[npt.NDArray[np.int64], F64]:
    # In River's own order, which is that in which it will sum them again.
    places = [place(name) for name in named]
    return np.array(places, np.int64), np.array(list(named.values()), np.float64)
