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
    bytes are not to be read.
    """

    indices: npt.NDArray[np.int32]
    partitions: I64
    offsets: I64
    refused: npt.NDArray[np.uint8]
