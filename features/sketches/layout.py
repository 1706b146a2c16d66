"""The words of sketches, behind the rings of a row's tiles (`features/rows/layout.py` draws a row).

A *sketch* keeps, for each of the newest tiles of one width, which values there were, coded as
64-bit numbers. Its words:

    0       how many tiles there are
    then, of each tile with values, oldest first:
    0, 1    its number (`time // width`), and how many entries it has, or REGISTERS
    2 …     the entries in the order of their codes, or the registers, eight a word

An entry of a HISTOGRAM is one word: the code of a bucket above bit 32, below it how many values
fell into it. One of a DISTINCT sketch is one word, the value's code; a tile with more of them than
it may have is turned into registers, which a question of any later moment sees, too. One of a
FREQUENT sketch is two words: the value's code, and how often it came.

What a tile holds follows from its values in the order of the log (of the first two kinds: in any
order), one after the other, so it does not matter when a tail went into it.
"""

from __future__ import annotations

# Kinds.
HISTOGRAM, DISTINCT, FREQUENT = range(3)
# The line of a sketch in the table that drives the kernels: the width of its tiles (ms), how many
# it has, the word of an event in the tail, its kind, the entries that a tile may have, the parts of
# a power of two or the bits of a register's number, and where its edges begin among those of all.
WIDTH, TILES, EVENT_WORD, KIND, MOST, SCALE, EDGES, SKETCH_WORDS = range(8)
TILE_HEADER = 2
REGISTERS = -1
# A value that is not there, as a code: the least of all, which is that of no float64 and no text.
MISSING = -(1 << 63)
AMOUNT_BITS = 32
AMOUNT_MASK = (1 << AMOUNT_BITS) - 1
REGISTERS_A_WORD = 8
ENTRY_WORDS = {HISTOGRAM: 1, DISTINCT: 1, FREQUENT: 2}

# The memory that windows are merged in: which sketch and how many tiles are merged in it, as of
# which tile, from where on, how many entries, and a count for each rank of a register; then two
# halves, in turn, of pairs of code and amount.
MERGED_SKETCH, MERGED_TILES, MERGED_AS_OF, MERGED_FROM, MERGED_COUNT = range(5)
RANKS = 5
RANKS_COUNTED = 64
HALVES = RANKS + RANKS_COUNTED
PAIR = 2
