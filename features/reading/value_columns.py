"""Finished rows as the columns of an answer: values, statuses and times, for people to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from freshet.features.reading.column_kernels import TIME_CHARACTERS, lay_out, write_times
from freshet.features.reading.text_values import TextValues
from freshet.features.rows.finish import (
    NOT_FOUND,
    NULL_VALUE,
    OUTSIDE_MAX_AGE,
    PRESENT,
    Finished,
)
from freshet.features.views.view import View

STATUSES = {
    PRESENT: "PRESENT",
    NULL_VALUE: "NULL_VALUE",
    NOT_FOUND: "NOT_FOUND",
    OUTSIDE_MAX_AGE: "OUTSIDE_MAX_AGE",
}
_NAMES = np.array([STATUSES.get(i, "INVALID") for i in range(max(STATUSES) + 1)], object)
_Values = npt.NDArray[np.float64] | npt.NDArray[np.int64] | npt.NDArray[Any]


class Column(NamedTuple):
    """Of each of `n` rows a value (None where its status is not PRESENT), a status, and a time."""

    values: list[Any]
    statuses: list[str]
    times: list[str]


class ValueColumns:
    """Those of one view."""

    def __init__(self, view: View, incomplete: Mapping[str, int]) -> None:
        self._texts = TextValues(view)
        self._names = view.plan.names
        # Until when (ms) a feature is missing, by its place; mostly none is.
        self._incomplete = {
            at: incomplete[f"{view.name}.{name}"]
            for at, name in enumerate(self._names)
            if f"{view.name}.{name}" in incomplete
        }

    def of(
        self,
        done: Finished,
        place: npt.NDArray[np.int64],
        as_of_ms: int,
        asked: Sequence[int],
    ) -> list[Column]:
        """Of the features at the places `asked`; row `q` is row `place[q]` of what is done."""
        shape = (len(self._names), place.size)
        values = np.empty(shape)
        statuses = np.empty(shape, np.uint8)
        newest = np.empty(place.size, np.int64)
        others = lay_out(done[:3], place, as_of_ms, (values, statuses, newest))
        times = texts_of(newest)
        present = [STATUSES[PRESENT]] * place.size
        out = []
        for at in asked:
            if at in self._incomplete and as_of_ms < self._incomplete[at]:
                out.append(Column(*_withheld(done.status[place]), times))
                continue
            found = self._otherwise(
                self._names[at],
                done,
                done.values[:, at],
            )
            if found is None:
                found = values[at]
            else:
                found = found[place]
            # Mostly all are there; calls of numpy for each column cost more than all that is done.
            if not others and found.dtype != object:
                out.append(Column(found.tolist(), present, times))
            else:
                out.append(Column(*_told(found, statuses[at]), times))
        return out

    def _otherwise(
        self, name: str, done: Finished, values: npt.NDArray[np.float64]
    ) -> _Values | None:
        """A feature as consumers get it, where that is no float64: as a list, a text, or a whole
        number; None where it is one."""
        if name in done.lists:
            return self._texts.lists_of(name, done)
        if name in self._texts.names:
            return self._texts.of(name, done, values)
        return done.wholes.get(name)


def _told(found: _Values, status: npt.NDArray[np.uint8]) -> tuple[list[Any], list[str]]:
    """Values, and the names of their statuses."""
    shown = found.astype(object)
    if found.dtype == object:
        # Of these it is told by what is shown, not by the code or the first value behind it.
        unseen = np.array([one is None for one in shown])
        of_row = np.where(status == NULL_VALUE, PRESENT, status)
        status = np.where((of_row == PRESENT) & unseen, NULL_VALUE, of_row)
    shown[status != PRESENT] = None
    return shown.tolist(), _NAMES[status].tolist()


def _withheld(status: npt.NDArray[np.uint8]) -> tuple[list[Any], list[str]]:
    """No values, whatever is there."""
    told = np.where(status == PRESENT, NULL_VALUE, status)
    return [None] * len(told), _NAMES[told].tolist()


def texts_of(times: npt.NDArray[np.int64]) -> list[str]:
    """Times (ms) in ISO 8601, UTC, to the millisecond."""
    characters = np.empty((times.size, TIME_CHARACTERS), np.uint32)
    write_times(times, characters)
    texts: list[str] = characters.view(f"U{TIME_CHARACTERS}")[:, 0].tolist()
    return texts


def warm() -> None:
    """Compile what the columns of an answer need."""
    one = np.ones(1, np.int64)
    finished = (np.ones((1, 1)), one, np.full(1, PRESENT, np.uint8))
    lay_out(
        finished, one * 0, 0, (np.empty((1, 1)), np.empty((1, 1), np.uint8), np.empty(1, np.int64))
    )
    texts_of(one)
