"""What the release policy decides on, made of cuts: each lineage's losses, and the baseline's."""

from __future__ import annotations

import math
from collections.abc import Mapping

from freshet.learners.baseline_learner import Baseline
from freshet.learners.model import Model
from freshet.schemas.models.losses import loss_of
from freshet.schemas.models.tasks import DEFAULT_TASK, Task
from freshet.schemas.wire.messages import Cut
from freshet.serving.release.policy import LineageStanding, Reference
from freshet.serving.release.servable import Servable


def lineage_standing(
    lineage: str, cut: Cut | None, servable: Servable, task: Task = DEFAULT_TASK
) -> LineageStanding:
    """Of the loss by which answers of the task are compared. A lineage that has cut nothing yet
    has no loss; it takes part, so that it can be named."""
    examples = 0
    loss = math.nan
    if cut is not None:
        rolling = cut.stats["rolling"]
        # In JSON an unknown figure is null.
        examples = int(rolling["n"] or 0)
        told = rolling.get(loss_of(task))
        if told is not None:
            loss = float(told)
    approved = servable.current(lineage)
    number = None
    if approved is not None:
        number = approved.number
    return LineageStanding(lineage, number, examples, loss)


def reference_of(model: Model, lineages: Mapping[str, LineageStanding]) -> Reference | None:
    """The baseline among the learners, whatever its name, once it has learned something."""
    for learner in model.learners:
        if isinstance(learner, Baseline):
            found = lineages[model.lineage(learner)]
            if not found.examples:
                return None
            return Reference(found.lineage, found.loss)
    return None
