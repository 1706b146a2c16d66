"""Ids that are remembered, in two generations: the current one is written, and both are asked.

An id costs 16 to 32 bytes where it is entered, and as much in the index of its generation.
Checkpoints hold what was entered, in order, so that one which follows another needs those alone
that came since.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.schemas.events.codec import frozen
from freshet.streams.admission import kernels
from freshet.streams.admission.kernels import Generation

FIRST_ROOM = 1_000
SLOTS_PER_ID = 2  # at least: an index is half full at most
TOO_MUCH = 8  # times the room that is needed
Ids = npt.NDArray[np.uint64]


class SeenIds:
    """128-bit identities, uint64 `[n, 2]`."""

    def __init__(self) -> None:
        self._older = _generation(_nothing())
        self._current = _generation(_nothing())
        # Of what the last dump held: how many of the current ones, and whether the older ones.
        self._dumped = 0
        self._older_dumped = False

    @property
    def in_current(self) -> int:
        """How many were entered in the current generation."""
        return int(self._current.size[0])

    @property
    def is_empty(self) -> bool:
        return not self.in_current and not int(self._older.size[0])

    def mark_repeats(self, ids: Ids, code: npt.NDArray[np.uint8]) -> None:
        """Set the fate (`code` uint8 `[n]`) of those that are remembered, among those that are
        still applied. The others are remembered from now on."""
        self._make_room(len(code))
        kernels.mark_repeats(frozen(ids), code, self._older, self._current)

    def turn(self) -> None:
        """Forget the older generation; the current one is the older one now."""
        forgotten = self._older
        self._older = self._current
        self._current = _emptied(forgotten, self.in_current)
        self._dumped = 0
        self._older_dumped = False

    def dump(self, full: bool) -> dict[str, Ids]:
        """Everything, or what came since the last dump."""
        state = {}
        if full or not self._older_dumped:
            state["ids.older"] = _entered(self._older)
            self._dumped = 0
        state["ids.current"] = _entered(self._current)[self._dumped :]
        self._dumped = self.in_current
        self._older_dumped = True
        return state

    def load(self, chain: Sequence[Mapping[str, npt.NDArray[Any]]]) -> None:
        """Become what was dumped, first all of it, then what came since, in order."""
        older = _nothing()
        current = [_nothing()]
        for state in chain:
            if "ids.older" in state:
                older = state["ids.older"]
                current.clear()
            current.append(state["ids.current"])
        self._older = _generation(older)
        self._current = _generation(np.concatenate(current))
        self._dumped = self.in_current
        self._older_dumped = True

    def _make_room(self, rows: int) -> None:
        needed = self.in_current + rows
        if needed > len(self._current.entered):
            self._current = _generation(_entered(self._current), needed)


def _nothing() -> Ids:
    return np.zeros((0, 2), np.uint64)


def _generation(ids: Ids, needed: int = 0) -> Generation:
    """Of these ids, with room for as many as are `needed`."""
    # A power of two, as an index's capacity is one.
    room = 1 << (max(FIRST_ROOM, needed, len(ids)) - 1).bit_length()
    entered = np.empty((room, 2), np.uint64)
    entered[: len(ids)] = ids
    index = np.zeros(room * SLOTS_PER_ID, np.uint64)
    kernels.enter(entered, len(ids), index)
    return Generation(entered, np.array([len(ids)]), index)


def _emptied(generation: Generation, needed: int) -> Generation:
    """A generation without any id, in the room of one that is forgotten if that will do: new memory
    costs more than all else that is done for an id. What a rush left behind is let go."""
    entered, size, index = generation
    if not needed <= len(entered) <= TOO_MUCH * max(FIRST_ROOM, needed):
        return _generation(_nothing(), needed)
    size[0] = 0
    index[:] = 0
    return Generation(entered, size, index)


def _entered(generation: Generation) -> Ids:
    entered: Ids = generation.entered[: generation.size[0]]
    return entered
