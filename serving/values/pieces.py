"""Pieces of statistics as intake tells them, each counted once.

A piece may come as several records, several times while it grows, and once more after a restart:
what was told last of it stands for it until it is at its end.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pyarrow as pa

from freshet.serving.values.history import Cell
from freshet.streams.sketches.piece import NOWHERE, Place
from freshet.streams.sketches.sketch import unpacked

Hours = dict[int, dict[Cell, bytes]]


class KeptPieces(msgspec.Struct, frozen=True):
    """What is saved of a partition: how far its pieces are at their end, and the one that grows;
    and whether it `repeats`."""

    done: Place
    through: Place
    growing: list[tuple[int, str | None, str, bytes]]
    repeats: bool


class Pieces:
    """Those of one partition. `done` is the place below which all are at their end. While it
    `repeats` what was told of another log, pieces that end are counted already."""

    def __init__(self, done: Place = NOWHERE, repeats: bool = False) -> None:
        self.done = done
        self.repeats = repeats
        self.growing: Hours = {}  # the newest of what is not at its end
        self._through = NOWHERE
        # By how far they reach: the parts of one that did not come as a whole yet.
        self._arriving: dict[tuple[Place, bool], dict[int, Hours]] = {}

    @property
    def incomplete(self) -> bool:
        """Whether a piece came in part."""
        return bool(self._arriving)

    def take(self, rows: pa.RecordBatch) -> Hours | None:
        """One record of a piece. Its sketches by hour once it is at its end and all of it came."""
        head = rows.slice(0, 1).to_pylist()[0]
        first = (int(head["first"]), int(head["first_index"]))
        if first < self.done:
            return None  # counted already
        through = (int(head["through"]), int(head["through_index"]))
        is_ended = bool(head["ended"])
        parts = self._arriving.setdefault((through, is_ended), {})
        parts[int(head["part"])] = _by_hour(rows)
        if len(parts) < int(head["parts"]):
            return None
        whole = _together(parts)
        del self._arriving[through, is_ended]
        if is_ended:
            self._end(through)
            if self.repeats:
                return None
            return whole
        if through >= self._through:
            self._through = through
            self.growing = whole
        return None

    def _end(self, through: Place) -> None:
        self.done = through
        self.growing = {}
        self._through = NOWHERE
        # Of the same piece, told before its end; none of a later one came yet.
        self._arriving = {}

    def kept(self) -> KeptPieces:
        """A piece that came in part is left out."""
        growing = [
            (hour, *cell, value)
            for hour, cells in self.growing.items()
            for cell, value in cells.items()
        ]
        return KeptPieces(self.done, self._through, growing, self.repeats)

    @staticmethod
    def of(kept: KeptPieces) -> Pieces:
        """Those that were kept."""
        found = Pieces(kept.done, kept.repeats)
        found._through = kept.through
        for hour, source, field, value in kept.growing:
            found.growing.setdefault(hour, {})[source, field] = value
        return found


def _by_hour(rows: pa.RecordBatch) -> Hours:
    found: Hours = {}
    names = ("hour", "source", "field", "sketch")
    for hour, source, field, sketch in zip(*(rows.column(name).to_pylist() for name in names)):
        # Nothing is kept that could not be read later.
        unpacked(sketch)
        found.setdefault(hour, {})[source, field] = sketch
    return found


def _together(parts: Mapping[int, Hours]) -> Hours:
    # A cell is in one part only.
    found: Hours = {}
    for part in parts.values():
        for hour, cells in part.items():
            found.setdefault(hour, {}).update(cells)
    return found
