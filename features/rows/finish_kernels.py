"""numba kernels that finish rows: their values as of a time, and whom they go to."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.features.compiled_kernels import inlined, kernel
from freshet.features.rows.decay_kernels import halved, is_over
from freshet.features.rows.layout import (
    EVENTS_MASK,
    F_AGE,
    F_DECAYED,
    F_DECAYED_COUNT,
    F_DECAYED_SUM,
    F_DEVIATION,
    F_LAST,
    F_LAST_WHOLE,
    F_MAX,
    F_MEAN,
    F_MIN,
    F_QUANTILE,
    F_RATE,
    F_RATIO,
    F_RECENT,
    F_RECENT_WHOLE,
    F_SINCE,
    F_TOTAL,
    F_VARIANCE,
    NEVER,
    NEWEST,
    NOT_FOUND,
    OUTSIDE_MAX_AGE,
    PRESENT,
    TAIL_STATE,
    VERSION_INDEX,
    VERSION_OFFSET,
)
from freshet.features.rows.sketch_kernels import NOTHING_MERGED, gather_sketches, sketch_value
from freshet.features.rows.tile_kernels import bounds_of, fits, gather, quotient
from freshet.features.sketches.layout import MERGED_SKETCH, MISSING
from freshet.features.sketches.window_kernels import bits_of_number


def plain(array: npt.ArrayLike, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """The array, or a copy, as the one kind that kernels are compiled for: contiguous, aligned,
    writable."""
    found = np.ascontiguousarray(array, dtype)
    return found if found.flags.behaved else found.copy()


@kernel
def finish(
    words: Any, ends: Any, as_of: Any, asked: Any, counts: Any, tables: Any, out: Any
) -> None:
    """Values of rows as of a time each. The rows, of one view after the other, are `words`;
    part `p` of them are `counts[p]` rows of view `asked[p]` of the tables
    (`features.rows.finish.Tables`), which end at bytes `ends` of the part. The first array of `out`
    gets the features of one row after the other, the others an age, a status and a start a row."""
    shapes, max_ages, keeps, first_feature, features, params, rings, columns, room = tables[:9]
    sketches, scales = tables[9:]
    edges = scales[0]
    middles = scales[1]
    # The same bytes: tiles are read as floats and counts, times and versions as whole numbers.
    floats = words.view(np.float64)
    halves = words.view(np.uint32)
    values, age, status, starts, numbers, tile_values, kept = out
    sections = kept[: room[2]]
    merging = kept[room[2] :]
    merged_floats = merging.view(np.float64)
    row = 0
    base = 0
    o = 0
    for p in range(asked.size):
        view = asked[p]
        shape = shapes[view]
        end = base
        for _ in range(counts[p]):
            at = end
            end = base + ends[row] // 8
            # A row that is over is none, whether or not somebody has removed it.
            is_there = fits(words, at, end, shape, rings, sketches)
            if is_there and not is_over(words[at + NEWEST], as_of[row], keeps[view]):
                starts[row] = at
                age[row] = as_of[row] - words[at + NEWEST]
                status[row] = PRESENT
                if max_ages[view] > 0 and age[row] > max_ages[view]:
                    status[row] = OUTSIDE_MAX_AGE
            else:
                starts[row] = -1
                age[row] = -1
                status[row] = NOT_FOUND
            if status[row] == PRESENT and shape[2] < shape[3]:
                events = words[at + TAIL_STATE] & EVENTS_MASK
                tiles_at = at + shape[0] + events * shape[1]
                gather(
                    words,
                    floats,
                    halves,
                    at,
                    tiles_at,
                    shape,
                    rings,
                    columns,
                    numbers,
                    tile_values,
                )
            if status[row] == PRESENT and shape[4] < shape[5]:
                events = words[at + TAIL_STATE] & EVENTS_MASK
                gather_sketches(
                    (words, floats),
                    at,
                    at + shape[0] + events * shape[1],
                    shape,
                    rings,
                    (sketches, edges),
                    numbers,
                    sections,
                )
                merging[MERGED_SKETCH] = NOTHING_MERGED
            for f in range(first_feature[view], first_feature[view + 1]):
                kind = features[f, 0]
                a = at + features[f, 1]
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
                elif kind == F_SINCE:
                    values[o] = np.nan
                    if words[a + 1] != NEVER:
                        values[o] = (as_of[row] - words[a + 1]) / 1000.0
                elif kind == F_DECAYED_SUM:
                    share = halved(max(0, as_of[row] - words[a + 2]), params[f, 0])
                    values[o] = floats[a] * share
                elif kind == F_DECAYED_COUNT:
                    share = halved(max(0, as_of[row] - words[a + 2]), params[f, 0])
                    values[o] = floats[a + 1] * share
                elif kind == F_DECAYED:
                    total = floats[a]
                    weight = floats[a + 1]
                    extra = params[f, 2]
                    if extra > 0.0:
                        share = halved(max(0, as_of[row] - words[a + 2]), params[f, 0])
                        drawn = total * share + extra * params[f, 1]
                        values[o] = drawn / (weight * share + extra)
                    else:
                        values[o] = total / weight if weight > 0.0 else np.nan
                elif kind >= F_RECENT:
                    values[o] = np.nan
                    too_old = params[f, 0] > 0.0 and as_of[row] - words[a + 1] >= params[f, 0]
                    if words[a] != MISSING and not too_old:
                        values[o] = np.float64(words[a])
                        if kind != F_RECENT_WHOLE:
                            # As the same bits of one memory.
                            merging[0] = bits_of_number(words[a])
                            values[o] = merged_floats[0]
                elif kind >= F_QUANTILE:
                    values[o] = sketch_value(
                        features[f],
                        params[f, 0],
                        shape[4] + features[f, 4],
                        as_of[row],
                        sections,
                        (sketches, middles),
                        merging,
                        merged_floats,
                    )
                else:
                    ring = shape[2] + features[f, 4]
                    now = quotient(as_of[row], rings[ring, 0])
                    bounds = bounds_of(features[f, 4])
                    first = numbers[bounds]
                    after = numbers[bounds + 2]
                    # Tiles are in order: those before the window, and after the question, are left.
                    while first < after and numbers[first] <= now - features[f, 3]:
                        first += 1
                    while first < after and numbers[after - 1] > now:
                        after -= 1
                    all_columns = rings[ring, 4] + rings[ring, 5]
                    skipped = first - numbers[bounds]
                    place = numbers[bounds + 1] + skipped * all_columns
                    if kind >= F_VARIANCE:
                        x = variance(
                            tile_values,
                            place,
                            after - first,
                            all_columns,
                            features[f, 1],
                            features[f, 2],
                        )
                        values[o] = np.sqrt(x) if kind == F_DEVIATION else x
                        o += 1
                        continue
                    x = nothing(kind)
                    y = 0.0
                    # oldest first, so that sums are always the same
                    for _ in range(first, after):
                        x = merged(kind, x, tile_values[place + features[f, 1]])
                        if kind == F_MEAN:
                            y += tile_values[place + features[f, 2]]
                        place += all_columns
                    if kind == F_MEAN:
                        x = y / x if x > 0.0 else np.nan
                    elif kind == F_RATE:
                        x /= params[f, 0]
                    elif kind == F_RATIO:
                        ring = shape[2] + features[f, 6]
                        now = quotient(as_of[row], rings[ring, 0])
                        bounds = bounds_of(features[f, 6])
                        columns_below = rings[ring, 4] + rings[ring, 5]
                        place = numbers[bounds + 1] + features[f, 2]
                        for tile in range(numbers[bounds], numbers[bounds + 2]):
                            if now - features[f, 5] < numbers[tile] <= now:
                                y += tile_values[place]
                            place += columns_below
                        x /= y
                        if not np.isfinite(x):
                            x = np.nan
                    elif kind != F_TOTAL and np.isinf(x):
                        x = np.nan
                    values[o] = x
                o += 1
            row += 1
        base = end


@kernel
def spread(
    finished: Any,
    words: Any,
    asked: Any,
    counts: Any,
    places: Any,
    first_feature: Any,
    to: Any,
    numbers: Any,
    versions: Any,
    age: Any,
) -> None:
    """Hand what `finish` found, and each row's version, to the questions that asked for the row:
    question `q` has row `places[p, q]` of part `p`. Feature `f` of the tables goes to column
    `to[f]` of `numbers` (-1: nobody reads it), the version of view `v` to two columns of
    `versions`; `age` becomes that of the oldest row."""
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


@inlined
def variance(
    values: Any, place: Any, tiles: Any, columns: Any, squares_at: Any, counts_at: Any
) -> Any:
    """The sample variance over so many tiles, of which the first begins at `place`, oldest first.
    Source: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing
    sample variances" (1979)."""
    count = 0.0
    centre = 0.0
    squares = 0.0
    for tile in range(tiles):
        at = place + tile * columns
        more = values[at + counts_at]
        if more == 0.0:
            continue
        both = count + more
        apart = values[at + squares_at + 1] - centre
        # In this order, as the square of a large distance has no float64, and 0 times that none.
        squares += values[at + squares_at] + apart * (apart * (count * more / both))
        centre += apart * (more / both)
        count = both
    if count < 2.0:
        return np.nan
    found = squares / (count - 1.0)
    return found if np.isfinite(found) else np.nan


@inlined
def nothing(kind: Any) -> Any:
    """A window of no tiles."""
    if kind == F_MIN:
        return np.inf
    return -np.inf if kind == F_MAX else 0.0


@inlined
def merged(kind: Any, value: Any, tile: Any) -> Any:
    """A window with one more tile."""
    if kind == F_MIN:
        return tile if tile < value else value
    if kind == F_MAX:
        return tile if tile > value else value
    return value + tile
