"""numba kernels that look at texts."""

from __future__ import annotations

from typing import Any

import numba as nb


@nb.njit(nogil=True, cache=True, _nrt=False)
def equal(texts: Any, wanted: Any, found: Any) -> None:
    """Which of some texts (`data`, `start`, `end`, and which are there) have the bytes `wanted`
    (uint8): bool `[n]`."""
    data, start, end, valid = texts
    size = wanted.size
    for row in range(start.size):
        # Of a text that is not there the bytes are not to be looked at.
        same = valid[row] and end[row] - start[row] == size
        at = 0
        while same and at < size:
            same = data[start[row] + at] == wanted[at]
            at += 1
        found[row] = same
