"""When the answer of each question was there to be learned, and in what order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from freshet.past.own_logs import Told, once
from freshet.schemas.wire import blocks
from freshet.schemas.wire.outcomes import CORRECTED, LABELLED
from freshet.streams.operators.origins import Ticks

I64 = npt.NDArray[np.int64]
NOT_YET = -1


class Answers(NamedTuple):
    """Of the rows of an examples log that bring a label, in their order: the number of the question
    (`ask`), and the tick (ms) at which a trainer closed the step that it was part of (`NOT_YET`:
    none came after it)."""

    ask: I64
    known_ms: I64


def answers_of(told: Sequence[Told]) -> Answers:
    """Of the blocks of an examples log."""
    ticks = Ticks()
    finished = []
    for _, block in told:
        ticks.note(block)
        finished.append(ticks.finished)
    known = _first_after(np.array(finished, np.int64))
    # A block is a record, and so is told by its offset.
    places = {offset: at for at, (offset, _) in enumerate(told)}
    asks = [np.empty(0, np.int64)]
    times = [np.empty(0, np.int64)]
    for offset, _, rows in once(told):
        kind = rows.column("kind").to_numpy()
        found = rows.column("ask").to_numpy()[(kind == LABELLED) | (kind == CORRECTED)]
        asks.append(found)
        times.append(np.full(len(found), known[places[offset]]))
    return Answers(np.concatenate(asks), np.concatenate(times))


def _first_after(finished: I64) -> I64:
    """For each block the first tick that it or a later one brought."""
    before = np.concatenate([[blocks.NO_TICK], finished[:-1]])
    brings = np.flatnonzero(finished > before)
    at = np.searchsorted(brings, np.arange(len(finished)))
    # The last place is of those after which no tick came.
    ticks = np.append(finished[brings], NOT_YET)
    return ticks[at]
