"""Derived fields of events: computed once for each that counts, before anything is made of it.
Columns have them from then on as they have those of the schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.schemas.events.columns import Columns
from freshet.schemas.text.columns import Texts
from freshet.schemas.topics.topic import Topic

if TYPE_CHECKING:
    import polars as pl

Rows = npt.NDArray[np.intp]


def derive(columns: Columns, topic: Topic, rows: Rows) -> None:
    """Put the derived fields of some rows (int64 indices) into the columns; those of others are
    missing."""
    # Its own fields keep their places: those that are derived stand behind them.
    columns.schema = topic.all_fields
    for derivation in topic.derivations:
        frame = columns.frame(derivation.reads, rows)
        _put(columns, derivation.field.name, derivation.compute(frame), rows)


def _put(columns: Columns, name: str, found: pl.Series, rows: Rows) -> None:
    import polars as pl

    valid = np.zeros(len(columns), np.bool_)
    valid[rows] = found.is_not_null().to_numpy()
    if found.dtype == pl.String:
        texts = Texts.from_arrow(found.to_arrow().cast(pa.string()))
        # Of rows that are left out the text is the missing one, which stands last.
        place = np.full(len(columns), len(rows))
        place[rows] = np.arange(len(rows))
        every = Texts.concatenate([texts, Texts.missing(1)])
        columns.replace(name, every.take(place), valid)
        return
    if found.dtype == pl.Boolean:
        found = found.cast(pl.Int64)
    numbers = found.fill_null(0).to_numpy()
    values = np.zeros(len(columns), numbers.dtype)
    values[rows] = numbers
    columns.replace(name, values, valid)
