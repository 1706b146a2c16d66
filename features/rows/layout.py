"""The words of a row, and what numbers in the kernels' tables mean.

A row is 8-byte words. It has a header, states, a tail of raw events in the order of the log and,
once the tail ran over, tiles:

    0, 1    version: offset and index in the clean log (big-endian once packed)
    2       newest event time (ms)
    3       events in the tail; above bit 32: 1 if there are tiles
    4 …     a decayed state: sum, weight, time of its newest value (ms);
            a last or first state: value (a float64, or an int64 where the field is of whole
            numbers), its time (ms; NEVER: no value yet);
            the last different values: of each its code and the time (ms) of its newest event,
            the newest first (MISSING and NEVER: no more of them)
    tail    of each event its time (ms), then the float64 of each field that a window is of, then
            the code of each field whose values are kept themselves
    tiles   the newest event time when the tail last went into tiles, then the rings, then the
            sketches (`features/sketches/layout.py`)

A *ring* has the `tiles` newest tiles of one width: tile `q` is of the events with
`time // width == q`. It is a bitmap (bit `j`: there is tile `q - tiles + 1 + j`, with `q` that of
the time in front of the rings), then the float64 columns of each tile that is there, oldest first,
then their uint32 columns, padded to a word. Windows of one width share a ring.

The tail has TAIL events at most: one more and all of them go into their tiles. So a row with few
events is short, and a busy one is bounded, and nobody sees which of the two it is: the tail is
applied to the tiles in the same order whenever that is done. Numbers that are not finite are
missing.

In memory a row lies in a *block*, two words longer: the row's number with its marks, and the
block's size with the events that its tail has room for.
"""

from __future__ import annotations

VERSION_OFFSET = 0
VERSION_INDEX = 1
NEWEST = 2
TAIL_STATE = 3
HEADER = 4
# Longer tails make quiet rows longer and busy ones cheaper, as tiles are written less often.
TAIL = 32
TILED = 1 << 32
EVENTS_MASK = TILED - 1

# A block, before its row. The first holds an id below 2^32, the second a size in words below 2^32.
BLOCK_ID = 0
BLOCK_SIZE = 1
BLOCK_HEADER = 2
ID_MASK = (1 << 32) - 1
SIZE_MASK = (1 << 32) - 1
# Who has yet to see a touched row: bits of its marks, and every second of `touched`.
STORE = 0
CHECKPOINT = 1
MARKS = 32
DEAD = 1 << 34  # the row has another block, or none: space for compaction
# Of rows that may lie on disk, too: whether one was touched since it was last asked for that, and
# whether it is other than there.
USED = 3
DIRTY = 4

# What a tile's columns hold: float64 of a field, then uint32 counts of values and of events.
SUM, MIN, MAX, VALUES, ROWS = range(5)
# More float64 ones, for a variance: the values' squared distances from their mean, summed up, and
# right behind them that mean.
SQUARES, CENTRE = range(5, 7)
# States, beside the tiles.
DECAYED, LAST, LAST_WHOLE, FIRST, FIRST_WHOLE, RECENT = range(6)
# What `finish` reads.
F_TOTAL, F_MEAN, F_MIN, F_MAX, F_LAST, F_DECAYED, F_AGE, F_LAST_WHOLE = range(8)
F_SINCE, F_DECAYED_SUM, F_DECAYED_COUNT, F_RATE, F_RATIO = range(8, 13)
F_VARIANCE, F_DEVIATION = range(13, 15)
F_QUANTILE, F_DISTINCT, F_FREQUENT, F_FREQUENT_WHOLE = range(15, 19)
F_RECENT, F_RECENT_WHOLE = range(19, 21)
# The numbers of Feast's FieldStatus.
PRESENT = 1
NULL_VALUE = 2
NOT_FOUND = 3
OUTSIDE_MAX_AGE = 4

# Before all times, so that the first value is the newest without a question. The newest event of a
# row that was erased, and of one that is over: nothing is left of either.
NEVER = -(1 << 63)
OVER = NEVER + 1
# After all tiles.
END = (1 << 63) - 1
