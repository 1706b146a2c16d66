"""Every answer that was logged, as a frame: also repeated questions, which are no examples."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa

from freshet.learners.model import Model
from freshet.past.columns import answer_columns, texts, vector_columns
from freshet.past.own_logs import blocks_of, joined, once
from freshet.runs.opened import OpenedRun
from freshet.schemas.models.layout import Layout
from freshet.schemas.text.columns import Texts
from freshet.schemas.wire import blocks
from freshet.schemas.wire.outcomes import LAYOUT, fixed_of, layout_of, texts_of

SCORER = "scorer:"  # before a scorer's instance, in the origins of its predictions


def frame_of(run: OpenedRun, model: Model) -> pl.DataFrame:
    """A row for each answer, in the order of the log, with the offset of its record there."""
    layout = Layout.of(model.vectors)
    groups: dict[bytes, list[pa.RecordBatch]] = {}
    for offset, block, rows in once(blocks_of(run.log, run.app.outcomes_log_of(model))):
        is_answer = block.kind == blocks.PREDICTIONS
        if is_answer and not layout.stamps_lacking(layout_of(rows)):
            instance = pa.array([block.origin.removeprefix(SCORER)] * rows.num_rows)
            told = rows.append_column("instance", instance)
            told = told.append_column("record", pa.array(np.full(rows.num_rows, offset)))
            groups.setdefault(rows.schema.metadata[LAYOUT], []).append(told)
    frames = [_frame(model, layout, joined(group)) for group in groups.values()]
    # Of a scorer that was changed meanwhile rows are of two layouts.
    return pl.concat([_nothing(model, layout), *frames]).sort("offset", maintain_order=True)


def _frame(model: Model, layout: Layout, rows: pa.RecordBatch) -> pl.DataFrame:
    fixed = fixed_of(rows, layout)
    own = texts_of(rows, layout)
    numbers = fixed["numbers"].astype(np.float32, copy=False)
    return pl.DataFrame(
        {
            **answer_columns(fixed, own, model.task),
            "instance": texts(Texts.from_arrow(rows.column("instance"))),
            "sequence": pl.Series(np.ascontiguousarray(fixed["sequence"])),
            "offset": pl.Series(rows.column("record").to_numpy()),
            **vector_columns(model.vectors, own["categories"], numbers),
        }
    )


def _nothing(model: Model, layout: Layout) -> pl.DataFrame:
    fixed = np.empty(0, layout.dtype)
    none = Texts.missing(0)
    answers = answer_columns(
        fixed,
        {"id": none, "lineage": none},
        model.task,
    )
    own = {
        "instance": pl.Series([], dtype=pl.String),
        "sequence": pl.Series([], dtype=pl.Int64),
        "offset": pl.Series([], dtype=pl.Int64),
    }
    return pl.DataFrame({**answers, **own, **vector_columns(model.vectors, none, fixed["numbers"])})
