"""Texts as rows hold them: none is longer than they have room for."""

from __future__ import annotations

import numpy as np

from freshet.features.texts import long_kernels as kernels
from freshet.features.texts.layout import LONGEST, MARK
from freshet.schemas.text.columns import Texts

_DIGITS = np.frombuffer(bytearray(b"0123456789abcdef"), np.uint8)
_MARK = np.frombuffer(bytearray(MARK), np.uint8)


def shortened(texts: Texts) -> Texts:
    """The texts, those of more than 256 bytes cut: what they begin with, `…`, and the 16 digits of
    their hash, 256 bytes at most.

    >>> [short] = shortened(Texts.of(["a" * 1_000])).to_arrow().to_pylist()
    >>> len(short.encode()), short[234:]
    (256, 'aaa…9dfbd36f418dc357')
    """
    lengths = texts.end - texts.start
    # By far the most batches have none.
    if lengths.max(initial=0) <= LONGEST:
        return texts
    # At least one byte, since kernels want an array.
    out = np.zeros(max(1, int(np.minimum(lengths, LONGEST).sum())), np.uint8)
    ends = np.zeros(len(texts) + 1, np.int64)
    kernels.shorten((texts.data, texts.start, texts.end), LONGEST, _MARK, _DIGITS, out, ends[1:])
    return Texts(out, ends[:-1], ends[1:], texts.valid)
