"""Examples of a model that need never have run: its views folded once more from the log, each
question answered as of its moment by the code that scorers read features with."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from freshet.app import App
from freshet.features.reading.vectors import Columns
from freshet.hydration.beginnings import begin_of, until
from freshet.learners.model import Model
from freshet.past.columns import FEATURE, vector_columns
from freshet.past.examples import RECONSTRUCTED, VECTOR
from freshet.reconstructed.clean_events import Routed
from freshet.reconstructed.labels_anew import labelled_anew
from freshet.reconstructed.questions import FIELD, Questions, questions_of
from freshet.reconstructed.rows_then import RowsThen, StoreThen
from freshet.roles.plans import vector_plan
from freshet.runs.opened import OpenedRun
from freshet.schemas.text.columns import Texts
from freshet.schemas.topics.topic import FieldRef
from freshet.streams.clock import WallClock

# Of a label, by the names that a model's facts have.
LABEL_FACTS = ("label", "id of the label", "late labels")
OUTCOMES = ["fate", "label", "labelled_at", "expired_at", "saw_future", "answer", "known_at"]
ANSWERS = [
    "probability",
    "probabilities",
    "value",
    "rung",
    "lineage",
    "snapshot",
    "model_lag",
    "value_age",
]


def reconstructed(run: OpenedRun, app: App, model: Model, as_of_ms: int | None) -> pl.DataFrame:
    """A row for each question, in the order of the moments: as `RecordedRun.examples` has them.

    A row holds what was appended before the question; where that was several partitions, in the
    order of append times. What a request said and no model of the run was logged with stays
    missing.

    Raises:
        RequestError: the run has not what the model is made of.
    """
    asked = questions_of(run, app, model, as_of_ms)
    with closing(store_then(run, app, model)) as store:
        vectors = _vectors(
            app,
            model,
            asked,
            store,
            missing_until(run, app, model),
        )
    frame = asked.frame
    known = asked.asked
    if known is None or not _is_labelled_alike(model, known):
        outcomes = labelled_anew(run, app, model, frame, as_of_ms)
    else:
        outcomes = frame.select(OUTCOMES)
    answers = [name for name in ANSWERS if name in frame.columns]
    made = pl.Series("vector", [RECONSTRUCTED], dtype=VECTOR).new_from_index(0, len(frame))
    return pl.concat(
        [
            frame.select("id", "asked_at"),
            outcomes,
            frame.select(answers),
            made.to_frame(),
            _with_served_fields(vectors, model, asked),
        ],
        how="horizontal",
    )


def _is_labelled_alike(model: Model, known: Model) -> bool:
    topic = f"topic {model.label.topic.name}"
    one = [model.facts.get(name) for name in (*LABEL_FACTS, topic)]
    other = [known.facts.get(name) for name in (*LABEL_FACTS, topic)]
    wait = model.label.topic.freshness.ms("label_wait")
    return one == other and wait == known.label.topic.freshness.ms("label_wait")


def store_then(run: OpenedRun, app: App, model: Model, most: int | None = None) -> StoreThen:
    """The model's views, before the first of their events; of each partition of a topic `most` so
    many records are read."""
    views = {app.stored_as(view): view for view in app.views_of(model)}
    logs = {name: app.clean_log_of(view) for name, view in views.items()}
    routed = Routed(run, app, most)
    # Each topic once, however many views are over it.
    topics = {topic.name: topic for view in views.values() for topic in view.topics}
    streams = [
        stream for topic in topics.values() for stream in routed.streams(topic, logs.values())
    ]
    rows = {name: RowsThen(view) for name, view in views.items()}
    return StoreThen(rows, logs, streams, routed.known_ms)


def missing_until(run: OpenedRun, app: App, model: Model) -> dict[str, int]:
    """Until when the model's features are missing: what their windows reach back for is gone."""
    found: dict[str, int] = {}
    url = run.settings.checkpoints_url
    for view in app.views_of(model):
        begins_ms = begin_of(
            url,
            app,
            view,
            run.log,
            WallClock().now_ms(),
        )
        if begins_ms is not None:
            found |= until(view, begins_ms)
    return found


def _vectors(
    app: App, model: Model, asked: Questions, store: StoreThen, incomplete: Mapping[str, int]
) -> pl.DataFrame:
    plan = vector_plan(app, model, incomplete)
    frame = asked.frame
    fields = [name for name in plan.fields if FIELD + name in frame.columns]
    columns = frame.select(pl.col(FIELD + name).alias(name) for name in fields)
    moments = frame["asked_at"].to_physical().to_numpy()
    # Questions of one moment see the same rows, and are read at once.
    edges = np.flatnonzero(np.diff(moments, prepend=moments[:1] - 1, append=moments[-1:] + 1))
    numbers = [np.empty((0, len(model.vectors.numbers)), np.float32)]
    categories = [Texts.missing(0)]
    for first, after in pairwise(edges.tolist()):
        moment = int(moments[first])
        store.go_to(moment)
        part: Columns = _request(columns[first:after])
        read = plan.read(store, part, after - first, moment)
        numbers.append(read.vectors.numbers)
        categories.append(read.categories)
    return pl.DataFrame(
        vector_columns(
            model.vectors,
            Texts.concatenate(categories),
            np.concatenate(numbers),
        )
    )


def _request(columns: pl.DataFrame) -> dict[str, list[Any]]:
    return columns.to_dict(as_series=False)


def _with_served_fields(vectors: pl.DataFrame, model: Model, asked: Questions) -> pl.DataFrame:
    """With the fields of requests as they were served, where the model of the run had them alike:
    one that is derived is not made of what was logged."""
    if asked.asked is None:
        return vectors
    known = asked.asked.vectors
    served = [
        asked.frame[FEATURE + ref.field]
        for ref in model.read
        if isinstance(ref, FieldRef) and not model.alone(ref).lacking(known)
    ]
    return vectors.with_columns(served)
