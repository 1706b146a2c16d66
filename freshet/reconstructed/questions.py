"""The questions that a model is asked once more: those that a model of the run was asked, or else
each event of its topic."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from freshet.app import App
from freshet.learners.model import Model
from freshet.past.as_of import joined_as_of
from freshet.past.columns import FEATURE, TIME
from freshet.past.events import lazy_frame_of
from freshet.past.examples import frame_of
from freshet.past.own_logs import blocks_of
from freshet.runs.opened import OpenedRun
from freshet.schemas.errors import RequestError
from freshet.schemas.topics.topic import FieldRef
from freshet.streams.archive.events import EVENT

APPLIED = "applied"


class Questions(NamedTuple):
    """`frame` has `id`, `asked_at` and what is known of requests as `field.<name>`; and, of
    questions that a model of the run was `asked`, all that its examples say."""

    frame: pl.DataFrame
    asked: Model | None


FIELD = "field."


def questions_of(run: OpenedRun, app: App, model: Model, as_of_ms: int | None) -> Questions:
    """What to ask a model that need never have run, in the order of the moments.

    Raises:
        RequestError: nothing in the run was ever asked, or happened, that it could be asked on.
    """
    asked = _asked_alike(run, model)
    if asked is None:
        return Questions(_events(run, model, as_of_ms), None)
    if as_of_ms is None:
        told = blocks_of(run.log, run.app.examples_log_of(asked))
    else:
        told = joined_as_of(run, asked, as_of_ms)
    frame = frame_of(asked, told)
    known = {
        FIELD + ref.field: pl.col(FEATURE + ref.field)
        for ref in asked.read
        if isinstance(ref, FieldRef)
    }
    known[FIELD + asked.id] = pl.col("id")
    return Questions(frame.with_columns(**known).sort("asked_at", maintain_order=True), asked)


def _asked_alike(run: OpenedRun, model: Model) -> Model | None:
    """The model of the run whose requests are those of this one: by its name, or else any."""
    alike = [
        known for known in run.app.models if (known.on.name, known.id) == (model.on.name, model.id)
    ]
    named = [known for known in alike if known.name == model.name]
    return next(iter([*named, *alike]), None)


def _events(run: OpenedRun, model: Model, as_of_ms: int | None) -> pl.DataFrame:
    """Each event that was applied is a question of when it was appended."""
    known = {topic.name: topic for topic in run.app.topics}
    if model.on.name not in known:
        raise RequestError(
            f"model {model.name}",
            f"is asked on topic {model.on.name}, which is none of the run's app {run.app.name}",
            f"Its topics are {', '.join(known)}.",
        )
    events = lazy_frame_of(run, known[model.on.name]).filter(pl.col("fate") == APPLIED)
    if as_of_ms is not None:
        events = events.filter(pl.col("appended_at") <= pl.lit(as_of_ms).cast(TIME))
    frame = events.collect().sort("appended_at", maintain_order=True)
    own = {
        FIELD + name.removeprefix(EVENT): pl.col(name)
        for name in frame.columns
        if name.startswith(EVENT)
    }
    identity = pl.col(EVENT + model.id).cast(pl.String)
    return frame.select(
        id=identity,
        asked_at=pl.col("appended_at"),
        **own,
    )
