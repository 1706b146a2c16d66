"""Rows without the texts behind them, and these texts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from freshet.features.packed import Packed
from freshet.features.texts import section_kernels as kernels
from freshet.schemas.text.columns import Texts

I64 = npt.NDArray[np.int64]


class Sections(NamedTuple):
    """The texts of `n` rows: the rows with them as `words`, the word at which each ends, the one at
    which its texts begin, and how many texts there are."""

    words: I64
    ends: I64
    starts: I64
    texts: int

    def all(self) -> Texts:
        """The texts of all rows, one row after the other, over the same bytes."""
        begin = np.empty(self.texts, np.int64)
        end = np.empty(self.texts, np.int64)
        kernels.spans(self.words, self.ends, self.starts, begin, end)
        return Texts(self.words.view(np.uint8), begin, end, np.ones(self.texts, np.bool_))

    def texts_of(self, codes: I64) -> Texts:
        """The text of each row that has this code, over the same bytes; missing where the row has
        none."""
        rows = len(self.ends)
        begin = np.empty(rows, np.int64)
        end = np.empty(rows, np.int64)
        is_there = np.empty(rows, np.bool_)
        data = self.words.view(np.uint8)
        sections = (self.words, self.ends, self.starts)
        kernels.find(data, sections, codes, begin, end, is_there)
        return Texts(data, begin, end, is_there)


def cut(words: I64, ends: I64) -> tuple[I64, I64, Sections]:
    """The words of rows without texts, where each ends, and the texts. What is no row with texts
    has no words."""
    bare = np.empty(words.size, np.int64)
    bare_ends = np.empty(ends.size, np.int64)
    starts = np.empty(ends.size, np.int64)
    count = kernels.cut(words, ends, bare, bare_ends, starts)
    after = int(bare_ends[-1]) if bare_ends.size else 0
    return bare[:after], bare_ends, Sections(words, ends, starts, int(count))


def cut_stored(rows: Packed) -> tuple[Packed, Sections]:
    """The same of rows as a store gives them."""
    found = rows
    if np.bitwise_or.reduce(rows.ends) & 7:
        # Nobody's rows: they are absent, as all that is none.
        found = Packed.of([b"" if len(row) % 8 else row for row in rows])
    # A copy: what a store hands out may begin anywhere, and be written by nobody.
    words = np.frombuffer(bytearray(found.data.data), np.int64)
    bare, ends, sections = cut(words, found.ends // kernels.WORD)
    return Packed(bare.view(np.uint8), ends * kernels.WORD), sections
