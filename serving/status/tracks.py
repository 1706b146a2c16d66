"""Figures over the app's clock in bounded room: points that fold what was observed meanwhile.

A point stands at its newest observation. Lags fold to their worst, so that no peak is averaged
away; rates to their mean, the rest to the last that is known.
"""

from __future__ import annotations

import math
import secrets
from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping
from itertools import pairwise

import msgspec

NAN = math.nan
Fold = Callable[[float, float, int], float]


class KeptTrack(msgspec.Struct, frozen=True, kw_only=True):
    """A track as it is written to a file: its points, and what its open one has folded so far."""

    times: list[int]
    series: dict[str, list[float]]
    open: dict[str, float]
    open_at: int
    open_count: int
    stride: int = 1


# A fold meets NaN on either side: a figure that was not known yet, or no longer.
def _last(before: float, value: float, count: int) -> float:
    if math.isnan(value):
        return before
    return value


def _worst(before: float, value: float, count: int) -> float:
    # Comparing with NaN is false, so a known value takes its place.
    if math.isnan(value) or before >= value:
        return before
    return value


def _mean(before: float, value: float, count: int) -> float:
    if math.isnan(value) or math.isnan(before):
        return _last(before, value, count)
    return before + (value - before) / count


# By the part of a series' name before its slash.
_FOLDS: Mapping[str, Fold] = {
    "events_per_second": _mean,
    "feature_lag": _worst,
    "model_lag": _worst,
}


def _fold_of(name: str) -> Fold:
    return _FOLDS.get(name.partition("/")[0], _last)


def _short(name: str, value: float) -> float:
    # Only a mean is another value than those observed, which are as short as they can be.
    if _fold_of(name) is _mean:
        return round(value, 4)
    return value


class Track:
    """At most `capacity` points, then `_shrink`. `epoch` rises when points handed out are no longer
    a prefix of what is kept; `identity` tells tracks apart."""

    def __init__(self, capacity: int) -> None:
        self.epoch = 0
        self.identity = secrets.token_hex(4)
        self._capacity = capacity
        self._times: list[int] = []
        self._series: dict[str, list[float]] = {}
        self._open: dict[str, float] = {}
        self._open_at = 0
        self._open_count = 0

    def __len__(self) -> int:
        """Points that will not change but by shrinking: the last one may still be open."""
        return len(self._times)

    def points_within(self, span_ms: int | None) -> int:
        """How many points there are in the newest `span_ms`; all of them without."""
        if span_ms is None or not self._times:
            return len(self._times)
        return len(self._times) - bisect_left(self._times, self._times[-1] - span_ms)

    def add(self, at: int, figures: Mapping[str, float]) -> None:
        """Take an observation; `at` (ms) rises from call to call."""
        self._open_at = at
        self._open_count = self._open_count + 1
        for name, value in figures.items():
            if name not in self._series:
                # A view or lineage that came later: every series has a value for each time.
                self._series[name] = [NAN] * len(self._times)
            self._open[name] = _fold_of(name)(self._open.get(name, NAN), value, self._open_count)
        if self._complete():
            self._close()
            if len(self._times) >= self._capacity:
                self._shrink()
                # Whoever holds earlier points must ask for all of them anew.
                self.epoch += 1

    def since(self, start: int) -> tuple[list[int], dict[str, list[float]]]:
        """Times and series of the points from `start` on, the open one last."""
        times = self._times[start:]
        series = {name: values[start:] for name, values in self._series.items()}
        # Handed out before it is complete, so that a plot ends now; it is not counted by `len`, so
        # the next part begins with it again.
        if self._open_count:
            times.append(self._open_at)
            for name, values in series.items():
                values.append(_short(name, self._open.get(name, NAN)))
        return times, series

    def kept(self) -> KeptTrack:
        """A copy to write to a file."""
        return KeptTrack(
            times=list(self._times),
            series={name: list(values) for name, values in self._series.items()},
            open=dict(self._open),
            open_at=self._open_at,
            open_count=self._open_count,
        )

    def restore(self, kept: KeptTrack) -> None:
        """Go on where another track was.

        Raises:
            ValueError: it is none that a track can have been.
        """
        if any(len(values) != len(kept.times) for values in kept.series.values()):
            raise ValueError("a series has another length than its times")
        falls = any(later <= earlier for earlier, later in pairwise(kept.times))
        if falls or kept.open_count < 0 or kept.stride < 1:
            raise ValueError("its times do not rise, or its counts cannot be")
        self._times = list(kept.times)
        self._series = {name: list(values) for name, values in kept.series.items()}
        self._open = dict(kept.open)
        self._open_at = kept.open_at
        self._open_count = kept.open_count
        # It may have been kept by a version with room for more.
        while len(self._times) >= self._capacity:
            self._shrink()

    def drop_all_but(self, names: Collection[str]) -> None:
        """Let go of series that nobody tells any more."""
        self._series = {name: values for name, values in self._series.items() if name in names}
        self._open = {name: value for name, value in self._open.items() if name in names}
        self.epoch += 1

    def _close(self) -> None:
        self._times.append(self._open_at)
        for name, values in self._series.items():
            values.append(_short(name, self._open.get(name, NAN)))
        self._open = {}
        self._open_count = 0

    def _complete(self) -> bool:
        raise NotImplementedError

    def _shrink(self) -> None:
        raise NotImplementedError


class Whole(Track):
    """All that ever was. A point folds `stride` observations; when there are too many points,
    neighbours are folded in pairs and the stride doubles: a year of 35,040 steps and a minute of 60
    both fit."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self._stride = 1

    def kept(self) -> KeptTrack:
        return msgspec.structs.replace(super().kept(), stride=self._stride)

    def restore(self, kept: KeptTrack) -> None:
        # First: restoring may shrink, which doubles it.
        self._stride = kept.stride
        super().restore(kept)

    def _complete(self) -> bool:
        return self._open_count >= self._stride

    def _shrink(self) -> None:
        # The last of an odd number has no neighbour, and stays as it is.
        paired = len(self._times) - len(self._times) % 2
        self._times = self._times[1:paired:2] + self._times[paired:]
        for name, values in self._series.items():
            fold = _fold_of(name)
            pairs = zip(values[:paired:2], values[1:paired:2], strict=True)
            folded = [_short(name, fold(before, value, 2)) for before, value in pairs]
            self._series[name] = folded + values[paired:]
        self._stride *= 2


class Recent(Track):
    """The newest `span_ms` and up to as much again, in points at least two `capacity`-ths of the
    span apart."""

    def __init__(self, capacity: int, span_ms: int) -> None:
        super().__init__(capacity)
        self._apart_ms = span_ms / max(1, capacity // 2)

    def _complete(self) -> bool:
        return not self._times or self._open_at - self._times[-1] >= self._apart_ms

    def _shrink(self) -> None:
        # Half, not one less: every shrinking makes readers ask for everything anew.
        keep = max(1, self._capacity // 2)
        self._times = self._times[-keep:]
        self._series = {name: values[-keep:] for name, values in self._series.items()}
