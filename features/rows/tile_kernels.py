"""numba kernels of tiles: a row's tiles with its tail applied, written, and how long they are.

`gather` is all that gives tiles a meaning; folding writes down what it finds, finishing reads it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from freshet.features.compiled_kernels import inlined, kernel
from freshet.features.rows.layout import (
    END,
    EVENTS_MASK,
    HEADER,
    MAX,
    MIN,
    NEWEST,
    ROWS,
    SQUARES,
    SUM,
    TAIL,
    TAIL_STATE,
    TILED,
)
from freshet.features.sketches.tile_kernels import sketches_words

I64 = npt.NDArray[np.int64]
ONE = np.uint64(1)


class Rings(NamedTuple):
    """The tiles of views: `rings` int64 `[rings, 6]` says width (ms), tiles, words of the bitmap,
    first column, float64 columns and uint32 columns of each; `columns` int64 `[columns, 3]` kind,
    word of an event in the tail, and for a variance which of the ring's columns counts its
    values. `sketches` and `edges` are as `SketchPlan` has them."""

    rings: I64
    columns: I64
    sketches: I64
    edges: npt.NDArray[np.float64]


# What `gather` finds, in numbers int64 and values float64: events of the tail in the order of their
# tiles, and these tiles; of each ring where its tiles and values begin, and after the last where
# they end; then the tiles of all rings.
ORDER = 0
ORDER_TILES = TAIL
BOUNDS = 2 * TAIL


# Whole numbers below this have a float64 of their own.
EXACT = 1 << 53


@inlined
def quotient(value: Any, width: Any) -> Any:
    """`value // width` of a width above 0. A processor takes up to 90 cycles to divide 64 bits, and
    some 13 to divide floats."""
    if value <= -EXACT or value >= EXACT:
        return value // width
    whole = np.int64(np.float64(value) / np.float64(width))
    # Rounded to the nearest, and cut towards 0: one beside it at most.
    rest = value - whole * width
    if rest < 0:
        whole -= 1
    elif rest >= width:
        whole += 1
    return whole


@inlined
def popcount(word: Any) -> Any:
    """Bits of a 64-bit word that are set. Source: Warren, Hacker's Delight (2002), figure 5-2."""
    left = np.uint64(word)
    left = left - ((left >> ONE) & np.uint64(0x5555555555555555))
    pairs = np.uint64(0x3333333333333333)
    left = (left & pairs) + ((left >> np.uint64(2)) & pairs)
    left = (left + (left >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((left * np.uint64(0x0101010101010101)) >> np.uint64(56))


@inlined
def empty(kind: Any) -> Any:
    """A column of no values: any value is below, or above, it."""
    if kind == MIN:
        return np.inf
    return -np.inf if kind == MAX else 0.0


@inlined
def added(kind: Any, old: Any, value: Any) -> Any:
    """A column after one more value."""
    if kind == SUM:
        return old + value
    if kind == MIN:
        return value if value < old else old
    if kind == MAX:
        return value if value > old else old
    return old + 1.0


@inlined
def moved(kind: Any, values: Any, place: Any, value: Any, earlier: Any) -> Any:
    """A column of a variance after one more value than the `earlier` ones. Source: Welford, "Note
    on a method for calculating corrected sums of squares and products" (1962)."""
    if kind == SQUARES:
        # The mean stands behind, and is still that of the earlier values.
        apart = value - values[place + 1]
        # In this order, as the square of a large distance has no float64, and 0 times that none.
        return values[place] + apart * (apart * (earlier / (earlier + 1.0)))
    return values[place] + (value - values[place]) / (earlier + 1.0)


@inlined
def bounds_of(ring: Any) -> Any:
    """Where a ring's bounds are among the numbers, with the rings of its row counted from 0."""
    return BOUNDS + 2 * ring


@kernel
def tiles_words(words: Any, at: Any, end: Any, first: Any, after: Any, rings: Any) -> Any:
    """How many words the tiles of rings `first` to `after` (exclusive) take that begin at `at`; -1
    where they are none, or would go on behind `end`."""
    # Behind the time in front of them.
    found = at + 1
    for ring in range(first, after):
        bitmap = rings[ring, 2]
        if found + bitmap > end:
            return -1
        tiles = 0
        for word in range(found, found + bitmap):
            tiles += popcount(words[word])
        if tiles > rings[ring, 1]:
            return -1
        found += bitmap + tiles * rings[ring, 4] + (tiles * rings[ring, 5] + 1) // 2
    return found - at


@inlined
def fits(words: Any, at: Any, end: Any, shape: Any, rings: Any, sketches: Any) -> Any:
    """Whether the words from `at` to `end` (exclusive) are a row of the shape: whatever is read of
    it then lies within."""
    found = at + max(HEADER, shape[0])
    if found <= end:
        state = words[at + TAIL_STATE]
        events = state & EVENTS_MASK
        # A view without windows has neither tail nor tiles.
        if shape[1] == 0:
            events = 0
            found += state != 0
        elif events > TAIL or state - events > TILED or state < 0:
            found = -1
        else:
            found += events * shape[1]
            if state >= TILED:
                tiles = tiles_words(words, found, end, shape[2], shape[3], rings)
                found = found + tiles if tiles > 0 else -1
                if found > 0 and shape[4] < shape[5]:
                    kept = sketches_words(words, found, end, shape[4], shape[5], sketches)
                    found = found + kept if kept > 0 else -1
    return found == end


@inlined
def sort_tail(words: Any, row: Any, shape: Any, width: Any, oldest: Any, numbers: Any) -> Any:
    """The events of the tail, from tile `oldest` on, by tile; how many there are."""
    tail = row + shape[0]
    event_words = shape[1]
    count = 0
    first = oldest * width
    tile = oldest
    start = first
    # By insertion, which leaves equal tiles in the order of the log; most tails are in order.
    for event in range(words[row + TAIL_STATE] & EVENTS_MASK):
        time = words[tail + event * event_words]
        if time < first:
            continue
        # Most events lie in the tile of the one before, and a division costs more than all else.
        if time < start or time >= start + width:
            tile = quotient(time, width)
            start = tile * width
        place = count
        while place > 0 and numbers[ORDER_TILES + place - 1] > tile:
            numbers[ORDER_TILES + place] = numbers[ORDER_TILES + place - 1]
            numbers[ORDER + place] = numbers[ORDER + place - 1]
            place -= 1
        numbers[ORDER_TILES + place] = tile
        numbers[ORDER + place] = event
        count += 1
    return count


@inlined
def gather(
    words: Any,
    floats: Any,
    halves: Any,
    row: Any,
    tiles_at: Any,
    shape: Any,
    rings: Any,
    columns: Any,
    numbers: Any,
    values: Any,
) -> None:
    """The tiles of all rings of the row at word `row`, oldest first, with the tail in them; what
    the row has of tiles begins at word `tiles_at`.

    In each tile values come in the order of the log: first what went into it earlier, then the
    tail's. So it does not matter when a tail went into tiles.
    """
    tail = row + shape[0]
    tiled = words[row + TAIL_STATE] >= TILED
    section = tiles_at + 1
    made = bounds_of(shape[3] - shape[2] + 1)
    value_at = 0
    for ring in range(shape[2], shape[3]):
        width = rings[ring, 0]
        bitmap = rings[ring, 2]
        first_column = rings[ring, 3]
        float_columns = rings[ring, 4]
        half_columns = rings[ring, 5]
        bounds = bounds_of(ring - shape[2])
        numbers[bounds] = made
        numbers[bounds + 1] = value_at
        oldest = quotient(words[row + NEWEST], width) - rings[ring, 1] + 1
        events = sort_tail(words, row, shape, width, oldest, numbers)
        stored = 0
        bitmap_at = section
        left = np.uint64(0)
        if tiled:
            for word in range(section, section + bitmap):
                stored += popcount(words[word])
            left = np.uint64(words[section])
        at_float = section + bitmap
        at_half = 2 * (at_float + stored * float_columns)
        section = at_float + stored * float_columns + (stored * half_columns + 1) // 2
        # The tile of the lowest bit of the word of the bitmap that is looked at.
        base = 0
        if tiled:
            base = quotient(words[tiles_at], width) - rings[ring, 1] + 1
        event = 0
        while stored > 0 or event < events:
            tile = numbers[ORDER_TILES + event] if event < events else END
            next_stored = END
            if stored > 0:
                while left == 0:
                    bitmap_at += 1
                    base += 64
                    left = np.uint64(words[bitmap_at])
                lowest = left & (~left + ONE)
                next_stored = base + popcount(lowest - ONE)
            if next_stored <= tile:
                tile = next_stored
                for column in range(float_columns):
                    values[value_at + column] = floats[at_float + column]
                for column in range(half_columns):
                    values[value_at + float_columns + column] = halves[at_half + column]
                at_float += float_columns
                at_half += half_columns
                left &= left - ONE
                stored -= 1
                # Written over by the next one: since it was stored, newer tiles came.
                if tile < oldest:
                    continue
            else:
                for column in range(float_columns + half_columns):
                    values[value_at + column] = empty(columns[first_column + column, 0])
            while event < events and numbers[ORDER_TILES + event] == tile:
                at = tail + numbers[ORDER + event] * shape[1]
                for column in range(float_columns + half_columns):
                    kind = columns[first_column + column, 0]
                    value = floats[at + columns[first_column + column, 1]]
                    # Of events nothing but their number counts; word 0 of one is its time.
                    if kind != ROWS and not np.isfinite(value):
                        continue
                    place = value_at + column
                    if kind >= SQUARES:
                        # Counts stand behind, so that this value is not among them yet.
                        earlier = values[value_at + columns[first_column + column, 2]]
                        values[place] = moved(kind, values, place, value, earlier)
                    else:
                        values[place] = added(kind, values[place], value)
                event += 1
            numbers[made] = tile
            made += 1
            value_at += float_columns + half_columns
    bounds = bounds_of(shape[3] - shape[2])
    numbers[bounds] = made
    numbers[bounds + 1] = value_at


@inlined
def gathered_words(numbers: Any, shape: Any, rings: Any) -> Any:
    """How many words the tiles take that were gathered."""
    found = 1
    for ring in range(shape[2], shape[3]):
        bounds = bounds_of(ring - shape[2])
        tiles = numbers[bounds + 2] - numbers[bounds]
        found += rings[ring, 2] + tiles * rings[ring, 4] + (tiles * rings[ring, 5] + 1) // 2
    return found


@inlined
def write_tiles(
    words: Any,
    floats: Any,
    halves: Any,
    at: Any,
    newest: Any,
    shape: Any,
    rings: Any,
    numbers: Any,
    values: Any,
) -> None:
    """Write the tiles that were gathered, as of the row's newest time, to word `at`."""
    words[at] = newest
    section = at + 1
    for ring in range(shape[2], shape[3]):
        bounds = bounds_of(ring - shape[2])
        first = numbers[bounds]
        after = numbers[bounds + 2]
        value = numbers[bounds + 1]
        float_columns = rings[ring, 4]
        half_columns = rings[ring, 5]
        base = quotient(newest, rings[ring, 0]) - rings[ring, 1] + 1
        bitmap_at = section
        for word in range(bitmap_at, bitmap_at + rings[ring, 2]):
            words[word] = 0
        at_float = bitmap_at + rings[ring, 2]
        end = at_float + (after - first) * float_columns
        at_half = 2 * end
        section = end + ((after - first) * half_columns + 1) // 2
        # The last half of the ring may be nobody's: equal rows have equal bytes.
        if section > end:
            words[section - 1] = 0
        for tile in range(first, after):
            bit = numbers[tile] - base
            words[bitmap_at + (bit >> 6)] |= 1 << (bit & 63)
            for column in range(float_columns):
                floats[at_float] = values[value + column]
                at_float += 1
            for column in range(half_columns):
                halves[at_half] = np.uint32(values[value + float_columns + column])
                at_half += 1
            value += float_columns + half_columns
