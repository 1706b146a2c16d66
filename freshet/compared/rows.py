"""Rows of a run's views as its newest checkpoints have them: the store is made of these, and may be
gone with the run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from freshet.features.cold.bounded_rows import BoundedRows
from freshet.features.cold.memory import RowMemory
from freshet.features.cold.named import is_named
from freshet.features.packed import Packed
from freshet.features.partition.contract import Named, PartitionRows
from freshet.features.partition.rows import ViewRows
from freshet.features.reading.text_values import TextValues
from freshet.features.rows.finish import PRESENT, finish
from freshet.features.views.clock import LogClock
from freshet.features.views.view import View
from freshet.roles.plans import kept_as
from freshet.runs.opened import OpenedRun
from freshet.streams.operators.checkpoints import Checkpoints

KEY = "key"


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a view, of all partitions in parts, and how far its log was (ms) when the first
    of their checkpoints was made; None where there is none."""

    view: View
    parts: list[Named]
    clock_ms: int | None


def rows_of(run: OpenedRun, view: View, folder: Path) -> Rows:
    """The rows of a view; those that lie on disk are fetched into `folder`.

    Raises:
        CheckpointError: they cannot be read.
    """
    identity = run.log.bounds(run.app.clean_log_of(view)).identity
    parts: list[Named] = []
    clocks: list[int] = []
    for partition in range(view.partitions):
        task = kept_as(run.app, f"view:{view.name}:{partition}")
        checkpoints = Checkpoints(
            run.settings.checkpoints_url,
            task,
            identity,
        )
        bounded = BoundedRows(view.plan, RowMemory(folder))
        found = checkpoints.load(bounded.folder)
        if found is None:
            continue
        _, base, deltas = found
        rows: PartitionRows = ViewRows(view.plan)
        if any(is_named(part) for part in (base, *deltas)):
            rows = bounded
        rows.load(base, deltas)
        parts += rows.all_parts()
        newest = deltas[-1] if deltas else base
        clock = LogClock()
        clock.load(newest["_clock"])
        clocks.append(clock.now_ms)
    return Rows(view, parts, min(clocks, default=None))


def values_of(rows: Rows, as_of_ms: int) -> pl.DataFrame:
    """The values of rows as consumers get them as of a time (ms), by `key`; of rows that are absent
    then, none. What is several values is one text of them."""
    # A view without any has columns all the same.
    parts = rows.parts or [([], Packed.of([]))]
    return pl.concat([_frame(rows.view, part, as_of_ms) for part in parts])


def _frame(view: View, part: Named, as_of_ms: int) -> pl.DataFrame:
    keys, packed = part
    done = finish(
        view.plan,
        packed,
        np.full(len(packed), as_of_ms),
        view.max_age_ms,
    )
    texts = TextValues(view)
    columns = [pl.Series(KEY, [key.decode() for key in keys], pl.String)]
    for name, values in zip(view.plan.names, done.values.T):
        if name in done.lists:
            lists = texts.lists_of(name, done).tolist()
            told = [str(found) if found else None for found in lists]
            columns.append(pl.Series(name, told, pl.String))
        elif name in texts.names:
            columns.append(pl.Series(name, texts.of(name, done, values).tolist(), pl.String))
        else:
            columns.append(_numbers(name, done.wholes.get(name, values), np.isfinite(values)))
    return pl.DataFrame(columns).filter(done.status == PRESENT)


def _numbers(name: str, values: npt.NDArray[Any], is_there: npt.NDArray[np.bool_]) -> pl.Series:
    """Null where nothing is there."""
    whole = pl.DataFrame({name: np.ascontiguousarray(values), "is_there": is_there})
    return whole.select(pl.when("is_there").then(name).alias(name)).to_series()
