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

from freshet.schemas.durations import HOUR_MS
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
CHUNK = 512
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


class Values(NamedTuple):
    """Columns as they were decoded: `data`, `words` int64 `[fields, 2, n]`, `valid` bool `[fields,
    n]`, and how each field is counted. Of enums all symbols are texts (data, start, end): those of
    a field begin at its `first_symbols`, which is -1 of other fields."""

    data: Any
    words: Any
    valid: Any
    kinds: Any
    symbols: Any
    first_symbols: Any


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


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
def _count_text(data: Any, start: Any, end: Any, head: Any, sketch: Any, spare: Any) -> None:
    keys, counts, texts = sketch
    key = i64(hash_span(data, start, end, SEED_HIGH) >> u64(1))
    # At level 0 nothing is left out: a shift by all bits leaves 0.
    if key >> (HASH_BITS - head[LEVEL]) != 0:
        return
    slot = _slot_of(key)
    while counts[slot] != 0 and keys[slot] != key:
        slot = (slot + 1) & (SLOTS - 1)
    if counts[slot] != 0:
        counts[slot] += 1
        return
    keys[slot] = key
    counts[slot] = 1
    head[USED] += 1
    _note_text(texts[slot], data, start, end)
    while head[USED] > BOUND:
        _shrink(True, head, keys, counts, texts, spare)


@nb.njit(nogil=True, cache=True, _nrt=False)
def _count_texts(column: Any, rows: Any, head: Any, sketch: Any, spare: Any) -> None:
    data, start, end, valid = column
    present = i64(0)
    for i in range(rows.size):
        row = rows[i]
        if valid[row]:
            present += 1
            _count_text(data, start[row], end[row], head, sketch, spare)
    head[PRESENT] += present


@nb.njit(nogil=True, cache=True, _nrt=False)
def _count_symbols(column: Any, rows: Any, head: Any, sketch: Any, spare: Any) -> None:
    data, start, end, indices, valid = column
    present = i64(0)
    for i in range(rows.size):
        row = rows[i]
        if valid[row]:
            present += 1
            symbol = indices[row]
            _count_text(data, start[symbol], end[symbol], head, sketch, spare)
    head[PRESENT] += present


@nb.njit(nogil=True, cache=True, _nrt=False)
def _count_numbers(
    column: Any, is_float: Any, rows: Any, of_cell: Any, sketch: Any, spare: Any
) -> None:  # fmt: skip
    """`column` are words int64 `[n]`, which are floats' bits where it `is_float`, and which of them
    are there. What changes with every value is kept out of memory meanwhile."""
    values, valid = column
    head, moments = of_cell
    keys, counts, texts = sketch
    present = head[PRESENT]
    lowest = head[LOWEST]
    highest = head[HIGHEST]
    level = head[LEVEL]
    origin = moments[ORIGIN]
    total = moments[SUM]
    squares = moments[SQUARES]
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
        if present == 0:
            lowest = bits
            highest = bits
            # Around a value of its own, so that no digits are lost of numbers far from zero.
            origin = value
        present += 1
        lowest = min(lowest, bits)
        highest = max(highest, bits)
        distance = value - origin
        total += distance
        squares += distance * distance
        key = bits >> (DROPPED_BITS + level)
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
            _shrink(False, head, keys, counts, texts, spare)
        level = head[LEVEL]
    head[PRESENT] = present
    head[LOWEST] = lowest
    head[HIGHEST] = highest
    moments[ORIGIN] = origin
    moments[SUM] = total
    moments[SQUARES] = squares


@nb.njit(nogil=True, cache=True, _nrt=False)
def _count_present(valid: Any, rows: Any, head: Any) -> None:
    present = i64(0)
    for i in range(rows.size):
        present += valid[rows[i]]
    head[PRESENT] += present


@nb.njit(nogil=True, cache=True, _nrt=False)
def _count_run(values: Any, rows: Any, cell: Any, cells: Any, spare: Any) -> None:
    """Count all fields' values of rows of one cell."""
    text_at = i64(0)
    for field in range(values.kinds.size):
        kind = values.kinds[field]
        head = cells.heads[cell, field]
        words = values.words[field]
        valid = values.valid[field]
        keys = cells.keys[cell, field]
        counts = cells.counts[cell, field]
        if kind == PRESENCE:
            _count_present(valid, rows, head)
        elif kind == TEXT:
            sketch = (keys, counts, cells.texts[cell, text_at])
            text_at += 1
            first = values.first_symbols[field]
            if first < 0:
                texts = (values.data, words[0], words[1], valid)
                _count_texts(texts, rows, head, sketch, spare)
            else:
                data, start, end = values.symbols
                symbols = (data, start[first:], end[first:], words[0], valid)
                _count_symbols(symbols, rows, head, sketch, spare)
        else:
            of_cell = (head, cells.moments[cell, field])
            # It has none, but shrinking is compiled for texts, too.
            sketch = (keys, counts, cells.texts[0, 0])
            _count_numbers((words[0], valid), kind == FLOATING, rows, of_cell, sketch, spare)


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
def _cell_of(hour: Any, place: Any, cells: Any) -> Any:
    """The cell of an hour and a source; -1 if there is none, nor room for one."""
    slot = _slot_of_cell(hour, place, cells)
    cell = cells.table[slot] - 1
    if cell < 0 and cells.figures[CELLS_USED] < cells.hours.size:
        cell = cells.figures[CELLS_USED]
        cells.figures[CELLS_USED] += 1
        cells.table[slot] = cell + 1
        cells.hours[cell] = hour
        cells.places[cell] = place
    return cell


@nb.njit(nogil=True, cache=True, _nrt=False)
def count(
    values: Any, rows: Any, times: Any, by_source: Any, cells: Any, first: Any, spare: Any
) -> Any:  # fmt: skip
    """Count `rows` (int64 `[n]`, with the event time of each, ms) from `first` on; where it ends
    for want of a cell, which is the number of rows if it does not. `by_source` is who sent each,
    and the `Sources`; `spare` is room for one sketch."""
    named, sources = by_source
    begin = first
    cell = i64(-1)
    hour = i64(0)
    place = i64(-1)
    for i in range(first, rows.size):
        own_place = _place_of(named, rows[i], sources, cells.figures)
        # Without a division, which would take longer than all else here.
        in_hour = hour * HOUR_MS <= times[i] < (hour + 1) * HOUR_MS
        is_same = cell >= 0 and own_place == place and in_hour
        # Rows of one cell that follow each other are counted together; few enough of them at a
        # time, so that their texts are fetched from memory once for all fields.
        if is_same and i - begin < CHUNK:
            continue
        if cell >= 0:
            cells.rows[cell] += i - begin
            _count_run(values, rows[begin:i], cell, cells, spare)
        begin = i64(i)
        if is_same:
            continue
        place = own_place
        hour = i64(times[i] // HOUR_MS)
        cell = _cell_of(hour, place, cells)
        if cell < 0:
            return i64(i)
    if cell >= 0:
        cells.rows[cell] += rows.size - begin
        _count_run(values, rows[begin:], cell, cells, spare)
    return i64(rows.size)
