"""Logistic regression over hashed features with a learning rate of its own for every weight.

Per-coordinate Adagrad (Duchi, Hazan and Singer, 2011) on hashed one-hot features, as ad systems do
it (McMahan et al., 2013). A category is one id. A number is two neighbouring ids, weighted by how
near its knots are (hat functions), so that the fitted curve is piecewise linear; a missing one has
an id of its own. A cross is one id for the tuple of its members, a number counting as the interval
between knots in which it lies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from freshet.learners.contract import Learner
from freshet.learners.logistic import kernels, softmax
from freshet.learners.logistic.kernels import Plan
from freshet.learners.logistic.plan import Definition, compile_plan
from freshet.learners.logistic.tables import HashedLearner, HashedPredictor, Method, Tables, made
from freshet.schemas.errors import LearnerError
from freshet.schemas.models.tasks import BINARY, CLASSES
from freshet.schemas.models.vectors import VectorSchema

if TYPE_CHECKING:
    from freshet.learners.columns import Feature

KIND = "hashed_logistic"
METHOD = Method(
    KIND,
    ("weights", "bias"),
    kernels.predict,
    ("weights", "squares", "bias"),
    kernels.learn,
)
DEFINITION = Definition._fields


@dataclass(frozen=True, slots=True)
class HashedLogistic:
    """Logistic regression over hashed features, with a learning rate of its own for every weight.

    Learns example by example, in the order of the log, one Adagrad step each, so that it is
    bit-equal however examples are cut into steps. Weights and their sums of squares are float32,
    the bias and the sum of a row float64. A category is one id. A number is two neighbouring ids,
    weighted by how near its knots are (hat functions): what is fitted is piecewise linear in it.
    A missing number has an id of its own. Predictions are held within 1e-6 and 1 - 1e-6.

    Of several classes it is softmax regression: a weight for each id and class, each with a
    learning rate of its own, one step on all of them for each example.

    Source: per-coordinate Adagrad (Duchi, Hazan and Singer, 2011) on hashed features (Weinberger
    et al., 2009), as ad systems do it (McMahan et al., 2013).

    Args:
        bits: There are `2^bits` weights (of classes, so many for each), of 4 bytes each in a
            snapshot; 8 to 28, and no more than 2^28 weights for all classes together.
        rate: Adagrad's learning rate, above 0.
        start: What Adagrad's sums of squares begin with, above 0. More makes first steps smaller.
        prior: The first prediction of a binary model, between 0 and 1, both exclusive. Classes are
            equal at first.
        soft: Whether numbers are hat functions. False: one id for each interval between knots.
        knots: Rising values, at least two, by number or combination. Others get 69 that are dense
            near 0 and ever wider apart, up to some ±1.2 million.
        crosses: Tuples of features each of which becomes one more id, for the values of all its
            members together. A number counts as the interval between knots in which it lies.
        combinations: Weighted sums of numbers, by name, such as
            `{"backlog": {"due.n_1h": 1, "left.n_1h": -1}}`. They are numbers too. Missing where a
            number of theirs is.
        without: Patterns of names, as of a shell (`"*.*"`: all features of views). What matches
            gets no id of its own; crosses and combinations may still use it.
        name: Its name within the model; the beginning of its lineage's name.
        features: What it reads, as `features` of `fr.Model`. None: the model's.

    Raises:
        LearnerError: a value is out of its range; when the learner is made, an unknown feature in
            `knots`, `crosses` or `combinations`, knots that do not rise, or too many weights.

    Examples:
        >>> import freshet as fr
        >>> strong = fr.HashedLogistic(
        ...     rate=0.1,
        ...     knots={"minutes_late": [0, 5, 15, 60]},
        ...     crosses=[("courier", "city")],
        ...     name="crossed",
        ... )
        >>> strong.name
        'crossed'
    """

    bits: int = 18
    rate: float = 0.03
    start: float = 1.0
    prior: float = 0.5
    soft: bool = True
    knots: Mapping[str, Sequence[float]] | None = None
    crosses: Sequence[tuple[str, ...]] = ()
    combinations: Mapping[str, Mapping[str, float]] | None = None
    without: Sequence[str] = ()
    name: str = KIND
    features: Sequence[Feature] | None = field(default=None, repr=False, kw_only=True)
    tasks: ClassVar[tuple[str, ...]] = (BINARY, CLASSES)

    def __post_init__(self) -> None:
        if not (8 <= self.bits <= 28 and self.rate > 0 and self.start > 0 and 0 < self.prior < 1):
            given = f"bits={self.bits}, rate={self.rate}, start={self.start}, prior={self.prior}"
            raise LearnerError(
                f"{self.name} with {given}",
                "out of range",
                "Use 8 to 28 bits, a rate and start above 0 and a prior between 0 and 1.",
            )

    def make(self, schema: VectorSchema) -> Learner:
        """A learner that has learned nothing, for vectors of this schema."""
        if schema.task.kind == CLASSES:
            return softmax.learner(made(self, schema), self.rate, self.start)
        return _learner(self, schema)

    @property
    def definition(self) -> Definition:
        """What a prediction depends on, beside the weights."""
        return Definition(*(getattr(self, name) for name in DEFINITION))

    def plan(self, schema: VectorSchema) -> Plan:
        """The tables of its kernels. Raises `LearnerError` for a feature that the schema lacks."""
        return compile_plan(schema, self.definition)


def _learner(spec: HashedLogistic, schema: VectorSchema) -> HashedLearner:
    """Two float32 tables of `2^bits`, and a bias."""
    tables: Tables = {
        "weights": np.zeros(1 << spec.bits, np.float32),
        "squares": np.full(1 << spec.bits, spec.start, np.float32),
        # The logit of the prior, and Adagrad's sum of squares for it.
        "bias": np.array([np.log(spec.prior / (1 - spec.prior)), spec.start]),
    }
    return HashedLearner(METHOD, spec.rate, made(spec, schema), tables)


class HashedLogisticPredictor(HashedPredictor):
    """Probabilities of a binary task."""

    method = METHOD
