"""What the figures were: a bounded history that halves its resolution instead of growing.

A point folds `stride` observations. When `capacity` points are full, neighbours are folded in pairs and the
stride doubles: a year of 35,040 steps and a minute of 60 both fit. The newest observation is always there.
Lags fold to their worst, so that no peak is averaged away; rates to their mean, the rest to the last.
"""

from __future__ import annotations

import math
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence

import msgspec

from serving.status import ModelFigures, Quality, Status

NAN = math.nan
SERVED, BASELINE = "@served", "@baseline"


class Swap(msgspec.Struct, frozen=True, array_like=True):
    """From this moment of the app's clock, the model answered from this snapshot."""

    at_ms: int
    model: str
    lineage: str
    number: int


class Part(msgspec.Struct, frozen=True):
    """The history from point `start` on (0: all of it), to replace what the reader has from there on.

    `series` has a value for each of `times` (app clock, ms) under `events_per_second`, `feature_lag/VIEW`,
    `model_lag/MODEL` (ms), and `auc/MODEL/WHO` and `ne/MODEL/WHO`, where WHO is a lineage, `@served` or
    `@baseline`; NaN (in JSON: null) is unknown. `swaps` are those from `first_swap` on. Ask on with `cursor`.
    """

    cursor: str
    start: int
    first_swap: int
    times: list[int]
    series: dict[str, list[float]]
    swaps: list[Swap]


def _last(values: Sequence[float]) -> float:
    return next((v for v in reversed(values) if v == v), NAN)


def _worst(values: Sequence[float]) -> float:
    return max((v for v in values if v == v), default=NAN)


def _mean(values: Sequence[float]) -> float:
    known = [v for v in values if v == v]
    return sum(known) / len(known) if known else NAN


_FOLDS: dict[str, Callable[[Sequence[float]], float]] = {
    "events_per_second": _mean,
    "feature_lag": _worst,
    "model_lag": _worst,
    "auc": _last,
    "ne": _last,
}


def _fold(name: str, values: Sequence[float]) -> float:
    return _FOLDS[name.partition("/")[0]](values)


class History:
    """Figures over the app's clock. One thread observes while others read.

    Args:
        capacity: points kept of each series, at most.
        max_swaps: swap marks kept; beyond it every second one goes, changes of lineage last of all.
    """

    def __init__(self, capacity: int = 1200, max_swaps: int = 2000) -> None:
        self._capacity, self._max_swaps = capacity, max_swaps
        self._times: list[int] = []
        self._series: dict[str, list[float]] = {}
        self._stride = 1
        self._open_times: list[int] = []
        self._open: dict[str, list[float]] = {}
        self._swaps: list[Swap] = []
        self._identity = secrets.token_hex(4)
        self._epoch = 0  # rises when what was handed out is no longer a prefix of what is kept
        self._lock = threading.Lock()

    def observe(self, status: Status) -> None:
        """Take the figures of a moment; ignored if the app's clock did not move."""
        at = status.clock.app_ms
        if at is None:
            return
        with self._lock:
            if at <= self._newest():
                return
            for model in status.models:
                if model.served is not None:
                    self._mark(Swap(at, model.name, model.served.lineage, model.served.number))
            self._add(at, dict(_figures(status)))

    def swap(self, swap: Swap) -> None:
        """Mark a swap that may lie between two observations. The same one twice is one."""
        with self._lock:
            self._mark(swap)

    def since(self, cursor: str | None = None) -> Part:
        """What is new since the part that gave `cursor`; everything if that is None or outdated."""
        with self._lock:
            start, first_swap = self._place(cursor)
            times, series = self._times[start:], {k: v[start:] for k, v in self._series.items()}
            if self._open_times:
                times.append(self._open_times[-1])
                for name, values in series.items():
                    values.append(_fold(name, self._open.get(name, ())))
            return Part(self._cursor(), start, first_swap, times, series, self._swaps[first_swap:])

    def _newest(self) -> float:
        times = self._open_times or self._times
        return times[-1] if times else -math.inf

    def _cursor(self) -> str:
        return f"{self._identity}-{self._epoch}-{len(self._times)}-{len(self._swaps)}"

    def _place(self, cursor: str | None) -> tuple[int, int]:
        identity, epoch, points, swaps = ((cursor or "").split("-") + [""] * 4)[:4]
        if (identity, epoch) != (self._identity, str(self._epoch)) or not (points + swaps).isdecimal():
            return 0, 0
        return min(int(points or 0), len(self._times)), min(int(swaps or 0), len(self._swaps))

    def _add(self, at: int, figures: dict[str, float]) -> None:
        self._open_times.append(at)
        for name, value in figures.items():
            if name not in self._series:
                self._series[name] = [NAN] * len(self._times)
            self._open.setdefault(name, []).append(value)
        if len(self._open_times) == self._stride:
            self._close_point()
            if len(self._times) >= self._capacity:
                self._halve()

    def _close_point(self) -> None:
        self._times.append(self._open_times[-1])
        for name, values in self._series.items():
            values.append(_fold(name, self._open.get(name, ())))
        self._open_times, self._open = [], {}

    def _halve(self) -> None:
        pairs = range(0, len(self._times), 2)
        self._times = [self._times[i : i + 2][-1] for i in pairs]
        for name, values in self._series.items():
            self._series[name] = [_fold(name, values[i : i + 2]) for i in pairs]
        self._stride *= 2
        self._epoch += 1

    def _mark(self, swap: Swap) -> None:
        last = next((s for s in reversed(self._swaps) if s.model == swap.model), None)
        if last is not None and (last.lineage, last.number) == (swap.lineage, swap.number):
            return
        self._swaps.append(swap)
        if len(self._swaps) > self._max_swaps:
            self._swaps = thinned(self._swaps, self._max_swaps // 2)
            self._epoch += 1


def thinned(swaps: Sequence[Swap], keep: int) -> list[Swap]:
    """About `keep` of the swaps, in order: changes of lineage first, the others evenly."""
    lineages: dict[str, str] = {}
    changes: list[int] = []
    others: list[int] = []
    for i, swap in enumerate(swaps):
        (others if lineages.get(swap.model) == swap.lineage else changes).append(i)
        lineages[swap.model] = swap.lineage
    kept = changes[-keep:]
    room = keep - len(kept)
    if room > 0:
        kept += others[:: max(1, -(-len(others) // room))]
    return [swaps[i] for i in sorted(kept)]


def _figures(status: Status) -> Iterator[tuple[str, float]]:
    yield "events_per_second", round(float(status.events_per_second), 1)
    for view in status.views:
        yield f"feature_lag/{view.name}", _number(view.lag_ms)
    for model in status.models:
        yield f"model_lag/{model.name}", _number(model.lag_ms)
        for who, quality in _qualities(model):
            yield f"auc/{model.name}/{who}", _number(quality.auc)
            yield f"ne/{model.name}/{who}", _number(quality.ne)


def _qualities(model: ModelFigures) -> Iterator[tuple[str, Quality]]:
    yield SERVED, model.rolling
    yield BASELINE, model.rolling_baseline
    for lineage in model.lineages:
        yield lineage.name, lineage.rolling


def _number(value: float | None) -> float:
    return NAN if value is None else round(float(value), 4)
