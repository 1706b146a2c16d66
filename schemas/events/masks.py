"""Columns of a clean log that hold a value only where a user's condition is true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.schemas.evaluated import evaluated
from freshet.schemas.events.columns import Columns

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Masked:
    """The column `name`: the values of `field` (None: true, for the event itself) where the
    condition at `which` is true (-1: everywhere), else null."""

    name: str
    field: str | None
    which: int


def masked_arrays(
    columns: Columns,
    rows: npt.NDArray[np.intp],
    conditions: Sequence[pl.Expr],
    masked: Sequence[Masked],
) -> dict[str, pa.Array]:
    """Of some rows; each condition is asked once, however many columns it masks."""
    if not masked:
        return {}
    # Only here: it makes a thousand functions when it is imported, and few topics need one.
    import pyarrow.compute as pc

    found = _true_where(columns, rows, conditions)
    everywhere = pa.array(np.ones(len(rows), np.bool_))
    out = {}
    for column in masked:
        there = everywhere
        if column.which >= 0:
            there = found[column.which]
        values = everywhere
        if column.field is not None:
            values = columns.plain_arrow(column.field, rows)
        # Where the condition is null, so is the value.
        out[column.name] = pc.if_else(there, values, pa.scalar(None, values.type))
    return out


def _true_where(
    columns: Columns, rows: npt.NDArray[np.intp], conditions: Sequence[pl.Expr]
) -> list[pa.Array]:
    if not conditions:
        return []
    read = {name for condition in conditions for name in condition.meta.root_names()}
    # A column without a name is an item of a list.
    names = sorted(read - {""})
    # Under names of their own: two conditions may end in the same field's.
    asked = [condition.alias(str(at)) for at, condition in enumerate(conditions)]
    frame = evaluated(columns.frame(names, rows), asked)
    return [series.to_arrow() for series in frame.get_columns()]
