"""numba kernels that read which texts rows name (`features/texts/layout.py`)."""

from __future__ import annotations

from typing import Any

from freshet.features.compiled_kernels import kernel
from freshet.features.rows.layout import EVENTS_MASK, NEVER, TAIL_STATE, TILED
from freshet.features.rows.tile_kernels import tiles_words
from freshet.features.sketches.layout import MISSING, PAIR, TILE_HEADER
from freshet.features.sketches.tile_kernels import words_of
from freshet.features.texts.section_kernels import NOBODY


@kernel
def codes_in(words: Any, ends: Any, plan: Any, tables: Any, codes: Any, code_ends: Any) -> Any:
    """All codes of texts that rows have, in the order of their words, some of them more than once;
    where those of each row end, and how many there are. `plan` is the arrays of a `TextPlan`,
    `tables` the shape of the rows, their rings and their sketches."""
    states, tail_words, own_sketches = plan
    shape, rings, sketches = tables
    count = 0
    row = 0
    for at in range(ends.size):
        end = ends[at]
        for state in range(states.shape[0]):
            word = row + states[state, 0]
            for _ in range(states[state, 1]):
                if words[word + 1] != NEVER:
                    codes[count] = words[word]
                    count += 1
                word += 2
        events = words[row + TAIL_STATE] & EVENTS_MASK
        tail = row + shape[0]
        for _ in range(events):
            for word in tail_words:
                if words[tail + word] != MISSING:
                    codes[count] = words[tail + word]
                    count += 1
            tail += shape[1]
        if own_sketches.size > 0 and words[row + TAIL_STATE] >= TILED:
            found = tail + tiles_words(words, tail, end, shape[2], shape[3], rings)
            own = 0
            for sketch in range(shape[5] - shape[4]):
                # They are in order, and each is read once.
                is_own = own < own_sketches.size and own_sketches[own] == sketch
                own += is_own
                tiles = words[found]
                found += 1
                for _ in range(tiles):
                    entries = words[found + 1]
                    found += TILE_HEADER
                    if is_own:
                        for entry in range(entries):
                            codes[count] = words[found + PAIR * entry]
                            count += 1
                    found += words_of(sketches, shape[4] + sketch, entries)
        code_ends[at] = count
        row = end
    return count


@kernel
def once_a_row(ids: Any, ends: Any, seen: Any, first: Any) -> None:
    """Leave of each row's ids the first of equal ones. `seen` has room for every id, and all of it
    is below `first`."""
    at = 0
    for row in range(ends.size):
        while at < ends[row]:
            k = ids[at]
            if k >= 0:
                if seen[k] == first + row:
                    ids[at] = NOBODY
                seen[k] = first + row
            at += 1
