"""numba kernels over text columns: hashing, interning, gathering. A text column is bytes with start
and end a row."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

u64 = np.uint64
SEED_LOW = u64(0x9E3779B97F4A7C15)
SEED_HIGH = u64(0xD6E8FEB86659FD93)
SEED_ROUTE = u64(0xA0761D6478BD642F)


@nb.njit(inline="always", nogil=True, cache=True)
def hash_span(data: Any, start: Any, end: Any, seed: Any) -> Any:
    """64 bits of `data[start:end]`: 8-byte words mixed as in MurmurHash3's finaliser (Appleby,
    2011)."""
    h = seed ^ u64(end - start)
    i = start
    while i < end:
        w = u64(0)
        n = min(8, end - i)
        for j in range(n):
            w |= u64(data[i + j]) << u64(8 * j)
        h = (h ^ w) * u64(0xFF51AFD7ED558CCD)
        h ^= h >> u64(32)
        h *= u64(0xC4CEB9FE1A85EC53)
        h ^= h >> u64(29)
        i += 8
    return h


@nb.njit(nogil=True, cache=True)
def hash_spans(data: Any, start: Any, end: Any, seed: Any) -> Any:
    """uint64 `[n]`, never 0 (0 means missing)."""
    out = np.empty(start.size, np.uint64)
    for r in range(start.size):
        out[r] = hash_span(data, start[r], end[r], seed) | u64(1)
    return out


@nb.njit(nogil=True, cache=True)
def identify(data: Any, start: Any, end: Any) -> Any:
    """128-bit identities, uint64 `[n, 2]`; the first word is never 0."""
    out = np.empty((start.size, 2), np.uint64)
    for r in range(start.size):
        out[r, 0] = hash_span(data, start[r], end[r], SEED_LOW) | u64(1)
        out[r, 1] = hash_span(data, start[r], end[r], SEED_HIGH)
    return out


@nb.njit(nogil=True, cache=True)
def partition_of(data: Any, start: Any, end: Any, partitions: Any) -> Any:
    """freshet's own partitioner, int64 `[n]`, so that every log and client agrees."""
    out = np.empty(start.size, np.int64)
    for r in range(start.size):
        out[r] = np.int64(hash_span(data, start[r], end[r], SEED_ROUTE) % u64(partitions))
    return out


@nb.njit(nogil=True, cache=True)
def gather(data: Any, start: Any, end: Any, rows: Any) -> Any:
    """Rows as Arrow's utf8 layout: int32 offsets `[n + 1]` and their bytes."""
    offsets = np.empty(rows.size + 1, np.int32)
    offsets[0] = 0
    for i in range(rows.size):
        offsets[i + 1] = offsets[i] + np.int32(end[rows[i]] - start[rows[i]])
    out = np.empty(max(1, offsets[-1]), np.uint8)
    out[0] = 0  # nothing that was in memory goes out where there is no text
    for i in range(rows.size):
        o, p = offsets[i], start[rows[i]]
        for j in range(offsets[i + 1] - o):
            out[o + j] = data[p + j]
    return offsets, out


@nb.njit(nogil=True, cache=True)
def intern(
    data: Any,
    start: Any,
    end: Any,
    hashes: Any,
    ids: Any,
    count: Any,
    arena: Any,
    ends: Any,
    out: Any,
) -> None:
    """Texts to dense ids through an open table. Bytes are compared, so a hash collision is
    harmless."""
    mask = u64(hashes.size - 1)
    for r in range(start.size):
        n = end[r] - start[r]
        h = hash_span(data, start[r], end[r], SEED_LOW) | u64(1)
        i = h & mask
        while True:
            if hashes[i] == u64(0):
                k = count[0]
                count[0] += 1
                hashes[i] = h
                ids[i] = k
                o = ends[k]
                for j in range(n):
                    arena[o + j] = data[start[r] + j]
                ends[k + 1] = o + n
                out[r] = k
                break
            if hashes[i] == h:
                k = ids[i]
                o = ends[k]
                same = ends[k + 1] - o == n
                if same:
                    for j in range(n):
                        if arena[o + j] != data[start[r] + j]:
                            same = False
                            break
                if same:
                    out[r] = k
                    break
            i = (i + u64(1)) & mask


@nb.njit(nogil=True, cache=True)
def rehash(hashes: Any, ids: Any, new_hashes: Any, new_ids: Any) -> None:
    """Move an open table into a larger one."""
    mask = u64(new_hashes.size - 1)
    for i in range(hashes.size):
        if hashes[i] != u64(0):
            j = hashes[i] & mask
            while new_hashes[j] != u64(0):
                j = (j + u64(1)) & mask
            new_hashes[j] = hashes[i]
            new_ids[j] = ids[i]
