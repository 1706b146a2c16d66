"""What is made of bytes once they are found: decimals as numbers of 128 bits, UUIDs as texts."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

u64 = np.uint64
i64 = np.int64
UUID_BYTES = 16
UUID_LENGTH = 36
LOW, HIGH = range(2)


@nb.njit(nogil=True, cache=True, _nrt=False)
def read_decimals(
    data: Any,
    words: Any,
    valid: Any,
    most: Any,
    refused: Any,
) -> None:
    """Turn spans of two's complements, the highest byte first, into numbers of 128 bits: `words`
    int64 `[2, n]` are starts and ends, and then the low and high half. Those beyond `most` (uint64
    low and high half) on either side are `refused`, bool `[n]`, and 0."""
    for row in range(valid.size):
        if not valid[row]:
            continue
        start = words[LOW, row]
        end = words[HIGH, row]
        low = u64(0)
        high = u64(0)
        # Of no bytes at all the number is 0.
        negative = end > start and data[start] >= 128
        sign = u64(255) if negative else u64(0)
        if negative:
            low = ~low
            high = ~high
        fits = True
        for i in range(start, end):
            # What is shifted out must have been sign alone.
            if (high >> u64(56)) != sign:
                fits = False
            high = (high << u64(8)) | (low >> u64(56))
            low = (low << u64(8)) | u64(data[i])
        if ((high >> u64(63)) == u64(1)) != negative:
            fits = False
        # Its size, without the sign; of the lowest of all it is itself, beyond all bounds.
        size_low = low
        size_high = high
        if negative:
            size_low = ~low + u64(1)
            size_high = ~high + u64(size_low == u64(0))
        if size_high > most[HIGH] or (size_high == most[HIGH] and size_low > most[LOW]):
            fits = False
        refused[row] = not fits
        if not fits:
            low = u64(0)
            high = u64(0)
        words[LOW, row] = i64(low)
        words[HIGH, row] = i64(high)


@nb.njit(
    inline="always",
    nogil=True,
    cache=True,
    _nrt=False,
)
def digit(value: Any) -> Any:
    """The character of a hexadecimal digit, in lower case."""
    return np.uint8(48 + value if value < 10 else 87 + value)


@nb.njit(nogil=True, cache=True, _nrt=False)
def write_uuids(
    data: Any,
    words: Any,
    valid: Any,
    out: Any,
    base: Any,
) -> None:
    """Write the 16 bytes that `words` int64 `[2, n]` span as texts of RFC 9562 into `out`, uint8
    `[36 n]`, which is to lie `base` bytes further on; the words become the texts' spans."""
    for row in range(valid.size):
        if not valid[row]:
            continue
        start = words[0, row]
        at = row * UUID_LENGTH
        for i in range(UUID_BYTES):
            # Groups of 8, 4, 4, 4 and 12 digits.
            if i == 4 or i == 6 or i == 8 or i == 10:
                out[at] = 45
                at += 1
            byte = data[start + i]
            out[at] = digit(byte >> 4)
            out[at + 1] = digit(byte & 15)
            at += 2
        words[0, row] = base + row * UUID_LENGTH
        words[1, row] = base + (row + 1) * UUID_LENGTH
