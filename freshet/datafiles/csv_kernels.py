"""The numba kernel that finds where records of CSV end, and those that have not as many fields as
the header.

Source: RFC 4180, section 2; a quote that is not the first byte of its field is a literal there, to
pyarrow and to Python's csv module. What follows the closing quote belongs to the field, as both of
these have it.
"""

from __future__ import annotations

from typing import Any

import numba as nb

# Where a byte stands: first of a line, first of another field, in a field without quotes, within
# quotes, after a quote within quotes, after a return that ends a record.
LINE, FIELD, PLAIN, QUOTED, CLOSED, RETURNED = range(6)
NONE = -1
QUOTE = ord('"')
LINE_FEED = ord("\n")
RETURN = ord("\r")


@nb.njit(nogil=True, cache=True)
def scan(data: Any, separator: Any, width: Any, start: Any, state: Any, misfits: Any) -> Any:
    """Where the last record ends, `NONE` if none does, and how many have not `width` fields: their
    starts and ends are written to `misfits` `[n, 2]`.

    All of them are places in `data`; `start` is where the first record begins, which is before it
    if earlier data held a part of that. `state` is what is carried from data to data: where the
    next byte stands, and how many fields the record has had.
    """
    where = state[0]
    fields = state[1]
    last = NONE
    found = 0
    for i in range(data.size):
        byte = data[i]
        if where == QUOTED:
            if byte == QUOTE:
                where = CLOSED
            continue
        if where == CLOSED and byte == QUOTE:
            # Two of them within quotes are one.
            where = QUOTED
            continue
        end = NONE
        had = fields
        if where == RETURNED:
            # Only now it is known whether a line feed belongs to the return.
            end = i
            where = LINE
            fields = 0
            if byte == LINE_FEED:
                end = i + 1
        if end == i + 1:
            pass
        elif byte == separator:
            fields += 1
            where = FIELD
        elif byte in (LINE_FEED, RETURN):
            # A line without anything is no record, and has no field.
            if where != LINE:
                fields += 1
            where = RETURNED
            if byte == LINE_FEED:
                end = i + 1
                had = fields
                where = LINE
                fields = 0
        elif byte == QUOTE and where in (LINE, FIELD):
            where = QUOTED
        else:
            where = PLAIN
        if end == NONE:
            continue
        if had != 0 and had != width:
            misfits[found, 0] = start
            misfits[found, 1] = end
            found += 1
        start = end
        last = end
    state[0] = where
    state[1] = fields
    return last, found
