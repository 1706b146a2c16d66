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
# A slot is one word, since each that is looked at is a line that lies in no cache: below this bit
# an id and 1, as nothing is an empty one, and above it the upper half of the text's hash.
TAG = u64(32)
ID_MASK = u64((1 << 32) - 1)
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


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
def _tag(hashed: Any) -> Any:
    """What a slot has of a hash: its home, and so much that two texts hardly ever share it."""
    return u64(hashed) >> TAG


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
def _id_in(slot: Any) -> Any:
    """The id that a slot says; below 0 of an empty one."""
    return i64(slot & ID_MASK) - 1


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
def _likely_id(slots: Any, hashed: Any) -> Any:
    """The id of a text by its hash, as the first two slots say, of which one is most texts'."""
    mask = u64(slots.size - 1)
    tag = _tag(hashed)
    slot = slots[tag & mask]
    if slot >> TAG != tag:
        slot = slots[(tag + u64(1)) & mask]
    return max(i64(0), _id_in(slot))


@nb.njit(nogil=True, cache=True, _nrt=False)
def intern(
    texts: Any,
    slots: Any,
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
    mask = u64(slots.size - 1)
    rows = start.size
    # Where they are found, until they are: hashes of all rows, so that their slots may be asked for
    # before they are looked at.
    for row in range(rows):
        out[row] = i64(hash_span(data, start[row], end[row], SEED_LOW))
    for row in range(rows):
        if row + 3 * AHEAD < rows:
            prefetch(slots, i64(_tag(out[row + 3 * AHEAD]) & mask))
        if row + 2 * AHEAD < rows:
            prefetch(places, 2 * _likely_id(slots, out[row + 2 * AHEAD]))
        if row + AHEAD < rows:
            # Not below the bytes: of an id that is free there are none.
            at = places[2 * _likely_id(slots, out[row + AHEAD])]
            prefetch(held, max(i64(0), at))
        size = end[row] - start[row]
        tag = _tag(out[row])
        slot = tag & mask
        while True:
            if slots[slot] == u64(0):
                if counts[FREE] > 0:
                    counts[FREE] -= 1
                    k = i64(free[counts[FREE]])
                else:
                    k = counts[GIVEN]
                    counts[GIVEN] += 1
                counts[LIVE] += 1
                slots[slot] = tag << TAG | u64(k + 1)
                at = counts[WRITTEN]
                for i in range(size):
                    held[at + i] = data[start[row] + i]
                places[2 * k] = at
                places[2 * k + 1] = at + size
                counts[WRITTEN] = at + size
                unsaved[k] = True
                out[row] = k
                break
            if slots[slot] >> TAG == tag:
                k = _id_in(slots[slot])
                if _is_held(held, places, k, data, start[row], size):
                    out[row] = k
                    break
            slot = (slot + u64(1)) & mask


@nb.njit(nogil=True, cache=True, _nrt=False)
def find(texts: Any, slots: Any, held: Any, places: Any, out: Any) -> None:
    """Ids of texts, as `intern` gave them; -1 of one that has none."""
    data, start, end = texts
    mask = u64(slots.size - 1)
    rows = start.size
    for row in range(rows):
        out[row] = i64(hash_span(data, start[row], end[row], SEED_LOW))
    for row in range(rows):
        if row + 3 * AHEAD < rows:
            prefetch(slots, i64(_tag(out[row + 3 * AHEAD]) & mask))
        if row + 2 * AHEAD < rows:
            prefetch(places, 2 * _likely_id(slots, out[row + 2 * AHEAD]))
        if row + AHEAD < rows:
            at = places[2 * _likely_id(slots, out[row + AHEAD])]
            prefetch(held, max(i64(0), at))
        size = end[row] - start[row]
        tag = _tag(out[row])
        slot = tag & mask
        out[row] = -1
        while slots[slot] != u64(0):
            if slots[slot] >> TAG == tag:
                k = _id_in(slots[slot])
                if _is_held(held, places, k, data, start[row], size):
                    out[row] = k
                    break
            slot = (slot + u64(1)) & mask


@nb.njit(nogil=True, cache=True, _nrt=False)
def find_hashed(wanted: Any, slots: Any, held: Any, places: Any, out: Any) -> None:
    """Ids of texts by their hashes, which are odd; -1 of one that nobody has."""
    mask = u64(slots.size - 1)
    rows = wanted.size
    for row in range(rows):
        if row + 3 * AHEAD < rows:
            prefetch(slots, i64(_tag(wanted[row + 3 * AHEAD]) & mask))
        if row + 2 * AHEAD < rows:
            prefetch(places, 2 * _likely_id(slots, wanted[row + 2 * AHEAD]))
        if row + AHEAD < rows:
            at = places[2 * _likely_id(slots, wanted[row + AHEAD])]
            prefetch(held, max(i64(0), at))
        hashed = u64(wanted[row])
        tag = _tag(hashed)
        slot = tag & mask
        out[row] = -1
        while slots[slot] != u64(0):
            if slots[slot] >> TAG == tag:
                k = _id_in(slots[slot])
                # A slot has half of it.
                own = hash_span(held, places[2 * k], places[2 * k + 1], SEED_LOW) | u64(1)
                if own == hashed:
                    out[row] = k
                    break
            slot = (slot + u64(1)) & mask


@nb.njit(nogil=True, cache=True, _nrt=False)
def forget(gone: Any, slots: Any, counts: Any, held: Any, places: Any, free: Any) -> None:
    """Take texts out of the table by their ids, which are free from now on.

    No slot is marked as one that was used: those behind it move up.
    Source: Knuth, "The Art of Computer Programming", volume 3, section 6.4, algorithm R.
    """
    mask = u64(slots.size - 1)
    for k in gone:
        slot = _tag(hash_span(held, places[2 * k], places[2 * k + 1], SEED_LOW)) & mask
        while _id_in(slots[slot]) != k:
            slot = (slot + u64(1)) & mask
        slots[slot] = u64(0)
        later = (slot + u64(1)) & mask
        while slots[later] != u64(0):
            home = (slots[later] >> TAG) & mask
            # It is found from its home on: it may move up unless that lies behind the gap.
            if (later - home) & mask >= (later - slot) & mask:
                slots[slot] = slots[later]
                slots[later] = u64(0)
                slot = later
            later = (later + u64(1)) & mask
        counts[DEAD] += places[2 * k + 1] - places[2 * k]
        places[2 * k] = NOBODY
        places[2 * k + 1] = NOBODY
        free[counts[FREE]] = k
        counts[FREE] += 1
        counts[LIVE] -= 1


@nb.njit(nogil=True, cache=True, _nrt=False)
def rehash(slots: Any, new_slots: Any) -> None:
    """Move an open table into a larger one."""
    mask = u64(new_slots.size - 1)
    for i in range(slots.size):
        if slots[i] != u64(0):
            slot = (slots[i] >> TAG) & mask
            # All differ already, so nothing needs to be compared: the first empty slot is its own.
            while new_slots[slot] != u64(0):
                slot = (slot + u64(1)) & mask
            new_slots[slot] = slots[i]


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
