"""How users' expressions are evaluated: a row's value is the same whatever rows stand beside it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


def evaluated(frame: pl.DataFrame, expressions: Iterable[pl.Expr]) -> pl.DataFrame:
    """What row-wise expressions come to over a frame, a column each.

    A single row is evaluated as two: Polars divides one number by a constant, but multiplies
    several by its inverse, and the two differ in the last digit.
    """
    import polars as pl

    if frame.height != 1:
        return frame.select(expressions)
    twice = pl.DataFrame([column.new_from_index(0, 2) for column in frame.get_columns()])
    return twice.select(expressions).head(1)
