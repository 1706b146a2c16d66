"""Carries out a topic's imputes on decoded columns: constants at once, the others from running
state by group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.schemas.events.decode import Columns
from freshet.schemas.events.field import BOUNDS
from freshet.schemas.text.columns import Texts
from freshet.schemas.text.interner import Interner
from freshet.schemas.text.keys import joined
from freshet.schemas.topics.impute import Impute
from freshet.streams.admission.kernels import APPLIED
from freshet.streams.intake import kernels

_KINDS = {"median": kernels.MEDIAN, "mean": kernels.MEAN, "last": kernels.LAST}
# Five heights, five positions and a count: P² needs most, other kinds use some of it.
_STATE = 11
_LARGEST = (1 << 63) - 1024  # the largest float64 that is an int64


class Imputer:
    """One field's impute. `seen` and `filled` count applied rows."""

    def __init__(self, field: str, how: Impute) -> None:
        self.field = field
        self.how = how
        self.filled = 0
        self._groups = Interner(64)
        self._state = np.zeros((64, _STATE))

    def fill(self, columns: Columns, code: npt.NDArray[np.uint8]) -> None:
        """Fill missing values of applied rows (code 0) in place of the column."""
        if isinstance(self.how.value, str):
            self._fill_text(columns, code, self.how.value)
            return
        if columns.schema[self.field].type in BOUNDS and self.how.kind in ("constant", "last"):
            self._fill_whole(columns, code)
            return
        values, valid = columns.numbers(self.field)
        if self.how.kind == "constant":
            missing = ~valid & (code == APPLIED)
            n = int(np.count_nonzero(missing))
            if n:
                self.filled += n
                self._put(columns, np.where(valid, values, self.how.value), valid | missing)
            return
        values = values.copy()
        groups = self._group_ids(columns)
        self.filled += kernels.impute(
            _KINDS[self.how.kind], float(self.how.value), values, valid, groups, code, self._state
        )
        self._put(columns, values, valid | (code == APPLIED))

    def _fill_whole(self, columns: Columns, code: npt.NDArray[np.uint8]) -> None:
        """Constants and last values of int and long fields, every digit of them."""
        assert not isinstance(self.how.value, str)
        values, valid = columns.integers(self.field)
        lowest, highest = BOUNDS[columns.schema[self.field].type]
        start = round(min(max(self.how.value, lowest), highest))
        missing = ~valid & (code == APPLIED)
        if self.how.kind == "constant":
            self.filled += int(np.count_nonzero(missing))
            columns.replace(self.field, np.where(missing, start, values), valid | missing)
            return
        values = values.copy()
        groups = self._group_ids(columns)
        # The same bytes as whole numbers: not every long is a float64.
        words = self._state.view(np.int64)
        self.filled += kernels.impute_last_whole(start, values, valid, groups, code, words)
        columns.replace(self.field, values, valid | missing)

    def _put(
        self, columns: Columns, values: npt.NDArray[np.float64], valid: npt.NDArray[np.bool_]
    ) -> None:
        """Filled values for the column. Whole numbers that were there stay as they were: not all
        are a float64."""
        bounds = BOUNDS.get(columns.schema[self.field].type)
        if bounds is None:
            columns.replace(self.field, values, valid)
            return
        there, was = columns.integers(self.field)
        # The highest long is none: as a float64 it would be the next power of two.
        filled = np.clip(np.where(was, 0.0, values), bounds[0], min(bounds[1], _LARGEST))
        columns.replace(self.field, np.where(was, there, np.rint(filled).astype(np.int64)), valid)

    def _group_ids(self, columns: Columns) -> npt.NDArray[np.int64]:
        if self.how.by is None:
            return np.zeros(columns.n, np.int64)
        # As keys, so that where `by` is missing is a group beside that of the empty text.
        ids = self._groups(joined([columns.key(self.how.by)]))
        if len(self._groups) > len(self._state):
            self._state = np.pad(self._state, ((0, len(self._groups)), (0, 0)))
        return ids

    def _fill_text(self, columns: Columns, code: npt.NDArray[np.uint8], value: str) -> None:
        texts = columns.text(self.field)
        missing = ~texts.valid & (code == APPLIED)
        n = int(np.count_nonzero(missing))
        if not n:
            return
        self.filled += n
        at = len(texts.data)
        data = np.concatenate([texts.data, np.frombuffer(value.encode(), np.uint8)])
        start = np.where(missing, at, texts.start)
        end = np.where(missing, len(data), texts.end)
        columns.replace(
            self.field, Texts(data, start, end, texts.valid | missing), texts.valid | missing
        )

    def dump(self) -> dict[str, npt.NDArray[Any]]:
        """Groups are named by order, so their state loads without their ids changing."""
        texts = self._groups.texts()
        key = f"impute.{self.field}"
        return {
            # Without `by` there is one group, for which no name stands.
            f"{key}.state": self._state[: max(1, len(self._groups))],
            f"{key}.names": texts.data,
            f"{key}.ends": texts.end,
            f"{key}.filled": np.array([self.filled]),
        }

    def load(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        key = f"impute.{self.field}"
        ends = state[f"{key}.ends"]
        start = np.concatenate([np.zeros(1, np.int64), ends[:-1]]) if len(ends) else ends
        self._groups = Interner(64)
        self._groups(
            Texts(state[f"{key}.names"].copy(), start, ends.copy(), np.ones(len(ends), np.bool_))
        )
        self._state = np.zeros((max(64, 2 * len(ends)), _STATE))
        self._state[: len(state[f"{key}.state"])] = state[f"{key}.state"]
        self.filled = int(state[f"{key}.filled"][0])
