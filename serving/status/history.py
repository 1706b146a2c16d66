"""What the figures were: the whole run in a bounded number of points, and its newest hour, day,
week … in finer ones."""

from __future__ import annotations

import math
import threading
from collections.abc import Collection, Iterator, Sequence

import msgspec

from freshet.schemas.durations import DAY_MS, HOUR_MS
from freshet.schemas.errors import RequestError
from freshet.schemas.models.tasks import BINARY, CLASSES, REGRESSION
from freshet.serving.status.status import ModelFigures, Quality, Status
from freshet.serving.status.tracks import NAN, KeptTrack, Recent, Track, Whole

# No lineage's name begins like this, so they stand beside lineages in the names of series.
SERVED = "@served"
BASELINE = "@baseline"
WHOLE = "all"
# Of each task what is drawn over time: figures of `Quality`.
DRAWN = {BINARY: ("auc", "ne"), CLASSES: ("macro_f1", "ne"), REGRESSION: ("mae", "rmse")}
# In the label's unit, which may be a millionth of anything.
IN_UNITS = ("mae", "rmse")
TIERS_MS = {"1h": HOUR_MS, "1d": DAY_MS, "7d": 7 * DAY_MS, "30d": 30 * DAY_MS, "90d": 90 * DAY_MS}


class Swap(msgspec.Struct, frozen=True, array_like=True):
    """From this moment of the app's clock, the model answered from this snapshot."""

    at_ms: int
    model: str
    lineage: str
    number: int


class KeptHistory(msgspec.Struct, frozen=True, kw_only=True):
    """A history as it is written to a file: what was observed first and last (app clock, ms),
    swaps, and each tier."""

    begun_ms: int | None
    newest_ms: int | None
    swaps: list[Swap]
    tiers: dict[str, KeptTrack]


class Part(msgspec.Struct, frozen=True):
    """A tier of the history from point `start` on (0: all of it), to replace what the reader has
    from there on.

    `series` has a value for each of `times` (app clock, ms) under `events_per_second`,
    `feature_lag/VIEW`, `model_lag/MODEL` (ms), and `FIGURE/MODEL/WHO`, where FIGURE is `auc` and
    `ne`, of classes `macro_f1` and `ne`, of numbers `mae` and `rmse`, and WHO is
    a lineage, `@served` or `@baseline`; NaN (in JSON: null) is unknown. `swaps` are those from
    `first_swap` on. Ask on with `cursor`. `tiers` has the number of points that each tier has of
    its span, `begun_ms` is the first observation there ever was.
    """

    cursor: str
    start: int
    first_swap: int
    times: list[int]
    series: dict[str, list[float]]
    swaps: list[Swap]
    tiers: dict[str, int]
    begun_ms: int | None


class History:
    """Figures over the app's clock. One thread observes while others read.

    Args:
        capacity: points kept of each series in each tier, at most.
        max_swaps: swap marks kept; beyond it `thinned` leaves half of them.
    """

    def __init__(self, capacity: int = 1200, max_swaps: int = 2000) -> None:
        self._capacity = capacity
        self._max_swaps = max_swaps
        self._tiers = _tracks(capacity)
        self._begun: int | None = None
        self._newest: float = -math.inf
        self._swaps: list[Swap] = []
        self._thinnings = 0
        self._restored = False
        # by model, when the newest one was that a file held
        self._restored_swaps: dict[str, int] = {}
        self._lock = threading.Lock()

    def observe(self, status: Status) -> None:
        """Take the figures of a moment; ignored if the app's clock did not move."""
        at = status.clock.app_ms
        if at is None:
            return
        with self._lock:
            if at <= self._newest:
                return
            self._newest = at
            if self._begun is None:
                self._begun = at
            figures = dict(_figures(status))
            if self._restored:
                self._restored = False
                self._drop_undeclared(figures, {model.name for model in status.models})
            for model in status.models:
                if model.served is not None:
                    self._mark(Swap(at, model.name, model.served.lineage, model.served.number))
            for track in self._tiers.values():
                track.add(at, figures)

    def swap(self, swap: Swap) -> None:
        """Mark a swap that may lie between two observations. The same one twice is one; one from
        before a restored history ended is in it."""
        with self._lock:
            if swap.at_ms > self._restored_swaps.get(swap.model, -1):
                self._mark(swap)

    def kept(self) -> KeptHistory:
        """A copy to write to a file."""
        with self._lock:
            newest_ms = None
            if self._newest > -math.inf:
                newest_ms = int(self._newest)
            return KeptHistory(
                begun_ms=self._begun,
                newest_ms=newest_ms,
                swaps=list(self._swaps),
                tiers={name: track.kept() for name, track in self._tiers.items()},
            )

    def restore(self, kept: KeptHistory) -> None:
        """Go on where another history was; before anything is observed. What the app does not
        declare any more goes with the first observation.

        Raises:
            ValueError: it is none that a history can have been.
        """
        # Aside first: a file of which one tier is wrong leaves this history as it was.
        tiers = _tracks(self._capacity)
        for name, track in tiers.items():
            if name in kept.tiers:
                track.restore(kept.tiers[name])
        with self._lock:
            self._tiers = tiers
            self._begun = kept.begun_ms
            self._newest = -math.inf
            if kept.newest_ms is not None:
                self._newest = kept.newest_ms
            self._swaps = list(kept.swaps[-self._max_swaps :])
            self._restored_swaps = {swap.model: swap.at_ms for swap in self._swaps}
            self._restored = True

    def since(self, cursor: str | None = None, tier: str = WHOLE) -> Part:
        """What is new in a tier since the part that gave `cursor`; everything if that is None or
        outdated.

        Raises:
            RequestError: there is no such tier.
        """
        if tier not in self._tiers:
            raise RequestError(
                f"tier {tier!r}", "is unknown", f"The tiers are {', '.join(self._tiers)}."
            )
        with self._lock:
            track = self._tiers[tier]
            # Of this process and of this many thinnings: points and swaps are known by their
            # number, which means something else after a restart or once some were folded.
            identity = f"{track.identity}.{track.epoch}.{self._thinnings}"
            start, first_swap = self._place(cursor, identity, len(track))
            times, series = track.since(start)
            return Part(
                cursor=f"{identity}-{len(track)}-{len(self._swaps)}",
                start=start,
                first_swap=first_swap,
                times=times,
                series=series,
                swaps=self._swaps[first_swap:],
                tiers={
                    name: tier.points_within(TIERS_MS.get(name))
                    for name, tier in self._tiers.items()
                },
                begun_ms=self._begun,
            )

    def _drop_undeclared(self, figures: Collection[str], models: Collection[str]) -> None:
        for track in self._tiers.values():
            track.drop_all_but(figures)
        self._swaps = [swap for swap in self._swaps if swap.model in models]
        self._thinnings += 1

    def _place(self, cursor: str | None, identity: str, length: int) -> tuple[int, int]:
        """Where the part after `cursor` starts: its first point and first swap."""
        # Cursors come from outside: one with too few parts, or none, is an outdated one.
        given, points, swaps = ((cursor or "").split("-") + [""] * 3)[:3]
        if given != identity or not (points + swaps).isdecimal():
            return 0, 0
        return min(int(points or 0), length), min(int(swaps or 0), len(self._swaps))

    def _mark(self, swap: Swap) -> None:
        last = next((known for known in reversed(self._swaps) if known.model == swap.model), None)
        if last is not None and (last.lineage, last.number) == (swap.lineage, swap.number):
            return
        self._swaps.append(swap)
        if len(self._swaps) > self._max_swaps:
            self._swaps = thinned(self._swaps, self._max_swaps // 2)
            self._thinnings += 1


def _tracks(capacity: int) -> dict[str, Track]:
    tracks: dict[str, Track] = {WHOLE: Whole(capacity)}
    for name, span_ms in TIERS_MS.items():
        tracks[name] = Recent(capacity, span_ms)
    return tracks


def thinned(swaps: Sequence[Swap], keep: int) -> list[Swap]:
    """At most `keep` of the swaps, in order: changes of lineage first; of the others half are the
    newest, half lie evenly in time, so that both the last hour and the whole run keep their
    marks."""
    lineages: dict[str, str] = {}
    changes: list[int] = []
    others: list[int] = []
    for i, swap in enumerate(swaps):
        if lineages.get(swap.model) == swap.lineage:
            others.append(i)
        else:
            changes.append(i)
        lineages[swap.model] = swap.lineage
    kept = changes[-keep:]
    room = (keep - len(kept)) // 2
    if room:
        kept += others[-room:] + _evenly(swaps, others[:-room], room)
    return [swaps[i] for i in sorted(kept)]


def _evenly(swaps: Sequence[Swap], indices: Sequence[int], keep: int) -> list[int]:
    """The last of the swaps in each of `keep` equal parts of their time."""
    if not indices:
        return []
    first = swaps[indices[0]].at_ms
    last = swaps[indices[-1]].at_ms
    # All at one moment are one part.
    part_ms = (last - first) / keep or 1.0
    last_of: dict[int, int] = {}
    for i in indices:
        # The very last one would begin a part of its own.
        part = min(keep - 1, int((swaps[i].at_ms - first) / part_ms))
        last_of[part] = i
    return list(last_of.values())


def _figures(status: Status) -> Iterator[tuple[str, float]]:
    yield "events_per_second", round(float(status.events_per_second), 1)
    for view in status.views:
        yield f"feature_lag/{view.name}", _number(view.lag_ms)
    for model in status.models:
        yield f"model_lag/{model.name}", _number(model.lag_ms)
        for who, quality in _qualities(model):
            for figure in DRAWN[model.task]:
                value = getattr(quality, figure)
                short = _in_units(value) if figure in IN_UNITS else _number(value)
                yield f"{figure}/{model.name}/{who}", short


def _qualities(model: ModelFigures) -> Iterator[tuple[str, Quality]]:
    yield SERVED, model.rolling
    yield BASELINE, model.rolling_baseline
    for lineage in model.lineages:
        yield lineage.name, lineage.rolling


def _number(value: float | None) -> float:
    if value is None:
        return NAN
    return round(float(value), 4)  # more digits are only bytes, in the file and to the page


def _in_units(value: float | None) -> float:
    """Six digits, wherever the point is."""
    if value is None:
        return NAN
    return float(f"{value:.6g}")
