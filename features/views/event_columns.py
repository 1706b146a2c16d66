"""Columns of clean events as kernels fold them: numbers, and codes of values of any type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.features.rows.plan import RowPlan
from freshet.features.sketches.layout import MISSING
from freshet.features.texts.long import shortened
from freshet.schemas.text.columns import Texts

I64 = npt.NDArray[np.int64]
_ALL_BUT_SIGN = np.int64((1 << 63) - 1)


class Taken(NamedTuple):
    """What a plan takes of `n` events: `values` float64 `[n, k]` of its fields (NaN: missing), the
    same to the last digit or as codes (`wholes` int64 `[n, k]`; None: it asks for none), and the
    `texts` that its rows keep, a column for each field of those."""

    values: npt.NDArray[np.float64]
    wholes: I64 | None
    texts: Sequence[Texts]


def taken(plan: RowPlan, columns: Sequence[pa.Array], count: int) -> Taken:
    """Of so many events, whose columns are those of the plan's fields."""
    values = np.empty((count, len(columns)))
    for at, column in enumerate(columns):
        values[:, at] = numbers(column)
    if not plan.takes_codes:
        return Taken(values, None, ())
    kept = plan.texts.fields if plan.texts is not None else ()
    wholes = np.zeros((count, len(columns)), np.int64)
    texts = []
    for at, column in enumerate(columns):
        if at in kept:
            own = _texts(column)
            texts.append(own)
            wholes[:, at] = _text_codes(own)
        elif at in plan.coded or at in plan.exact:
            wholes[:, at] = codes(column, at in plan.exact)
    return Taken(values, wholes, texts)


def _texts(column: pa.Array) -> Texts:
    """As rows keep them."""
    if pa.types.is_null(column.type):
        return Texts.missing(len(column))
    return shortened(Texts.from_arrow(column))


def _text_codes(texts: Texts) -> I64:
    # Those of texts that are there are odd, so that none of them is MISSING.
    return np.where(texts.valid, texts.hashes().view(np.int64), MISSING)


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
        return _text_codes(Texts.from_arrow(column))
    # Adding 0.0 makes one zero of two.
    values = numbers(column) + 0.0
    bits = values.view(np.int64)
    ordered = np.where(bits < 0, bits ^ _ALL_BUT_SIGN, bits)
    return np.where(np.isfinite(values), ordered, MISSING)
