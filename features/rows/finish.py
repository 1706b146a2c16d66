"""From rows to values: one pure function of row and time, the same in scorer, feature API and
backfill."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from freshet.features.rows import kernels
from freshet.features.rows.kernels import NOT_FOUND, NULL_VALUE, OUTSIDE_MAX_AGE, PRESENT
from freshet.features.rows.plan import RowPlan
from freshet.schemas.errors import StoreError

__all__ = ["NOT_FOUND", "NULL_VALUE", "OUTSIDE_MAX_AGE", "PRESENT", "Finished", "finish"]


class Finished(NamedTuple):
    """Of `n` rows and `F` features: `values` float64 `[n, F]` (NaN: missing), `age_ms` int64 `[n]`
    (`as_of` less the newest event; -1 if absent, negative too where the row saw the future) and
    `status` uint8 `[n]`: PRESENT, NOT_FOUND or OUTSIDE_MAX_AGE. A missing value of a PRESENT row is
    a NULL_VALUE."""

    values: npt.NDArray[np.float64]
    age_ms: npt.NDArray[np.int64]
    status: npt.NDArray[np.uint8]


def finish(
    plan: RowPlan,
    data: npt.NDArray[np.uint8],
    present: npt.NDArray[np.bool_],
    as_of: npt.NDArray[np.int64],
    max_age_ms: int = 0,
) -> Finished:
    """Values of rows (`data` uint8 `[n, plan.width]`) as of a time each (ms). `max_age_ms` 0: no
    bound.

    A window of `k` tiles covers the `k` newest tiles up to that of `as_of`, which may still fill.
    As of a time before the row's newest event, it counts only tiles up to `as_of` that the ring
    still has; `last` and `decayed_mean` cannot be taken back and are as of their newest value.

    Raises:
        StoreError: rows of another width than the plan's.
    """
    count = len(present)
    if data.shape != (count, plan.width):
        raise StoreError(
            f"rows of shape {data.shape}",
            f"are not the {count} rows of {plan.width} bytes that the view has",
            "Read them with the width of the view's plan.",
        )
    words = kernels.plain(data, np.uint8).view(np.int64)
    # Bytes may lie anywhere, words may not: kernels would be compiled once more for such an array.
    if not words.flags.aligned:
        words = words.copy()
    out = Finished(
        np.empty((count, len(plan.names))), np.empty(count, np.int64), np.empty(count, np.uint8)
    )
    kernels.finish(
        words,
        words.view(np.float64),
        kernels.plain(present, np.bool_),
        kernels.plain(as_of, np.int64),
        max_age_ms,
        plan.shape,
        plan.reads,
        plan.read_params,
        out,
    )
    return out
