"""numba kernels that give texts ids, through an open table that forgets: a text that goes leaves no
trace in it, so that it serves endless texts as long as there are few at a time."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from freshet.schemas.text.kernels import SEED_LOW, hash_span
from freshet.schemas.text.word_kernels import prefetch

u64 = np.uint64
i64 = np.int64
# The counts of a table: texts that are there, ids ever given, those of them that are free,
# bytes written to its run of bytes, and those of them that are of texts that are gone.
LIVE, GIVEN, FREE, WRITTEN, DEAD, COUNTS = range(6)
NOBODY = -1  # where a text would begin whose id is free
AHEAD = 8  # so many texts before one is looked up, each step of that is asked for


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
def _is_held(held: Any, places: Any, id_: Any, data: Any, first: Any, size: Any) -> Any:
    """Whether the text of an id is that of so many bytes from `first` on."""
    at = places[2 * id_]
    same = places[2 * id_ + 1] - at == size
    if same:
        for i in range(size):
            if held[at + i] != data[first + i]:
                same = False
                break
    return same


@nb.njit(nogil=True, cache=True, _nrt=False)
def intern(
    texts: Any,
    hashes: Any,
    ids: Any,
    counts: Any,
    held: Any,
    places: Any,
    free: Any,
    unsaved: Any,
    out: Any,
) -> None:
    """Ids of texts (bytes, starts and ends). One that is new gets the id that became free last, or
    the next one, and is `unsaved`. Of id `k` the bytes are `held[places[2k]:places[2k + 1]]`. Bytes
    are compared, so a hash collision is harmless."""
    data, start, end = texts
    mask = u64(hashes.size - 1)
    rows = start.size
    # Where they are found, until they are: hashes of all rows, so that their slots may be asked for
    # before they are looked at. Odd, so that none is 0, which is an empty slot.
    for row in range(rows):
        out[row] = i64(hash_span(data, start[row], end[row], SEED_LOW) | u64(1))
    for row in range(rows):
        if row + 3 * AHEAD < rows:
            place = i64(u64(out[row + 3 * AHEAD]) & mask)
            prefetch(hashes, place)
            prefetch(ids, place)
        # Of most texts the first slot is theirs, and says where they lie.
        if row + 2 * AHEAD < rows:
            prefetch(places, 2 * i64(ids[u64(out[row + 2 * AHEAD]) & mask]))
        if row + AHEAD < rows:
            # Not below the bytes: an empty slot may say the id of a text that is gone.
            at = places[2 * ids[u64(out[row + AHEAD]) & mask]]
            prefetch(held, max(i64(0), at))
        size = end[row] - start[row]
        hashed = u64(out[row])
        slot = hashed & mask
        while True:
            if hashes[slot] == u64(0):
                if counts[FREE] > 0:
                    counts[FREE] -= 1
                    k = free[counts[FREE]]
                else:
                    k = counts[GIVEN]
                    counts[GIVEN] += 1
                counts[LIVE] += 1
                hashes[slot] = hashed
                ids[slot] = k
                at = counts[WRITTEN]
                for i in range(size):
                    held[at + i] = data[start[row] + i]
                places[2 * k] = at
                places[2 * k + 1] = at + size
                counts[WRITTEN] = at + size
                unsaved[k] = True
                out[row] = k
                break
            if hashes[slot] == hashed:
                k = ids[slot]
                if _is_held(held, places, k, data, start[row], size):
                    out[row] = k
                    break
            slot = (slot + u64(1)) & mask


@nb.njit(nogil=True, cache=True, _nrt=False)
def find(texts: Any, hashes: Any, ids: Any, held: Any, places: Any, out: Any) -> None:
    """Ids of texts, as `intern` gave them; -1 of one that has none."""
    data, start, end = texts
    mask = u64(hashes.size - 1)
    rows = start.size
    for row in range(rows):
        out[row] = i64(hash_span(data, start[row], end[row], SEED_LOW) | u64(1))
    for row in range(rows):
        if row + 2 * AHEAD < rows:
            place = i64(u64(out[row + 2 * AHEAD]) & mask)
            prefetch(hashes, place)
            prefetch(ids, place)
        if row + AHEAD < rows:
            prefetch(places, 2 * i64(ids[u64(out[row + AHEAD]) & mask]))
        size = end[row] - start[row]
        hashed = u64(out[row])
        slot = hashed & mask
        out[row] = -1
        while hashes[slot] != u64(0):
            if hashes[slot] == hashed:
                k = ids[slot]
                if _is_held(held, places, k, data, start[row], size):
                    out[row] = k
                    break
            slot = (slot + u64(1)) & mask


@nb.njit(nogil=True, cache=True, _nrt=False)
def find_hashed(wanted: Any, hashes: Any, ids: Any, out: Any) -> None:
    """Ids of texts by their hashes; -1 of one that nobody has."""
    mask = u64(hashes.size - 1)
    for row in range(wanted.size):
        hashed = u64(wanted[row])
        slot = hashed & mask
        out[row] = -1
        while hashes[slot] != u64(0):
            if hashes[slot] == hashed:
                out[row] = ids[slot]
                break
            slot = (slot + u64(1)) & mask


@nb.njit(nogil=True, cache=True, _nrt=False)
def forget(
    gone: Any, hashes: Any, ids: Any, counts: Any, held: Any, places: Any, free: Any
) -> None:
    """Take texts out of the table by their ids, which are free from now on.

    No slot is marked as one that was used: those behind it move up.
    Source: Knuth, "The Art of Computer Programming", volume 3, section 6.4, algorithm R.
    """
    mask = u64(hashes.size - 1)
    for k in gone:
        slot = (hash_span(held, places[2 * k], places[2 * k + 1], SEED_LOW) | u64(1)) & mask
        while ids[slot] != k or hashes[slot] == u64(0):
            slot = (slot + u64(1)) & mask
        hashes[slot] = u64(0)
        later = (slot + u64(1)) & mask
        while hashes[later] != u64(0):
            home = hashes[later] & mask
            # It is found from its home on: it may move up unless that lies behind the gap.
            if (later - home) & mask >= (later - slot) & mask:
                hashes[slot] = hashes[later]
                ids[slot] = ids[later]
                hashes[later] = u64(0)
                slot = later
            later = (later + u64(1)) & mask
        counts[DEAD] += places[2 * k + 1] - places[2 * k]
        places[2 * k] = NOBODY
        places[2 * k + 1] = NOBODY
        free[counts[FREE]] = k
        counts[FREE] += 1
        counts[LIVE] -= 1


@nb.njit(nogil=True, cache=True, _nrt=False)
def rehash(hashes: Any, ids: Any, new_hashes: Any, new_ids: Any) -> None:
    """Move an open table into a larger one."""
    mask = u64(new_hashes.size - 1)
    for i in range(hashes.size):
        if hashes[i] != u64(0):
            slot = hashes[i] & mask
            # All differ already, so nothing needs to be compared: the first empty slot is its own.
            while new_hashes[slot] != u64(0):
                slot = (slot + u64(1)) & mask
            new_hashes[slot] = hashes[i]
            new_ids[slot] = ids[i]


@nb.njit(nogil=True, cache=True, _nrt=False)
def compact(counts: Any, held: Any, places: Any, out: Any) -> None:
    """Copy the bytes of texts that are there, without those of texts that are gone."""
    to = 0
    for k in range(counts[GIVEN]):
        at = places[2 * k]
        if at == NOBODY:
            continue
        size = places[2 * k + 1] - at
        for i in range(size):
            out[to + i] = held[at + i]
        places[2 * k] = to
        to += size
        places[2 * k + 1] = to
    counts[WRITTEN] = to
    counts[DEAD] = 0


@nb.njit(nogil=True, cache=True, _nrt=False)
def ends_of(some: Any, places: Any, ends: Any) -> None:
    """Where each of some texts ends, by their ids, if they stand one after the other."""
    end = 0
    for at in range(some.size):
        if at + 2 * AHEAD < some.size:
            prefetch(places, 2 * some[at + 2 * AHEAD])
        k = some[at]
        end += places[2 * k + 1] - places[2 * k]
        ends[at] = end


@nb.njit(nogil=True, cache=True, _nrt=False)
def copy(some: Any, held: Any, places: Any, out: Any) -> None:
    """The bytes of some texts, by their ids, one after the other."""
    to = 0
    for place in range(some.size):
        if place + 2 * AHEAD < some.size:
            prefetch(places, 2 * some[place + 2 * AHEAD])
        if place + AHEAD < some.size:
            prefetch(held, places[2 * some[place + AHEAD]])
        k = some[place]
        for at in range(places[2 * k], places[2 * k + 1]):
            out[to] = held[at]
            to += 1
