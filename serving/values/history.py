"""What the values of a topic were like, hour by hour, in bounded memory: a year of it.

Hours become days (UTC) after four weeks, which hours are compared with. Of each hour and each day
the sources that brought most are told apart, the others are one. Where all of it together is more
than `most_bytes`, the sources of what is oldest become one, and after that what is oldest goes: so
the newest is never lost. Hours of a declared reference stay, beyond the year, as long as there is
room.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from freshet.streams.sketches.sketch import Sketch, merged, packed, unpacked
from freshet.streams.sketches.sketch_kernels import BOUND

MOST_BYTES = 64 << 20
MOST_SOURCES = 100
HOURS_A_DAY = 24
# Four weeks and an hour, which `drift` reads, and the rest of a day.
HOURS_FOR = 29 * HOURS_A_DAY
KEPT_FOR = 366 * HOURS_A_DAY
# Hours are read four weeks in a row, each with its neighbours: those that are small are kept as
# they were read.
READ_KEPT = 24
READ_KEPT_BYTES = 64 << 10
FASTEST = 1  # of zlib's levels: names repeat, and any level finds that
Cell = tuple[str | None, str]  # source (None: all that are not told apart), field
Sketches = dict[Cell, Sketch]
_Cells = dict[Cell, bytes]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[str | None, str, bytes]]).decode


class Period(NamedTuple):
    """From an hour since 1970 on, so many hours."""

    first: int
    hours: int

    @property
    def after(self) -> int:
        return self.first + self.hours


class TopicHistory:
    """Sketches of one topic by hour or day, source and field. Not thread-safe."""

    def __init__(
        self, most_bytes: int = MOST_BYTES, reference: tuple[int, int] | None = None
    ) -> None:
        self._most_bytes = most_bytes
        # None: no hour is in it.
        self._reference = reference or (0, 0)
        self._kept: dict[Period, bytes] = {}
        self._bytes = 0
        self._newest = 0
        self._read: OrderedDict[Period, Sketches] = OrderedDict()

    @property
    def newest_hour(self) -> int | None:
        """The newest of which anything is known."""
        if not self._kept:
            return None
        return self._newest

    @property
    def bytes_held(self) -> int:
        return self._bytes

    def add(self, hour: int, sketches: Mapping[Cell, bytes]) -> None:
        """Add packed sketches of an hour to what is known of it, or of its day."""
        self._newest = max(self._newest, hour)
        if self._is_gone(Period(hour, 1)):
            return
        day = _day_of(hour)
        period = Period(hour, 1)
        if day in self._kept:
            period = day
        self._put(period, _joined([self._cells(period), sketches]))
        self._age()

    def _is_gone(self, period: Period) -> bool:
        return period.after <= self._newest - KEPT_FOR and not self._is_reference(period)

    def _is_reference(self, period: Period) -> bool:
        first, after = self._reference
        return first < period.after and period.first < after

    def periods(self, first: int, after: int) -> list[Period]:
        """Those of which something is known, and which begin within a span of hours."""
        return sorted(period for period in self._kept if first <= period.first < after)

    def sketches(self, period: Period, field: str | None = None) -> Sketches:
        """All that is known of a period, or of one field in it; nothing of one that is not
        known."""
        read = self._read.get(period)
        if read is not None:
            self._read.move_to_end(period)
        else:
            read = {cell: unpacked(value) for cell, value in self._wanted(period, field)}
            if field is None and len(self._kept.get(period, b"")) <= READ_KEPT_BYTES:
                self._read[period] = read
        if len(self._read) > READ_KEPT:
            self._read.popitem(last=False)
        return {cell: sketch for cell, sketch in read.items() if field in (None, cell[1])}

    def _wanted(self, period: Period, field: str | None) -> list[tuple[Cell, bytes]]:
        found = self._cells(period).items()
        return [(cell, value) for cell, value in found if field in (None, cell[1])]

    def kept(self) -> list[tuple[int, int, bytes]]:
        """To be saved."""
        return [(*period, value) for period, value in sorted(self._kept.items())]

    def restore(self, kept: Iterable[tuple[int, int, bytes]]) -> None:
        """Go on with what was saved."""
        self._kept = {Period(first, hours): value for first, hours, value in kept}
        self._read.clear()
        self._bytes = sum(map(len, self._kept.values()))
        self._newest = max((period.after - 1 for period in self._kept), default=0)

    def _cells(self, period: Period) -> _Cells:
        value = self._kept.get(period)
        if value is None:
            return {}
        rows = _decode(zlib.decompress(value))
        return {(source, field): sketch for source, field, sketch in rows}

    def _put(self, period: Period, cells: _Cells) -> None:
        # Also of one that was not there, which was read as nothing.
        self._drop(period)
        rows = [(source, field, sketch) for (source, field), sketch in cells.items()]
        value = zlib.compress(_encode(rows), FASTEST)
        self._kept[period] = value
        self._bytes += len(value)

    def _drop(self, period: Period) -> None:
        self._read.pop(period, None)
        self._bytes -= len(self._kept.pop(period, b""))

    def _age(self) -> None:
        """Hours that are old to days, and what is too old or too much away."""
        old = [p for p in self._kept if p.hours == 1 and p.first < self._newest - HOURS_FOR]
        for day in {_day_of(period.first) for period in old}:
            # The whole day at once, so that a day is never beside hours of its own.
            if day.after <= self._newest - HOURS_FOR:
                self._to_day(day)
        for period in [p for p in self._kept if self._is_gone(p)]:
            self._drop(period)
        if self._bytes > self._most_bytes:
            self._shrink()

    def _to_day(self, day: Period) -> None:
        hours = [period for period in self._kept if _day_of(period.first) == day]
        cells = _joined([self._cells(period) for period in hours])
        for period in hours:
            self._drop(period)
        self._put(day, cells)

    def _shrink(self) -> None:
        # What is compared with goes last, but for the newest.
        oldest = sorted(self._kept, key=lambda period: (self._is_reference(period), period))
        for period in oldest:
            cells = self._cells(period)
            if any(source is not None for source, _ in cells):
                self._put(period, _without_sources(cells))
            if self._bytes <= self._most_bytes:
                return
        newest = max(self._kept)
        for period in [each for each in oldest if each != newest]:
            self._drop(period)
            if self._bytes <= self._most_bytes:
                return


def _day_of(hour: int) -> Period:
    return Period(hour - hour % HOURS_A_DAY, HOURS_A_DAY)


def _joined(parts: Iterable[Mapping[Cell, bytes]]) -> _Cells:
    """Sketches of the same cell as one, with no more sources than are told apart."""
    by_cell: dict[Cell, list[bytes]] = {}
    for part in parts:
        for cell, value in part.items():
            by_cell.setdefault(cell, []).append(value)
    return _together(by_cell, _largest(by_cell))


def _without_sources(cells: _Cells) -> _Cells:
    return _together({cell: [value] for cell, value in cells.items()}, set())


def _largest(by_cell: Mapping[Cell, list[bytes]]) -> set[str]:
    """The sources that brought most; ties by name."""
    names = {source for source, _ in by_cell if source is not None}
    if len(names) <= MOST_SOURCES:
        return names
    rows = dict.fromkeys(names, 0)
    for (source, _), values in by_cell.items():
        if source is not None:
            # Each of its fields has the same.
            brought = sum(unpacked(value).rows for value in values)
            rows[source] = max(rows[source], brought)
    ranked = sorted(names, key=lambda name: (-rows[name], name))
    return set(ranked[:MOST_SOURCES])


def _together(by_cell: Mapping[Cell, list[bytes]], apart: set[str]) -> _Cells:
    """All sources that are not told apart as one."""
    found: dict[Cell, list[bytes]] = {}
    for (source, field), values in by_cell.items():
        shown = source if source in apart else None
        found.setdefault((shown, field), []).extend(values)
    return {cell: _one(values) for cell, values in found.items()}


def _one(values: list[bytes]) -> bytes:
    # By far the most have nothing to be joined with.
    if len(values) == 1:
        return values[0]
    return packed(merged(unpacked(value) for value in values))


def by_cell(parts: Iterable[Sketches], bound: int = BOUND) -> Iterator[tuple[Cell, Sketch]]:
    """The sketches of several periods, each cell's as one of at most `bound` keys."""
    found: dict[Cell, list[Sketch]] = {}
    for part in parts:
        for cell, sketch in part.items():
            found.setdefault(cell, []).append(sketch)
    for cell, sketches in found.items():
        yield cell, merged(sketches, bound)
