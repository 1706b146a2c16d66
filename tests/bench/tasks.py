"""How good are the learners of each task on data that others have published, one example at a time
and in larger steps, beside River's progressive validation of the same model and beside no change?

Prequential: what is said of each example before it is learned. Log loss, of numbers the mean
absolute error; no change is the share of errors of the label before, of numbers its error.
"""

from __future__ import annotations

from typing import Any

from river import linear_model, optim, preprocessing

from freshet.learners.contract import LearnerSpec
from freshet.learners.linear.learner import HashedLinear
from freshet.learners.logistic.learner import HashedLogistic
from freshet.learners.river.spec import River
from freshet.schemas.models.tasks import BINARY, CLASSES
from tests import published
from tests.bench.harness import Row, at_most
from tests.datasets import ELECTRICITY, kept
from tests.published import Published, by_river, no_change, prequential

STEPS = (1, 16, 64, 256)
WITHIN = 1.01


def model_of(data: Published) -> Any:
    """River's linear model of the task, by AdaGrad."""
    if data.schema.task.kind == BINARY:
        return linear_model.LogisticRegression(optim.AdaGrad(0.1))
    if data.schema.task.kind == CLASSES:
        return linear_model.SoftmaxRegression(optim.AdaGrad(0.1))
    return preprocessing.TargetStandardScaler(linear_model.LinearRegression(optim.AdaGrad(0.3)))


def hashed_of(data: Published) -> LearnerSpec:
    """Ours: rates for small data with little noise, and none of these is large."""
    if data.schema.task.kind in (BINARY, CLASSES):
        return HashedLogistic(rate=0.1)
    return HashedLinear()


def losses(spec: LearnerSpec, data: Published) -> dict[int, float]:
    """By step."""
    return {step: round(data.loss(prequential(spec, data, step)), 4) for step in STEPS}


def row_of(data: Published) -> Row:
    # Each its own: what validates a model teaches it.
    theirs = data.loss(by_river(preprocessing.StandardScaler() | model_of(data), data))
    own = preprocessing.StandardScaler() | model_of(data)
    ours = losses(River(own, scale=False), data)
    unit = "nats"
    if data.schema.task.kind not in (BINARY, CLASSES):
        unit = "MAE"
    return Row(
        name=f"tasks: {data.name}",
        unit=unit,
        ours=ours[1],
        baseline=round(theirs, 4),
        ratio=round(theirs / ours[1], 3),
        against="progressive_val_score of the same River model",
        bar=at_most(ours[1] / theirs, WITHIN, "× River's"),
        detail={
            "river_by_step": ours,
            "hashed_by_step": losses(hashed_of(data), data),
            "no_change": round(no_change(data), 4),
        },
    )


def run() -> list[Row]:
    found = [
        published.electricity(kept(ELECTRICITY)),
        published.image_segments(),
        published.trump_approval(),
        published.chick_weights(),
    ]
    rows = [row_of(data) for data in found]
    for row in rows:
        print(row["name"], row["detail"])
    return rows
