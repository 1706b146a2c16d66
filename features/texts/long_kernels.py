"""numba kernels that cut texts which are too long for a row."""

from __future__ import annotations

from typing import Any

from freshet.features.compiled_kernels import kernel
from freshet.schemas.text.kernels import SEED_LOW, hash_span, u64

CONTINUES = 0x80  # a byte of UTF-8 that begins no character: its upper two bits
LEAD_MASK = 0xC0
DIGIT_BITS = 4


@kernel
def shorten(texts: Any, longest: Any, mark: Any, digits: Any, out: Any, ends: Any) -> None:
    """Copy texts, bytes with where they begin and end; of one that is longer than `longest` as many
    characters as leave room for the mark, that, and its hash as hexadecimal `digits`."""
    data, start, end = texts
    to = 0
    hash_digits = 64 // DIGIT_BITS
    for row in range(start.size):
        after = end[row]
        is_long = after - start[row] > longest
        if is_long:
            after = start[row] + longest - mark.size - hash_digits
            # At the beginning of a character.
            while after > start[row] and data[after] & LEAD_MASK == CONTINUES:
                after -= 1
        for at in range(start[row], after):
            out[to] = data[at]
            to += 1
        if is_long:
            for at in range(mark.size):
                out[to] = mark[at]
                to += 1
            hashed = hash_span(data, start[row], end[row], SEED_LOW) | u64(1)
            for digit in range(hash_digits):
                shift = u64(64 - DIGIT_BITS * (digit + 1))
                out[to] = digits[(hashed >> shift) & u64(15)]
                to += 1
        ends[row] = to
