"""numba kernels of a sketch's tiles: one more value in one of them, and how long they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from freshet.features.compiled_kernels import inlined, kernel
from freshet.features.sketches.bucket_kernels import bucket_of
from freshet.features.sketches.entry_kernels import with_bucket, with_distinct, with_frequent
from freshet.features.sketches.layout import (
    DISTINCT,
    EDGES,
    EVENT_WORD,
    FREQUENT,
    HISTOGRAM,
    KIND,
    MISSING,
    MOST,
    PAIR,
    REGISTERS,
    REGISTERS_A_WORD,
    SCALE,
    TILE_HEADER,
    TILES,
)
from freshet.features.sketches.register_kernels import with_value


@inlined
def words_of(sketches: Any, sketch: Any, count: Any) -> Any:
    """How many words so many entries of a tile take, or its registers."""
    if count == REGISTERS:
        return (1 << sketches[sketch, SCALE]) // REGISTERS_A_WORD
    return count * PAIR if sketches[sketch, KIND] == FREQUENT else count


@kernel
def sketches_words(words: Any, at: Any, end: Any, first: Any, after: Any, sketches: Any) -> Any:
    """How many words the sketches `first` to `after` (exclusive) take that begin at `at`; -1 where
    they are none, or would go on behind `end`."""
    found = at
    for sketch in range(first, after):
        if found >= end:
            return -1
        tiles = words[found]
        found += 1
        if tiles < 0 or tiles > sketches[sketch, TILES]:
            return -1
        for _ in range(tiles):
            if found + TILE_HEADER > end:
                return -1
            count = words[found + 1]
            in_registers = count == REGISTERS and sketches[sketch, KIND] == DISTINCT
            if not in_registers and not 0 <= count <= sketches[sketch, MOST]:
                return -1
            found += TILE_HEADER + words_of(sketches, sketch, count)
            if found > end:
                return -1
    return found - at


@kernel
def with_event(event: Any, tables: Any, sketch: Any, out: Any, first: Any, count: Any) -> Any:
    """How many entries a tile has, which begin at word `first`, with one more event; `event` is the
    words of a row, as int64 and as float64, and where in them the event begins."""
    words, floats, at = event
    sketches, edges = tables
    kind = sketches[sketch, KIND]
    most = sketches[sketch, MOST]
    at += sketches[sketch, EVENT_WORD]
    if kind == HISTOGRAM:
        value = floats[at]
        if not np.isfinite(value):
            return count
        code = bucket_of(value, edges, sketches[sketch, EDGES], sketches[sketch, SCALE])
        return with_bucket(out, first, count, most, code)
    code = words[at]
    if code == MISSING:
        return count
    if kind == FREQUENT:
        return with_frequent(out, first, count, most, code)
    if count != REGISTERS:
        count = with_distinct(out, first, count, code)
        if count <= most:
            return count
        _to_registers(out, first, count, sketches[sketch, SCALE])
    else:
        with_value(out, first, sketches[sketch, SCALE], code)
    return REGISTERS


@kernel
def _to_registers(out: Any, first: Any, count: Any, bits: Any) -> None:
    """Codes become the registers that have seen them."""
    # Behind the codes first, as they would else be written over before they were read.
    behind = first + count
    registers = (1 << bits) // REGISTERS_A_WORD
    for word in range(behind, behind + registers):
        out[word] = 0
    for entry in range(first, behind):
        with_value(out, behind, bits, out[entry])
    for word in range(registers):
        out[first + word] = out[behind + word]
