"""The Avro walker: a bounds-checked, table-driven reader of flat records (Avro 1.11 binary encoding), row by row.

A *program* lists a writer schema's fields in order: int64 `[fields, 4]` of (op, slot, index of the reader's field or -1 to
skip, branch of null or -1). Ops and slots say where a value goes: texts as spans, whole numbers, floats.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

u64 = np.uint64
TEXT, LONG, DOUBLE, FLOAT, ENUM, BOOLEAN, LONG_AS_DOUBLE = 1, 2, 3, 4, 5, 6, 7
UNDECODABLE, UNKNOWN_TYPE = 1, 2
HEADER = 5


@nb.njit(inline="always", nogil=True, cache=True)
def varint(data: Any, at: Any, end: Any) -> Any:
    """A zigzag number and the place after it, or place -1."""
    value, shift = u64(0), u64(0)
    while at < end:
        byte = u64(data[at])
        at += 1
        value |= (byte & u64(127)) << shift
        if byte < u64(128):
            return np.int64(value >> u64(1)) ^ -np.int64(value & u64(1)), at
        shift += u64(7)
        if shift > u64(63):
            break
    return np.int64(0), np.int64(-1)


@nb.njit(nogil=True, cache=True)
def walk(
    data: Any, start: Any, end: Any, ids: Any, programs: Any, lengths: Any, symbols: Any, starts: Any, ends: Any, longs: Any,
    words: Any, halves: Any, doubles: Any, singles: Any, valid: Any, reason: Any,
) -> None:  # fmt: skip
    """Decode every row by the program of its wire id, or say why not in `reason`; a bad row is left empty.

    `programs` int64 `[schemas, fields, 4]`; `symbols` int64 `[schemas, fields, most, 2]` the spans of enum symbols in
    `data`; `words` and `halves` are `doubles` and `singles` as integers. Rows' values must be zeroed, but for defaults.
    """
    for r in range(start.size):
        at, stop = start[r], end[r]
        if stop - at < HEADER or data[at] != 0:
            reason[r] = UNDECODABLE
            continue
        wire = np.int64(data[at + 1]) << 24 | np.int64(data[at + 2]) << 16 | np.int64(data[at + 3]) << 8
        wire |= np.int64(data[at + 4])
        at += HEADER
        program = -1
        for k in range(ids.size):
            if ids[k] == wire:
                program = k
        if program < 0:
            reason[r] = UNKNOWN_TYPE
            continue
        ok = True
        for f in range(lengths[program]):
            op, slot = programs[program, f, 0], programs[program, f, 1]
            field, null = programs[program, f, 2], programs[program, f, 3]
            if null >= 0:
                branch, at = varint(data, at, stop)
                if at < 0 or branch < 0 or branch > 1:
                    ok = False
                    break
                if branch == null:
                    if field >= 0:
                        valid[field, r] = False
                    continue
            if op == TEXT:
                n, at = varint(data, at, stop)
                if at < 0 or n < 0 or n > stop - at:
                    ok = False
                    break
                if field >= 0:
                    starts[slot, r] = at
                    ends[slot, r] = at + n
                at += n
            elif op == LONG or op == LONG_AS_DOUBLE or op == ENUM:
                v, at = varint(data, at, stop)
                if at < 0:
                    ok = False
                    break
                if op == ENUM:
                    if v < 0 or v >= symbols.shape[2] or symbols[program, f, v, 0] < 0:
                        ok = False
                        break
                    if field >= 0:
                        starts[slot, r] = symbols[program, f, v, 0]
                        ends[slot, r] = symbols[program, f, v, 1]
                elif field >= 0 and op == LONG:
                    longs[slot, r] = v
                elif field >= 0:
                    doubles[slot, r] = np.float64(v)
            elif op == BOOLEAN:
                if at >= stop or data[at] > 1:
                    ok = False
                    break
                if field >= 0:
                    longs[slot, r] = data[at]
                at += 1
            else:
                size = 8 if op == DOUBLE else 4
                if stop - at < size:
                    ok = False
                    break
                w = u64(0)
                for i in range(size):
                    w |= u64(data[at + i]) << u64(8 * i)
                at += size
                if field >= 0 and op == DOUBLE:
                    words[slot, r] = w
                elif field >= 0:
                    halves[r] = np.uint32(w)
                    doubles[slot, r] = np.float64(singles[r])
            if field >= 0:
                valid[field, r] = True
        if not ok or at != stop:
            reason[r] = UNDECODABLE
            starts[:, r] = 0
            ends[:, r] = 0
            longs[:, r] = 0
            doubles[:, r] = 0.0
            valid[:, r] = False
