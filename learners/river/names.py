"""River's features by name, and their places among flat weights: numbers first, then each
category's buckets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from river.utils import VectorDict

from freshet.schemas.models.vectors import F64, VectorSchema


class FlatNames:
    """Places of names and names of places, for one schema."""

    def __init__(self, schema: VectorSchema, buckets: int) -> None:
        self._schema = schema
        self._buckets = buckets
        self._places: dict[str, int] = {}  # found once; no more than there are weights

    def __len__(self) -> int:
        return len(self._schema.numbers) + self._buckets * len(self._schema.categories)

    def place(self, name: str) -> int:
        """Where a feature's weight is among the flat ones."""
        place = self._places.get(name)
        if place is None:
            place = self._places[name] = self._find(name)
        return place

    def flat(self, named: Mapping[str, float] | VectorDict) -> tuple[npt.NDArray[np.int64], F64]:
        """Places and values."""
        # In River's own order, which is that in which it will sum them again.
        places = [self.place(name) for name in named]
        return np.array(places, np.int64), np.array(list(named.values()), np.float64)

    def named(self, keys: npt.NDArray[Any], values: npt.NDArray[Any]) -> dict[str, float]:
        """What `flat` was given, in the order it was in, since River sums in the order of its
        dicts."""
        names = zip(map(self._name, keys.tolist()), values.tolist())
        return dict(names)

    def _find(self, name: str) -> int:
        category, _, bucket = name.rpartition("=")
        if not category:
            return self._schema.numbers.index(name)
        first = len(self._schema.numbers) + self._schema.categories.index(category) * self._buckets
        return first + int(bucket)

    def _name(self, place: int) -> str:
        """The feature whose weight has this place: the inverse of `place`."""
        numbers = self._schema.numbers
        if place < len(numbers):
            return numbers[place]
        category, bucket = divmod(place - len(numbers), self._buckets)
        return f"{self._schema.categories[category]}={bucket}"
