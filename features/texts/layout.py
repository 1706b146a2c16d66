"""The texts behind the words of a row (`features/rows/layout.py` draws those).

A row keeps texts as their 64-bit hashes, *codes*. Whoever reads a row has nothing else, so one of a
view whose values may be texts that nobody declared has the texts themselves behind its words, each
once:

    0       how many bytes a text has
    1 …     these bytes, zeros behind them up to a whole word
    then the next one
    last    how many words all this takes, with this one

The order is that in which the words name them. A row of any other view has none of this, not even
the last word.

In memory they lie in one table a partition; they stand behind rows that go to a store, a checkpoint
or a disk.
"""

from __future__ import annotations

# A longer text is cut, and what was cut is told by its hash: rows of endless texts would be
# endless, and two texts that begin alike would be one.
LONGEST = 256
MARK = "…".encode()
