"""numba kernels of a row's sketches with its tail applied, and of what features read of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from freshet.features.compiled_kernels import kernel
from freshet.features.rows.layout import (
    END,
    EVENTS_MASK,
    F_DISTINCT,
    F_FREQUENT,
    F_QUANTILE,
    NEWEST,
    TAIL_STATE,
    TILED,
)
from freshet.features.rows.tile_kernels import (
    ORDER,
    ORDER_TILES,
    quotient,
    sort_tail,
    tiles_words,
)
from freshet.features.sketches.layout import (
    MERGED_SKETCH,
    MISSING,
    SCALE,
    TILE_HEADER,
    TILES,
    WIDTH,
)
from freshet.features.sketches.tile_kernels import with_event, words_of
from freshet.features.sketches.window_kernels import (
    bits_of_number,
    distinct,
    merge_window,
    most_frequent,
    quantile,
)

NOTHING_MERGED = -1


@kernel
def gather_sketches(
    row_words: Any,
    row: Any,
    tiles_at: Any,
    shape: Any,
    rings: Any,
    tables: Any,
    numbers: Any,
    sections: Any,
) -> Any:
    """The sketches of the row at word `row`, with its tail in them, as
    `features/sketches/layout.py` draws them; what the row has of tiles begins at word `tiles_at`.
    `sections` gets where each of them begins and the last one ends, then their words. `row_words`
    are the row's memory as int64 and as float64, `tables` the sketches and the edges of their
    buckets."""
    words, floats = row_words
    sketches, _ = tables
    tail = row + shape[0]
    tiled = words[row + TAIL_STATE] >= TILED
    stored = 0
    if tiled:
        stored = tiles_at + tiles_words(words, tiles_at, END, shape[2], shape[3], rings)
    at = shape[5] - shape[4] + 1
    for sketch in range(shape[4], shape[5]):
        width = sketches[sketch, WIDTH]
        oldest = quotient(words[row + NEWEST], width) - sketches[sketch, TILES] + 1
        events = sort_tail(words, row, shape, width, oldest, numbers)
        section = at
        sections[sketch - shape[4]] = section
        sections[section] = 0
        at += 1
        stored_tiles = 0
        if tiled:
            stored_tiles = words[stored]
            stored += 1
        event = 0
        while stored_tiles > 0 or event < events:
            tile = numbers[ORDER_TILES + event] if event < events else END
            count = 0
            first = at + TILE_HEADER
            if stored_tiles > 0 and words[stored] <= tile:
                tile = words[stored]
                count = words[stored + 1]
                begin = stored + TILE_HEADER
                stored = begin + words_of(sketches, sketch, count)
                stored_tiles -= 1
                # No longer among the newest: since it was stored, newer tiles came.
                if tile < oldest:
                    continue
                for word in range(stored - begin):
                    sections[first + word] = words[begin + word]
            while event < events and numbers[ORDER_TILES + event] == tile:
                of_event = (words, floats, tail + numbers[ORDER + event] * shape[1])
                count = with_event(of_event, tables, sketch, sections, first, count)
                event += 1
            # Of events without a value there is no tile.
            if count != 0:
                sections[at] = tile
                sections[at + 1] = count
                sections[section] += 1
                at = first + words_of(sketches, sketch, count)
    sections[shape[5] - shape[4]] = at


@kernel
def copy_sketches(sections: Any, count: Any, words: Any, to: Any) -> None:
    """Write the `count` sketches that were gathered to word `to`."""
    first = sections[0]
    for word in range(sections[count] - first):
        words[to + word] = sections[first + word]


@kernel
def sketch_value(
    read: Any,
    share: Any,
    sketch: Any,
    as_of: Any,
    sections: Any,
    tables: Any,
    merging: Any,
    numbers: Any,
) -> Any:
    """What a feature, whose line of `RowPlan.reads` is `read`, has of the sketches that were
    gathered, as of a time. `sketch` is the line of its own in the tables."""
    sketches, middles = tables
    now = quotient(as_of, sketches[sketch, WIDTH])
    merge_window(sections, sections[read[4]], sketches, sketch, read[3], now, merging)
    if read[0] == F_QUANTILE:
        return quantile(merging, share, sketches, sketch, middles)
    if read[0] == F_DISTINCT:
        return distinct(merging, sketches[sketch, SCALE])
    code = most_frequent(merging)
    if code == MISSING:
        return np.nan
    if read[0] == F_FREQUENT:
        # As the same bits of one memory: a code is a float64 in the order of numbers.
        merging[0] = bits_of_number(code)
        return numbers[0]
    return np.float64(code)


@kernel
def frequent_codes(
    words: Any,
    starts: Any,
    as_of: Any,
    shape: Any,
    tables: Any,
    read: Any,
    scratch: Any,
    codes: Any,
) -> None:
    """The most frequent whole number of each row to the last digit; 0 where there is none, or no
    row. `starts` says at which word each begins (-1: it is absent)."""
    rings, sketches, edges = tables
    numbers, sections, merging = scratch
    floats = words.view(np.float64)
    sketch = read[4]
    for row in range(starts.size):
        codes[row] = 0
        at = starts[row]
        if at < 0:
            continue
        tiles_at = at + shape[0] + (words[at + TAIL_STATE] & EVENTS_MASK) * shape[1]
        of_row = (words, floats)
        gather_sketches(of_row, at, tiles_at, shape, rings, (sketches, edges), numbers, sections)
        merging[MERGED_SKETCH] = NOTHING_MERGED
        now = quotient(as_of[row], sketches[sketch, WIDTH])
        merge_window(sections, sections[sketch], sketches, sketch, read[3], now, merging)
        code = most_frequent(merging)
        if code != MISSING:
            codes[row] = code
