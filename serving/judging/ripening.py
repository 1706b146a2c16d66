"""Equal label age: every question is judged when it is as old as all others, in the order asked.

Labels do not come at random: a flight that is on time lands first. Judged as they come, the first
hours of a comparison know only those, and whoever says "on time" looks good. So a question is
judged at a fixed age, by the label that it has by then, and one that comes later is counted and
judged by nobody. Then delays, whatever they depend on, change neither which labels are judged nor
their order, but for those beyond the age.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]


class Ripening:
    """Holds answered questions until they are of age.

    Who feeds it says of each when it was asked, when its label came, and `place`, which is its
    place among all questions: equal times are in that order. All in ms, by the log's clock."""

    def __init__(self, age_ms: int) -> None:
        self.age_ms = age_ms
        self.late = 0  # labels that came at a greater age
        self._held = np.empty((0, 2), np.int64)

    def add(self, asked_ms: I64, labelled_ms: I64, places: I64) -> None:
        """Labels `[n]` that came, in any order."""
        ages = labelled_ms - asked_ms
        in_time = ages <= self.age_ms
        self.late += len(ages) - int(in_time.sum())
        both = np.stack([asked_ms, places], axis=1)
        new = both[in_time]
        self._held = np.concatenate([self._held, new])

    def ripe(self, tick_ms: int) -> I64:
        """Places of the questions that are of age at a tick which the log has passed, in the order
        asked. Every label that came by that tick has been added before."""
        is_ripe = self._held[:, 0] + self.age_ms <= tick_ms
        ripe = self._held[is_ripe]
        self._held = self._held[~is_ripe]
        in_order = np.lexsort((ripe[:, 1], ripe[:, 0]))
        return np.asarray(ripe[in_order, 1])

    def checkpoint(self) -> dict[str, npt.NDArray[Any]]:
        """All of it."""
        return {"held": self._held.copy(), "counts": np.array([self.age_ms, self.late])}

    @staticmethod
    def restored(state: Mapping[str, npt.NDArray[Any]]) -> Ripening:
        """From a checkpoint."""
        age_ms, late = state["counts"].tolist()
        out = Ripening(age_ms)
        out.late = late
        out._held = state["held"].copy()
        return out
