"""Shares of late: what of the rows within a span of the log's own time had something, in bounded
memory; and what is usual of that at each hour of the day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from freshet.schemas.durations import DAY_MS, HOUR_MS

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
# A window is reckoned in so many parts, the oldest of which goes as a whole.
PARTS = 60
# A share of fewer rows says nothing.
LEAST = 20
# A day later what was learned at an hour counts for so much: about a week of it is remembered.
DAILY = 0.75
LEAST_OF_HOUR = 5.0
HOURS = 24


class Share(NamedTuple):
    """Of how many `rows` of late, and the share of them by column, float64 `[k]`."""

    rows: int
    by_column: F64


class Window:
    """Counts of the rows that were read within the last `over_ms`, in `columns` columns. What is
    read between two ticks is of the later one: a log may tell the time seldom."""

    def __init__(self, over_ms: int, columns: int) -> None:
        self._width_ms = max(1, over_ms // PARTS)
        self._parts = np.empty(0, np.int64)  # which spans of the width these are; they rise
        # By part: first the rows, then by column those that had it.
        self._counts = np.zeros((0, 1 + columns), np.int64)
        self._new = np.zeros(1 + columns, np.int64)  # since the newest tick

    def add(self, rows: int, having: I64) -> None:
        """So many rows, of which `having` int64 `[k]` had it, by column."""
        self._new[0] += rows
        self._new[1:] += having

    @property
    def is_empty(self) -> bool:
        return not len(self._parts) and not self._new[0]

    def share(self, tick: int) -> Share:
        """As of a tick that is reached; what is older goes."""
        part = tick // self._width_ms
        if self._new[0]:
            if not len(self._parts) or self._parts[-1] != part:
                self._parts = np.append(self._parts, part)
                self._counts = np.vstack([self._counts, np.zeros_like(self._new)])
            self._counts[-1] += self._new
            self._new[:] = 0
        oldest = part - PARTS
        keep = self._parts > oldest
        if not keep.all():
            self._parts = self._parts[keep]
            self._counts = self._counts[keep]
        sums = self._counts.sum(axis=0)
        rows = int(sums[0])
        return Share(rows, sums[1:] / max(1, rows))

    def dump(self) -> dict[str, npt.NDArray[Any]]:
        return {"parts": self._parts, "counts": self._counts, "new": self._new.copy()}

    def load(self, state: dict[str, npt.NDArray[Any]]) -> None:
        self._parts = state["parts"].copy()
        self._counts = state["counts"].copy()
        self._new = state["new"].copy()


class Usual:
    """Which share of what was learned lacks each of `columns` columns, by hour of the day (UTC) at
    which it was asked: before the day begins some lack what they never do at noon. What was learned
    within the last `after_ms` is no part of it yet: else a fault that has just begun was usual at
    once where there is little to compare it with."""

    def __init__(self, columns: int, after_ms: int) -> None:
        self._rows = np.zeros((HOURS, columns))
        self._missing = np.zeros((HOURS, columns))
        self._day: int | None = None
        self._width_ms = max(1, after_ms // PARTS)
        # First the rows, then by column those that lack it: since the newest tick by hour …
        self._new = np.zeros((HOURS, 1 + columns), np.int64)
        # … and of the parts of the time before by part and hour; parts rise.
        self._places = np.zeros((0, 2), np.int64)
        self._waiting = np.zeros((0, 1 + columns), np.int64)

    def learn(self, asked_at: I64, missing: npt.NDArray[np.bool_]) -> None:
        """Learned examples: when they were asked (ms) `[n]`, and what they lack `[n, k]`."""
        hours = asked_at // HOUR_MS % HOURS
        # Most often it is one: to add row by row would cost ten times as much.
        for hour in np.unique(hours).tolist():
            own = hours == hour
            self._new[hour, 0] += np.count_nonzero(own)
            self._new[hour, 1:] += np.add.reduce(missing[own], axis=0, dtype=np.int64)

    def reach(self, tick: int, but_for: Sequence[int] = ()) -> None:
        """A tick is reached. Of the columns `but_for` nothing more is taken for usual."""
        day = tick // DAY_MS
        if self._day is not None and day > self._day:
            # With each day what was before it counts for less.
            self._rows *= DAILY ** (day - self._day)
            self._missing *= DAILY ** (day - self._day)
        self._day = day
        part = tick // self._width_ms
        hours = np.flatnonzero(self._new[:, 0])
        if len(hours):
            places = np.stack([np.full(len(hours), part), hours], axis=1)
            self._places = np.vstack([self._places, places])
            self._waiting = np.vstack([self._waiting, self._new[hours]])
            self._new[:] = 0
        self._settle(part - PARTS, but_for)

    def _settle(self, newest: int, but_for: Sequence[int]) -> None:
        """Parts up to the newest have waited."""
        count = int(np.searchsorted(self._places[:, 0], newest, "right"))
        if not count:
            return
        hours = self._places[:count, 1]
        counts = self._waiting[:count].astype(np.float64)
        rows = np.repeat(counts[:, :1], self._rows.shape[1], axis=1)
        missing = counts[:, 1:]
        rows[:, list(but_for)] = 0.0
        missing[:, list(but_for)] = 0.0
        np.add.at(self._rows, hours, rows)
        np.add.at(self._missing, hours, missing)
        self._places = self._places[count:]
        self._waiting = self._waiting[count:]

    def at(self, tick: int) -> F64:
        """The largest share of this hour and of those beside it, by column; where nothing of then
        is known, that of all hours. NaN before anything is."""
        hour = tick // HOUR_MS % HOURS
        near = np.array([hour - 1, hour, hour + 1]) % HOURS
        rows = self._rows[near]
        known = rows >= LEAST_OF_HOUR
        shares = np.where(known, self._missing[near] / np.maximum(rows, 1.0), -1.0).max(axis=0)
        every = self._rows.sum(axis=0)
        of_all = self._missing.sum(axis=0) / np.maximum(every, 1.0)
        of_all[every < LEAST] = np.nan
        found: F64 = np.where(known.any(axis=0), shares, of_all)
        return found

    def dump(self) -> dict[str, npt.NDArray[Any]]:
        return {
            "rows": self._rows,
            "missing": self._missing,
            "day": np.array([] if self._day is None else [self._day], np.int64),
            "new": self._new.copy(),
            "places": self._places,
            "waiting": self._waiting,
        }

    def load(self, state: dict[str, npt.NDArray[Any]]) -> None:
        self._rows = state["rows"].copy()
        self._missing = state["missing"].copy()
        self._day = int(state["day"][0]) if len(state["day"]) else None
        self._new = state["new"].copy()
        self._places = state["places"].copy()
        self._waiting = state["waiting"].copy()
