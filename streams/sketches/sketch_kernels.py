"""numba kernels that count values into sketches.

A cell is what one source brought of one hour of event time; it has a sketch a field. A sketch is an
open table of at most `BOUND` keys with their counts, at a level: as many as fit are kept, and the
level says how coarsely. It is the lowest at which all values that were counted fit, so neither
their order nor how they were cut into parts shows in it.

- Of numbers a key is the number's first bits, so a bucket a key; a level joins neighbours two by
  two. Source: Epicoco, Melle, Cafaro and Pulimeno, UDDSketch: Accurate tracking of quantiles in
  data streams, 2020; its buckets are here those of the binary format, as HdrHistogram's are.
- Of texts a key is a hash; a level keeps those that begin with one more zero bit, each with the
  exact count of its text. Source: Flajolet, On adaptive sampling, 1990.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba as nb
import numpy as np
import numpy.typing as npt

from freshet.schemas.text.kernels import SEED_HIGH, hash_span

u64 = np.uint64
i64 = np.int64
TEXT, WHOLE, FLOATING, PRESENCE = range(4)
BOUND = 64
# Twice as many slots as keys, so that a search soon ends at an empty one.
SLOTS = 128
_SLOT_BITS = 7
PRESENT, LOWEST, HIGHEST, LEVEL, USED, HEAD = range(6)
ORIGIN, SUM, SQUARES, MOMENTS = range(4)
# Of a float64 those bits are not told apart: what is left are its sign, exponent and 10 bits, so
# that a bucket of level 0 is at most 1 / 1,024 of its values wide.
DROPPED_BITS = 42
HASH_BITS = 63
TEXT_BYTES = 24  # of a text, with its length: longer ones are cut
SOURCES = 100
SOURCE_BYTES = 64
SOURCE_SLOTS = 256
I64 = npt.NDArray[np.int64]


class Cells(NamedTuple):
    """`table` finds a cell by hour and place of its source; `figures` holds how many cells are
    used, and how many places. Of fields there are `heads`, `moments`, `keys` and `counts`; of those
    that are texts, `texts` beside each slot."""

    table: I64
    figures: I64
    hours: I64
    places: I64
    rows: I64
    heads: I64
    moments: npt.NDArray[np.float64]
    keys: I64
    counts: I64
    texts: npt.NDArray[np.uint8]


class Sources(NamedTuple):
    """Who has a place, by the hash of its name; `slots` is 1 + the place."""

    hashes: npt.NDArray[np.uint64]
    slots: I64
    names: npt.NDArray[np.uint8]
    sizes: I64


class Named(NamedTuple):
    """Who sent each row: texts, of which `valid` ones are there."""

    data: Any
    start: Any
    end: Any
    valid: Any


CELLS_USED, PLACES_USED, FIGURES = range(3)


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
def _slot_of(key: Any) -> Any:
    # The upper bits of a product with an odd constant depend on all bits below them.
    return i64((u64(key) * u64(0x9E3779B97F4A7C15)) >> u64(64 - _SLOT_BITS))


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
def _copy(from_text: Any, to_text: Any) -> None:
    for at in range(TEXT_BYTES):
        to_text[at] = from_text[at]


@nb.njit(nogil=True, cache=True, _nrt=False)
def _shrink(is_text: Any, head: Any, keys: Any, counts: Any, texts: Any, spare: Any) -> None:
    """One level up: rebuild the table with keys that are joined, or without those that go."""
    spare_keys, spare_counts, spare_texts = spare
    head[LEVEL] += 1
    head[USED] = 0
    for slot in range(SLOTS):
        spare_keys[slot] = keys[slot]
        spare_counts[slot] = counts[slot]
        counts[slot] = 0
        if is_text:
            _copy(texts[slot], spare_texts[slot])
    for old in range(SLOTS):
        if spare_counts[old] == 0:
            continue
        key = spare_keys[old]
        if is_text:
            if key >> (HASH_BITS - head[LEVEL]) != 0:
                continue
        else:
            key >>= 1
        slot = _slot_of(key)
        while counts[slot] != 0 and keys[slot] != key:
            slot = (slot + 1) & (SLOTS - 1)
        if counts[slot] == 0:
            head[USED] += 1
            keys[slot] = key
            if is_text:
                _copy(spare_texts[old], texts[slot])
        counts[slot] += spare_counts[old]


@nb.njit(nogil=True, cache=True, _nrt=False)
def _note_text(into: Any, data: Any, start: Any, end: Any) -> None:
    """A text beside its key: its length, which may be more than what there is room for, then
    bytes."""
    size = end - start
    # 255 stands for all that are longer.
    into[0] = min(size, i64(255))
    for at in range(min(size, i64(TEXT_BYTES - 1))):
        into[1 + at] = data[start + at]


@nb.njit(nogil=True, cache=True, _nrt=False)
def count_texts(named: Any, located: Any, field: Any, text_at: Any, cells: Any, spare: Any) -> None:
    """Count a field's values of `located` rows (int64 `[n]`, with the cell of each). The field's
    texts are those `text_at`; `spare` is room for one sketch."""
    data, start, end, valid = named
    rows, cell_of = located
    for i in range(rows.size):
        row = rows[i]
        if not valid[row]:
            continue
        cell = cell_of[i]
        head = cells.heads[cell, field]
        keys = cells.keys[cell, field]
        counts = cells.counts[cell, field]
        head[PRESENT] += 1
        key = i64(hash_span(data, start[row], end[row], SEED_HIGH) >> u64(1))
        # At level 0 nothing is left out: a shift by all bits leaves 0.
        if key >> (HASH_BITS - head[LEVEL]) != 0:
            continue
        slot = _slot_of(key)
        while counts[slot] != 0 and keys[slot] != key:
            slot = (slot + 1) & (SLOTS - 1)
        if counts[slot] != 0:
            counts[slot] += 1
            continue
        keys[slot] = key
        counts[slot] = 1
        head[USED] += 1
        texts = cells.texts[cell, text_at]
        _note_text(texts[slot], data, start[row], end[row])
        while head[USED] > BOUND:
            _shrink(True, head, keys, counts, texts, spare)


@nb.njit(nogil=True, cache=True, _nrt=False)
def count_numbers(
    column: Any, is_float: Any, located: Any, field: Any, cells: Any, spare: Any
) -> None:  # fmt: skip
    """Count a field's values of `located` rows: `column` are words int64 `[n]`, which are floats'
    bits where it `is_float`, and which of them are there."""
    values, valid = column
    rows, cell_of = located
    for i in range(rows.size):
        row = rows[i]
        if not valid[row]:
            continue
        bits = values[row]
        value = np.float64(bits)
        if is_float:
            value = i64(bits).view(np.float64)
        # It is no value: as if there was none.
        if value != value:
            continue
        number = np.float64(value + 0.0)  # which gives zero one sign
        bits = number.view(np.int64)
        # Bits of negative numbers fall as these rise.
        bits ^= (bits >> 63) & i64(0x7FFFFFFFFFFFFFFF)
        cell = cell_of[i]
        head = cells.heads[cell, field]
        moments = cells.moments[cell, field]
        if head[PRESENT] == 0:
            head[LOWEST] = bits
            head[HIGHEST] = bits
            # Around a value of its own, so that no digits are lost of numbers far from zero.
            moments[ORIGIN] = value
        head[PRESENT] += 1
        head[LOWEST] = min(head[LOWEST], bits)
        head[HIGHEST] = max(head[HIGHEST], bits)
        distance = value - moments[ORIGIN]
        moments[SUM] += distance
        moments[SQUARES] += distance * distance
        keys = cells.keys[cell, field]
        counts = cells.counts[cell, field]
        key = bits >> (DROPPED_BITS + head[LEVEL])
        slot = _slot_of(key)
        while counts[slot] != 0 and keys[slot] != key:
            slot = (slot + 1) & (SLOTS - 1)
        if counts[slot] != 0:
            counts[slot] += 1
            continue
        keys[slot] = key
        counts[slot] = 1
        head[USED] += 1
        while head[USED] > BOUND:
            _shrink(False, head, keys, counts, cells.texts[0, 0], spare)


@nb.njit(nogil=True, cache=True, _nrt=False)
def count_present(valid: Any, located: Any, field: Any, heads: Any) -> None:
    """Count how often a field is there."""
    rows, cell_of = located
    for i in range(rows.size):
        heads[cell_of[i], field, PRESENT] += valid[rows[i]]


@nb.njit(nogil=True, cache=True, _nrt=False)
def _place_of(named: Any, row: Any, sources: Any, figures: Any) -> Any:
    """The place of who sent a row. Whoever comes once all are taken, or has a longer name, is of
    the rest."""
    if not named.valid[row]:
        return i64(SOURCES)
    start = named.start[row]
    size = named.end[row] - start
    hashed = hash_span(named.data, start, named.end[row], SEED_HIGH)
    slot = i64(hashed & u64(SOURCE_SLOTS - 1))
    while sources.slots[slot] != 0:
        if sources.hashes[slot] == hashed:
            return sources.slots[slot] - 1
        slot = (slot + 1) & (SOURCE_SLOTS - 1)
    place = figures[PLACES_USED]
    if place == SOURCES or size > SOURCE_BYTES:
        return i64(SOURCES)
    figures[PLACES_USED] += 1
    sources.hashes[slot] = hashed
    sources.slots[slot] = place + 1
    sources.sizes[place] = size
    for at in range(size):
        sources.names[place, at] = named.data[start + at]
    return place


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
def _slot_of_cell(hour: Any, place: Any, cells: Any) -> Any:
    """Where the table has a cell, or where it is to be put."""
    mask = cells.table.size - 1
    key = hour * (SOURCES + 1) + place
    slot = i64((u64(key) * u64(0x9E3779B97F4A7C15)) >> u64(32)) & mask
    while True:
        cell = cells.table[slot] - 1
        if cell < 0 or (cells.hours[cell] == hour and cells.places[cell] == place):
            return slot
        slot = (slot + 1) & mask


@nb.njit(nogil=True, cache=True, _nrt=False)
def place_cells(cells: Any) -> None:
    """Fill the empty table with the cells that are used."""
    for cell in range(cells.figures[CELLS_USED]):
        slot = _slot_of_cell(cells.hours[cell], cells.places[cell], cells)
        cells.table[slot] = cell + 1


@nb.njit(nogil=True, cache=True, _nrt=False)
def locate(
    rows: Any, hours: Any, named: Any, sources: Any, cells: Any, first: Any, cell_of: Any
) -> Any:
    """The cell of each row from `first` on; where it ends for want of a cell, which is the number
    of rows if it does not."""
    figures = cells.figures
    for i in range(first, rows.size):
        hour = hours[i]
        place = _place_of(named, rows[i], sources, figures)
        slot = _slot_of_cell(hour, place, cells)
        cell = cells.table[slot] - 1
        if cell < 0:
            cell = figures[CELLS_USED]
            if cell == cells.hours.size:
                return i
            figures[CELLS_USED] += 1
            cells.table[slot] = cell + 1
            cells.hours[cell] = hour
            cells.places[cell] = place
        cells.rows[cell] += 1
        cell_of[i] = cell
    return i64(rows.size)
