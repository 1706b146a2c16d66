"""numba kernels of admission. All walk rows in order, one by one, so that no cut of a log into
batches shows in any of it.

Ids and sources are kept alike: in two generations, of which the current one is written. A source of
the other one that is met again is copied, so what is dropped with a generation was not met for
long.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba as nb
import numpy as np

from freshet.schemas.text.kernels import SEED_HIGH, SEED_LOW
from freshet.schemas.text.word_kernels import word_at

u64 = np.uint64
i64 = np.int64
APPLIED = 0
DEDUPLICATED = 1
LATE = 2
# Of `meta`: the current generation of sources, how many it has, and how often a full one made room;
# the newest event time, and whether there was any event.
SOURCE_GENERATION, SOURCES, ROOM_MADE, NEWEST, BEGUN, META = range(6)
# Of a source: its id; its newest event time; how many of its events were judged of late, and how
# many of these were late; the append time of the newest late one.
LOW, HIGH, NEWEST_EVENT, RECENT, RECENT_LATE, LATE_MS, FIGURES = range(7)
# Shares are of a source's newest events: both counts are halved when there are so many.
WINDOW = 400


# Of a slot of an index: the upper half is an id's, the lower one says where the id stands.
TAG = u64(0xFFFF_FFFF_0000_0000)


class Generation(NamedTuple):
    """Of ids: `entered` uint64 `[room, 2]`, in the order in which they came; `size` int64 `[1]`,
    how many; and `index` uint64 `[capacity]`, an open table of their tags and places + 1 (0:
    free)."""

    entered: Any
    size: Any
    index: Any


class Rows(NamedTuple):
    """Events in the order of the log: `times` and `appended` (ms) int64 `[n]`, and `code` uint8
    `[n]`, of which only those that still have APPLIED are judged."""

    times: Any
    appended: Any
    code: Any


class Names(NamedTuple):
    """Who sent each row: `data[start:end]` where `text`, else the number `start`; nobody that is
    known where not `valid`."""

    data: Any
    start: Any
    end: Any
    valid: Any
    text: bool


class Known(NamedTuple):
    """Of sources: `table` int64 `[2, capacity, FIGURES]`, where `LOW` is 0 in a slot without one,
    and `apart` int64 `[FIGURES]` of events without a source."""

    table: Any
    apart: Any


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
def _slot(entered: Any, index: Any, low: Any, high: Any) -> Any:
    """The slot of an id, or the free one where it would go."""
    mask = u64(index.size - 1)
    # Ids are hashes already, and their two words tell nothing of each other.
    i = high & mask
    while index[i] != u64(0):
        # Only what bears its tag is looked at: an id that is new is found out by the index alone.
        if index[i] & TAG == low & TAG:
            place = i64(index[i] & ~TAG) - 1
            if entered[place, 0] == low and entered[place, 1] == high:
                break
        i = (i + u64(1)) & mask
    return i


@nb.njit(nogil=True, cache=True, _nrt=False)
def mark_repeats(ids: Any, code: Any, older: Any, current: Any) -> None:
    """Set `code` of those whose id (uint64 `[n, 2]`) is remembered; the others' are from now on, in
    `current`, which has room for all of them."""
    # By themselves: what is taken out of a tuple for each row costs more than the rest.
    old_entered = older.entered
    old_index = older.index
    entered = current.entered
    index = current.index
    size = current.size[0]
    for row in range(code.size):
        if code[row] != APPLIED:
            continue
        low = ids[row, 0]
        high = ids[row, 1]
        # Found there it is not entered anew: an id is remembered from its first event on.
        if old_index[_slot(old_entered, old_index, low, high)] != u64(0):
            code[row] = DEDUPLICATED
            continue
        i = _slot(entered, index, low, high)
        if index[i] != u64(0):
            code[row] = DEDUPLICATED
            continue
        entered[size, 0] = low
        entered[size, 1] = high
        size += 1
        index[i] = low & TAG | u64(size)
    current.size[0] = size


@nb.njit(nogil=True, cache=True, _nrt=False)
def enter(entered: Any, size: Any, index: Any) -> None:
    """The first `size` ids, all different, into an index that is empty."""
    mask = u64(index.size - 1)
    for place in range(size):
        i = entered[place, 1] & mask
        while index[i] != u64(0):
            i = (i + u64(1)) & mask
        index[i] = entered[place, 0] & TAG | u64(place + 1)


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
def is_behind(time: Any, newest: Any, lateness: Any) -> Any:
    """Whether a time lies before another by more than `lateness`. Times are any int64, so what lies
    between two of them is taken as uint64, which cannot overflow."""
    return time < newest and u64(newest) - u64(time) > u64(lateness)


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
def source_id(text: Any, data: Any, start: Any, end: Any) -> Any:
    """128 bits of a source, of which the first 64 are never 0: 0 is an empty slot. It is the text
    `data[start:end]`, or the number `start`. Mixed as in MurmurHash3's finaliser (Appleby,
    2011)."""
    low = SEED_LOW
    high = u64(start)
    if text:
        low ^= u64(end - start)
        high = SEED_HIGH
    at = start
    # A number is one word: its own.
    while True:
        word = u64(start)
        if text:
            word = u64(0)
            if at < end:
                word = word_at(data, at, min(end - at, i64(8)))
            high = (high ^ word) * u64(0x9FB21C651E98DF25)
            high ^= high >> u64(35)
        low = (low ^ word) * u64(0xFF51AFD7ED558CCD)
        low ^= low >> u64(32)
        at += 8
        if not text or at >= end:
            break
    low *= u64(0xC4CEB9FE1A85EC53)
    low ^= low >> u64(29)
    return i64(low | u64(1)), i64(high)


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
def _place(table: Any, g: Any, low: Any, high: Any, mask: Any) -> Any:
    """The slot of a source in generation `g`, or the empty slot where it would go."""
    # The lowest bit is always set, so it tells no homes apart.
    i = (low >> 1) & mask
    while table[g, i, LOW] != 0:
        if table[g, i, LOW] == low and table[g, i, HIGH] == high:
            break
        i = (i + 1) & mask
    return i


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
def _count(figures: Any, late: Any, appended: Any) -> None:
    if figures[RECENT] >= WINDOW:
        figures[RECENT] >>= 1
        figures[RECENT_LATE] >>= 1
    figures[RECENT] += 1
    if late:
        figures[RECENT_LATE] += 1
        figures[LATE_MS] = appended


@nb.njit(nogil=True, cache=True, _nrt=False)
def _enter(table: Any, meta: Any, low: Any, high: Any, time: Any, most: Any) -> Any:
    """The slot of a source that the current generation lacks, which takes it up, perhaps from the
    other one; and whether it was there. One that was not is as of its first event's `time`."""
    mask = i64(table.shape[1] - 1)
    current = meta[SOURCE_GENERATION]
    old = 1 - current
    before = _place(table, old, low, high, mask)
    there = table[old, before, LOW] != 0
    newest = time
    recent = i64(0)
    late = i64(0)
    late_ms = i64(0)
    # Read before room is made, which drops it.
    if there:
        newest = table[old, before, NEWEST_EVENT]
        recent = table[old, before, RECENT]
        late = table[old, before, RECENT_LATE]
        late_ms = table[old, before, LATE_MS]
    if meta[SOURCES] >= most:
        table[old, :, LOW] = 0
        meta[SOURCE_GENERATION] = old
        meta[SOURCES] = 0
        meta[ROOM_MADE] += 1
        current = old
    i = _place(table, current, low, high, mask)
    table[current, i, LOW] = low
    table[current, i, HIGH] = high
    table[current, i, NEWEST_EVENT] = newest
    table[current, i, RECENT] = recent
    table[current, i, RECENT_LATE] = late
    table[current, i, LATE_MS] = late_ms
    meta[SOURCES] += 1
    return i, there


@nb.njit(nogil=True, cache=True, _nrt=False)
def mark_late(rows: Any, names: Any, known: Any, meta: Any, lateness: Any, most: Any) -> None:
    """Set `rows.code` of late events. Of sources, `known` keeps at least the `most` that were met
    last, and no more than twice as many."""
    # By themselves: what is taken out of a tuple for each row costs more than the rest.
    times = rows.times
    appended = rows.appended
    code = rows.code
    data = names.data
    start = names.start
    end = names.end
    valid = names.valid
    text = names.text
    sources = known.table
    apart = known.apart
    source_mask = i64(sources.shape[1] - 1)
    for row in range(code.size):
        # A repeat says nothing of its source.
        if code[row] != APPLIED:
            continue
        time = times[row]
        if meta[BEGUN] == 0 or time > meta[NEWEST]:
            meta[NEWEST] = time
            meta[BEGUN] = 1
        if not valid[row]:
            if is_behind(time, appended[row], lateness):
                code[row] = LATE
            _count(apart, code[row] == LATE, appended[row])
            continue
        low, high = source_id(text, data, start[row], end[row])
        current = meta[SOURCE_GENERATION]
        i = _place(sources, current, low, high, source_mask)
        compared = sources[current, i, NEWEST_EVENT]
        if sources[current, i, LOW] == 0:
            i, there = _enter(sources, meta, low, high, time, most)
            current = meta[SOURCE_GENERATION]
            compared = sources[current, i, NEWEST_EVENT]
            # From the second time on that room is made, a source that is not there may have been
            # dropped.
            if not there and meta[ROOM_MADE] > 1:
                compared = appended[row]
        if is_behind(time, compared, lateness):
            code[row] = LATE
        if time > sources[current, i, NEWEST_EVENT]:
            sources[current, i, NEWEST_EVENT] = time
        _count(sources[current, i], code[row] == LATE, appended[row])


@nb.njit(nogil=True, cache=True, _nrt=False)
def put_sources(table: Any, g: Any, entries: Any) -> None:
    """Enter sources, all different, in generation `g`: int64 `[n, FIGURES]`, with free slots among
    them or without."""
    mask = i64(table.shape[1] - 1)
    for entry in range(entries.shape[0]):
        if entries[entry, LOW] != 0:
            i = _place(table, g, entries[entry, LOW], entries[entry, HIGH], mask)
            for figure in range(FIGURES):
                table[g, i, figure] = entries[entry, figure]


@nb.njit(nogil=True, cache=True, _nrt=False)
def look_up(table: Any, meta: Any, low: Any, high: Any, out: Any) -> Any:
    """The figures of a source; whether there are any."""
    mask = i64(table.shape[1] - 1)
    # The current one first: what the other still has of the same source is of before.
    for g in (meta[SOURCE_GENERATION], 1 - meta[SOURCE_GENERATION]):
        i = _place(table, g, low, high, mask)
        if table[g, i, LOW] != 0:
            for figure in range(FIGURES):
                out[figure] = table[g, i, figure]
            return True
    return False


class Offenders(NamedTuple):
    """The sources with most late events, about: `ids` int64 `[places, 2]`, `counts` int64
    `[places]` (0: free), `texts` uint8 `[places, LONGEST]` with `sizes` int64 `[places]`, and
    `total` int64 `[1]`."""

    ids: Any
    counts: Any
    texts: Any
    sizes: Any
    total: Any


# Late events after which all counts are halved, so that whoever was late long ago makes room.
FORGETS = 4_096


@nb.njit(nogil=True, cache=True, _nrt=False)
def note_late(names: Any, words: Any, text: Any, offenders: Any) -> None:
    """Count late events by source. `names` are their texts, `words` the numbers of those that are
    no texts (`text`). One that has no place takes that of the least, and its count.

    Source: Metwally, Agrawal and El Abbadi, Efficient computation of frequent and top-k elements in
    data streams, 2005.
    """
    for row in range(words.size):
        if not names.valid[row]:
            continue
        begin = names.start[row]
        stop = names.end[row]
        number = begin if text else words[row]
        low, high = source_id(text, names.data, number, stop)
        place = 0
        found = False
        for i in range(offenders.counts.size):
            if (
                offenders.counts[i] > 0
                and offenders.ids[i, 0] == low
                and offenders.ids[i, 1] == high
            ):
                place = i
                found = True
                break
            if offenders.counts[i] < offenders.counts[place]:
                place = i
        offenders.counts[place] += 1
        if not found:
            size = min(names.end[row] - names.start[row], offenders.texts.shape[1])
            offenders.ids[place, 0] = low
            offenders.ids[place, 1] = high
            offenders.sizes[place] = size
            for j in range(size):
                offenders.texts[place, j] = names.data[names.start[row] + j]
        offenders.total[0] += 1
        if offenders.total[0] % FORGETS == 0:
            for i in range(offenders.counts.size):
                offenders.counts[i] >>= 1
