"""numba kernels of the encoding of keys; see `freshet.schemas.text.keys`.

A text column is bytes with start and end a row.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from freshet.schemas.text.word_kernels import word_at

u64 = np.uint64
SEPARATOR = ord("|")
ESCAPE = ord("\\")
NULL = ord("N")
# In each byte of a word. The separator and the escape differ in one bit, with which both are the
# separator, and nothing else is.
ONES = u64(0x0101010101010101)
TOPS = u64(0x8080808080808080)
CASE = u64((SEPARATOR ^ ESCAPE) * 0x0101010101010101)
SEPARATORS = u64(SEPARATOR * 0x0101010101010101)


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
def _has_escapes(data: Any, start: Any, end: Any) -> Any:
    """Whether any of some bytes is the separator or the escape, eight of them at once.

    Source: Warren, "Hacker's Delight" (2nd edition), section 6-1, finding a zero byte.
    """
    found = u64(0)
    at = start
    while at < end:
        # Bytes behind the last one are 0, which neither of the two becomes.
        word = (word_at(data, at, end - at) | CASE) ^ SEPARATORS
        found |= (word - ONES) & ~word & TOPS
        at += 8
    return found != u64(0)


@nb.njit(nogil=True, cache=True, _nrt=False)
def measure(data: Any, start: Any, end: Any, valid: Any, sizes: Any) -> Any:
    """Add to int64 `[n]` how many bytes each value takes; returns whether any is escaped, or
    null."""
    changed = False
    for row in range(start.size):
        if not valid[row]:
            sizes[row] += 2
            changed = True
            continue
        escapes = 0
        if _has_escapes(data, start[row], end[row]):
            for i in range(start[row], end[row]):
                escapes += (data[i] == ESCAPE) | (data[i] == SEPARATOR)
        sizes[row] += end[row] - start[row] + escapes
        changed |= escapes > 0
    return changed


@nb.njit(nogil=True, cache=True, _nrt=False)
def put(
    data: Any, start: Any, end: Any, valid: Any, separated: Any, written: Any, place: Any
) -> None:  # fmt: skip
    """Write each value at its row's place (int64 `[n]`), which moves on; `separated`: after a
    separator."""
    for row in range(start.size):
        to = place[row]
        if separated:
            written[to] = SEPARATOR
            to += 1
        if not valid[row]:
            written[to] = ESCAPE
            written[to + 1] = NULL
            to += 2
        else:
            for i in range(start[row], end[row]):
                if (data[i] == ESCAPE) | (data[i] == SEPARATOR):
                    written[to] = ESCAPE
                    to += 1
                written[to] = data[i]
                to += 1
        place[row] = to


@nb.njit(nogil=True, cache=True)
def take_apart(
    data: Any, start: Any, end: Any, written: Any, starts: Any, ends: Any, valid: Any
) -> None:  # fmt: skip
    """The values of each key, one after the other in `written`, which has room for all bytes of the
    keys: where each begins and ends, and whether it is none (int64, int64 and bool `[values, n]`).
    What a key lacks stays missing."""
    to = 0
    count = starts.shape[0]
    for row in range(start.size):
        value = 0
        i = start[row]
        starts[0, row] = to
        valid[0, row] = True
        while i < end[row]:
            if data[i] == SEPARATOR:
                ends[value, row] = to
                value += 1
                # More values than were asked for are none of theirs.
                if value == count:
                    break
                starts[value, row] = to
                valid[value, row] = True
            elif data[i] == ESCAPE and i + 1 < end[row]:
                i += 1
                if data[i] == NULL:
                    valid[value, row] = False
                else:
                    written[to] = data[i]
                    to += 1
            else:
                written[to] = data[i]
                to += 1
            i += 1
        if value < count:
            ends[value, row] = to
