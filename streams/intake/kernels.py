"""numba kernels of intake: the ledger and imputation. All walk rows in order, one by one, so that
no cut of a log into batches shows in any of it."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from freshet.streams.admission.kernels import APPLIED

u64 = np.uint64


@nb.njit(nogil=True, cache=True, _nrt=False)
def account(
    code: Any, ids: Any, offsets: Any, block: Any, first: Any, counts: Any, sums: Any
) -> None:
    """Count fates by ledger block (int64 `[blocks, fates]`) and add up the ids applied, mod 2^128
    (uint64 `[blocks, 2]`, low word first)."""
    for r in range(code.size):
        # By offset, so that any cut of the log into batches gives the same entries.
        b = offsets[r] // block - first
        counts[b, code[r]] += 1
        if code[r] == APPLIED:
            # A sum that is less than what was added has run over: one goes to the upper word.
            low = sums[b, 0] + ids[r, 0]
            sums[b, 1] += ids[r, 1] + (u64(1) if low < ids[r, 0] else u64(0))
            sums[b, 0] = low


MEDIAN = 0
MEAN = 1
LAST = 2


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
def _p2_add(q: Any, x: Any) -> None:
    """One observation into P² for the median (Jain and Chlamtac, 1985). q: 5 heights, 5 positions,
    count."""
    c = q[10]
    # The first five are kept in order: they are the heights to begin with.
    if c < 5.0:
        at = np.int64(c)
        while at > 0 and q[at - 1] > x:
            q[at] = q[at - 1]
            at -= np.int64(1)
        q[at] = x
        q[5 + np.int64(c)] = c + 1.0
        q[10] = c + 1.0
        return
    if x < q[0]:
        q[0] = x
        k = np.int64(0)
    elif x >= q[4]:
        q[4] = x
        k = np.int64(3)
    else:
        k = np.int64(0)
        while x >= q[k + 1]:
            k += 1
    for i in range(k + 1, 5):
        q[5 + i] += 1.0
    q[10] = c + 1.0
    for i in range(1, 4):
        d = 1.0 + c * 0.25 * i - q[5 + i]
        up = q[6 + i] - q[5 + i]
        down = q[4 + i] - q[5 + i]
        if (d >= 1.0 and up > 1.0) or (d <= -1.0 and down < -1.0):
            s = 1.0 if d > 0.0 else -1.0
            h = q[i] + s / (q[6 + i] - q[4 + i]) * (
                (s - down) * (q[i + 1] - q[i]) / up + (up - s) * (q[i] - q[i - 1]) / (-down)
            )
            # A parabola may break the order of the heights; a straight line keeps it.
            if not (q[i - 1] < h < q[i + 1]):
                j = i + np.int64(s)
                h = q[i] + s * (q[j] - q[i]) / (q[5 + j] - q[5 + i])
            q[i] = h
            q[5 + i] += s


@nb.njit(nogil=True, cache=True, _nrt=False)
def impute(
    kind: Any, start: Any, values: Any, valid: Any, groups: Any, code: Any, state: Any
) -> Any:
    """Fill the missing values of applied rows from what was seen before them; returns how many.

    `state` is float64 `[groups, 11]`: P²'s for a median; count and sum for a mean; count and value
    for the last.
    """
    filled = 0
    for r in range(code.size):
        if code[r] != APPLIED:
            continue
        q = state[groups[r]]
        if valid[r]:
            if kind == MEDIAN:
                _p2_add(q, values[r])
            elif kind == MEAN:
                q[0] += values[r]
                q[10] += 1.0
            else:
                q[0] = values[r]
                q[10] = 1.0
            continue
        filled += 1
        count = np.int64(q[10])
        if count == 0:
            values[r] = start
        elif kind == MEDIAN:
            # Of fewer than five the middle one itself; of an even number the lower of two.
            values[r] = q[2] if count >= 5 else q[(count - 1) // 2]
        elif kind == MEAN:
            values[r] = q[0] / q[10]
        else:
            values[r] = q[0]
    return filled


@nb.njit(nogil=True, cache=True, _nrt=False)
def impute_last_whole(
    start: Any, values: Any, valid: Any, groups: Any, code: Any, words: Any
) -> Any:  # fmt: skip
    """As `impute` does the last value, of whole numbers: int64 `values`, and `words` the state seen
    as int64, since no float64 holds them all."""
    filled = 0
    for r in range(code.size):
        if code[r] != APPLIED:
            continue
        group = groups[r]
        if valid[r]:
            words[group, 0] = values[r]
            words[group, 10] = 1
            continue
        filled += 1
        values[r] = words[group, 0] if words[group, 10] == 1 else start
    return filled
