"""numba kernels of feature rows: `fold` events into them, `finish` them as of a time.

They are driven by the tables of a `RowPlan`, so that one compilation serves every view. They walk
rows in order and know no batches. What they call for every event takes scalars only: an array costs
atomic counts.

A row is 8-byte words: a header, the states, then a ring of `tiles` tiles of `columns` float64 each:

    0, 1   version: offset and index in the clean log (big-endian once packed)
    2      newest tile          3   newest event time (ms)      4   first event time (ms)
    5      events folded        6   events too old for the ring
    7 …    a decayed state: sum, weight, time of its newest value (ms);
           a last state: value (a float64, or an int64 where the field is of whole numbers), its
           time (ms; NEVER: no value yet)

Tile `q` holds the events with `time // tile_ms == q`, in slot `q % tiles`. Numbers that are not
finite are missing.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

import numba as nb
import numpy as np
import numpy.typing as npt

VERSION_OFFSET, VERSION_INDEX, NEWEST_TILE, NEWEST, FIRST, EVENTS, LATE, HEADER = range(8)
# What `fold` does: the ring's columns (in the order of the table), then the states.
ROWS, VALUES, SUM, MIN, MAX, DECAYED, LAST, LAST_WHOLE = range(8)
# What `finish` reads.
F_TOTAL, F_MEAN, F_MIN, F_MAX, F_LAST, F_DECAYED, F_AGE, F_LAST_WHOLE = range(8)
# The numbers of Feast's FieldStatus.
PRESENT = 1
NULL_VALUE = 2
NOT_FOUND = 3
OUTSIDE_MAX_AGE = 4
# Who has yet to see a touched row: bits of `mark`, rows of `touched`.
STORE = 0
CHECKPOINT = 1

# Before all times, so that the first value is the newest without a question.
NEVER = -(1 << 63)
ROOTS = np.array([float(Decimal(2) ** (Decimal(-j) / 64)) for j in range(64)])
POWERS = np.ldexp(1.0, -np.arange(1024))
LN_2 = float(Decimal(2).ln())


class Events(NamedTuple):
    """Events in the order of the log: the row of each, its time (ms), its index in the record that
    carried it, all int64 `[n]`, and float64 `[n, fields]`; `wholes` int64 `[n, fields]` has every
    digit of whole numbers that are there, and no rows where no step asks for them."""

    ids: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]
    indexes: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    wholes: npt.NDArray[np.int64]


class Steps(NamedTuple):
    """What `fold` does for an event: `shape` is tile (ms), tiles, the ring's first word and its
    columns; `ops` int64 `[steps, 3]` says kind, field and word of each step, the ring's columns
    first; `params` its empty value or half-life."""

    shape: npt.NDArray[np.int64]
    ops: npt.NDArray[np.int64]
    params: npt.NDArray[np.float64]


class Memory(NamedTuple):
    """Rows, and which of them were touched: `words` and `floats` are one memory; `mark` uint8 a
    row, `touched` int64 `[2, rows]` in order of first touch, of which `counts` `[2]` are filled."""

    words: npt.NDArray[np.int64]
    floats: npt.NDArray[np.float64]
    mark: npt.NDArray[np.uint8]
    touched: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]


def plain(array: npt.ArrayLike, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """The array, or a copy, as the one kind that kernels are compiled for: contiguous, aligned,
    writable."""
    found = np.ascontiguousarray(array, dtype)
    return found if found.flags.behaved else found.copy()


@nb.njit(inline="always", nogil=True, cache=True, error_model="numpy")
def halved(elapsed: Any, half_life: Any) -> Any:
    """`2 ** (-elapsed / half_life)` for `elapsed >= 0`, within 1e-15; 0.0 from 1,000 half-lives on.

    Made of multiplications and additions only: libm's exp2 may differ between processors in the
    last bit, and rows must not. Table of 2^(-j/64) and Taylor's series for the rest, as in Tang
    (1989).
    """
    sixty_fourths = elapsed / half_life * 64.0
    if sixty_fourths >= 64000.0:
        return 0.0
    nearest = np.int64(sixty_fourths + 0.5)
    # Names and the order of the sum as in Tang: another order has other last bits.
    u = (nearest - sixty_fourths) * (LN_2 / 64.0)
    v = u * u
    rest = (1.0 + u) + v * ((0.5 + u * (1.0 / 6.0)) + v * (1.0 / 24.0 + u * (1.0 / 120.0)))
    return POWERS[nearest >> 6] * (ROOTS[nearest & 63] * rest)


@nb.njit(nogil=True, cache=True, error_model="numpy")
def fold(events: Any, offset: Any, plan: Any, memory: Any) -> None:
    """Fold `Events` of the record at `offset`, in order, into `Memory`, by `Steps`."""
    ids = events.ids
    times = events.times
    values = events.values
    wholes = events.wholes
    shape = plan.shape
    ops = plan.ops
    params = plan.params
    words = memory.words
    floats = memory.floats
    mark = memory.mark
    touched = memory.touched
    counts = memory.counts
    tile_ms = shape[0]
    tiles = shape[1]
    ring = shape[2]
    columns = shape[3]
    steps = ops.shape[0]
    for event in range(ids.size):
        row = ids[event]
        time = times[event]
        tile = time // tile_ms
        if words[row, EVENTS] == 0:
            words[row, NEWEST_TILE] = tile
            words[row, NEWEST] = time
            words[row, FIRST] = time
            _open(words, floats, row, time, shape, ops, params)
        elif tile > words[row, NEWEST_TILE]:
            # Slots passed over hold an earlier turn; after a long silence one turn is all of them.
            first = max(words[row, NEWEST_TILE] + 1, tile - tiles + 1)
            _clear(floats, row, first, tile + 1, shape, params)
            words[row, NEWEST_TILE] = tile
        words[row, VERSION_OFFSET] = offset
        words[row, VERSION_INDEX] = events.indexes[event]
        words[row, NEWEST] = max(words[row, NEWEST], time)
        words[row, FIRST] = min(words[row, FIRST], time)
        words[row, EVENTS] += 1
        if words[row, NEWEST_TILE] - tile < tiles:
            at = ring + tile % tiles * columns
            for column in range(columns):
                kind = ops[column, 0]
                value = 1.0
                if kind != ROWS:
                    value = values[event, ops[column, 1]]
                if np.isfinite(value):
                    floats[row, at + column] = added(kind, floats[row, at + column], value)
        elif tiles > 0:
            words[row, LATE] += 1
        for step in range(columns, steps):
            value = values[event, ops[step, 1]]
            at = ops[step, 2]
            if not np.isfinite(value):
                continue
            if ops[step, 0] >= LAST:
                # Of equal times the later in the log, as it came later.
                if time >= words[row, at + 1]:
                    if ops[step, 0] == LAST:
                        floats[row, at] = value
                    else:
                        # Not by way of a float64, which has room for 53 bits.
                        words[row, at] = wholes[event, ops[step, 1]]
                    words[row, at + 1] = time
                continue
            if floats[row, at + 1] == 0.0:
                words[row, at + 2] = time
            # The state is as of its newest value: a newer one moves it on, an older one comes in
            # decayed.
            elapsed = time - words[row, at + 2]
            share = 1.0
            if elapsed != 0:
                share = halved(abs(elapsed), params[step])
            if elapsed > 0:
                floats[row, at] = floats[row, at] * share + value
                floats[row, at + 1] = floats[row, at + 1] * share + 1.0
                words[row, at + 2] = time
            else:
                floats[row, at] += value * share
                floats[row, at + 1] += share
        for who in range(2):
            if mark[row] & (1 << who) == 0:
                mark[row] |= 1 << who
                touched[who, counts[who]] = row
                counts[who] += 1


@nb.njit(inline="always", nogil=True, cache=True, error_model="numpy")
def added(kind: Any, old: Any, value: Any) -> Any:
    """A tile's column after one more value."""
    if kind == SUM:
        return old + value
    if kind == MIN:
        return value if value < old else old
    if kind == MAX:
        return value if value > old else old
    return old + 1.0


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _open(words: Any, floats: Any, row: Any, time: Any, shape: Any, ops: Any, params: Any) -> None:
    for step in range(shape[3], ops.shape[0]):
        at = ops[step, 2]
        if ops[step, 0] == LAST:
            floats[row, at] = np.nan
            words[row, at + 1] = NEVER
        elif ops[step, 0] == LAST_WHOLE:
            words[row, at] = 0
            words[row, at + 1] = NEVER
        else:
            floats[row, at] = 0.0
            floats[row, at + 1] = 0.0
            words[row, at + 2] = time
    _clear(floats, row, 0, shape[1], shape, params)


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _clear(floats: Any, row: Any, first: Any, stop: Any, shape: Any, params: Any) -> None:
    """Empty the tiles from `first` to `stop` (exclusive), of one turn of the ring at most."""
    tiles = shape[1]
    ring = shape[2]
    columns = shape[3]
    # A view without windows has no tiles, and nothing to take the rest by.
    if first == stop:
        return
    slot = first % tiles
    for _ in range(first, stop):
        at = ring + slot * columns
        for column in range(columns):
            floats[row, at + column] = params[column]
        slot = slot + 1 if slot + 1 < tiles else 0


@nb.njit(nogil=True, cache=True, error_model="numpy")
def finish(
    words: Any,
    floats: Any,
    ends: Any,
    as_of: Any,
    asked: Any,
    counts: Any,
    tables: Any,
    out: Any,
) -> None:
    """Values of rows as of a time each. The rows, of one view after the other, are one memory
    (`words` and `floats`); part `p` of them are `counts[p]` rows of view `asked[p]` of the tables
    (`features.rows.finish.Tables`), which end at bytes `ends` of the part. The first array of `out`
    gets the features of one row after the other, the others an age, a status and a start a row."""
    shapes, max_ages, first_feature, features, params = tables
    values, age, status, starts = out
    row = 0
    base = 0
    o = 0
    for p in range(asked.size):
        view = asked[p]
        tile_ms = shapes[view, 0]
        tiles = shapes[view, 1]
        ring = shapes[view, 2]
        columns = shapes[view, 3]
        end = base
        for _ in range(counts[p]):
            at = end
            end = base + ends[row] // 8
            present = end - at == ring + tiles * columns
            starts[row] = at if present else -1
            age[row] = as_of[row] - words[at + NEWEST] if present else -1
            if not present:
                status[row] = NOT_FOUND
            elif max_ages[view] > 0 and age[row] > max_ages[view]:
                status[row] = OUTSIDE_MAX_AGE
            else:
                status[row] = PRESENT
            newest = words[at + NEWEST_TILE] if present else 0
            now = as_of[row] // tile_ms
            for f in range(first_feature[view], first_feature[view + 1]):
                kind = features[f, 0]
                a = at + features[f, 1]
                b = at + features[f, 2]
                if status[row] != PRESENT:
                    values[o] = np.nan
                elif kind == F_LAST:
                    values[o] = floats[a]
                elif kind == F_LAST_WHOLE:
                    values[o] = np.nan
                    if words[a + 1] != NEVER:
                        values[o] = np.float64(words[a])
                elif kind == F_AGE:
                    values[o] = age[row] / 1000.0
                elif kind == F_DECAYED:
                    total = floats[a]
                    weight = floats[a + 1]
                    extra = params[f, 2]
                    if extra > 0.0:
                        share = halved(max(0, as_of[row] - words[a + 2]), params[f, 0])
                        values[o] = (total * share + extra * params[f, 1]) / (
                            weight * share + extra
                        )
                    else:
                        values[o] = total / weight if weight > 0.0 else np.nan
                else:
                    first = max(now - features[f, 3], newest - tiles) + 1
                    slot = first % tiles
                    x = nothing(kind)
                    y = 0.0
                    # oldest first, so that sums are always the same
                    for _ in range(first, min(now, newest) + 1):
                        tile = ring + slot * columns
                        x = merged(kind, x, floats[a + tile])
                        if kind == F_MEAN:
                            y += floats[b + tile]
                        slot = slot + 1 if slot + 1 < tiles else 0
                    if kind == F_MEAN:
                        x = y / x if x > 0.0 else np.nan
                    elif kind != F_TOTAL and np.isinf(x):
                        x = np.nan
                    values[o] = x
                o += 1
            row += 1
        base = end


@nb.njit(nogil=True, cache=True)
def spread(
    finished: Any,
    words: Any,
    asked: Any,
    counts: Any,
    places: Any,
    tables: Any,
    to: Any,
    numbers: Any,
    versions: Any,
    age: Any,
) -> None:
    """Hand what `finish` found, and each row's version, to the questions that asked for the row:
    question `q` has row `places[p, q]` of part `p`. Feature `f` of the tables goes to column
    `to[f]` of `numbers` (-1: nobody reads it), the version of view `v` to two columns of
    `versions`; `age` becomes that of the oldest row."""
    _, _, first_feature, _, _ = tables
    values, ages, _, starts = finished
    row = 0
    o = 0
    for p in range(asked.size):
        view = asked[p]
        first = first_feature[view]
        width = first_feature[view + 1] - first
        for q in range(age.size):
            place = places[p, q]
            for f in range(width):
                column = to[first + f]
                if column >= 0:
                    numbers[q, column] = values[o + place * width + f]
            start = starts[row + place]
            if start >= 0:
                versions[q, 2 * view] = words[start + VERSION_OFFSET]
                versions[q, 2 * view + 1] = words[start + VERSION_INDEX]
            age[q] = max(age[q], ages[row + place])
        row += counts[p]
        o += counts[p] * width


@nb.njit(inline="always", nogil=True, cache=True, error_model="numpy")
def nothing(kind: Any) -> Any:
    """A window of no tiles."""
    if kind == F_MIN:
        return np.inf
    return -np.inf if kind == F_MAX else 0.0


@nb.njit(inline="always", nogil=True, cache=True, error_model="numpy")
def merged(kind: Any, value: Any, tile: Any) -> Any:
    """A window with one more tile."""
    if kind == F_MIN:
        return tile if tile < value else value
    if kind == F_MAX:
        return tile if tile > value else value
    return value + tile
