"""numba kernels of a topic's statistics. All walk rows in order, so that no cut of a log into
batches shows in a bit.

A table of texts holds the first so many distinct ones: `slots` uint64 `[tables, capacity, 4]` is an
open table of (first 8 bytes, last 8 bytes, length, place + 1), `texts` uint8 `[tables, places,
LONGEST]` their bytes, `sizes` int64 `[tables, places]` their lengths (of an enum's symbol: its
index). What has no place is counted in a place of its own, the last one.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from freshet.schemas.text.word_kernels import eight_bytes, word_at
from freshet.streams.admission.kernels import APPLIED
from freshet.streams.admission.kernels import LATE as LATE_CODE

# All of one kind where words are mixed: a sum of int64 and uint64 is a float to numba.
u64 = np.uint64
i64 = np.int64
TEXT, SYMBOL, FLAG, WHOLE, FLOATING, UNLISTED = range(6)
LONGEST = 64
ROWS, THERE, LOWEST, HIGHEST, USED, FIGURES = range(6)
COUNT, MEAN, SQUARES, ORIGIN, SUM, SUM_OF_SQUARES, IN_BLOCK, MOMENTS = range(8)
TAKEN, NEWEST_RECORD_MS, TOTALS = range(3)
EVENTS, LATE, DEAD, FIRST_MS, NEWEST_MS, SECOND, BEFORE, SOURCE_FIGURES = range(8)
BLOCK = 64
CHUNK = 512
HALF_LIFE_SECONDS = 3600
# 0.5 ** (k / 3600) by multiplications only: libm's powers may differ between processors in the last
# bit.
POWERS = np.cumprod(np.array([1.0] + [0.9998074776513175] * (HALF_LIFE_SECONDS - 1)))


@nb.njit(nogil=True, cache=True, _nrt=False)
def _same_middle(data: Any, start: Any, n: Any, texts: Any, place: Any) -> Any:
    same = True
    for j in range(8, n - 8):
        same = same and data[start + j] == texts[place, j]
    return same


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
def _put(slot: Any, first: Any, last: Any, n: Any, place: Any) -> None:
    slot[0] = first
    slot[1] = last
    slot[2] = u64(n)
    # 0 says that a slot is empty.
    slot[3] = u64(place + 1)


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
def _place(
    data: Any,
    start: Any,
    end: Any,
    symbol: Any,
    slots: Any,
    texts: Any,
    sizes: Any,
    used: Any,
    room: Any,
) -> Any:
    """The place of a text, or of an enum's symbol; a new one gets place `used` if that is below
    `room`, what has no place the last one. Bytes are compared, so a collision of hashes is
    harmless."""
    n = i64(0)
    first = u64(start)
    last = u64(0)
    other = u64(sizes.size)
    if not symbol:
        n = end - start
        if n > LONGEST:
            return other
        first = word_at(data, start, n)
        if n > 8:
            last = eight_bytes(data, end - 8)
    # The upper bits of a product with an odd constant depend on all bits below them.
    mask = u64(slots.shape[0] - 1)
    i = (((first ^ (last * u64(0xC4CEB9FE1A85EC53))) * u64(0x9E3779B97F4A7C15)) >> u64(40)) & mask
    while True:
        taken = slots[i, u64(3)]
        if taken == u64(0):
            break
        # Up to 16 bytes the first eight and the last eight are all of a text.
        if (slots[i, u64(0)] ^ first) | (slots[i, u64(1)] ^ last) | (
            slots[i, u64(2)] ^ u64(n)
        ) == u64(0) and (n <= 16 or _same_middle(data, start, n, texts, i64(taken) - 1)):
            return taken - u64(1)
        i = (i + u64(1)) & mask
    if used >= room:
        return other
    _put(slots[i], first, last, n, used)
    sizes[used] = start if symbol else n
    for j in range(n):
        texts[used, j] = data[start + j]
    return u64(used)


@nb.njit(nogil=True, cache=True, _nrt=False)
def _count_texts(
    column: Any, code: Any, a: Any, b: Any, symbol: Any, figures: Any, table: Any, counts: Any
) -> None:
    data, start, end, valid = column
    slots, texts, sizes = table
    there = i64(0)
    used = figures[USED]
    room = i64(sizes.size)
    for r in range(a, b):
        if valid[r] and code[r] == APPLIED:
            there += 1
            place = _place(data, start[r], end[r], symbol, slots, texts, sizes, used, room)
            # In this order: once the places are taken the first is false, which is foreseen.
            if used < room and place == u64(used):
                used += 1
            counts[place] += 1
    figures[THERE] += there
    figures[USED] = used


@nb.njit(nogil=True, cache=True, _nrt=False)
def _count_numbers(
    values: Any, valid: Any, code: Any, a: Any, b: Any, floating: Any, figures: Any, m: Any
) -> None:
    """Extremes of whole numbers, or of floats' bits brought to the order of whole numbers; sums
    around an origin, which every `BLOCK` values go into the mean and move the origin there."""
    lowest = figures[LOWEST]
    highest = figures[HIGHEST]
    there = figures[THERE]
    origin = m[ORIGIN]
    total = m[SUM]
    squares = m[SUM_OF_SQUARES]
    size = i64(m[IN_BLOCK])
    for r in range(a, b):
        if not valid[r] or code[r] != APPLIED:
            continue
        bits = values[r]
        if floating:
            x = i64(bits).view(np.float64)
            bits ^= (bits >> 63) & i64(0x7FFFFFFFFFFFFFFF)
        else:
            x = np.float64(bits)
        if there == 0:
            lowest = bits
            highest = bits
            origin = x
        there += 1
        lowest = min(lowest, bits)
        highest = max(highest, bits)
        d = x - origin
        total += d
        squares += d * d
        size += 1
        if size == BLOCK:
            m[COUNT], m[MEAN], m[SQUARES] = joined(
                m[COUNT], m[MEAN], m[SQUARES], origin, total, squares, size
            )
            origin = m[MEAN]
            total = 0.0
            squares = 0.0
            size = i64(0)
    m[ORIGIN] = origin
    m[SUM] = total
    m[SUM_OF_SQUARES] = squares
    m[IN_BLOCK] = size
    figures[LOWEST] = lowest
    figures[HIGHEST] = highest
    figures[THERE] = there


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
def joined(
    n: Any, mean: Any, squares: Any, origin: Any, total: Any, total_squares: Any, size: Any
) -> Any:
    """Count, mean and sum of squared deviations of `n` values and `size` more, given by their sums
    around an origin.

    Source: Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm for computing sample
    variances, 1979.
    """
    both = n + size
    d = origin + total / size - mean
    own = total_squares - total * total / size
    if own < 0.0:
        own = 0.0
    return both, mean + d * (size / both), squares + own + d * d * (n * size / both)


@nb.njit(nogil=True, cache=True, _nrt=False)
def _count_there(valid: Any, code: Any, a: Any, b: Any) -> Any:
    there = i64(0)
    for r in range(a, b):
        there += valid[r] & (code[r] == APPLIED)
    return there


@nb.njit(nogil=True, cache=True, _nrt=False)
def _count_flags(
    values: Any, valid: Any, code: Any, a: Any, b: Any, figures: Any, counts: Any
) -> None:
    there = i64(0)
    true = i64(0)
    for r in range(a, b):
        if valid[r] and code[r] == APPLIED:
            there += 1
            true += values[r] != 0
    figures[THERE] += there
    counts[0] += there - true
    counts[1] += true


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
def _decayed(value: Any, seconds: Any) -> Any:
    halvings = seconds // HALF_LIFE_SECONDS
    # That is nothing left of any count; and a far time must not make the loop long.
    if halvings > 1000:
        return 0.0
    for _ in range(halvings):
        value *= 0.5
    return value * POWERS[seconds % HALF_LIFE_SECONDS]


@nb.njit(nogil=True, cache=True, _nrt=False)
def _advance(s: Any, decayed: Any, place: Any, time_ms: Any) -> None:
    """A source's newest time moves. When its second does, the events of the one before begin to
    decay; those of its first second count for none."""
    second = time_ms // 1000
    if s[EVENTS] == 0:
        s[FIRST_MS] = time_ms
        s[SECOND] = second
    s[NEWEST_MS] = time_ms
    if second > s[SECOND]:
        of_second = s[EVENTS] - s[BEFORE] if s[SECOND] > s[FIRST_MS] // 1000 else i64(0)
        decayed[place] = _decayed(decayed[place] + of_second, second - s[SECOND])
        s[SECOND] = second
        s[BEFORE] = s[EVENTS]


@nb.njit(nogil=True, cache=True, _nrt=False)
def _count_sources(
    column: Any, rows: Any, a: Any, b: Any, symbol: Any, first_dead: Any, totals: Any, seen: Any
) -> None:
    """A dead event may take one of the first half of the places only: bad bytes must not keep good
    sources out."""
    data, start, end, valid = column
    code, times = rows
    sources, decayed, slots, texts, sizes = seen
    room = i64(sizes.size)
    used = totals[TAKEN]
    for r in range(a, b):
        c = i64(code[r])
        dead = c >= first_dead
        if (c != APPLIED and c != LATE_CODE and not dead) or (dead and not valid[r]):
            continue
        place = room
        if valid[r]:
            limit = room // 2 if dead else room
            place = i64(_place(data, start[r], end[r], symbol, slots, texts, sizes, used, limit))
            if used < room and place == used:
                used += 1
        s = sources[place]
        if dead:
            s[DEAD] += 1
        elif c == LATE_CODE:
            s[LATE] += 1
        else:
            if s[EVENTS] == 0 or times[r] > s[NEWEST_MS]:
                _advance(s, decayed, place, times[r])
            s[EVENTS] += 1
    totals[TAKEN] = used


@nb.njit(nogil=True, cache=True, _nrt=False)
def take(
    columns: Any, rows: Any, kinds: Any, named: Any, source: Any, of_fields: Any, of_sources: Any
) -> None:
    """Count values of applied rows by field, and what each source sent.

    `columns` are `data`, `words` and `valid` of `Columns`; `rows` the fates, uint8 `[n]`, and
    append times of the rows. `named` says who sent each row (data, start, end, valid), and `source`
    whether sources are told apart, whether by a number (`start`) or by a text, and the first fate
    of dead rows.

    Of fields, `figures` is int64 `[fields, FIGURES]`, `moments` float64 `[fields, MOMENTS]`,
    `counts` int64 `[fields, places + 1]`. Of sources, `totals` is int64 `[TOTALS]`, `sources` int64
    `[places + 1, SOURCE_FIGURES]`, and `decayed` float64 `[places + 1]` the number of events after
    a source's first second and before its newest one, each halved by every half-life that lies
    between. Rows are taken in chunks, so that their texts are fetched from memory once for all
    fields.
    """
    data, words, valid = columns
    code, times = rows
    is_told_apart, is_number, first_dead = source
    figures, moments, slots, texts, sizes, counts = of_fields
    totals, sources, decayed, source_slots, source_texts, source_sizes = of_sources
    seen = (sources, decayed, source_slots, source_texts, source_sizes)
    for a in range(0, code.size, CHUNK):
        b = min(code.size, a + CHUNK)
        applied = i64(0)
        for r in range(a, b):
            applied += code[r] == APPLIED
            totals[NEWEST_RECORD_MS] = max(totals[NEWEST_RECORD_MS], times[r])
        for f in range(kinds.size):
            figures[f, ROWS] += applied
            if kinds[f] <= SYMBOL:
                column = (data, words[f, 0], words[f, 1], valid[f])
                table = (slots[f], texts[f], sizes[f])
                is_symbol = kinds[f] == SYMBOL
                _count_texts(column, code, a, b, is_symbol, figures[f], table, counts[f])
            elif kinds[f] == FLAG:
                _count_flags(words[f, 0], valid[f], code, a, b, figures[f], counts[f])
            elif kinds[f] == UNLISTED:
                figures[f, THERE] += _count_there(valid[f], code, a, b)
            else:
                _count_numbers(
                    words[f, 0], valid[f], code, a, b, kinds[f] == FLOATING, figures[f], moments[f]
                )
        if is_told_apart:
            _count_sources(named, rows, a, b, is_number, first_dead, totals, seen)
