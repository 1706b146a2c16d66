"""What became of labels at intake, by model: each event that could be a label has one fate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from freshet.streams.labels.routes import Labelled, LabelRoute
from freshet.streams.operators.task import as_json, from_json

# used: went to the model's log; null: no label, as declared; bad: a dead letter of the label;
# without_id: of no prediction.
FATES = ("used", "null", "bad", "without_id")


class LabelCounts:
    """Of the models that a topic's events label, by the logs that their labels go to."""

    def __init__(self, routes: Sequence[LabelRoute]) -> None:
        self._models = {route.to: route.model or route.to for route in routes}
        self._counts = {route.to: [0] * len(FATES) for route in routes}

    def note(self, route: LabelRoute, found: Labelled) -> None:
        """What became of the labels of a batch."""
        nulls = found.values.null_count()
        used = len(found.values) - nulls
        for at, more in enumerate((used, nulls, len(found.bad), found.without_id)):
            self._counts[route.to][at] += more

    def dump(self) -> dict[str, npt.NDArray[Any]]:
        return {"labels": as_json(self._counts)}

    def load(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """A checkpoint of an earlier version has none; a model that is gone is not told of."""
        if "labels" not in state:
            return
        for to, counts in from_json(state["labels"]).items():
            if to in self._counts:
                self._counts[to] = counts

    def facts(self) -> dict[str, dict[str, int]]:
        """By model how many had which fate."""
        found: dict[str, dict[str, int]] = {}
        for to, counts in self._counts.items():
            # Of a model in two versions both are told together.
            own = found.setdefault(self._models[to], dict.fromkeys(FATES, 0))
            for fate, count in zip(FATES, counts):
                own[fate] += count
        return found
