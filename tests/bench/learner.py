"""How many examples a second do our hashed learners predict and learn, beside River's?

The vectors are as wide as the demo's; both predict each step of 64 before they learn it. Of seven
classes, and of numbers, the same vectors have other labels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from freshet.learners.contract import Learner, LearnerSpec
from freshet.learners.linear.learner import HashedLinear
from freshet.learners.logistic.learner import HashedLogistic
from freshet.learners.river.spec import River
from freshet.learners.training.prequential import auc
from freshet.schemas.models.tasks import Binary, Classes, Regression, Task
from freshet.schemas.models.vectors import Examples, Vectors
from tests.bench import inputs
from tests.bench.harness import Row, in_turns, rates

N, STEP = 64 * 60, 64
SEVEN = Classes([f"class {i}" for i in range(7)])


def examples(task: Task = Binary()) -> Examples:  # noqa: B008
    """Made-up vectors of the demo's shape, whose label depends on two numbers and a category."""
    schema = inputs.app().models[0].vectors
    rng = np.random.default_rng(2013)
    words = rng.integers(1, 1 << 62, 200).astype(np.uint64)
    pick = rng.integers(0, len(words), (N, len(schema.categories)))
    numbers = rng.normal(size=(N, len(schema.numbers))).astype(np.float32)
    score = numbers[:, 0] - numbers[:, 1] + (pick[:, 0] % 3)
    numbers[rng.random(numbers.shape) < 0.1] = np.nan
    labels = score > 1.5
    if task == SEVEN:
        labels = np.clip(np.round(score + 3), 0, 6)
    elif task == Regression():
        labels = 1_000.0 * score
    return Examples(Vectors(words[pick], numbers), labels.astype(np.float32))


def learned(
    spec: LearnerSpec,
    steps: list[Examples],
    task: Task = Binary(),  # noqa: B008
) -> np.ndarray:
    """The predictions that a learner makes on its way."""
    learner: Learner = spec.make(replace(inputs.app().models[0].vectors, task=task))
    out = []
    for step in steps:
        out.append(learner.predict(step.vectors))
        learner.learn(step)
    return np.concatenate(out)


def in_steps(all_: Examples) -> list[Examples]:
    at = [np.arange(first, first + STEP) for first in range(0, N, STEP)]
    return [Examples(all_.vectors.take(rows), all_.labels[rows]) for rows in at]


def of_task(name: str, spec: LearnerSpec, task: Task) -> Row:
    steps = in_steps(examples(task))
    taken = in_turns(
        lambda: learned(spec, steps, task), lambda: learned(River(), steps, task), rounds=3
    )
    return rates(f"learner: {name}", "examples/s", N, taken, "River's linear model", step=STEP)


def run() -> list[Row]:
    all_ = examples()
    steps = in_steps(all_)
    figures = {
        x.name: round(auc(all_.labels, learned(x, steps)), 3) for x in (HashedLogistic(), River())
    }
    taken = in_turns(
        lambda: learned(HashedLogistic(), steps), lambda: learned(River(), steps), rounds=3
    )
    return [
        rates(
            "learner", "examples/s", N, taken, "River's logistic regression", step=STEP, auc=figures
        ),
        of_task("7 classes", HashedLogistic(), SEVEN),
        of_task("numbers", HashedLinear(), Regression()),
    ]
