"""The Avro walker: bounds-checked, table-driven, row by row. Source: Apache Avro 1.12
specification, binary encoding.

Columns are one table of words, int64 `[fields, 2, n]`: texts, bytes, arrays and maps have their
start and end, any other field one word (a whole number, the bits of a float64, the index of an
enum's symbol). Programs are rows of int64 `[WIDTH]`, see `programs`; what is nested is laid out
flat in them, with jumps, so that nothing here calls itself.

Nothing is allocated here, so the kernels are compiled without numba's reference counting
(`_nrt=False`): in code with many early returns it is not optimised away, and took three quarters of
the time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba as nb
import numpy as np
import numpy.typing as npt

u64 = np.uint64
i64 = np.int64
# Values first, then what reads none, then what is made of others: the walker asks in this order.
STRING, INT, LONG, FLOAT, DOUBLE, BOOLEAN, ENUM, CONSTANT, CONSTANT_TEXT = range(9)
BYTES, CHECKED, FIXED, BRANCH, JUMP, BEGIN, LOOP = range(9, 16)
OP, NULL_BRANCH, FIELD, TARGET, FIRST, SECOND, WIDTH = range(7)
WHOLE, SINGLE, WIDE = range(3)
OK, UNDECODABLE, UNKNOWN_TYPE = range(3)
# Of the Confluent wire format: a zero byte and the schema's id.
HEADER = 5
# Not 0, which is an enum's first symbol.
NO_SYMBOL = -1
# A place in the bytes is never below 0, so this one says that there is none to go on from.
NOWHERE = i64(-1)
# As a field: the writer's, which no reader's field is read from. As a step: none was in the way.
NONE = i64(-1)


class Programs(NamedTuple):
    """Of each schema that records may have, by wire id: program `k`, for the wire id `ids[k]`, is
    `steps[first[k]:first[k + 1]]`; `maps` are the enums' symbols, as the reader has them, and the
    steps of a program at which the branches of its unions begin."""

    ids: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    steps: npt.NDArray[np.int64]
    maps: npt.NDArray[np.int64]


class Decoded(NamedTuple):
    """What rows are decoded into: `words` int64 `[fields, 2, n]`, `floats` the same bytes seen as
    float64, `valid` bool `[fields, n]`, and for each row what was wrong with it, and in which
    field."""

    words: npt.NDArray[np.int64]
    floats: npt.NDArray[np.float64]
    valid: npt.NDArray[np.bool_]
    reason: npt.NDArray[np.uint8]
    detail: npt.NDArray[np.int16]


@nb.njit(
    inline="always",
    nogil=True,
    cache=True,
    _nrt=False,
)
def varint(data: Any, at: Any, end: Any) -> Any:
    """A zigzag number and the place after it; `NOWHERE` where it is cut off or has more than 64
    bits."""
    # Most are one byte: lengths, branches of unions, symbols.
    if at < end and data[at] < 128:
        short = i64(data[at])
        return (short >> 1) ^ -(short & 1), at + 1
    value = u64(0)
    shift = u64(0)
    while at < end:
        byte = u64(data[at])
        at += 1
        # The tenth byte holds the 64th bit, and nothing else.
        if shift == u64(63) and byte > u64(1):
            break
        value |= (byte & u64(127)) << shift
        if byte < u64(128):
            return i64(value >> u64(1)) ^ -i64(value & u64(1)), at
        shift += u64(7)
    return i64(0), NOWHERE


@nb.njit(nogil=True, cache=True, _nrt=False)
def is_utf8(data: Any, at: Any, end: Any) -> Any:
    """Whether the bytes are well-formed UTF-8. Source: Unicode 15, table 3-7."""
    # ASCII, as most texts are, is found out without a branch for each byte.
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
        low = 0x80
        top = 0xBF
        more = 1
        # Continuations, and leads that could only begin an overlong form or what is no character.
        if lead < 0xC2 or lead > 0xF4:
            return False
        if lead >= 0xF0:
            more = 3
        elif lead >= 0xE0:
            more = 2
        # After these four leads the second byte has a narrower range: overlong forms, surrogates,
        # and what lies beyond U+10FFFF.
        if lead == 0xE0:
            low = 0xA0
        elif lead == 0xED:
            top = 0x9F
        elif lead == 0xF0:
            low = 0x90
        elif lead == 0xF4:
            top = 0x8F
        if end - at < more:
            return False
        for i in range(more):
            if data[at + i] < low or data[at + i] > top:
                return False
            # The narrower range is the second byte's alone.
            low = 0x80
            top = 0xBF
        at += more
    return True


@nb.njit(
    inline="always",
    nogil=True,
    cache=True,
    _nrt=False,
)
def little_endian(data: Any, at: Any, size: Any) -> Any:
    word = u64(0)
    for i in range(size):
        word |= u64(data[at + i]) << u64(8 * i)
    return word


@nb.njit(nogil=True, cache=True, _nrt=False)
def float_of(bits: Any, single: Any) -> Any:
    """The number with these IEEE 754 bits."""
    if single:
        return np.float64(np.uint32(bits).view(np.float32))
    return u64(bits).view(np.float64)


@nb.njit(
    inline="always",
    nogil=True,
    cache=True,
    _nrt=False,
)
def program_of(
    data: Any,
    at: Any,
    ids: Any,
    last: Any,
) -> Any:
    """The program for a row's wire id, `NONE` if there is none; most rows have that of the row
    before."""
    wire = i64(0)
    for i in range(1, HEADER):
        wire = wire << 8 | i64(data[at + i])
    if last >= 0 and ids[last] == wire:
        return last
    for k in range(ids.size):
        if ids[k] == wire:
            return k
    return NONE


@nb.njit(nogil=True, cache=True, _nrt=False)
def unknown_ids(data: Any, start: Any, end: Any, known: Any, found: Any) -> Any:
    """Put the wire ids that are none of `known` (int64, rising) into `found` (int64 `[n]`), one for
    each run of equal ones; how many there are."""
    count = 0
    # No id is below 0, so the first record's is looked at.
    last = i64(-1)
    for row in range(start.size):
        at = start[row]
        # What is no record of the wire format has no id.
        if at < 0 or end[row] > data.size or end[row] - at < HEADER or data[at] != 0:
            continue
        wire = i64(0)
        for i in range(1, HEADER):
            wire = wire << 8 | i64(data[at + i])
        if wire == last:
            continue
        last = wire
        place = np.searchsorted(known, wire)
        if place == known.size or known[place] != wire:
            found[count] = wire
            count += 1
    return count


@nb.njit(
    inline="always",
    nogil=True,
    cache=True,
    _nrt=False,
)
def put_constant(
    program: Any,
    k: Any,
    size: Any,
    into: Any,
    row: Any,
) -> Any:
    """A field that the writer lacks, by step `k`; whether it is a text, which lies after `size`
    bytes of data."""
    field = program[k, FIELD]
    is_text = program[k, OP] == CONSTANT_TEXT
    into.valid[field, row] = program[k, TARGET] != 0
    into.words[field, 0, row] = program[k, FIRST]
    into.words[field, 1, row] = program[k, SECOND]
    if is_text:
        into.words[field, 0, row] += size
        into.words[field, 1, row] += size
    return is_text


@nb.njit(
    inline="always",
    nogil=True,
    cache=True,
    _nrt=False,
)
def put_span(
    field: Any,
    start: Any,
    end: Any,
    into: Any,
    row: Any,
) -> None:
    if field >= 0:
        into.words[field, 0, row] = start
        into.words[field, 1, row] = end
        into.valid[field, row] = True


@nb.njit(
    inline="always",
    nogil=True,
    cache=True,
    _nrt=False,
)
def items_ahead(data: Any, at: Any, end: Any) -> Any:
    """How many items the next block of an array or map has, 0 after its last one, and the place
    after that number; `NOWHERE` where it is none."""
    count, at = varint(data, at, end)
    if at >= 0 and count < 0:
        # Then the block's size in bytes follows, for those who pass it over.
        count = -count
        size, at = varint(data, at, end)
        if size < 0:
            return count, NOWHERE
    # Each takes a byte at least; and the lowest number is below 0 still when it is turned round.
    if at >= 0 and (count < 0 or count > end - at):
        return count, NOWHERE
    return count, at


@nb.njit(
    inline="always",
    nogil=True,
    cache=True,
    _nrt=False,
)
def walk_steps(
    data: Any, at: Any, end: Any, program: Any, steps: Any, maps: Any, into: Any, row: Any
) -> Any:
    """Decode values and constants of one row, by the `steps` (first, last + 1) of its program: the
    place reached (`NOWHERE`: undecodable), the step stopped at, constant texts used."""
    texts = 0
    for k in range(steps[0], steps[1]):
        op = program[k, OP]
        null = program[k, NULL_BRANCH]
        field = program[k, FIELD]
        if op >= CONSTANT:
            texts += put_constant(
                program,
                k,
                data.size,
                into,
                row,
            )
            continue
        if null >= 0:
            branch, at = varint(data, at, end)
            if at < 0 or branch < 0 or branch > 1:
                return NOWHERE, k, texts
            if branch == null:
                if field >= 0:
                    into.valid[field, row] = False
                    into.words[field, 0, row] = NO_SYMBOL if op == ENUM else 0
                    into.words[field, 1, row] = 0
                continue
        whole = i64(0)
        number = 0.0
        if op == STRING:
            whole, at = varint(data, at, end)
            # Against what is left, as a sum of the two could pass 64 bits.
            if at < 0 or whole < 0 or whole > end - at:
                return NOWHERE, k, texts
            if field >= 0:
                if not is_utf8(data, at, at + whole):
                    return NOWHERE, k, texts
                into.words[field, 0, row] = at
                into.words[field, 1, row] = at + whole
                into.valid[field, row] = True
            at += whole
            continue
        if op in (DOUBLE, FLOAT):
            size = 8 if op == DOUBLE else 4
            if end - at < size:
                return NOWHERE, k, texts
            number = float_of(little_endian(data, at, size), op == FLOAT)
            at += size
        elif op == BOOLEAN:
            if at >= end or data[at] > 1:
                return NOWHERE, k, texts
            whole = i64(data[at])
            at += 1
        else:
            whole, at = varint(data, at, end)
            if at < 0 or (op == INT and (whole < -(1 << 31) or whole >= 1 << 31)):
                return NOWHERE, k, texts
            if op == ENUM:
                if whole < 0 or whole >= program[k, SECOND]:
                    return NOWHERE, k, texts
                whole = maps[program[k, FIRST] + whole]
                # A symbol that the reader lacks is no fault where nobody reads the field.
                if whole < 0 and field >= 0:
                    return NOWHERE, k, texts
            number = np.float64(whole)
        if field >= 0:
            into.valid[field, row] = True
            if program[k, TARGET] == WHOLE:
                into.words[field, 0, row] = whole
            elif program[k, TARGET] == SINGLE and op != FLOAT:
                # Rounded once, from the whole number: by way of a float64 it would be twice.
                into.floats[field, 0, row] = np.float64(np.float32(whole))
            else:
                into.floats[field, 0, row] = number
    return at, NONE, texts


@nb.njit(nogil=True, cache=True, _nrt=False)
def walk_nested_row(
    data: Any, at: Any, end: Any, program: Any, maps: Any, into: Any, row: Any, stack: Any
) -> Any:
    """Decode one row by any program, as `walk_steps` does. `stack` int64 has room for the items
    that are left of each array within an array. Apart, since loops with jumps cost flat rows a
    tenth of their speed."""
    texts = 0
    depth = 0
    following = 0
    while following < program.shape[0]:
        k = following
        following += 1
        op = program[k, OP]
        field = program[k, FIELD]
        if op <= CONSTANT_TEXT:
            at, _, used = walk_steps(
                data,
                at,
                end,
                program,
                (k, k + 1),
                maps,
                into,
                row,
            )
            texts += used
            if at < 0:
                return NOWHERE, k, texts
        elif op <= FIXED:
            size = program[k, FIRST]
            if op != FIXED:
                size, at = varint(data, at, end)
            if at < 0 or size < 0 or size > end - at:
                return NOWHERE, k, texts
            if op == CHECKED and not is_utf8(data, at, at + size):
                return NOWHERE, k, texts
            put_span(
                field,
                at,
                at + size,
                into,
                row,
            )
            at += size
        elif op == BRANCH:
            branch, at = varint(data, at, end)
            if at < 0 or branch < 0 or branch >= program[k, SECOND]:
                return NOWHERE, k, texts
            following = maps[program[k, FIRST] + branch]
        elif op == JUMP:
            following = program[k, FIRST]
        elif op == BEGIN:
            # Its end is put by the loop that follows.
            put_span(
                field,
                at,
                at,
                into,
                row,
            )
            stack[depth] = 0
            depth += 1
        else:
            left = stack[depth - 1]
            if left == 0:
                left, at = items_ahead(data, at, end)
                if at < 0:
                    return NOWHERE, k, texts
            stack[depth - 1] = left - 1
            if left == 0:
                depth -= 1
                if field >= 0:
                    into.words[field, 1, row] = at
                following = program[k, FIRST]
    return at, NONE, texts


@nb.njit(nogil=True, cache=True, _nrt=False)
def walk(
    data: Any,
    start: Any,
    end: Any,
    programs: Any,
    into: Any,
    empty: Any,
    stack: Any,
) -> Any:
    """Decode every row (a `Programs` into a `Decoded`); bad rows get a reason and are left empty.

    `empty` int64 `[fields]` is a missing value's word; `stack` int64 is as long as arrays are deep,
    or None where all programs have values and constants only. Returns how many constant texts rows
    refer to: they lie just after `data`.
    """
    last = NONE
    texts = 0
    for row in range(start.size):
        at = start[row]
        stop = end[row]
        why = OK
        where = NONE
        step = NONE
        if at < 0 or stop > data.size or stop - at < HEADER or data[at] != 0:
            why = UNDECODABLE
        else:
            last = program_of(
                data,
                at,
                programs.ids,
                last,
            )
            if last < 0:
                why = UNKNOWN_TYPE
            else:
                program = programs.steps[programs.first[last] : programs.first[last + 1]]
                # Asked when this is compiled, once for either: what no flat row runs costs it
                # speed all the same.
                if stack is None:
                    every = (0, program.shape[0])
                    place, step, used = walk_steps(
                        data, at + HEADER, stop, program, every, programs.maps, into, row
                    )
                else:
                    place, step, used = walk_nested_row(
                        data, at + HEADER, stop, program, programs.maps, into, row, stack
                    )
                texts += used
                # Bytes that are left over are as wrong as bytes that are missing.
                if place != stop:
                    why = UNDECODABLE
                    if step >= 0:
                        where = program[step, FIELD]
        into.reason[row] = why
        into.detail[row] = where
        if why != OK:
            # What was written before the fault was found must not be taken for values.
            for field in range(empty.size):
                into.words[field, 0, row] = empty[field]
                into.words[field, 1, row] = 0
                into.valid[field, row] = False
    return texts


@nb.njit(nogil=True, cache=True, _nrt=False)
def walk_items(
    data: Any, spans: Any, which: Any, programs: Any, into: Any, offsets: Any, stack: Any, put: Any
) -> Any:
    """Decode the items of arrays, whose rows were walked over before and are sound: `spans` int64
    `[2, n]` are their starts and ends, 0 and 0 where there is none, `which` int64 `[n]` the program
    of each.

    Sets `offsets` int32 `[n + 1]` to the number of items before each row; those that are found are
    put into a `Decoded` if `put` is set, else only counted. Returns how many constant texts items
    refer to.
    """
    total = 0
    texts = 0
    offsets[0] = 0
    for row in range(which.size):
        at = spans[0, row]
        end = spans[1, row]
        k = which[row]
        program = programs.steps[programs.first[k] : programs.first[k + 1]]
        while at < end:
            left, at = items_ahead(data, at, end)
            if at < 0 or left == 0:
                break
            for _ in range(left):
                place = total if put else 0
                at, _, used = walk_nested_row(
                    data, at, end, program, programs.maps, into, place, stack
                )
                texts += used
                if at < 0:
                    break
                total += 1
            if at < 0:
                break
        offsets[row + 1] = total
    return texts
