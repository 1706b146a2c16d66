"""What a topic's events say to a model: their labels, by its task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from freshet.schemas.evaluated import evaluated
from freshet.schemas.events.columns import Columns
from freshet.schemas.models.label_values import label_values
from freshet.schemas.models.tasks import DEFAULT_TASK, Task
from freshet.schemas.topics.digests import fields_read

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LabelRoute:
    """Labels of a model, written to its outcomes log `to`, partitioned by prediction id."""

    to: str
    partitions: int
    id: str
    value: pl.Expr
    model: str = ""
    task: Task = DEFAULT_TASK

    @property
    def field(self) -> str | None:
        """The field at fault where a label is bad: of several none alone is."""
        names = sorted(fields_read(self.value))
        if len(names) != 1:
            return None
        return names[0]


class Labelled(NamedTuple):
    """Of events that are labels of a model: those that go to its log, by their `places` among the
    rows that were asked (bool `[n]`), with their `values` (float64 with nulls); the rows whose
    label is `bad`, and what each said (`said`); and how many had no prediction's id."""

    places: npt.NDArray[np.bool_]
    rows: Rows
    values: pl.Series
    bad: Rows
    said: list[object]
    without_id: int


def labelled(columns: Columns, rows: Rows, route: LabelRoute) -> Labelled:
    """What applied rows say to a model. Row by row: what stands beside an event decides nothing."""
    # An event without an id is the label of no prediction.
    places = columns.key(route.id).valid[rows].copy()
    named = rows[places]
    frame = columns.frame(sorted(fields_read(route.value)), named)
    found = evaluated(frame, [route.value.alias("x")])["x"]
    values, is_bad = label_values(found, route.task)
    without_id = len(rows) - len(named)
    # Nearly always.
    if not is_bad.any():
        return Labelled(
            places,
            named,
            values,
            rows[:0],
            [],
            without_id,
        )
    is_sound = pl.Series(~is_bad)
    places[places] = ~is_bad
    said = found.filter(pl.Series(is_bad)).to_list()
    return Labelled(
        places, named[~is_bad], values.filter(is_sound), named[is_bad], said, without_id
    )
