"""What decides of fates beside a partition's records, as intake's checkpoint has it: so another
task that is given the same records comes to the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from freshet.streams.log.contract import Batch
from freshet.streams.operators.checkpoints import Checkpoints
from freshet.streams.operators.task import from_json

I64 = npt.NDArray[np.int64]
# No bound of an append time was recorded.
UNBOUNDED = np.zeros((0, 3), np.int64)


class Recorded(NamedTuple):
    """Of the records before offset `until`: changes of `settings` (from which offset on, lateness
    and max_future, ms), the `turns` (from which offset on ids of a new generation are kept), and
    bounds of append times (`vouched`: from which offset, up to which, the latest, ms)."""

    until: int
    settings: Sequence[Sequence[int]]
    turns: Sequence[int]
    vouched: I64

    def pieces(self, batch: Batch) -> Iterator[Batch]:
        """A batch, cut where something was taken on."""
        offsets = [change[0] for change in self.settings]
        cuts = np.searchsorted(batch.offsets, sorted({*offsets, *self.turns}))
        edges = np.unique([0, *cuts, len(batch)]).tolist()
        for first, after in pairwise(edges):
            yield batch.rows(first, after)


def recorded(checkpoints: Checkpoints) -> Recorded | None:
    """What the newest checkpoint of an intake has; None where there is none yet.

    Raises:
        CheckpointError: none is whole, or they are of another log of the name.
    """
    found = checkpoints.load()
    if found is None:
        return None
    offset, base, deltas = found
    # A delta has all of these, too.
    state = deltas[-1] if deltas else base
    # Letters that were sent again: nothing beside their log decides of them.
    if "turns" not in state:
        return Recorded(offset, [], [], UNBOUNDED)
    return Recorded(offset, _settings(state), state["turns"].tolist()[1:], state["vouched"])


def _settings(state: Mapping[str, npt.NDArray[Any]]) -> list[list[int]]:
    if "settings" not in state:
        return []
    found: list[list[int]] = from_json(state["settings"])
    return found
