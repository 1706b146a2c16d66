"""Rows as stores have them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from freshet.features.packed import Packed
from freshet.features.rows.layout import NEVER, NEWEST, OVER, VERSION_INDEX, VERSION_OFFSET
from freshet.features.rows.plan import WORD

I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def as_stored(words: I64, ends: I64) -> Packed:
    """Rows as the store has them, in the place of their `words` in memory."""
    packed = Packed(words.view(np.uint8), ends * WORD)
    # Versions are big-endian in the store, where they are compared as bytes.
    starts = packed.starts // WORD
    for word in (VERSION_OFFSET, VERSION_INDEX):
        words[starts + word] = words[starts + word].byteswap()
    return packed


def is_erased(rows: Packed) -> Bools:
    """Which rows, bool `[n]`, are nothing but the version of what erased them."""
    out: Bools = _newest_of(rows) == NEVER
    return out


def is_over(rows: Packed) -> Bools:
    """Which rows, bool `[n]`, are nothing but the version of one that is over."""
    out: Bools = _newest_of(rows) == OVER
    return out


def _newest_of(rows: Packed) -> I64:
    words = rows.data.view(np.int64)
    newest: I64 = words[rows.starts // WORD + NEWEST]
    return newest
