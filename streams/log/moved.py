"""Records that were moved from one log to another, several of them in each record there: where they
stand in it, and where they stood."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Moved:
    """Beside a `Batch` whose `offsets` are those of the records that hold its own, and so may be
    equal: the place of each row in its record (`indices` int32 `[n]`), and the `partitions` and
    `offsets` of the log that it came from (int64 `[n]`).

    `refused` uint8 `[n]` are reasons (0: none) why a record could not be moved as it was; then its
    bytes are not to be read. Of records that hold several events each, `elements` int32 `[n]` say
    which one of it is meant (-1: all; None: all of every one).
    """

    indices: npt.NDArray[np.int32]
    partitions: I64
    offsets: I64
    refused: npt.NDArray[np.uint8]
    elements: npt.NDArray[np.int32] | None = None

    def as_events(self, places: npt.NDArray[np.int32]) -> Moved:
        """The same of each event, by its place in its record (int32 `[n]`)."""
        # Each record has an event at the first place, also where it is none.
        parents = np.cumsum(places == 0) - 1
        elements = self.elements
        if elements is not None:
            elements = elements[parents]
        return Moved(
            np.arange(len(places), dtype=np.int32),
            self.partitions[parents],
            self.offsets[parents],
            self.refused[parents],
            elements,
        )

    def is_meant(self, places: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_] | None:
        """Which events are, by their places; None: all are."""
        if self.elements is None:
            return None
        found: npt.NDArray[np.bool_] = (self.elements < 0) | (self.elements == places)
        return found
