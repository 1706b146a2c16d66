"""numba kernels of the memory that rows lie in: blocks appended to segments, which are compacted.

A row that grows gets another block, and its old one is dead. Free lists by size would never give
memory back, since rows grow together; so segments with many dead words are emptied by moving what
lives in them, a few for each that was filled. Where a row lies shows nowhere.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from freshet.features.compiled_kernels import inlined, kernel
from freshet.features.rows.layout import (
    BLOCK_HEADER,
    BLOCK_ID,
    BLOCK_SIZE,
    DEAD,
    EVENTS_MASK,
    ID_MASK,
    MARKS,
    SIZE_MASK,
    TAIL,
    TAIL_STATE,
    TILED,
)
from freshet.features.rows.tile_kernels import quotient, tiles_words
from freshet.features.sketches.tile_kernels import sketches_words
from freshet.schemas.text.word_kernels import prefetch

I64 = npt.NDArray[np.int64]
# The state of an arena: the next free word and the end of its segment, words of a segment, segments
# that were ever used, how many of them are free again, words of live blocks, and segments that were
# filled since the last compaction.
NEXT, NEXT_END, SEGMENT, USED, FREE, LIVE, FILLED, STATES = range(8)
NOBODY = -1  # in the first word after the last block of a segment
NO_CANDIDATE = -(1 << 62)  # dead words of a segment that is free
# Blocks are a quarter of dead words beside the live ones, at most, and a segment or two.
LIVE_PARTS = 4
DEAD_PARTS = 1
# Who compacts must be quicker than who fills: a segment has a fifth of dead words or more.
COMPACTED_A_FILLED = 6
# So many rows before one is packed, it is asked for: the first lines of it, which short ones are.
AHEAD = 12
LINES_AHEAD = 4
LINE = 8  # words of a cache line
ROOMS_OF_TWO = 8
ROOMS_OF_FOUR = 16


class Arena(NamedTuple):
    """Words (int64, float64 and uint32 of one memory), the block of each id (0: none), the state,
    dead words by segment, and a stack of free segments."""

    words: I64
    floats: npt.NDArray[np.float64]
    halves: npt.NDArray[np.uint32]
    blocks: I64
    state: I64
    dead: I64
    free: I64


@inlined
def left(state: Any, dead: Any) -> Any:
    """Segments that hold nothing."""
    return dead.size - state[USED] + state[FREE]


@inlined
def is_full(state: Any, dead: Any) -> Any:
    """Whether one more event may find no segment: it opens a row, and makes it grow."""
    return left(state, dead) < 2


@inlined
def more_room(room: Any) -> Any:
    """The room of a tail that has run out of this one, in events."""
    if room < ROOMS_OF_TWO:
        return room + 2
    if room < ROOMS_OF_FOUR:
        return room + 4
    return min(TAIL, room + 8)


@kernel
def room_for(events: Any) -> Any:
    """The room that a tail of so many events comes to, one by one."""
    room = 2
    while room < events:
        room = more_room(room)
    return room


@inlined
def allocate(size: Any, words: Any, state: Any, dead: Any, free: Any) -> Any:
    """The position of a block of `size` words, in the segment that is being filled or a new one."""
    state[LIVE] += size
    if state[NEXT] + size > state[NEXT_END]:
        rest = state[NEXT_END] - state[NEXT]
        if rest > 0:
            dead[quotient(state[NEXT], state[SEGMENT])] += rest
            words[state[NEXT]] = NOBODY
        if state[FREE] > 0:
            state[FREE] -= 1
            segment = free[state[FREE]]
        else:
            segment = state[USED]
            state[USED] += 1
        dead[segment] = 0
        state[FILLED] += 1
        state[NEXT] = segment * state[SEGMENT]
        state[NEXT_END] = state[NEXT] + state[SEGMENT]
        # Position 0 means that there is no row.
        if segment == 0:
            state[NEXT] = BLOCK_HEADER
    block = state[NEXT]
    state[NEXT] += size
    return block


@inlined
def release(block: Any, words: Any, state: Any, dead: Any) -> None:
    size = words[block + BLOCK_SIZE] & SIZE_MASK
    state[LIVE] -= size
    dead[quotient(block, state[SEGMENT])] += size
    # So that compaction need not ask where the id lies by now.
    words[block + BLOCK_ID] |= DEAD


@inlined
def move(block: Any, size: Any, room: Any, kept: Any, arena: Any) -> Any:
    """Give a row another block, of `size` words and room for `room` events in its tail; the first
    `kept` words of it are copied. Returns where it is."""
    words, _, _, blocks, state, dead, free = arena
    new = allocate(size, words, state, dead, free)
    for word in range(kept):
        words[new + word] = words[block + word]
    words[new + BLOCK_SIZE] = size | (room << 32)
    blocks[words[block + BLOCK_ID] & ID_MASK] = new
    release(block, words, state, dead)
    return new


@kernel
def compact(arena: Any) -> None:
    """Empty segments while too many words are dead, of those with most of them first."""
    words, _, _, blocks, state, dead, free = arena
    most = COMPACTED_A_FILLED * state[FILLED]
    state[FILLED] = 0
    for _ in range(most):
        taken = (state[USED] - state[FREE]) * state[SEGMENT]
        spare = 2 * state[SEGMENT] + state[LIVE] // LIVE_PARTS * DEAD_PARTS
        # What lives in one segment fits into another.
        if taken <= state[LIVE] + spare or left(state, dead) < 1:
            return
        filling = (state[NEXT_END] - 1) // state[SEGMENT]
        worst = -1
        for segment in range(state[USED]):
            if segment != filling and (worst < 0 or dead[segment] > dead[worst]):
                worst = segment
        if worst < 0 or dead[worst] <= 0:
            return
        _empty(worst, words, blocks, state, dead, free)


@kernel
def _empty(segment: Any, words: Any, blocks: Any, state: Any, dead: Any, free: Any) -> None:
    block = segment * state[SEGMENT]
    stop = block + state[SEGMENT]
    if segment == 0:
        block = BLOCK_HEADER
    while block < stop and words[block] != NOBODY:
        size = words[block + BLOCK_SIZE] & SIZE_MASK
        if words[block + BLOCK_ID] & DEAD == 0:
            state[LIVE] -= size
            new = allocate(size, words, state, dead, free)
            for word in range(size):
                words[new + word] = words[block + word]
            blocks[words[block + BLOCK_ID] & ID_MASK] = new
        block += size
    dead[segment] = NO_CANDIDATE
    free[state[FREE]] = segment
    state[FREE] += 1


@kernel
def unmark(ids: Any, who: Any, words: Any, blocks: Any) -> Any:
    """The rows are touched no more for `who`; for the other they stay so. Those that were come
    first in `ids` from then on, each once; returns how many there are."""
    mark = 1 << (MARKS + who)
    count = 0
    for at in range(ids.size):
        if at + 2 * AHEAD < ids.size:
            prefetch(blocks, ids[at + 2 * AHEAD])
        if at + AHEAD < ids.size:
            prefetch(words, blocks[ids[at + AHEAD]])
        id_ = ids[at]
        block = blocks[id_]
        # A row that went to disk left its id behind, which may be another's by now.
        if block != 0 and words[block + BLOCK_ID] & mark != 0:
            words[block + BLOCK_ID] &= ~mark
            ids[count] = id_
            count += 1
    return count


@kernel
def mark(ids: Any, who: Any, words: Any, blocks: Any) -> None:
    for id_ in ids:
        words[blocks[id_] + BLOCK_ID] |= 1 << (MARKS + who)


@kernel
def measure(ids: Any, arena: Any, shape: Any, driven: Any, ends: Any) -> None:
    """Where each of the rows ends, in words, if they lie one after the other."""
    words = arena[0]
    blocks = arena[3]
    rings = driven[0]
    sketches = driven[2]
    end = 0
    for at in range(ids.size):
        if at + AHEAD < ids.size:
            prefetch(words, blocks[ids[at + AHEAD]])
        block = blocks[ids[at]]
        row = block + BLOCK_HEADER
        state = words[row + TAIL_STATE]
        end += shape[0] + (state & EVENTS_MASK) * shape[1]
        if state >= TILED:
            room = words[block + BLOCK_SIZE] >> 32
            tiles = row + shape[0] + room * shape[1]
            after = words[block + BLOCK_SIZE] & SIZE_MASK
            all_tiles = tiles_words(words, tiles, block + after, shape[2], shape[3], rings)
            if shape[4] < shape[5]:
                behind = tiles + all_tiles
                stop = block + after
                all_tiles += sketches_words(words, behind, stop, shape[4], shape[5], sketches)
            end += all_tiles
        ends[at] = end


@kernel
def pack(ids: Any, arena: Any, shape: Any, ends: Any, out: Any) -> None:
    """Rows one after the other, without the room that tails have in memory."""
    words = arena[0]
    blocks = arena[3]
    to = 0
    for at in range(ids.size):
        if at + AHEAD < ids.size:
            coming = blocks[ids[at + AHEAD]]
            for line in range(0, LINES_AHEAD * LINE, LINE):
                prefetch(words, coming + line)
        block = blocks[ids[at]]
        row = block + BLOCK_HEADER
        events = words[row + TAIL_STATE] & EVENTS_MASK
        front = row + shape[0] + events * shape[1]
        for word in range(row, front):
            out[to] = words[word]
            to += 1
        room = words[block + BLOCK_SIZE] >> 32
        tiles = row + shape[0] + room * shape[1]
        rest = ends[at] - to
        for word in range(tiles, tiles + rest):
            out[to] = words[word]
            to += 1


@kernel
def unpack(first: Any, ids: Any, rows: Any, ends: Any, shape: Any, arena: Any) -> Any:
    """Put rows back, from the one at `first` on, each in the place of what its id has; returns at
    which it stopped, as the arena was full."""
    words, _, _, blocks, state, dead, free = arena
    for at in range(first, ids.size):
        if is_full(state, dead):
            return at
        start = 0
        if at > 0:
            start = ends[at - 1]
        events = rows[start + TAIL_STATE] & EVENTS_MASK
        front = shape[0] + events * shape[1]
        rest = ends[at] - start - front
        room = 0
        if shape[1] > 0:
            room = room_for(events)
        if rest > 0:
            room = TAIL
        size = BLOCK_HEADER + shape[0] + room * shape[1] + rest
        id_ = ids[at]
        if blocks[id_] != 0:
            release(blocks[id_], words, state, dead)
        block = allocate(size, words, state, dead, free)
        blocks[id_] = block
        words[block + BLOCK_ID] = id_
        words[block + BLOCK_SIZE] = size | (room << 32)
        row = block + BLOCK_HEADER
        for word in range(front):
            words[row + word] = rows[start + word]
        tiles = row + shape[0] + room * shape[1]
        for word in range(rest):
            words[tiles + word] = rows[start + front + word]
    # What was there before is dead by now: deltas come one after the other.
    compact(arena)
    return ids.size
