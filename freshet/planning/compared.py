"""Values of views that goes on as they are, recomputed of the past as of questions that were asked,
beside what was served then: how far a value that is built of the past can be trusted to be the one
that a live run would have had."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.declared.definitions import Definitions
from freshet.learners.model import Model
from freshet.past.own_logs import blocks_of, once
from freshet.reconstructed.columns_then import ColumnsThen, Unsaved
from freshet.runs.opened import OpenedRun
from freshet.schemas.errors import FreshetError
from freshet.schemas.models.layout import Layout
from freshet.schemas.wire.outcomes import ASKED, fixed_of, layout_of

# Of each partition the oldest: more takes longer than a person waits.
MOST_RECORDS = 100_000
MOST_QUESTIONS = 1_000


class Compared(msgspec.Struct, frozen=True):
    """Of a view that a model reads: so many `values` of `questions` were recomputed, and `unequal`
    of them are not, bit for bit, what was served."""

    view: str
    model: str
    questions: int
    values: int
    unequal: int


def compared(run: OpenedRun, before: Definitions | None) -> list[Compared]:
    """Of each model and view that were declared before as they are now. What cannot be recomputed
    is left out."""
    found: list[Compared] = []
    for model in run.app.models:
        views = [
            view.name
            for view in run.app.views_of(model)
            if before is not None
            and before.knew(
                f"view {view.name}",
                view.facts,
            )
        ]
        if not views or before is None or not before.knew(f"model {model.name}", model.facts):
            continue
        try:
            found += _of_model(
                run,
                model,
                views,
            )
        except FreshetError:  # a log or an archive that is gone: there is nothing to compare with
            continue
    return found


def _of_model(run: OpenedRun, model: Model, views: list[str]) -> Iterator[Compared]:
    layout = Layout.of(model.vectors)
    names = [*model.vectors.categories, *model.vectors.numbers]
    of_views = {
        view: [at for at, name in enumerate(names) if name.startswith(f"{view}.")] for view in views
    }
    parts: list[pa.RecordBatch] = []
    served: list[npt.NDArray[np.void]] = []
    questions = 0
    with closing(ColumnsThen(run, model, Unsaved(), MOST_RECORDS)) as then:
        known_ms = then.known_ms()
        for _, _, rows in once(blocks_of(run.log, run.app.examples_log_of(model))):
            # Only what was logged by all that is read now can be compared.
            if layout.lacking(layout_of(rows)):
                continue
            fixed = fixed_of(
                rows,
                layout,
            )
            asked = rows.column("kind").to_numpy() == ASKED
            chosen = np.flatnonzero(asked & (fixed["asked_at"] <= known_ms))
            chosen = chosen[: MOST_QUESTIONS - questions]
            if len(chosen):
                parts.append(rows.take(chosen).replace_schema_metadata(rows.schema.metadata))
                served.append(fixed[chosen])
                questions += len(chosen)
            if questions >= MOST_QUESTIONS:
                break
        if not questions:
            return
        # All at once: rows go on in the order of time, which logs have only nearly.
        now = then.of(parts)
    same = _same(np.concatenate(served), now.categories, now.numbers)
    for view, columns in of_views.items():
        if columns:
            own = same[:, columns]
            yield Compared(view, model.name, questions, own.size, int((~own).sum()))


def _same(
    served: npt.NDArray[np.void],
    categories: npt.NDArray[np.uint64],
    numbers: npt.NDArray[np.float32],
) -> npt.NDArray[np.bool_]:
    """Which values are equal, bit for bit, `[questions, columns]`."""
    was = served["numbers"].astype(np.float32)
    is_same = (was == numbers) | (np.isnan(was) & np.isnan(numbers))
    found: npt.NDArray[np.bool_] = np.concatenate(
        [served["categories"] == categories, is_same], axis=1
    )
    return found
