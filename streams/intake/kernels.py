"""numba kernels of intake: admission, imputation, the ledger. All walk rows in order, one by one,
so that no cut of a log into batches shows in any of it.

Admission keeps ids and sources alike: two generations of an open table, of which the current one is
written. A source of the other one that is met again is copied, so what is dropped with a generation
was not met for long.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba as nb
import numpy as np

from freshet.schemas.text.kernels import SEED_HIGH, SEED_LOW
from freshet.streams.intake.field_statistics_kernels import word_at

u64 = np.uint64
i64 = np.int64
APPLIED = 0
DEDUPLICATED = 1
LATE = 2
# Of `meta`: the current generation of ids, how many it has, and how many the other one; the same of
# sources, but for the other one, and how often a full generation of them made room; the newest
# event time, and whether there was any event.
GENERATION, IDS, OLDER_IDS, SOURCE_GENERATION, SOURCES, ROOM_MADE, NEWEST, BEGUN, META = range(9)
# Of a source: its id; its newest event time; how many of its events were judged of late, and how
# many of these were late; the append time of the newest late one.
LOW, HIGH, NEWEST_EVENT, RECENT, RECENT_LATE, LATE_MS, FIGURES = range(7)
# Shares are of a source's newest events: both counts are halved when there are so many.
WINDOW = 400


class Rows(NamedTuple):
    """Events in the order of the log: `ids` uint64 `[n, 2]` (the first word never 0), `times` and
    `appended` (ms) int64 `[n]`, and `code` uint8 `[n]`, of which only those that still have APPLIED
    are judged."""

    ids: Any
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
def _find(table: Any, g: Any, low: Any, high: Any, mask: Any) -> Any:
    """The slot of an id in generation `g`, or the empty slot where it would go."""
    # Ids are hashes already: their lowest bits are as good as any.
    i = low & mask
    while table[g, i, 0] != u64(0):
        if table[g, i, 0] == low and table[g, i, 1] == high:
            break
        i = (i + u64(1)) & mask
    return i


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
def _is_repeat(table: Any, meta: Any, low: Any, high: Any, mask: Any) -> Any:
    """Whether an id is remembered; it is from now on."""
    current = meta[GENERATION]
    repeat = True
    # Found there it is not entered anew: an id is remembered from its first event on.
    i = _find(table, 1 - current, low, high, mask)
    if table[1 - current, i, 0] == u64(0):
        i = _find(table, current, low, high, mask)
        if table[current, i, 0] == u64(0):
            table[current, i, 0] = low
            table[current, i, 1] = high
            meta[IDS] += 1
            repeat = False
    return repeat


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
def admit(
    rows: Any, names: Any, table: Any, known: Any, meta: Any, lateness: Any, most: Any
) -> None:
    """Set `rows.code` of repeats and of late events.

    `table` uint64 `[2, capacity, 2]` holds ids of 128 bits. A repeat says nothing of its source. Of
    sources, `known` keeps at least the `most` that were met last, and no more than twice as many.
    """
    # By themselves: what is taken out of a tuple for each row costs more than the rest.
    ids = rows.ids
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
    id_mask = u64(table.shape[1] - 1)
    source_mask = i64(sources.shape[1] - 1)
    for row in range(code.size):
        if code[row] != APPLIED:
            continue
        if _is_repeat(table, meta, ids[row, 0], ids[row, 1], id_mask):
            code[row] = DEDUPLICATED
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


@nb.njit(nogil=True, cache=True)
def regrow(table: Any, capacity: Any) -> Any:
    """The same ids in a larger table."""
    grown = np.zeros((2, capacity, 2), np.uint64)
    mask = u64(capacity - 1)
    for g in range(2):
        for slot in range(table.shape[1]):
            if table[g, slot, 0] != u64(0):
                i = _find(grown, g, table[g, slot, 0], table[g, slot, 1], mask)
                grown[g, i] = table[g, slot]
    return grown


@nb.njit(nogil=True, cache=True)
def regrow_sources(table: Any, capacity: Any) -> Any:
    """The same sources in a larger table."""
    grown = np.zeros((2, capacity, FIGURES), np.int64)
    mask = i64(capacity - 1)
    for g in range(2):
        for slot in range(table.shape[1]):
            if table[g, slot, LOW] != 0:
                i = _place(grown, g, table[g, slot, LOW], table[g, slot, HIGH], mask)
                grown[g, i] = table[g, slot]
    return grown


@nb.njit(nogil=True, cache=True)
def look_up(table: Any, meta: Any, low: Any, high: Any, out: Any) -> Any:
    """The figures of a source; whether there are any."""
    mask = i64(table.shape[1] - 1)
    # The current one first: what the other still has of the same source is of before.
    for g in (meta[SOURCE_GENERATION], 1 - meta[SOURCE_GENERATION]):
        i = _place(table, g, low, high, mask)
        if table[g, i, LOW] != 0:
            out[:] = table[g, i]
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


@nb.njit(nogil=True, cache=True)
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


@nb.njit(nogil=True, cache=True)
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
        up = q[6 + i] - q[5 + i]
        down = q[4 + i] - q[5 + i]
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
