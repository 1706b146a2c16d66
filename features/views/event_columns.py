"""Columns of clean events as kernels fold them: numbers, and codes of values of any type."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.features.sketches.layout import MISSING
from freshet.schemas.text.columns import Texts

I64 = npt.NDArray[np.int64]
_ALL_BUT_SIGN = np.int64((1 << 63) - 1)


def numbers(column: pa.Array) -> npt.NDArray[np.float64]:
    """A column as float64, NaN where it is null; of a text 1.0, which says that it is there."""
    if pa.types.is_null(column.type):
        return np.full(len(column), np.nan)
    if pa.types.is_string(column.type):
        return np.where(column.is_valid().to_numpy(zero_copy_only=False), 1.0, np.nan)
    if column.type == pa.bool_():
        column = column.cast(pa.float64())
    values = column.to_numpy(zero_copy_only=False)
    return np.asarray(values, np.float64)


def codes(column: pa.Array, is_exact: bool) -> I64:
    """A column as codes, MISSING where it has no value: of whole numbers they are the numbers, of
    texts their hashes, of all others (and truths, as 1.0 and 0.0) the bits of the float64, put in
    the order of numbers. Not `is_exact`, whole numbers are as all others, since another topic's are
    no whole numbers."""
    if is_exact and pa.types.is_integer(column.type):
        # As 64 bits first: MISSING is beyond an int.
        whole = column.cast(pa.int64()).fill_null(MISSING)
        return np.asarray(whole.to_numpy(zero_copy_only=False), np.int64)
    if pa.types.is_string(column.type):
        texts = Texts.from_arrow(column)
        # Those of texts that are there are odd, so that none of them is MISSING.
        hashed = texts.hashes().view(np.int64)
        return np.where(texts.valid, hashed, MISSING)
    # Adding 0.0 makes one zero of two.
    values = numbers(column) + 0.0
    bits = values.view(np.int64)
    ordered = np.where(bits < 0, bits ^ _ALL_BUT_SIGN, bits)
    return np.where(np.isfinite(values), ordered, MISSING)
