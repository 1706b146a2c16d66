"""Whether events make the values that were served: folded into a row and finished by the code that
views run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from freshet.explain.row_events import CleanEvent
from freshet.features.aggregates import Age, Distribution, Ratio, Window
from freshet.features.partition.events import More
from freshet.features.partition.rows import ViewRows
from freshet.features.rows.finish import Finished, finish
from freshet.features.views.event_columns import codes, taken
from freshet.features.views.view import View
from freshet.schemas.text.columns import Texts

Value = float | str | None
OF_WINDOWS = Window | Ratio | Distribution | Age


def agrees(
    view: View, events: Sequence[CleanEvent], as_of_ms: int, values: Mapping[str, Value]
) -> bool | None:
    """Of the features that depend on these events alone (windows and ages); None if none of the
    values is such a one. Decayed means and last values may reach further back than the events
    do."""
    told = [name for name in values if isinstance(view.features[name], OF_WINDOWS)]
    if not told or not events:
        return None
    fields = view.plan.fields
    # By the kernels that made the row, so the check finds lost or doubled events, not faults of
    # theirs: the batteries hold those to slow references.
    rows = ViewRows(view.plan)
    count = len(events)
    # An event of one of several topics lacks what is of the others.
    columns = [
        _column([event.fields.get(field) for event in events], at in view.plan.exact)
        for at, field in enumerate(fields)
    ]
    values_of, wholes, texts = taken(view.plan, columns, count)
    rows.fold(
        Texts.of(["row"] * count),
        np.array([event.t for event in events]),
        values_of,
        0,
        np.arange(count),
        More(wholes, texts=texts),
    )
    done = finish(view.plan, rows.hand_over()[1], np.array([as_of_ms]), view.max_age_ms)
    again = dict(zip(view.plan.names, done.values[0].astype(np.float32).tolist()))
    named = [name for name in told if name in view.text_features]
    if any(not _same_text(done, name, again[name], values[name]) for name in named):
        return False
    numbers = [name for name in told if name not in named]
    served = [_or_nan(values[name]) for name in numbers]
    # Served values are float32; NaN stands on both sides where nothing was known.
    return bool(
        np.allclose([again[name] for name in numbers], served, rtol=1e-6, atol=0.0, equal_nan=True)
    )


def _same_text(done: Finished, name: str, again: float, served: Value) -> bool:
    if served is None or math.isnan(again):
        return served is None and math.isnan(again)
    return bool(codes(pa.array([served], pa.string()), True)[0] == done.wholes[name][0])


def _column(values: Sequence[Any], is_exact: bool) -> pa.Array:
    """Of an input: whole numbers or texts, or else numbers, which may be of another type in each
    topic."""
    if is_exact:
        return pa.array(values)
    return pa.array([None if value is None else float(value) for value in values], pa.float64())


def _or_nan(value: Value) -> float:
    if value is None:
        return math.nan
    return float(value)
