"""numba kernels of intake: admission (deduplication and lateness), imputation, the ledger. All walk
rows in order."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

u64 = np.uint64
APPLIED, DEDUPLICATED, LATE = 0, 1, 2
GENERATION, GENERATION_START, IN_GENERATION, NEWEST, BEGUN, META = 0, 1, 2, 3, 4, 5


@nb.njit(inline="always", nogil=True, cache=True)
def _find(table: Any, g: Any, low: Any, high: Any, mask: Any) -> Any:
    """The slot of an id in generation `g`, or the empty slot where it would go."""
    i = low & mask
    while table[g, i, 0] != u64(0):
        if table[g, i, 0] == low and table[g, i, 1] == high:
            break
        i = (i + u64(1)) & mask
    return i


@nb.njit(nogil=True, cache=True)
def admit(ids: Any, t: Any, code: Any, table: Any, meta: Any, horizon: Any, lateness: Any) -> None:
    """Set `code` of rows that still have APPLIED: repeats within the horizon, and rows later than
    allowed.

    Two generations of 128-bit ids (uint64 `[2, capacity, 2]`) remember an id for one to two
    horizons of event time. `meta` is int64: current generation, when it began, ids in it, newest
    event time, whether there was any event. Times are any int64, so what lies between two is taken
    as uint64, which cannot overflow.
    """
    mask = u64(table.shape[1] - 1)
    for r in range(code.size):
        if code[r] != APPLIED:
            continue
        if meta[BEGUN] == 0:
            meta[BEGUN] = 1
            meta[GENERATION_START] = meta[NEWEST] = t[r]
        meta[NEWEST] = max(meta[NEWEST], t[r])
        age = u64(meta[NEWEST]) - u64(meta[GENERATION_START])
        if age >= u64(horizon):
            if age >= u64(2 * horizon):
                table[meta[GENERATION], :, :] = u64(0)
            meta[GENERATION] = 1 - meta[GENERATION]
            table[meta[GENERATION], :, :] = u64(0)
            meta[GENERATION_START] = meta[NEWEST]
            meta[IN_GENERATION] = 0
        low, high, g = ids[r, 0], ids[r, 1], meta[GENERATION]
        i = _find(table, 1 - g, low, high, mask)
        if table[1 - g, i, 0] != u64(0):
            code[r] = DEDUPLICATED
            continue
        i = _find(table, g, low, high, mask)
        if table[g, i, 0] != u64(0):
            code[r] = DEDUPLICATED
            continue
        table[g, i, 0] = low
        table[g, i, 1] = high
        meta[IN_GENERATION] += 1
        if u64(meta[NEWEST]) - u64(t[r]) > u64(lateness):
            code[r] = LATE


@nb.njit(nogil=True, cache=True)
def regrow(table: Any, capacity: Any) -> Any:
    """The same ids in a larger table."""
    new = np.zeros((2, capacity, 2), np.uint64)
    mask = u64(capacity - 1)
    for g in range(2):
        for k in range(table.shape[1]):
            if table[g, k, 0] != u64(0):
                i = _find(new, g, table[g, k, 0], table[g, k, 1], mask)
                new[g, i, 0] = table[g, k, 0]
                new[g, i, 1] = table[g, k, 1]
    return new


@nb.njit(nogil=True, cache=True)
def account(
    code: Any, ids: Any, offsets: Any, block: Any, first: Any, counts: Any, sums: Any
) -> None:
    """Count fates by ledger block (int64 `[blocks, fates]`) and add up the ids applied, mod 2^128
    (uint64 `[blocks, 2]`, low word first)."""
    for r in range(code.size):
        b = offsets[r] // block - first
        counts[b, code[r]] += 1
        if code[r] == APPLIED:
            low = sums[b, 0] + ids[r, 0]
            sums[b, 1] += ids[r, 1] + (u64(1) if low < ids[r, 0] else u64(0))
            sums[b, 0] = low


MEDIAN, MEAN, LAST = 0, 1, 2


@nb.njit(inline="always", nogil=True, cache=True)
def _p2_add(q: Any, x: Any) -> None:
    """One observation into P² for the median (Jain and Chlamtac, 1985). q: 5 heights, 5 positions,
    count."""
    c = q[10]
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
        up, down = q[6 + i] - q[5 + i], q[4 + i] - q[5 + i]
        if (d >= 1.0 and up > 1.0) or (d <= -1.0 and down < -1.0):
            s = 1.0 if d > 0.0 else -1.0
            h = q[i] + s / (q[6 + i] - q[4 + i]) * (
                (s - down) * (q[i + 1] - q[i]) / up + (up - s) * (q[i] - q[i - 1]) / (-down)
            )
            if not (q[i - 1] < h < q[i + 1]):
                j = i + np.int64(s)
                h = q[i] + s * (q[j] - q[i]) / (q[5 + j] - q[5 + i])
            q[i] = h
            q[5 + i] += s


@nb.njit(nogil=True, cache=True)
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
            values[r] = q[2] if count >= 5 else q[(count - 1) // 2]
        elif kind == MEAN:
            values[r] = q[0] / q[10]
        else:
            values[r] = q[0]
    return filled


@nb.njit(nogil=True, cache=True)
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
