"""The rate of the newest examples, predicted for everything: what every other learner has to
beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from freshet.learners.contract import Arrays, Export, pack_json
from freshet.learners.state import check_finite, check_origin, check_vectors, origin
from freshet.schemas.errors import LearnerError
from freshet.schemas.models.vectors import F64, Examples, Vectors, VectorSchema

if TYPE_CHECKING:
    from freshet.learners.columns import Feature

KIND = "baseline"
LOWEST = 1e-6


@dataclass(frozen=True, slots=True)
class Baseline:
    """The rate of the newest labels, predicted for everything: what other learners have to beat.

    The prediction is a mean of all labels so far in which a label's weight halves every
    `half_life` labels, held within 1e-6 and 1 - 1e-6. A learner whose name begins with `baseline`
    is also the reference of `fr.ReleaseConfig(no_worse_by=…)`.

    Args:
        half_life: In examples, above 0.
        prior: The first prediction, between 0 and 1, both exclusive. It counts as one example
            before the first.
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
    """Decayed sums of labels and of examples."""

    def __init__(self, spec: Baseline, schema: VectorSchema) -> None:
        self._spec = spec
        self._schema = schema
        self._origin = origin(spec, schema)
        self._sums = np.array([spec.prior, 1.0])

    def learn(self, examples: Examples) -> None:
        count = len(examples)
        # What is kept of what was before, then of each example; of the last one all.
        keep = np.exp2(-np.arange(count, -1, -1.0) / self._spec.half_life)
        before = keep[0]
        each = keep[1:]
        new = (each @ examples.labels.astype(np.float64), each.sum())
        self._sums = self._sums * before + new

    def predict(self, vectors: Vectors) -> F64:
        return np.full(len(vectors), self._rate())

    def checkpoint(self) -> dict[str, npt.NDArray[Any]]:
        return {"origin": pack_json(self._origin.facts()), "sums": self._sums.copy()}

    def restore(self, state: Arrays) -> None:
        check_origin(state, self._origin)
        self._sums = state["sums"].copy()

    def export(self) -> Export:
        return check_finite(
            Export(KIND, {"vectors": self._schema.digest}, {"rate": np.array([self._rate()])})
        )

    def _rate(self) -> float:
        return float(np.clip(self._sums[0] / self._sums[1], LOWEST, 1 - LOWEST))


class BaselinePredictor:
    """Answers with one rate. Row-exact, and bit-equal with the learner that exported it."""

    row_exact = True

    def __init__(self, export: Export, schema: VectorSchema) -> None:
        check_vectors(export.meta, KIND, schema)
        self._rate = float(export.arrays["rate"][0])

    def predict(self, vectors: Vectors) -> F64:
        return np.full(len(vectors), self._rate)
