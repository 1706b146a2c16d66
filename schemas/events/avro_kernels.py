"""The Avro walker: bounds-checked, table-driven, row by row. Source: Apache Avro 1.12
specification, binary encoding.

Columns are one table of words, int64 `[fields, 2, n]`: a text has its start and end, any other
field one word (a whole number, the bits of a float64, the index of an enum's symbol). Programs are
rows of int64 `[WIDTH]`, see `event_codec`.

Nothing is allocated here, so the kernels are compiled without numba's reference counting
(`_nrt=False`): in code with many early returns it is not optimised away, and took three quarters of
the time.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

u64, i64 = np.uint64, np.int64
STRING, INT, LONG, FLOAT, DOUBLE, BOOLEAN, ENUM, CONSTANT, CONSTANT_TEXT = range(9)
OP, NULL_BRANCH, FIELD, TARGET, FIRST, SECOND, WIDTH = range(7)
WHOLE, SINGLE, WIDE = range(3)
OK, UNDECODABLE, UNKNOWN_TYPE = range(3)
HEADER = 5
NO_SYMBOL = -1


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
def varint(data: Any, at: Any, end: Any) -> Any:
    """A zigzag number and the place after it; place -1 where it is cut off or has more than 64
    bits."""
    if at < end and data[at] < 128:
        short = i64(data[at])
        return (short >> 1) ^ -(short & 1), at + 1
    value, shift = u64(0), u64(0)
    while at < end:
        byte = u64(data[at])
        at += 1
        if shift == u64(63) and byte > u64(1):
            break
        value |= (byte & u64(127)) << shift
        if byte < u64(128):
            return i64(value >> u64(1)) ^ -i64(value & u64(1)), at
        shift += u64(7)
    return i64(0), i64(-1)


@nb.njit(nogil=True, cache=True, _nrt=False)
def is_utf8(data: Any, at: Any, end: Any) -> Any:
    """Whether the bytes are well-formed UTF-8. Source: Unicode 15, table 3-7."""
    high = np.uint8(0)
    for i in range(at, end):
        high |= data[i]
    if high < 128:
        return True
    while at < end:
        lead = data[at]
        at += 1
        if lead < 0x80:
            continue
        low, top, more = 0x80, 0xBF, 1
        if lead < 0xC2 or lead > 0xF4:
            return False
        if lead >= 0xF0:
            more = 3
            low = 0x90 if lead == 0xF0 else 0x80
            top = 0x8F if lead == 0xF4 else 0xBF
        elif lead >= 0xE0:
            more = 2
            low = 0xA0 if lead == 0xE0 else 0x80
            top = 0x9F if lead == 0xED else 0xBF
        if end - at < more:
            return False
        for k in range(more):
            if data[at + k] < low or data[at + k] > top:
                return False
            low, top = 0x80, 0xBF
        at += more
    return True


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
def little_endian(data: Any, at: Any, size: Any) -> Any:
    word = u64(0)
    for i in range(size):
        word |= u64(data[at + i]) << u64(8 * i)
    return word


@nb.njit(nogil=True, cache=True, _nrt=False)
def float_of(bits: Any, single: Any) -> Any:
    """The number with these IEEE 754 bits."""
    return np.float64(np.uint32(bits).view(np.float32)) if single else u64(bits).view(np.float64)


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
def program_of(data: Any, at: Any, ids: Any, last: Any) -> Any:
    """The program for a row's wire id, -1 if there is none; most rows have that of the row
    before."""
    wire = i64(0)
    for i in range(1, HEADER):
        wire = wire << 8 | i64(data[at + i])
    if last >= 0 and ids[last] == wire:
        return last
    for k in range(ids.size):
        if ids[k] == wire:
            return k
    return -1


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
def walk_row(
    data: Any,
    at: Any,
    end: Any,
    program: Any,
    maps: Any,
    words: Any,
    floats: Any,
    valid: Any,
    r: Any,
) -> Any:
    """Decode one row by its program: the place reached (-1: undecodable), the step stopped at,
    constant texts used."""
    texts = 0
    for k in range(program.shape[0]):
        op, null, field = program[k, OP], program[k, NULL_BRANCH], program[k, FIELD]
        first, second = program[k, FIRST], program[k, SECOND]
        if op >= CONSTANT:
            valid[field, r] = program[k, TARGET] != 0
            words[field, 0, r], words[field, 1, r] = first, second
            if op == CONSTANT_TEXT:
                words[field, 0, r] += data.size
                words[field, 1, r] += data.size
                texts += 1
            continue
        if null >= 0:
            branch, at = varint(data, at, end)
            if at < 0 or branch < 0 or branch > 1:
                return i64(-1), k, texts
            if branch == null:
                if field >= 0:
                    valid[field, r] = False
                    words[field, 0, r] = NO_SYMBOL if op == ENUM else 0
                    words[field, 1, r] = 0
                continue
        whole, number = i64(0), 0.0
        if op == STRING:
            whole, at = varint(data, at, end)
            if at < 0 or whole < 0 or whole > end - at:
                return i64(-1), k, texts
            if field >= 0:
                if not is_utf8(data, at, at + whole):
                    return i64(-1), k, texts
                words[field, 0, r], words[field, 1, r] = at, at + whole
                valid[field, r] = True
            at += whole
            continue
        if op in (DOUBLE, FLOAT):
            size = 8 if op == DOUBLE else 4
            if end - at < size:
                return i64(-1), k, texts
            number = float_of(little_endian(data, at, size), op == FLOAT)
            at += size
        elif op == BOOLEAN:
            if at >= end or data[at] > 1:
                return i64(-1), k, texts
            whole = i64(data[at])
            at += 1
        else:
            whole, at = varint(data, at, end)
            if at < 0 or (op == INT and (whole < -(1 << 31) or whole >= 1 << 31)):
                return i64(-1), k, texts
            if op == ENUM:
                if whole < 0 or whole >= second:
                    return i64(-1), k, texts
                whole = maps[first + whole]
                if whole < 0 and field >= 0:
                    return i64(-1), k, texts
            number = np.float64(whole)
        if field >= 0:
            valid[field, r] = True
            if program[k, TARGET] == WHOLE:
                words[field, 0, r] = whole
            elif program[k, TARGET] == SINGLE and op != FLOAT:
                floats[field, 0, r] = np.float64(np.float32(whole))
            else:
                floats[field, 0, r] = number
    return at, i64(-1), texts


@nb.njit(nogil=True, cache=True, _nrt=False)
def walk(
    data: Any, start: Any, end: Any, ids: Any, first: Any, steps: Any, maps: Any, words: Any, floats: Any, valid: Any,
    reason: Any, detail: Any, empty: Any,
) -> Any:  # fmt: skip
    """Decode every row into `words` and `valid` (bool `[fields, n]`); bad rows get a reason and are
    left empty.

    Program `k` is `steps[first[k]:first[k + 1]]`, for wire id `ids[k]`; `empty` int64 `[fields]` is
    a missing value's word; `floats` is `words` seen as float64. Returns how many constant texts
    rows refer to: they lie just after `data`.
    """
    last, texts = i64(-1), 0
    for r in range(start.size):
        at, stop = start[r], end[r]
        why, where, step = OK, i64(-1), i64(-1)
        if at < 0 or stop > data.size or stop - at < HEADER or data[at] != 0:
            why = UNDECODABLE
        else:
            last = program_of(data, at, ids, last)
            if last < 0:
                why = UNKNOWN_TYPE
            else:
                program = steps[first[last] : first[last + 1]]
                place, step, used = walk_row(
                    data, at + HEADER, stop, program, maps, words, floats, valid, r
                )
                texts += used
                if place != stop:
                    why = UNDECODABLE
                    where = program[step, FIELD] if step >= 0 else i64(-1)
        reason[r], detail[r] = why, where
        if why != OK:
            for f in range(empty.size):
                words[f, 0, r], words[f, 1, r] = empty[f], 0
                valid[f, r] = False
    return texts
