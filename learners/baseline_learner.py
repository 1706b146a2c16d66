"""What the newest labels were like, predicted for everything: what every other learner has to
beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from freshet.learners.contract import LOWEST, Arrays, Export, of_classes, pack_json
from freshet.learners.state import check_finite, check_origin, check_vectors, origin
from freshet.schemas.errors import LearnerError
from freshet.schemas.models.tasks import BINARY, CLASSES, REGRESSION, Task
from freshet.schemas.models.vectors import F32, F64, Examples, Vectors, VectorSchema

if TYPE_CHECKING:
    from freshet.learners.columns import Feature

KIND = "baseline"


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the newest labels were like, predicted for everything: what others have to beat.

    The prediction is a mean of all labels so far in which a label's weight halves every
    `half_life` labels: the rate of true ones, held within 1e-6 and 1 - 1e-6; the share of each
    class; or the mean number. A learner whose name begins with `baseline` is also the reference of
    `fr.ReleaseConfig(no_worse_by=…)`.

    Args:
        half_life: In examples, above 0.
        prior: The first prediction of a binary model, between 0 and 1, both exclusive. It counts
            as one example before the first; so do equal shares of all classes. Of numbers the
            first prediction is 0, and counts as none.
        name: Its name within the model; the beginning of its lineage's name.
        features: What it reads, as `features` of `fr.Model`. None: the model's.

    Raises:
        LearnerError: a value is out of its range.

    Examples:
        >>> import freshet as fr
        >>> fr.Baseline(half_life=1_000)
        Baseline(half_life=1000, prior=0.5, name='baseline')
    """

    half_life: float = 5_000.0
    prior: float = 0.5
    name: str = KIND
    features: Sequence[Feature] | None = field(default=None, repr=False, kw_only=True)
    tasks: ClassVar[tuple[str, ...]] = (BINARY, CLASSES, REGRESSION)

    def __post_init__(self) -> None:
        if not (self.half_life > 0 and 0 < self.prior < 1):
            raise LearnerError(
                f"{self.name} with half_life={self.half_life}, prior={self.prior}",
                "out of range",
                "Use a half-life above 0 and a prior between 0 and 1.",
            )

    def make(self, schema: VectorSchema) -> BaselineLearner:
        """A learner that has learned nothing, for vectors of this schema."""
        return BaselineLearner(self, schema)


class BaselineLearner:
    """Decayed sums of labels (of classes: of those of each) and, last, of examples."""

    def __init__(self, spec: Baseline, schema: VectorSchema) -> None:
        self._spec = spec
        self._schema = schema
        self._origin = origin(spec, schema)
        self._sums = _first_sums(spec.prior, schema.task)

    def learn(self, examples: Examples) -> None:
        count = len(examples)
        # What is kept of what was before, then of each example; of the last one all.
        keep = np.exp2(-np.arange(count, -1, -1.0) / self._spec.half_life)
        before = keep[0]
        each = keep[1:]
        new = np.append(each @ _counted(examples.labels, self._schema.task), each.sum())
        self._sums = self._sums * before + new

    def predict(self, vectors: Vectors) -> F64:
        return _repeated(
            self._level(),
            len(vectors),
            self._schema.task,
        )

    def checkpoint(self) -> dict[str, npt.NDArray[Any]]:
        return {"origin": pack_json(self._origin.facts()), "sums": self._sums.copy()}

    def restore(self, state: Arrays) -> None:
        check_origin(state, self._origin)
        self._sums = state["sums"].copy()

    def export(self) -> Export:
        return check_finite(Export(KIND, {"vectors": self._schema.digest}, {"rate": self._level()}))

    def _level(self) -> F64:
        """What is predicted: float64 `[1]`, or `[k]` of classes."""
        weight = self._sums[-1]
        labels: F64 = self._sums[:-1]
        if self._schema.task.kind == REGRESSION:
            # Before the first label there is nothing to divide by, and the sum is 0.
            mean: F64 = labels / (weight or 1.0)
            return mean
        shares: F64 = labels / weight
        if self._schema.task.kind == CLASSES:
            held: F64 = of_classes(shares[None])[0]
            return held
        rate: F64 = np.clip(shares, LOWEST, 1 - LOWEST)
        return rate


class BaselinePredictor:
    """Answers the same to everything. Row-exact, and bit-equal with the learner that exported
    it."""

    row_exact = True

    def __init__(self, export: Export, schema: VectorSchema) -> None:
        check_vectors(export.meta, KIND, schema)
        self._level = export.arrays["rate"]
        self._task = schema.task

    def predict(self, vectors: Vectors) -> F64:
        return _repeated(self._level, len(vectors), self._task)


def _first_sums(prior: float, task: Task) -> F64:
    """As if one example had been learned; of numbers there is none that could be told."""
    if task.kind == CLASSES:
        return np.append(np.full(task.width, 1.0 / task.width), 1.0)
    if task.kind == REGRESSION:
        return np.zeros(2)
    return np.array([prior, 1.0])


def _counted(labels: F32, task: Task) -> F64:
    """Labels as what sums are of: themselves, or `[n, k]` with 1 at each one's class."""
    if task.kind == CLASSES:
        return np.equal(labels[:, None], np.arange(task.width)).astype(np.float64)
    return labels.astype(np.float64)


def _repeated(level: F64, rows: int, task: Task) -> F64:
    if task.kind == CLASSES:
        return np.tile(level, (rows, 1))
    return np.full(rows, level[0])
