"""numba kernels of feature rows: `fold` events into them, `finish` them as of a time.

They are driven by the tables of a `RowPlan`, so that one compilation serves every view. They walk
rows in order and know no batches. What they call for every event takes scalars only: an array costs
atomic counts.

A row is 8-byte words: a header, the states, then a ring of `tiles` tiles of `columns` float64 each:

    0, 1   version: offset and index in the clean log (big-endian once packed)
    2      newest tile          3   newest event time (ms)      4   first event time (ms)
    5      events folded        6   events too old for the ring
    7 …    a decayed state: sum, weight, time of its newest value (ms); a last state: value, its time (ms)

Tile `q` holds the events with `time // tile_ms == q`, in slot `q % tiles`. Numbers that are not
finite are missing.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt

VERSION_OFFSET, VERSION_INDEX, NEWEST_TILE, NEWEST, FIRST, EVENTS, LATE, HEADER = range(8)
# What `fold` does: the ring's columns (in the order of the table), then the states.
ROWS, VALUES, SUM, MIN, MAX, DECAYED, LAST = range(7)
# What `finish` reads.
F_TOTAL, F_MEAN, F_MIN, F_MAX, F_LAST, F_DECAYED, F_AGE = range(7)
# The numbers of Feast's FieldStatus.
PRESENT, NULL_VALUE, NOT_FOUND, OUTSIDE_MAX_AGE = 1, 2, 3, 4
# Who has yet to see a touched row: bits of `mark`, rows of `touched`.
STORE, CHECKPOINT = 0, 1

NEVER = -(1 << 63)
ROOTS = np.array([float(Decimal(2) ** (Decimal(-j) / 64)) for j in range(64)])
POWERS = np.ldexp(1.0, -np.arange(1024))
LN_2 = float(Decimal(2).ln())


def plain(array: npt.ArrayLike, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """The array, or a copy, as the one kind that kernels are compiled for: contiguous, aligned,
    writable."""
    a = np.ascontiguousarray(array, dtype)
    return a if a.flags.behaved else a.copy()


@nb.njit(inline="always", nogil=True, cache=True, error_model="numpy")
def halved(elapsed: Any, half_life: Any) -> Any:
    """`2 ** (-elapsed / half_life)` for `elapsed >= 0`, within 1e-15; 0.0 from 1,000 half-lives on.

    Made of multiplications and additions only: libm's exp2 may differ between processors in the
    last bit, and rows must not. Table of 2^(-j/64) and Taylor's series for the rest, as in Tang
    (1989).
    """
    y = elapsed / half_life * 64.0
    if y >= 64000.0:
        return 0.0
    n = np.int64(y + 0.5)
    u = (n - y) * (LN_2 / 64.0)
    v = u * u
    rest = (1.0 + u) + v * ((0.5 + u * (1.0 / 6.0)) + v * (1.0 / 24.0 + u * (1.0 / 120.0)))
    return POWERS[n >> 6] * (ROOTS[n & 63] * rest)


@nb.njit(nogil=True, cache=True, error_model="numpy")
def fold(
    ids: Any,
    times: Any,
    indexes: Any,
    values: Any,
    offset: Any,
    shape: Any,
    ops: Any,
    params: Any,
    words: Any,
    floats: Any,
    mark: Any,
    touched: Any,
    counts: Any,
) -> None:
    """Fold events, in order, into rows `ids`. `words` and `floats` are one memory. `ops` int64 `[o,
    3]` says kind, field and word of each step, the ring's columns first; `params` its empty value
    or half-life."""
    tile_ms, tiles, ring, columns = shape[0], shape[1], shape[2], shape[3]
    steps = ops.shape[0]
    for r in range(ids.size):
        i, t = ids[r], times[r]
        tile = t // tile_ms
        if words[i, EVENTS] == 0:
            words[i, NEWEST_TILE], words[i, NEWEST], words[i, FIRST] = tile, t, t
            _open(words, floats, i, t, shape, ops, params)
        elif tile > words[i, NEWEST_TILE]:
            first = max(words[i, NEWEST_TILE] + 1, tile - tiles + 1)
            _clear(floats, i, first, tile + 1, shape, params)
            words[i, NEWEST_TILE] = tile
        words[i, VERSION_OFFSET], words[i, VERSION_INDEX] = offset, indexes[r]
        words[i, NEWEST] = max(words[i, NEWEST], t)
        words[i, FIRST] = min(words[i, FIRST], t)
        words[i, EVENTS] += 1
        if words[i, NEWEST_TILE] - tile < tiles:
            at = ring + tile % tiles * columns
            for c in range(columns):
                kind, x = ops[c, 0], 1.0
                if kind != ROWS:
                    x = values[r, ops[c, 1]]
                if np.isfinite(x):
                    floats[i, at + c] = added(kind, floats[i, at + c], x)
        elif tiles > 0:
            words[i, LATE] += 1
        for o in range(columns, steps):
            x, at = values[r, ops[o, 1]], ops[o, 2]
            if not np.isfinite(x):
                continue
            if ops[o, 0] == LAST:
                if t >= words[i, at + 1]:
                    floats[i, at], words[i, at + 1] = x, t
                continue
            if floats[i, at + 1] == 0.0:
                words[i, at + 2] = t
            # The state is as of its newest value: a newer one moves it on, an older one comes in
            # decayed.
            elapsed = t - words[i, at + 2]
            share = halved(abs(elapsed), params[o]) if elapsed != 0 else 1.0
            if elapsed > 0:
                floats[i, at], floats[i, at + 1] = (
                    floats[i, at] * share + x,
                    floats[i, at + 1] * share + 1.0,
                )
                words[i, at + 2] = t
            else:
                floats[i, at] += x * share
                floats[i, at + 1] += share
        for who in range(2):
            if mark[i] & (1 << who) == 0:
                mark[i] |= 1 << who
                touched[who, counts[who]] = i
                counts[who] += 1


@nb.njit(inline="always", nogil=True, cache=True, error_model="numpy")
def added(kind: Any, old: Any, x: Any) -> Any:
    """A tile's column after one more value."""
    if kind == SUM:
        return old + x
    if kind == MIN:
        return x if x < old else old
    if kind == MAX:
        return x if x > old else old
    return old + 1.0


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _open(words: Any, floats: Any, i: Any, t: Any, shape: Any, ops: Any, params: Any) -> None:
    for o in range(shape[3], ops.shape[0]):
        at = ops[o, 2]
        if ops[o, 0] == LAST:
            floats[i, at], words[i, at + 1] = np.nan, NEVER
        else:
            floats[i, at], floats[i, at + 1], words[i, at + 2] = 0.0, 0.0, t
    _clear(floats, i, 0, shape[1], shape, params)


@nb.njit(nogil=True, cache=True, error_model="numpy")
def _clear(floats: Any, i: Any, first: Any, stop: Any, shape: Any, params: Any) -> None:
    """Empty the tiles from `first` to `stop` (exclusive), of one turn of the ring at most."""
    tiles, ring, columns = shape[1], shape[2], shape[3]
    if first == stop:
        return
    slot = first % tiles
    for _ in range(first, stop):
        at = ring + slot * columns
        for c in range(columns):
            floats[i, at + c] = params[c]
        slot = slot + 1 if slot + 1 < tiles else 0


@nb.njit(nogil=True, cache=True, error_model="numpy")
def finish(
    words: Any,
    floats: Any,
    present: Any,
    as_of: Any,
    asked: Any,
    counts: Any,
    tables: Any,
    out: Any,
    age: Any,
    status: Any,
) -> None:
    """Values of rows as of a time each. The rows, of one view after the other, are one memory
    (`words` and `floats`); part `p` of them are `counts[p]` rows of view `asked[p]` of the tables
    (`features.rows.finish.Tables`). `out` float64 gets the features of one row after the other."""
    shapes, max_ages, first_feature, features, params = tables
    row = 0
    at = 0
    o = 0
    for p in range(asked.size):
        view = asked[p]
        tile_ms = shapes[view, 0]
        tiles = shapes[view, 1]
        ring = shapes[view, 2]
        columns = shapes[view, 3]
        for _ in range(counts[p]):
            age[row] = as_of[row] - words[at + NEWEST] if present[row] else -1
            if not present[row]:
                status[row] = NOT_FOUND
            elif max_ages[view] > 0 and age[row] > max_ages[view]:
                status[row] = OUTSIDE_MAX_AGE
            else:
                status[row] = PRESENT
            newest = words[at + NEWEST_TILE]
            now = as_of[row] // tile_ms
            for f in range(first_feature[view], first_feature[view + 1]):
                kind = features[f, 0]
                a = at + features[f, 1]
                b = at + features[f, 2]
                if status[row] != PRESENT:
                    out[o] = np.nan
                elif kind == F_LAST:
                    out[o] = floats[a]
                elif kind == F_AGE:
                    out[o] = age[row] / 1000.0
                elif kind == F_DECAYED:
                    total = floats[a]
                    weight = floats[a + 1]
                    extra = params[f, 2]
                    if extra > 0.0:
                        share = halved(max(0, as_of[row] - words[a + 2]), params[f, 0])
                        out[o] = (total * share + extra * params[f, 1]) / (weight * share + extra)
                    else:
                        out[o] = total / weight if weight > 0.0 else np.nan
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
                    out[o] = x
                o += 1
            row += 1
            at += ring + tiles * columns


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
    shapes, _, first_feature, _, _ = tables
    values, ages, _ = finished
    row = 0
    at = 0
    o = 0
    for p in range(asked.size):
        view = asked[p]
        first = first_feature[view]
        width = first_feature[view + 1] - first
        row_words = shapes[view, 2] + shapes[view, 1] * shapes[view, 3]
        for q in range(age.size):
            place = places[p, q]
            for f in range(width):
                column = to[first + f]
                if column >= 0:
                    numbers[q, column] = values[o + place * width + f]
            version = at + place * row_words
            versions[q, 2 * view] = words[version + VERSION_OFFSET]
            versions[q, 2 * view + 1] = words[version + VERSION_INDEX]
            age[q] = max(age[q], ages[row + place])
        row += counts[p]
        at += counts[p] * row_words
        o += counts[p] * width


@nb.njit(inline="always", nogil=True, cache=True, error_model="numpy")
def nothing(kind: Any) -> Any:
    """A window of no tiles."""
    if kind == F_MIN:
        return np.inf
    return -np.inf if kind == F_MAX else 0.0


@nb.njit(inline="always", nogil=True, cache=True, error_model="numpy")
def merged(kind: Any, x: Any, tile: Any) -> Any:
    """A window with one more tile."""
    if kind == F_MIN:
        return tile if tile < x else x
    if kind == F_MAX:
        return tile if tile > x else x
    return x + tile
