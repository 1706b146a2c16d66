"""Linear regression over hashed features, whatever unit its labels are in.

The features are those of `HashedLogistic`. Labels are learned in deviations from their mean, both
running; so a rate means the same for cents and for millions. Steps are per-coordinate Adagrad
(Duchi, Hazan and Singer, 2011), whose size does not depend on the unit of a feature; that labels
are scaled beside features is after normalised online learning (Ross, Mineiro and Langford, 2013),
that predictions are held within the labels seen is as Vowpal Wabbit does it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from freshet.learners.contract import Arrays, Export, pack_json
from freshet.learners.linear import kernels
from freshet.learners.logistic.plan import Definition, compile_plan
from freshet.learners.state import check_finite, check_origin, check_vectors, origin, plain
from freshet.learners.targets.kernels import SCALE_SIZE
from freshet.schemas.errors import LearnerError
from freshet.schemas.models.tasks import REGRESSION
from freshet.schemas.models.vectors import F64, Examples, Vectors, VectorSchema

if TYPE_CHECKING:
    from freshet.learners.columns import Feature

KIND = "hashed_linear"
# Of all that a learner's checkpoint holds beside its origin, what a predictor needs.
EXPORTED = ("weights", "bias", "scale")
STATE = (*EXPORTED, "squares")


@dataclass(frozen=True, slots=True)
class HashedLinear:
    """Linear regression over hashed features, whatever unit its labels are in.

    It reads features as `fr.HashedLogistic` does: a category is one id, a number two neighbouring
    ones, so that what is fitted is piecewise linear in it, and level beyond its outermost knots.
    It learns example by example, in the order of the log, one Adagrad step each, so that it is
    bit-equal however examples are cut into steps. Weights and their sums of squares are float32,
    all else float64.

    Labels are learned in deviations from their mean, both running, so labels in cents and in
    millions are learned alike. From the hundredth on, a label further than 100 deviations
    from the mean counts as lying there: so one absurd label moves the scale, and does not ruin it.
    Predictions are held within the labels seen so far; before the first they are 0.

    Source: per-coordinate Adagrad (Duchi, Hazan and Singer, 2011) on hashed features (Weinberger
    et al., 2009); scales of their own after Ross, Mineiro and Langford (2013); running moments by
    Welford (1962); Huber's loss (1964).

    Args:
        bits: There are `2^bits` weights, of 4 bytes each in a snapshot; 8 to 28.
        rate: Adagrad's learning rate, in deviations of the label, above 0.
        start: What Adagrad's sums of squares begin with, above 0. More makes first steps smaller.
        huber: From which error on, in deviations of the label, the loss is linear and no longer
            squared, above 0: then single outliers pull less, and what is fitted moves from the
            mean towards the median. None: it is squared everywhere.
        soft: As of `fr.HashedLogistic`.
        knots: As of `fr.HashedLogistic`.
        crosses: As of `fr.HashedLogistic`.
        combinations: As of `fr.HashedLogistic`.
        without: As of `fr.HashedLogistic`.
        name: Its name within the model; the beginning of its lineage's name.
        features: What it reads, as `features` of `fr.Model`. None: the model's.

    Raises:
        LearnerError: a value is out of its range; when the learner is made, an unknown feature in
            `knots`, `crosses` or `combinations`, or knots that do not rise.

    Examples:
        >>> import freshet as fr
        >>> fr.HashedLinear(rate=0.2, crosses=[("courier", "city")]).tasks
        ('regression',)
    """

    bits: int = 18
    rate: float = 0.3
    start: float = 1.0
    huber: float | None = None
    soft: bool = True
    knots: Mapping[str, Sequence[float]] | None = None
    crosses: Sequence[tuple[str, ...]] = ()
    combinations: Mapping[str, Mapping[str, float]] | None = None
    without: Sequence[str] = ()
    name: str = KIND
    features: Sequence[Feature] | None = field(default=None, repr=False, kw_only=True)
    tasks: ClassVar[tuple[str, ...]] = (REGRESSION,)

    def __post_init__(self) -> None:
        above_zero = self.rate > 0 and self.start > 0 and (self.huber is None or self.huber > 0)
        if not (8 <= self.bits <= 28 and above_zero):
            given = f"bits={self.bits}, rate={self.rate}, start={self.start}, huber={self.huber}"
            raise LearnerError(
                f"{self.name} with {given}",
                "out of range",
                "Use 8 to 28 bits, and a rate, start and huber above 0.",
            )

    def make(self, schema: VectorSchema) -> HashedLinearLearner:
        """A learner that has learned nothing, for vectors of this schema."""
        return HashedLinearLearner(self, schema)

    @property
    def definition(self) -> Definition:
        """What a prediction depends on, beside the weights."""
        return Definition(*(getattr(self, name) for name in Definition._fields))


class HashedLinearLearner:
    """Two float32 tables of `2^bits`, a bias, the scale of labels, and a count. The same examples
    in order give the same bits in any cuts."""

    def __init__(self, spec: HashedLinear, schema: VectorSchema) -> None:
        self._spec = spec
        self._schema = schema
        self._origin = origin(spec, schema)
        self._plan = compile_plan(schema, spec.definition)
        self._state: dict[str, npt.NDArray[Any]] = {
            "weights": np.zeros(1 << spec.bits, np.float32),
            "squares": np.full(1 << spec.bits, spec.start, np.float32),
            # The bias, and Adagrad's sum of squares for it.
            "bias": np.array([0.0, spec.start]),
            "scale": np.zeros(SCALE_SIZE),
        }
        self._learned = 0

    def learn(self, examples: Examples) -> None:
        given = plain(examples.vectors)
        state = self._state
        kernels.learn(
            given.categories,
            given.numbers,
            examples.labels,
            self._plan,
            state["weights"],
            state["squares"],
            state["bias"],
            state["scale"],
            (float(self._spec.rate), float(self._spec.huber or np.inf)),
        )
        self._learned += len(examples)

    def predict(self, vectors: Vectors) -> F64:
        return _predicted(vectors, self._plan, self._state)

    def checkpoint(self) -> dict[str, npt.NDArray[Any]]:
        facts = pack_json({**self._origin.facts(), "learned": self._learned})
        return {"origin": facts, **{name: self._state[name].copy() for name in STATE}}

    def restore(self, state: Arrays) -> None:
        facts = check_origin(state, self._origin)
        self._state = {name: state[name].copy() for name in STATE}
        self._learned = facts["learned"]

    def export(self) -> Export:
        """Always the whole table: at 2^18 weights it is 1 MB."""
        meta = {
            **self._spec.definition._asdict(),
            "vectors": self._schema.digest,
            "learned": self._learned,
        }
        return check_finite(
            Export(KIND, meta, {name: self._state[name].copy() for name in EXPORTED})
        )


class HashedLinearPredictor:
    """Holds views of an export's arrays. Row-exact, and bit-equal with the learner that exported
    it."""

    row_exact = True

    def __init__(self, export: Export, schema: VectorSchema) -> None:
        check_vectors(export.meta, KIND, schema)
        definition = Definition(*(export.meta[name] for name in Definition._fields))
        self._plan = compile_plan(schema, definition)
        self._arrays = export.arrays

    def predict(self, vectors: Vectors) -> F64:
        return _predicted(vectors, self._plan, self._arrays)


def _predicted(vectors: Vectors, plan: Any, state: Arrays) -> F64:
    out = np.empty(len(vectors))
    given = plain(vectors)
    kernels.predict(
        given.categories,
        given.numbers,
        plan,
        state["weights"],
        state["bias"],
        state["scale"],
        out,
    )
    return out
