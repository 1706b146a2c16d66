"""Labels of a definition that never ran, and what becomes of questions by them."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from freshet.app import App
from freshet.learners.model import Model
from freshet.past.columns import TIME, labels_in, times
from freshet.past.examples import FATES
from freshet.reconstructed.clean_events import Piece, Routed, in_order
from freshet.runs.opened import OpenedRun

_LABELS: dict[str, Any] = {
    "id": pl.String,
    "label": pl.Float64,
    "labelled_at": TIME,
    "reached": TIME,
    "place": pl.UInt32,
}


def labelled_anew(
    run: OpenedRun, app: App, model: Model, questions: pl.DataFrame, as_of_ms: int | None
) -> pl.DataFrame:
    """Of each question (`id`, `asked_at`) its fate and label: the first one that is not null. Time
    goes by append times, in place of intake's ticks."""
    log = app.outcomes_log_of(model)
    pieces = list(Routed(run, app).pieces(model.label.topic, [log]))
    labels = _labels(pieces)
    known = labels["reached"].max()
    if as_of_ms is not None:
        known = as_of_ms
        labels = labels.filter(pl.col("reached") <= pl.lit(as_of_ms).cast(TIME))
    first = labels.drop_nulls("label").unique(
        "id",
        keep="first",
        maintain_order=True,
    )
    wait = pl.duration(milliseconds=model.label.topic.freshness.ms("label_wait"))
    due = pl.col("asked_at") + wait
    in_time = pl.col("reached") < due
    late = pl.col("reached") < due + wait
    is_corrected = late & (model.label.late == "correct")
    fate = (
        pl.when(in_time)
        .then(pl.lit("labelled"))
        .when(is_corrected)
        .then(pl.lit("corrected"))
        .when(due <= pl.lit(known).cast(TIME))
        .then(pl.lit("expired"))
        .otherwise(pl.lit("open"))
    )
    joined = questions.select("id", "asked_at").join(
        first, on="id", how="left", maintain_order="left"
    )
    told = joined.with_columns(fate=fate.cast(pl.Enum(FATES)))
    has_label = pl.col("fate").is_in(["labelled", "corrected"])
    has_expired = pl.col("fate").is_in(["expired", "corrected"])
    return told.select(
        "fate",
        label=labels_in(
            told.select(pl.when(has_label).then("label"))["label"].fill_null(np.nan).to_numpy(),
            model.task,
        ),
        labelled_at=pl.when(has_label).then("labelled_at"),
        expired_at=pl.when(has_expired).then(due),
        saw_future=(has_label & (pl.col("labelled_at") <= pl.col("asked_at"))).fill_null(False),
        answer=pl.when(has_label).then(pl.col("place").cast(pl.Int64)),
        known_at=pl.when(has_label).then("reached"),
    )


def _labels(pieces: list[Piece]) -> pl.DataFrame:
    if not pieces:
        return pl.DataFrame(schema=_LABELS)
    rows = pa.Table.from_batches([piece.rows.select(["id", "t", "label"]) for piece in pieces])
    found = pl.DataFrame(rows).select(
        pl.col("id").cast(pl.String),
        pl.col("label").fill_nan(None),
        labelled_at=pl.col("t").cast(TIME),
        reached=pl.concat([times(piece.reached) for piece in pieces]),
    )
    return found[in_order(pieces)].with_row_index("place")
