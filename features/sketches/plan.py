"""The sketches of a view's features, compiled to the tables that drive the kernels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from freshet.features.distributions import Distinct, Distribution, MostFrequent, Quantile
from freshet.features.sketches.layout import (
    DISTINCT,
    ENTRY_WORDS,
    FREQUENT,
    HALVES,
    HISTOGRAM,
    PAIR,
    REGISTERS_A_WORD,
    SKETCH_WORDS,
    TILE_HEADER,
)
from freshet.features.sketches.scales import (
    POWERS_A_SIGN,
    bits_of,
    edges_of,
    middles_of,
    parts_of,
)

F64 = npt.NDArray[np.float64]


class Sketch(NamedTuple):
    """What decides which sketch a feature is read of: the width of its tiles (ms), the field, the
    kind, the entries of a tile, and its parts of a power of two or bits of a register's number."""

    width_ms: int
    field: int
    kind: int
    most: int
    scale: int


class SketchRoom(NamedTuple):
    """The most words: of the sketches of a row, of them while they are gathered, and of windows
    while they are merged."""

    words: int
    gathered: int
    merging: int


class SketchPlan(NamedTuple):
    """The sketches of a row with the tiles of each, the table that drives the kernels
    (`features/sketches/layout.py`), edges and values of all buckets, and the room they take."""

    tiles: Mapping[Sketch, int]
    table: npt.NDArray[np.int64]
    edges: F64
    middles: F64
    room: SketchRoom


def sketch_of(feature: Distribution, field: int, width_ms: int) -> Sketch:
    """Of a feature of an input, with tiles so wide."""
    if isinstance(feature, Quantile):
        parts = parts_of(feature.error)
        return Sketch(width_ms, field, HISTOGRAM, 2 * POWERS_A_SIGN * parts, parts)
    if isinstance(feature, Distinct):
        return Sketch(width_ms, field, DISTINCT, feature.exact, bits_of(feature.error))
    assert isinstance(feature, MostFrequent)
    return Sketch(width_ms, field, FREQUENT, feature.exact, 0)


def compiled(
    tiles: Mapping[Sketch, int],
    number_at: Mapping[int, int],
    code_at: Mapping[int, int],
    margin: int,
) -> SketchPlan:
    """The words of an event in the tail are `number_at` and `code_at`, by field; while they are
    gathered, there are up to so many more tiles as the `margin` says."""
    lines = []
    scales: dict[int, int] = {}
    edges: list[F64] = []
    middles: list[F64] = []
    used = 0
    for sketch, count in tiles.items():
        word = code_at.get(sketch.field, 0)
        if sketch.kind == HISTOGRAM:
            word = number_at[sketch.field]
        if sketch.kind == HISTOGRAM and sketch.scale not in scales:
            scales[sketch.scale] = used
            edges.append(edges_of(sketch.scale))
            middles.append(middles_of(sketch.scale))
            used += sketch.scale + 1
        lines.append(
            (
                sketch.width_ms,
                count,
                word,
                sketch.kind,
                sketch.most,
                sketch.scale,
                scales.get(sketch.scale, 0),
            )
        )
    return SketchPlan(
        tiles,
        np.array(lines, np.int64).reshape(-1, SKETCH_WORDS),
        np.concatenate([np.zeros(0), *edges]),
        np.concatenate([np.zeros(0), *middles]),
        _room(tiles, margin),
    )


def words_of_tile(sketch: Sketch) -> int:
    """The most that a tile takes."""
    words = sketch.most * ENTRY_WORDS[sketch.kind]
    if sketch.kind == DISTINCT:
        words = max(words, _register_words(sketch))
    return TILE_HEADER + words


def _register_words(sketch: Sketch) -> int:
    return (1 << sketch.scale) // REGISTERS_A_WORD


def _room(tiles: Mapping[Sketch, int], margin: int) -> SketchRoom:
    words = 0
    # Where each begins, and the last one ends.
    gathered = len(tiles) + 1
    half = 0
    for sketch, count in tiles.items():
        words += 1 + count * words_of_tile(sketch)
        gathered += 1 + (count + margin) * words_of_tile(sketch)
        half = max(half, PAIR * (count + margin) * sketch.most)
        if sketch.kind == DISTINCT:
            # While a tile's codes become registers, both are there, with a code too many.
            gathered += sketch.most + 1 + _register_words(sketch)
            half = max(half, _register_words(sketch))
    return SketchRoom(words, gathered, HALVES + 2 * half)
