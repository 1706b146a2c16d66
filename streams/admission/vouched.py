"""Bounds of append times: no record was appended later than the app's clock when it was read,
whatever its own time says.

A record's time is the broker's, or whatever a producer wrote there. It is believed unless something
would rest on a time that is yet to come. Then the clock's time is taken down for the records that
were read by then, at a checkpoint before any of them is judged; so whoever judges them once more
comes to the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.schemas.topics.settings import SKEW_MS
from freshet.streams.log.contract import Batch

KEPT = 10_000  # an audit reaches no further back; only the newest one is needed to go on


def latest_ms(now_ms: int) -> int:
    """The latest time that a record which was read by now may bear."""
    return now_ms + SKEW_MS


def ahead_of(batch: Batch, now_ms: int) -> Batch:
    """The records whose times are later than the clock's by more than clocks differ."""
    return batch.where(batch.times > latest_ms(now_ms))


class Vouched:
    """Of the records from offset `first` to `until` (exclusive) none was appended after `latest`
    (ms)."""

    def __init__(self) -> None:
        self._spans = np.zeros((0, 3), np.int64)

    @property
    def spans(self) -> list[list[int]]:
        """First, until and latest of each, in the order of the log."""
        found: list[list[int]] = self._spans.tolist()
        return found

    def recall(self, spans: Sequence[Sequence[int]]) -> None:
        """What was noted before."""
        self._spans = np.array(spans, np.int64).reshape(-1, 3)

    def note(self, batch: Batch, now_ms: int) -> None:
        first = int(batch.offsets[0])
        # A batch may begin among records that are bounded already: theirs stays.
        if len(self._spans):
            first = max(first, int(self._spans[-1, 1]))
        span = np.array([[first, int(batch.offsets[-1]) + 1, latest_ms(now_ms)]], np.int64)
        self._spans = np.concatenate([self._spans, span])[-KEPT:]

    def bounded(self, batch: Batch) -> Batch:
        """The batch with the times at which its records were appended at the latest."""
        # Nearly always: what was bounded once lies behind.
        if not len(self._spans) or int(batch.offsets[0]) >= int(self._spans[-1, 1]):
            return batch
        times = batch.times.copy()
        for first, until, latest in self.spans:
            inside = slice(*np.searchsorted(batch.offsets, (first, until)))
            times[inside] = np.minimum(times[inside], latest)
        return replace(batch, times=times)

    def dump(self) -> dict[str, npt.NDArray[Any]]:
        return {"vouched": self._spans}

    def load(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        self._spans = state["vouched"].copy()
