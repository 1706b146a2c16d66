"""numba kernels of windows: the tiles of a sketch put together, and what they say."""

from __future__ import annotations

from typing import Any

import numpy as np

from freshet.features.compiled_kernels import inlined, kernel
from freshet.features.sketches.bucket_kernels import value_of
from freshet.features.sketches.entry_kernels import merge
from freshet.features.sketches.layout import (
    EDGES,
    HALVES,
    KIND,
    MERGED_AS_OF,
    MERGED_COUNT,
    MERGED_FROM,
    MERGED_SKETCH,
    MERGED_TILES,
    MISSING,
    PAIR,
    REGISTERS,
    REGISTERS_A_WORD,
    SCALE,
    TILE_HEADER,
)
from freshet.features.sketches.register_kernels import estimate, merge_registers, with_value
from freshet.features.sketches.tile_kernels import words_of

ALL_BUT_SIGN = (1 << 63) - 1


@kernel
def merge_window(
    sections: Any, at: Any, sketches: Any, sketch: Any, tiles: Any, now: Any, merging: Any
) -> None:
    """Put the `tiles` tiles up to tile `now` together of the sketch that begins at word `at`,
    unless they are: several features may be of one window."""
    if (
        merging[MERGED_SKETCH] == sketch
        and merging[MERGED_TILES] == tiles
        and merging[MERGED_AS_OF] == now
    ):
        return
    merging[MERGED_SKETCH] = sketch
    merging[MERGED_TILES] = tiles
    merging[MERGED_AS_OF] = now
    kind = sketches[sketch, KIND]
    half = (merging.size - HALVES) // 2
    old = HALVES
    new = HALVES + half
    had = 0
    tile = at + 1
    for _ in range(sections[at]):
        count = sections[tile + 1]
        if now - tiles < sections[tile] <= now:
            if count == REGISTERS:
                _merge_to_registers(sections, at, sketches, sketch, tiles, now, merging)
                return
            had = merge(kind, sections, tile + TILE_HEADER, count, merging, old, had, new)
            earlier = old
            old = new
            new = earlier
        tile += TILE_HEADER + words_of(sketches, sketch, count)
    merging[MERGED_FROM] = old
    merging[MERGED_COUNT] = had


@kernel
def _merge_to_registers(
    sections: Any, at: Any, sketches: Any, sketch: Any, tiles: Any, now: Any, merging: Any
) -> None:
    bits = sketches[sketch, SCALE]
    registers = (1 << bits) // REGISTERS_A_WORD
    for word in range(registers):
        merging[HALVES + word] = 0
    tile = at + 1
    for _ in range(sections[at]):
        count = sections[tile + 1]
        if now - tiles < sections[tile] <= now:
            first = tile + TILE_HEADER
            if count == REGISTERS:
                merge_registers(sections, first, merging, HALVES, registers)
            else:
                for entry in range(first, first + count):
                    with_value(merging, HALVES, bits, sections[entry])
        tile += TILE_HEADER + words_of(sketches, sketch, count)
    merging[MERGED_FROM] = HALVES
    merging[MERGED_COUNT] = REGISTERS


@kernel
def distinct(merging: Any, bits: Any) -> Any:
    """How many different values the merged window has; estimated where it is registers."""
    if merging[MERGED_COUNT] == REGISTERS:
        return estimate(merging, HALVES, bits)
    return np.float64(merging[MERGED_COUNT])


@kernel
def quantile(merging: Any, share: Any, sketches: Any, sketch: Any, middles: Any) -> Any:
    """The value at rank `floor(share * (n - 1))` of the n values of the merged window, from 0 on,
    to within its bucket; NaN of none."""
    first = merging[MERGED_FROM]
    count = merging[MERGED_COUNT]
    values = 0
    for pair in range(count):
        values += merging[first + PAIR * pair + 1]
    if values == 0:
        return np.nan
    rank = np.int64(share * (values - 1))
    pair = 0
    below = merging[first + 1]
    while below <= rank and pair < count - 1:
        pair += 1
        below += merging[first + PAIR * pair + 1]
    code = merging[first + PAIR * pair]
    return value_of(code, middles, sketches[sketch, EDGES], sketches[sketch, SCALE])


@kernel
def most_frequent(merging: Any) -> Any:
    """The code of the largest amount of the merged window, of equal ones the least; MISSING of
    none."""
    first = merging[MERGED_FROM]
    found = MISSING
    most = 0
    for pair in range(merging[MERGED_COUNT]):
        amount = merging[first + PAIR * pair + 1]
        if amount > most:
            most = amount
            found = merging[first + PAIR * pair]
    return found


@inlined
def bits_of_number(code: Any) -> Any:
    """The bits of the float64 that a code is of; a code is in the order of numbers."""
    return code if code >= 0 else code ^ ALL_BUT_SIGN
