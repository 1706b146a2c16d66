"""numba kernels that fold events into rows (`features/rows/layout.py` draws one).

They are driven by the tables of a `RowPlan`, so that one compilation serves every view. They walk
events in order and know no batches. They allocate nothing, and so count no references, which would
cost more than their work.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from freshet.features.compiled_kernels import inlined, kernel
from freshet.features.rows.arena_kernels import (
    compact,
    is_full,
    more_room,
    move,
    release,
)
from freshet.features.rows.decay_kernels import halved, is_over
from freshet.features.rows.layout import (
    BLOCK_HEADER,
    BLOCK_ID,
    BLOCK_SIZE,
    EVENTS_MASK,
    FIRST,
    LAST,
    MARKS,
    NEVER,
    NEWEST,
    OVER,
    RECENT,
    SIZE_MASK,
    TAIL,
    TAIL_STATE,
    TILED,
    VERSION_INDEX,
    VERSION_OFFSET,
)
from freshet.features.rows.removal_kernels import TOUCHED, opened, touch
from freshet.features.rows.sketch_kernels import copy_sketches, gather_sketches
from freshet.features.rows.tile_kernels import gather, gathered_words, quotient, write_tiles
from freshet.features.sketches.layout import MISSING, TILES, WIDTH
from freshet.schemas.text.word_kernels import prefetch

I64 = npt.NDArray[np.int64]
# So many events before a row is needed, it is asked for; where it lies, twice as many before.
AHEAD = 12
LINE = 8  # words of a cache line


class Events(NamedTuple):
    """Events in the order of the log: the row of each, its time (ms), its index in the record that
    carried it, all int64 `[n]`, and float64 `[n, fields]`; `wholes` int64 `[n, fields]` has every
    digit of whole numbers that are there, and the codes of other values, and no rows where no step
    asks for them; `clocks` int64 `[n]` how far the log is at each (ms)."""

    ids: I64
    times: I64
    indexes: I64
    values: npt.NDArray[np.float64]
    wholes: I64
    clocks: I64


class Steps(NamedTuple):
    """What `fold` does for an event: `shape` and `keeps` as `RowPlan` has them; `fields` of the
    events in a tail, and those of which it has the `codes`; `states` int64 `[states, 4]` says kind,
    field and word of each, and how many values it keeps; `half_lives` of the decayed ones."""

    shape: I64
    fields: I64
    codes: I64
    states: I64
    half_lives: npt.NDArray[np.float64]
    keeps: I64


@kernel
def fold(
    events: Any,
    first: Any,
    offset: Any,
    plan: Any,
    driven: Any,
    arena: Any,
    touched: Any,
    counts: Any,
    scratch: Any,
) -> Any:
    """Fold `Events` of the record at `offset`, from the one at `first` on, in order, into the rows
    of an `Arena`; returns at which it stopped, as the arena was full."""
    ids, times, indexes, values, wholes, clocks = events
    shape, fields, codes, states, half_lives, keeps = plan
    words, floats, _, blocks, state, dead, _ = arena
    rings = driven[0]
    sketches = driven[2]
    front = shape[0]
    event_words = shape[1]
    keep = keeps[0]
    hold = keeps[1]
    for event in range(first, ids.size):
        if is_full(state, dead):
            return event
        if event + 2 * AHEAD < ids.size:
            prefetch(blocks, ids[event + 2 * AHEAD])
        if event + AHEAD < ids.size:
            coming = blocks[ids[event + AHEAD]]
            prefetch(words, coming)
            prefetch(words, coming + LINE)
            prefetch(words, coming + 2 * LINE)
        id_ = ids[event]
        time = times[event]
        block = blocks[id_]
        marks = 0
        if block != 0:
            newest = words[block + BLOCK_HEADER + NEWEST]
            now = clocks[event]
            if newest <= OVER or is_over(newest, time, keep) or is_over(newest, now, hold):
                # Whoever has yet to see it finds it in a list, once.
                marks = words[block + BLOCK_ID] & (TOUCHED << MARKS)
                release(block, words, state, dead)
                block = 0
        if block == 0:
            block = opened(id_, time, shape, states, arena)
            words[block + BLOCK_ID] |= marks
        if event_words > 0:
            row = block + BLOCK_HEADER
            held = words[row + TAIL_STATE]
            tail = held & EVENTS_MASK
            # When a tail is pruned or goes into tiles depends on how many events it has, never on
            # its room: a row that was stored and put back may have another room, and must come to
            # the same bytes.
            if held < TILED and tail & 3 == 0 and tail > 0:
                tail = _prune(words, row, front, event_words, rings, sketches)
            room = words[block + BLOCK_SIZE] >> 32
            if tail == room:
                if room < TAIL:
                    more = more_room(room)
                    size = BLOCK_HEADER + front + more * event_words
                    kept = BLOCK_HEADER + front + tail * event_words
                    block = move(block, size, more, kept, arena)
                else:
                    block = _flush(block, shape, driven, arena, scratch)
                    tail = 0
            at = block + BLOCK_HEADER + front + tail * event_words
            words[at] = time
            for field in range(fields.size):
                floats[at + 1 + field] = values[event, fields[field]]
            for code in range(codes.size):
                words[at + 1 + fields.size + code] = wholes[event, codes[code]]
            words[block + BLOCK_HEADER + TAIL_STATE] += 1
        row = block + BLOCK_HEADER
        words[row + VERSION_OFFSET] = offset
        words[row + VERSION_INDEX] = indexes[event]
        words[row + NEWEST] = max(words[row + NEWEST], time)
        for step in range(states.shape[0]):
            value = values[event, states[step, 1]]
            at = row + states[step, 2]
            kind = states[step, 0]
            if kind == RECENT:
                _note_recent(words, at, states[step, 3], wholes[event, states[step, 1]], time)
                continue
            if not np.isfinite(value):
                continue
            if kind >= LAST:
                known = words[at + 1]
                # Of equal times the later in the log is the last, and the earlier the first.
                if kind >= FIRST:
                    taken = time < known or known == NEVER
                else:
                    taken = time >= known
                if taken:
                    if kind in (LAST, FIRST):
                        floats[at] = value
                    else:
                        # Not by way of a float64, which has room for 53 bits.
                        words[at] = wholes[event, states[step, 1]]
                    words[at + 1] = time
                continue
            if floats[at + 1] == 0.0:
                words[at + 2] = time
            # The state is as of its newest value: a newer one moves it on, an older one comes in
            # decayed.
            elapsed = time - words[at + 2]
            share = 1.0
            if elapsed != 0:
                share = halved(abs(elapsed), half_lives[step])
            if elapsed > 0:
                floats[at] = floats[at] * share + value
                floats[at + 1] = floats[at + 1] * share + 1.0
                words[at + 2] = time
            else:
                floats[at] += value * share
                floats[at + 1] += share
        touch(id_, block, words, touched, counts)
    compact(arena)
    return ids.size


@kernel
def _note_recent(words: Any, at: Any, most: Any, code: Any, time: Any) -> None:
    """Put one more value among the `most` newest different ones, which begin at word `at`."""
    if code == MISSING:
        return
    known = 0
    while known < most and words[at + 2 * known] != code:
        known += 1
    if known < most and words[at + 2 * known + 1] > time:
        return
    # In front of equal times: of them the later in the log is the newer.
    place = 0
    while place < most and words[at + 2 * place + 1] > time:
        place += 1
    if place == most:
        return
    for entry in range(min(known, most - 1), place, -1):
        words[at + 2 * entry] = words[at + 2 * entry - 2]
        words[at + 2 * entry + 1] = words[at + 2 * entry - 1]
    words[at + 2 * place] = code
    words[at + 2 * place + 1] = time


@kernel
def _prune(words: Any, row: Any, front: Any, event_words: Any, rings: Any, sketches: Any) -> Any:
    """Forget events in the tail that no ring and no sketch has any more; how many are left."""
    newest = words[row + NEWEST]
    oldest = newest
    for ring in range(rings.shape[0]):
        width = rings[ring, 0]
        oldest = min(oldest, (quotient(newest, width) - rings[ring, 1] + 1) * width)
    for sketch in range(sketches.shape[0]):
        width = sketches[sketch, WIDTH]
        oldest = min(oldest, (quotient(newest, width) - sketches[sketch, TILES] + 1) * width)
    kept = 0
    to = row + front
    for event in range(words[row + TAIL_STATE]):
        at = row + front + event * event_words
        if words[at] < oldest:
            continue
        if at != to:
            for word in range(event_words):
                words[to + word] = words[at + word]
        to += event_words
        kept += 1
    words[row + TAIL_STATE] = kept
    return kept


@inlined
def _flush(block: Any, shape: Any, driven: Any, arena: Any, scratch: Any) -> Any:
    """Move the tail's events into the tiles of every ring and sketch."""
    words, floats, halves, _, _, _, _ = arena
    rings, columns, sketches, edges = driven
    numbers, values, sections = scratch
    row = block + BLOCK_HEADER
    room = words[block + BLOCK_SIZE] >> 32
    tiles_at = row + shape[0] + room * shape[1]
    gather(words, floats, halves, row, tiles_at, shape, rings, columns, numbers, values)
    need = BLOCK_HEADER + shape[0] + TAIL * shape[1]
    in_rings = gathered_words(numbers, shape, rings)
    need += in_rings
    kept = shape[5] - shape[4]
    if kept > 0:
        of_row = (words, floats)
        tables = (sketches, edges)
        gather_sketches(of_row, row, tiles_at, shape, rings, tables, numbers, sections)
        need += sections[kept] - sections[0]
    size = words[block + BLOCK_SIZE] & SIZE_MASK
    # A block that is too small, or would be too large by a third.
    if need > size or need * 4 < size * 3:
        # With some words more than it needs, so that not every tile moves it.
        block = move(block, need + need // 8, TAIL, BLOCK_HEADER + shape[0], arena)
        row = block + BLOCK_HEADER
    tiles_at = row + shape[0] + TAIL * shape[1]
    newest = words[row + NEWEST]
    write_tiles(words, floats, halves, tiles_at, newest, shape, rings, numbers, values)
    if kept > 0:
        copy_sketches(sections, kept, words, tiles_at + in_rings)
    words[row + TAIL_STATE] = TILED
    return block
