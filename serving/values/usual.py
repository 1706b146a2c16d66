"""What is usual of one feature: which values it has, how much of an hour each one brings, at which
hours of the day, how large they are, and how many are missing.

The requests of an hour are held against it by several measures (`MEASURES`). All of them are near 0
of an ordinary hour, whatever the season: they say by how much it goes beyond *every* hour before,
not how far it is from a mean. So few requests tell of a change that nothing before was like, though
neighbours are alike (an hour has no more weather than there are airports), which no test that
counts each request as evidence of its own could stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from freshet.serving.status.status import Measure
from freshet.streams.sketches.sketch_kernels import DROPPED_BITS

MEASURES: tuple[Measure, ...] = (
    "unseen",  # share of values that none was like, within the range that there was
    "new_values",  # different ones of those, among all different ones of the hour and one more
    "outside",  # share of values far outside that range
    "one_value",  # share of one value beyond the largest that it had in any hour
    "hour",  # share of values that never were at that hour of the day, nor beside it
    "level",  # median outside what was learned from last, in widths of the whole range
    "magnitude",  # octaves of the median size beyond those of all hours
    "missing",  # share of missing values beyond the largest of any hour
)
# By measure: beyond its largest so far, so many times that and so much more. Sizes and levels have
# long tails, so their next record may be twice the last one; shares have none.
TIMES = np.array([1.6, 1.0, 1.5, 1.2, 1.5, 2.0, 2.0, 1.5])
MORE_OF_CATEGORIES = np.array([0.1, 0.2, 0.25, 0.25, 0.2, 0.3, 1.5, 0.1])
# Requests that share what was observed once have new numbers together: a third of an hour's, where
# there are three places.
MORE_OF_NUMBERS = np.array([0.35, 0.2, 0.25, 0.25, 0.2, 0.3, 1.5, 0.1])
# Of one number an hour has so much of what it never had beyond its largest: what is left is little
# where that was much, so no largest hides all of an hour being one value.
LEFT = 0.35
ONE_VALUE = MEASURES.index("one_value")
MOST_VALUES = 2_048
RECENT = 300
# Of fewer an extreme is no range.
LEAST_RECENT = 20
LEAST_PRESENT = 5
FAR = 0.5  # of the range's width
HOURS_A_DAY = 24
_MAGNITUDE = np.int64(0x7FFFFFFFFFFFFFFF)
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
_UNKNOWN = np.array([np.inf, -np.inf])


class Column(NamedTuple):
    """One feature of some vectors: a key a row; of numbers, the values (NaN: missing, and the key
    means nothing); and the hour of the day (UTC) of each."""

    keys: I64
    values: F64 | None
    hours: I64

    @classmethod
    def of_categories(cls, hashes: npt.NDArray[Any], hours: I64) -> Column:
        # 63 bits, so that they are rising keys as those of numbers are.
        return cls((hashes.astype(np.uint64) >> np.uint64(1)).astype(np.int64), None, hours)

    @classmethod
    def of_numbers(cls, numbers: npt.NDArray[Any], hours: I64) -> Column:
        values = numbers.astype(np.float64) + 0.0  # which gives zero one sign
        return cls(keys_of(values), values, hours)

    @property
    def present(self) -> Bools:
        if self.values is None:
            return np.ones(len(self.keys), np.bool_)
        return ~np.isnan(self.values)


def keys_of(values: F64) -> I64:
    """Buckets of a thousandth, which rise as numbers do."""
    bits = np.ascontiguousarray(values).view(np.int64)
    ordered: I64 = (bits ^ ((bits >> 63) & _MAGNITUDE)) >> DROPPED_BITS
    return ordered


class Usual:
    """Of one feature. Numbers that are too many to be told apart are in wider buckets; of too many
    categories the first are known, and how many are not is what is usual, too."""

    def __init__(self, is_number: bool) -> None:
        self._is_number = is_number
        self._keys = np.empty(0, np.int64)  # rise
        self._shares = np.empty(0)  # the largest of any hour
        self._hours = np.empty(0, np.int64)  # a bit for each hour of the day
        self._level = 0
        self._range = _UNKNOWN.copy()
        self._octaves = _UNKNOWN.copy()
        self._missing = 0.0
        # Of ordinary hours, by measure.
        self.largest = np.zeros(len(MEASURES))

    @property
    def bounds(self) -> F64:
        """By measure, beyond which an hour is told of."""
        if not self._is_number:
            of_category: F64 = TIMES * self.largest + MORE_OF_CATEGORIES
            return of_category
        found: F64 = TIMES * self.largest + MORE_OF_NUMBERS
        usual = float(self.largest[ONE_VALUE])
        found[ONE_VALUE] = usual + LEFT * (1.0 - usual)
        return found

    def measured(self, asked: Column, recent: F64) -> F64:
        """How far an hour goes beyond all before, by measure; `recent` are the values that were
        learned from last."""
        rows = len(asked.keys)
        present = asked.present
        found = dict.fromkeys(MEASURES, 0.0)
        found["missing"] = max(0.0, 1.0 - float(present.mean()) - self._missing)
        if len(self._keys) and present.any():
            self._measure_values(found, asked, present, rows)
            if asked.values is not None:
                self._measure_numbers(found, asked.values[present], recent, rows)
        return np.array(list(found.values()))

    def _measure_values(
        self, found: dict[Measure, float], asked: Column, present: Bools, rows: int
    ) -> None:
        keys = asked.keys[present] >> self._level
        values, first, which, counts = np.unique(
            keys, return_index=True, return_inverse=True, return_counts=True
        )
        at, known = self._places(values)
        inside = np.ones(len(keys), np.bool_)
        if asked.values is not None:
            numbers = asked.values[present]
            inside = (numbers >= self._range[0]) & (numbers <= self._range[1])
        new = ~known[which] & inside
        found["unseen"] = float(np.count_nonzero(new)) / rows
        found["new_values"] = float(np.count_nonzero(new[first])) / (len(values) + 1)
        beyond = counts / rows - np.where(known, self._shares[at], 0.0)
        found["one_value"] = max(0.0, float(beyond.max()))
        then = np.where(known, self._hours[at], 0)[which] & _beside(asked.hours[present])
        found["hour"] = float(np.count_nonzero(then == 0)) / rows

    def _measure_numbers(
        self, found: dict[Measure, float], values: F64, recent: F64, rows: int
    ) -> None:
        low, high = self._range
        width = high - low
        # One value, or none, is no range.
        if width > 0.0:
            outside = (values < low - FAR * width) | (values > high + FAR * width)
            # Of what is never near zero nor below it half is far, too.
            if low > 0.0:
                outside |= values < FAR * low
            found["outside"] = float(np.count_nonzero(outside)) / rows
        if len(values) < LEAST_PRESENT:
            return
        middle = float(np.median(values))
        if width > 0.0 and len(recent) >= LEAST_RECENT and np.isfinite(middle):
            beyond = max(middle - recent.max(), recent.min() - middle, 0.0)
            found["level"] = float(beyond / width)
        size = _octave(values)
        if size is not None and self._octaves[0] <= self._octaves[1]:
            found["magnitude"] = max(self._octaves[0] - size, size - self._octaves[1], 0.0)

    def learn(self, column: Column) -> None:
        """An ordinary hour, or as many vectors that were learned from."""
        rows = len(column.keys)
        present = column.present
        self._missing = max(self._missing, 1.0 - float(present.mean()))
        if not present.any():
            return
        keys, which, counts = np.unique(
            column.keys[present] >> self._level, return_inverse=True, return_counts=True
        )
        hours = np.zeros(len(keys), np.int64)
        np.bitwise_or.at(hours, which, np.int64(1) << column.hours[present])
        self._add(keys, counts / rows, hours)
        if column.values is not None:
            self._learn_numbers(column.values[present])

    def _learn_numbers(self, values: F64) -> None:
        finite = values[np.isfinite(values)]
        if len(finite):
            self._range[0] = min(self._range[0], finite.min())
            self._range[1] = max(self._range[1], finite.max())
        size = _octave(values)
        if size is not None and len(values) >= LEAST_PRESENT:
            self._octaves[0] = min(self._octaves[0], size)
            self._octaves[1] = max(self._octaves[1], size)

    def _add(self, keys: I64, shares: F64, hours: I64) -> None:
        at, known = self._places(keys)
        self._shares[at[known]] = np.maximum(self._shares[at[known]], shares[known])
        self._hours[at[known]] |= hours[known]
        new = np.flatnonzero(~known)
        if not self._is_number:
            new = new[: MOST_VALUES - len(self._keys)]
        if not len(new):
            return
        both = np.concatenate([self._keys, keys[new]])
        order = np.argsort(both)
        self._keys = both[order]
        self._shares = np.concatenate([self._shares, shares[new]])[order]
        self._hours = np.concatenate([self._hours, hours[new]])[order]
        while len(self._keys) > MOST_VALUES:
            self._widen()

    def _widen(self) -> None:
        """Buckets two by two. Shares of two are at most their sum."""
        keys = self._keys >> 1
        first = np.flatnonzero(np.diff(keys, prepend=keys[0] - 1))
        self._level += 1
        self._keys = keys[first]
        self._shares = np.minimum(1.0, np.add.reduceat(self._shares, first))
        self._hours = np.bitwise_or.reduceat(self._hours, first)

    def _places(self, keys: I64) -> tuple[I64, Bools]:
        """Where each key is, and whether it is."""
        if not len(self._keys):
            return np.zeros(len(keys), np.int64), np.zeros(len(keys), np.bool_)
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return at, self._keys[at] == keys

    def kept(self) -> dict[str, npt.NDArray[Any]]:
        """What `restored` makes it of."""
        return {
            "keys": self._keys.copy(),
            "shares": self._shares.copy(),
            "hours": self._hours.copy(),
            "level": np.array(self._level),
            "numbers": np.array([*self._range, *self._octaves, self._missing]),
            "largest": self.largest.copy(),
        }

    @classmethod
    def restored(cls, is_number: bool, kept: Mapping[str, npt.NDArray[Any]]) -> Usual:
        """Go on with what was kept."""
        found = cls(is_number)
        found._keys = kept["keys"].copy()
        found._shares = kept["shares"].copy()
        found._hours = kept["hours"].copy()
        found._level = int(kept["level"])
        found._range = kept["numbers"][0:2].copy()
        found._octaves = kept["numbers"][2:4].copy()
        found._missing = float(kept["numbers"][4])
        found.largest = kept["largest"].copy()
        return found


def _beside(hours: I64) -> I64:
    """The bits of an hour of the day and of those beside it: clocks are put forward and back."""
    one = np.int64(1)
    found: I64 = (
        (one << hours) | (one << ((hours + 1) % HOURS_A_DAY)) | (one << ((hours - 1) % HOURS_A_DAY))
    )
    return found


def _octave(values: F64) -> float | None:
    """Of the median size; None of zero, which has none."""
    size = float(np.median(np.abs(values)))
    if size == 0.0 or not np.isfinite(size):
        return None
    return float(np.log2(size))
