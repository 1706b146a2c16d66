"""Figures that are kept as sums: of everything, by slice, and of the newest examples.

What a task measures is a `Measure`: it reduces an answer and its label to one short row, adds rows
to a table of sums, and makes figures of the sums. Rows are added one by one in the order of the
log, so no sum depends on where the log was cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from freshet.learners.contract import Arrays, pack_json, unpack_json
from freshet.schemas.models.vectors import F64

OTHER = "(other)"
I64 = npt.NDArray[np.int64]
Figured = TypeVar("Figured", covariant=True)


class Measure(Protocol[Figured]):
    """Of one task. A row has `columns` numbers, a place of the table `sums`, its first the count
    of rows."""

    columns: int
    sums: int

    def rows(self, p: F64, y: npt.NDArray[Any]) -> F64:
        """Rows `[n, columns]` of answers and labels `[n]`."""
        ...

    def add(self, table: F64, places: I64, rows: F64) -> None:
        """Add rows to sums `[places, sums]`, each at its place, one by one."""
        ...

    def figures(self, sums: F64) -> Figured:
        """Of sums `[sums]`."""
        ...


class Tally(Generic[Figured]):
    """Figures over everything, and by slice: the first `limit` slices seen are told apart, all
    later ones share `(other)`."""

    def __init__(self, measure: Measure[Figured], limit: int = 0) -> None:
        self._measure = measure
        self._limit = limit
        self._places: dict[str, int] = {}
        # The last row is (other): with a limit of 0 it holds everything.
        self._table = np.zeros((limit + 1, measure.sums))

    def add(self, rows: F64) -> None:
        """Add rows that belong to no slice."""
        self._measure.add(self._table, np.full(len(rows), self._limit), rows)

    def add_by(self, slices: Sequence[str], rows: F64) -> None:
        places = np.array([self._place(name) for name in slices], np.int64)
        self._measure.add(self._table, places, rows)

    def merge(self, other: Tally[Figured]) -> None:
        """Add what `other` has seen. Slices beyond this table's limit go to `(other)`."""
        for name, theirs in (*other._places.items(), (OTHER, other._limit)):
            ours = self._limit
            if name != OTHER:
                ours = self._place(name)
            self._table[ours] += other._table[theirs]

    def figures(self) -> Figured:
        """Of what belongs to no slice."""
        return self._measure.figures(self._table[self._limit])

    def by_slice(self) -> dict[str, Figured]:
        """By slice in order of first sight, then `(other)` if it holds any."""
        out = {name: self._measure.figures(self._table[at]) for name, at in self._places.items()}
        if self._table[self._limit, 0]:
            out[OTHER] = self.figures()
        return out

    def checkpoint(self) -> dict[str, npt.NDArray[Any]]:
        return {"slices": pack_json([self._limit, self._places]), "table": self._table.copy()}

    def restore(self, state: Arrays) -> None:
        limit, places = unpack_json(state["slices"])
        self._limit = int(limit)
        # In the order of first sight, which is that of the places.
        self._places = dict(sorted(places.items(), key=lambda item: int(item[1])))
        self._table = state["table"].copy()

    def _place(self, name: str) -> int:
        place = self._places.get(name)
        if place is None:
            if len(self._places) >= self._limit:
                return self._limit
            place = len(self._places)
            self._places[name] = place
        return place


class Ring(Generic[Figured]):
    """Figures over the newest `window` rows: exact."""

    def __init__(self, measure: Measure[Figured], window: int) -> None:
        self._measure = measure
        self._ring = np.zeros((window, measure.columns))
        self._seen = 0

    def __len__(self) -> int:
        return min(self._seen, len(self._ring))

    def add(self, rows: F64) -> None:
        size = len(self._ring)
        # Beyond a window, two would want one place.
        skip = max(0, len(rows) - size)
        places = np.arange(self._seen + skip, self._seen + len(rows)) % size
        self._ring[places] = rows[skip:]
        self._seen += len(rows)

    def newest(self) -> F64:
        """Rows `[n, columns]`, the oldest first."""
        size = len(self._ring)
        if self._seen <= size:
            return self._ring[: self._seen]
        return np.roll(self._ring, -(self._seen % size), axis=0)

    def figures(self) -> Figured:
        rows = self.newest()
        table = np.zeros((1, self._measure.sums))
        self._measure.add(table, np.zeros(len(rows), np.int64), rows)
        return self._measure.figures(table[0])

    def checkpoint(self) -> dict[str, npt.NDArray[Any]]:
        return {"ring": self._ring.copy(), "seen": np.array([self._seen])}

    def restore(self, state: Arrays) -> None:
        self._ring = state["ring"].copy()
        self._seen = int(state["seen"][0])
