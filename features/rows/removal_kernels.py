"""numba kernels that begin rows, and end them: erased by a record, or over by the clock.

A row that ends stays as one of no events until store and checkpoint have seen that, so that neither
keeps what is gone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from freshet.features.compiled_kernels import inlined, kernel
from freshet.features.rows.arena_kernels import allocate, compact, is_full, more_room, release
from freshet.features.rows.decay_kernels import is_over
from freshet.features.rows.layout import (
    BLOCK_HEADER,
    BLOCK_ID,
    BLOCK_SIZE,
    DIRTY,
    END,
    FIRST,
    FIRST_WHOLE,
    LAST,
    LAST_WHOLE,
    MARKS,
    NEVER,
    NEWEST,
    OVER,
    RECENT,
    SIZE_MASK,
    STORE,
    TAIL_STATE,
    USED,
    VERSION_INDEX,
    VERSION_OFFSET,
)
from freshet.features.sketches.layout import MISSING
from freshet.schemas.text.word_kernels import prefetch

BOTH = 3  # marks of a row that store and checkpoint have yet to see
# All marks of a row that was touched, which stay with it when it gets another block.
TOUCHED = BOTH | 1 << USED | 1 << DIRTY
# So many rows before one is looked at, it is asked for.
AHEAD = 12


@kernel
def erase(
    first: Any,
    ids: Any,
    offset: Any,
    indexes: Any,
    plan: Any,
    arena: Any,
    touched: Any,
    counts: Any,
) -> Any:
    """Leave rows of no events, from the one at `first` on, by the record at `offset`; returns at
    which it stopped, as the arena was full. Their newest event is NEVER, and the next one makes
    them what it would make of a new row."""
    words, _, _, _, state, dead, _ = arena
    for at in range(first, ids.size):
        if is_full(state, dead):
            return at
        block = emptied(ids[at], NEVER, plan, arena)
        words[block + BLOCK_HEADER + VERSION_OFFSET] = offset
        words[block + BLOCK_HEADER + VERSION_INDEX] = indexes[at]
        touch(ids[at], block, words, touched, counts)
    compact(arena)
    return ids.size


@kernel
def sweep(
    first: Any,
    after: Any,
    now: Any,
    plan: Any,
    arena: Any,
    touched: Any,
    counts: Any,
    gone: Any,
) -> Any:
    """Empty those rows of ids `first` to `after` (exclusive) that are over by the clock, and write
    their ids to `gone`. Returns how many there are, at which id it stopped, as the arena was full,
    and the least newest event of the others. Such a row keeps its version, and its newest event is
    OVER."""
    words, _, _, blocks, state, dead, _ = arena
    hold = plan[5][1]
    found = 0
    oldest = END
    for id_ in range(first, after):
        if is_full(state, dead):
            return found, id_, oldest
        if id_ + AHEAD < after:
            prefetch(words, blocks[id_ + AHEAD])
        block = blocks[id_]
        # An id without a key has no row.
        if block == 0:
            continue
        newest = words[block + BLOCK_HEADER + NEWEST]
        if not is_over(newest, now, hold):
            # Those of no events wait for nothing more.
            if newest > OVER:
                oldest = min(oldest, newest)
            continue
        offset = words[block + BLOCK_HEADER + VERSION_OFFSET]
        index = words[block + BLOCK_HEADER + VERSION_INDEX]
        block = emptied(id_, OVER, plan, arena)
        words[block + BLOCK_HEADER + VERSION_OFFSET] = offset
        words[block + BLOCK_HEADER + VERSION_INDEX] = index
        touch(id_, block, words, touched, counts)
        gone[found] = id_
        found += 1
    return found, after, oldest


@kernel
def drop(ids: Any, arena: Any, dropped: Any, waiting: Any) -> Any:
    """Free the blocks of those rows of which nothing is left, and that everybody has seen so; their
    ids go to `dropped`, those that somebody has yet to see to `waiting`. Returns how many there are
    of each."""
    words, _, _, blocks, state, dead, _ = arena
    done = 0
    left = 0
    for id_ in ids:
        block = blocks[id_]
        # One that came back is no longer among them.
        if block == 0 or words[block + BLOCK_HEADER + NEWEST] > OVER:
            continue
        if words[block + BLOCK_ID] >> MARKS & BOTH != 0:
            waiting[left] = id_
            left += 1
            continue
        release(block, words, state, dead)
        blocks[id_] = 0
        dropped[done] = id_
        done += 1
    return done, left


@kernel
def unused(hand: Any, given: Any, excess: Any, of_a_key: Any, arena: Any, out: Any) -> Any:
    """Rows that may go to disk, by their ids, until they make up `excess` words, with `of_a_key`
    for each key, or `out` is full; the hand goes round and gives those that were used since it last
    passed a second chance. Returns how many there are, and where the hand is.

    Rows that the store has yet to see stay, and those of which nothing is left, which go anyway.
    Source: Corbató, "A paging experiment with the Multics system" (1968).
    """
    words = arena[0]
    blocks = arena[3]
    found = 0
    # Twice round: then each had its chance, and none is left.
    for _ in range(2 * given):
        if excess <= 0 or found == out.size:
            break
        if hand >= given:
            hand = 0
        id_ = hand
        hand += 1
        if hand + AHEAD < given:
            prefetch(words, blocks[hand + AHEAD])
        block = blocks[id_]
        if block == 0 or words[block + BLOCK_HEADER + NEWEST] <= OVER:
            continue
        marks = words[block + BLOCK_ID] >> MARKS
        if marks & (1 << STORE):
            continue
        if marks & (1 << USED):
            words[block + BLOCK_ID] &= ~(1 << (MARKS + USED))
            continue
        out[found] = id_
        found += 1
        # So that it is not found once more on the second way round.
        words[block + BLOCK_ID] |= 1 << (MARKS + USED)
        excess -= (words[block + BLOCK_SIZE] & SIZE_MASK) + of_a_key
    return found, hand


@kernel
def take_out(ids: Any, arena: Any) -> None:
    """Free the blocks of rows."""
    words, _, _, blocks, state, dead, _ = arena
    for id_ in ids:
        release(blocks[id_], words, state, dead)
        blocks[id_] = 0


@inlined
def emptied(id_: Any, newest: Any, plan: Any, arena: Any) -> Any:
    """A row of no events, in the place of what its id has."""
    words, _, _, blocks, state, dead, _ = arena
    marks = 0
    if blocks[id_] != 0:
        # Whoever has yet to see it finds it in a list, once.
        marks = words[blocks[id_] + BLOCK_ID] & (TOUCHED << MARKS)
        release(blocks[id_], words, state, dead)
    block = opened(id_, newest, plan[0], plan[3], arena)
    words[block + BLOCK_ID] |= marks
    return block


@inlined
def touch(id_: Any, block: Any, words: Any, touched: Any, counts: Any) -> None:
    """Note that store and checkpoint have yet to see a row."""
    marks = words[block + BLOCK_ID] >> MARKS
    if marks & BOTH == BOTH:
        return
    for who in range(2):
        if marks & (1 << who) == 0:
            touched[2 * counts[who] + who] = id_
            counts[who] += 1
    words[block + BLOCK_ID] |= TOUCHED << MARKS


@inlined
def opened(id_: Any, time: Any, shape: Any, states: Any, arena: Any) -> Any:
    """A new row, of no events."""
    words, floats, _, blocks, state, dead, free = arena
    room = more_room(0) if shape[1] > 0 else 0
    size = BLOCK_HEADER + shape[0] + room * shape[1]
    block = allocate(size, words, state, dead, free)
    blocks[id_] = block
    words[block + BLOCK_ID] = id_
    words[block + BLOCK_SIZE] = size | (room << 32)
    row = block + BLOCK_HEADER
    words[row + NEWEST] = time
    words[row + TAIL_STATE] = 0
    for step in range(states.shape[0]):
        at = row + states[step, 2]
        kind = states[step, 0]
        if kind in (LAST, FIRST):
            floats[at] = np.nan
            words[at + 1] = NEVER
        elif kind == RECENT:
            for entry in range(states[step, 3]):
                words[at + 2 * entry] = MISSING
                words[at + 2 * entry + 1] = NEVER
        elif kind in (LAST_WHOLE, FIRST_WHOLE):
            words[at] = 0
            words[at + 1] = NEVER
        else:
            floats[at] = 0.0
            floats[at + 1] = 0.0
            words[at + 2] = time
    return block
