"""numba kernels over text columns: hashing, gathering. A text column is bytes with start
and end a row."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from freshet.schemas.text.word_kernels import eight_bytes, put_eight_bytes, word_at

u64 = np.uint64
i64 = np.int64
# Three, so that the halves of an identity, and the partition of a text, tell nothing of each other.
# They are stored: rows, ids and partitions of running apps were made with them.
SEED_LOW = u64(0x9E3779B97F4A7C15)
SEED_HIGH = u64(0xD6E8FEB86659FD93)
SEED_ROUTE = u64(0xA0761D6478BD642F)


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
def _mixed(hashed: Any, word: Any) -> Any:
    """A hash and one more word, as in MurmurHash3's finaliser (Appleby, 2011)."""
    hashed = (hashed ^ word) * u64(0xFF51AFD7ED558CCD)
    hashed ^= hashed >> u64(32)
    hashed *= u64(0xC4CEB9FE1A85EC53)
    return hashed ^ hashed >> u64(29)


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
def hash_span(data: Any, start: Any, end: Any, seed: Any) -> Any:
    """64 bits of `data[start:end]`."""
    # With the length, else zero bytes at the end of a text would change nothing.
    hashed = seed ^ u64(end - start)
    at = start
    while at < end:
        hashed = _mixed(hashed, word_at(data, at, end - at))
        at += 8
    return hashed


@nb.njit(nogil=True, cache=True, _nrt=False)
def hash_spans(data: Any, start: Any, end: Any, seed: Any, out: Any) -> None:
    """uint64 `[n]`, never 0 (0 means missing)."""
    for row in range(start.size):
        out[row] = hash_span(data, start[row], end[row], seed) | u64(1)


@nb.njit(nogil=True, cache=True, _nrt=False)
def identify(data: Any, start: Any, end: Any, out: Any) -> None:
    """128-bit identities, uint64 `[n, 2]`; the first word is never 0."""
    for row in range(start.size):
        end_of_row = end[row]
        at = start[row]
        low = SEED_LOW ^ u64(end_of_row - at)
        high = SEED_HIGH ^ u64(end_of_row - at)
        # Both as `hash_span`, side by side: neither waits for the other.
        while at < end_of_row:
            word = word_at(data, at, end_of_row - at)
            low = _mixed(low, word)
            high = _mixed(high, word)
            at += 8
        out[row, 0] = low | u64(1)
        out[row, 1] = high


@nb.njit(nogil=True, cache=True, _nrt=False)
def partition_of(data: Any, start: Any, end: Any, partitions: Any, out: Any) -> None:
    """freshet's own partitioner, int64 `[n]`, so that every log and client agrees."""
    for row in range(start.size):
        out[row] = np.int64(hash_span(data, start[row], end[row], SEED_ROUTE) % u64(partitions))


@nb.njit(nogil=True, cache=True, _nrt=False)
def edges(start: Any, end: Any, rows: Any, offsets: Any) -> None:
    """Where rows begin and end, one after the other: int32 `[n + 1]`, as Arrow's utf8 layout has
    it."""
    offsets[0] = 0
    for i in range(rows.size):
        offsets[i + 1] = offsets[i] + np.int32(end[rows[i]] - start[rows[i]])


@nb.njit(nogil=True, cache=True, _nrt=False)
def gather(data: Any, start: Any, end: Any, rows: Any, offsets: Any, out: Any) -> None:
    """The bytes of rows at their `edges`, in an array that is 8 longer than they are."""
    out[0] = 0  # nothing that was in memory goes out where there is no text
    last_word = data.size - 8
    for i in range(rows.size):
        to = i64(offsets[i])
        at = start[rows[i]]
        end_of_row = end[rows[i]]
        # Whole words are written, the last of a row over where the next one goes.
        while at < end_of_row:
            if at <= last_word:
                word = eight_bytes(data, at)
            else:
                word = word_at(data, at, end_of_row - at)
            put_eight_bytes(out, to, word)
            at += 8
            to += 8
