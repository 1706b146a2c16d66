"""What taking events out of views means, before it is done: which views are built without them, and
who has learned of rows that they were in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl

from freshet.exclusions.chosen import Chosen
from freshet.features.views.view import View
from freshet.learners.model import Model
from freshet.lineages.asked import Bools, Read, read
from freshet.lineages.seen import Seen, by_lineages
from freshet.runs.opened import OpenedRun
from freshet.schemas.text.columns import Texts
from freshet.schemas.text.keys import taken_apart


@dataclass(frozen=True, slots=True)
class Outline:
    """Of events that were `chosen`: who has `seen` them (views by how many they folded, lineages
    and snapshots by how many of their examples), and the commands that `correct` what was
    learned."""

    chosen: Chosen
    seen: list[Seen]
    correct: list[str]


def outlined(run: OpenedRun, chosen: Chosen) -> Outline:
    """Raises `LogError` where a log cannot be read."""
    name = chosen.topic.name
    over = [view for view in run.app.views if view.is_over(name)]
    seen = [Seen("view", view.name, chosen.folded.height) for view in over]
    correct = []
    for model in run.app.models if chosen.events.height else ():
        views = [view for view in run.app.views_of(model) if view in over]
        is_label = model.label.topic.name == name
        if not views and not is_label:
            continue
        asked = read(
            run,
            model,
        )
        saw = _saw(
            model,
            asked,
            chosen,
            views,
        )
        if is_label:
            saw |= _labelled(
                model,
                asked,
                chosen,
            )
        seen += by_lineages(
            run,
            model,
            asked,
            saw,
        )
        day = datetime.fromtimestamp(chosen.begins_ms / 1_000, UTC).date()
        correct.append(f"freshet retrain {model.name} --except \"day >= '{day}'\"")
    return Outline(
        chosen,
        seen,
        correct,
    )


def _saw(model: Model, asked: Read, chosen: Chosen, views: list[View]) -> Bools:
    """Questions that were asked once the first of the events was there, and that read a row of one
    of their keys; of a key that is no column of the model's, of any."""
    after: Bools = asked.rows.fixed["asked_at"] >= chosen.begins_ms
    found = np.zeros(len(asked.rows), np.bool_)
    categories = list(model.vectors.categories)
    parts = taken_apart(asked.rows.texts["categories"], len(categories))
    for view in views:
        own = after.copy()
        for key in view.keys:
            if key in categories:
                own &= _is_in(parts[categories.index(key)], chosen.folded[key])
        found |= own
    return found


def _labelled(model: Model, asked: Read, chosen: Chosen) -> Bools:
    """Questions whose label is of one of the events."""
    return _is_in(
        asked.rows.texts["id"],
        chosen.folded[model.label.id],
    )


def _is_in(texts: Texts, values: pl.Series) -> Bools:
    own = pl.Series(texts.to_arrow(), dtype=pl.String)
    found: Bools = own.is_in(values.cast(pl.String).unique().implode()).fill_null(False).to_numpy()
    return found
