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
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from freshet.learners.contract import Learner
from freshet.learners.linear import kernels
from freshet.learners.logistic.plan import Definition
from freshet.learners.logistic.tables import HashedLearner, HashedPredictor, Method, Tables, made
from freshet.learners.targets.kernels import SCALE_SIZE
from freshet.schemas.errors import LearnerError
from freshet.schemas.models.tasks import REGRESSION
from freshet.schemas.models.vectors import VectorSchema

if TYPE_CHECKING:
    from freshet.learners.columns import Feature

KIND = "hashed_linear"
METHOD = Method(
    KIND,
    ("weights", "bias", "scale"),
    kernels.predict,
    ("weights", "squares", "bias", "scale"),
    kernels.learn,
)


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

    def make(self, schema: VectorSchema) -> Learner:
        """A learner that has learned nothing, for vectors of this schema."""
        steps = (float(self.rate), float(self.huber or np.inf))

        tables: Tables = {
            "weights": np.zeros(1 << self.bits, np.float32),
            # The bias, and Adagrad's sum of squares for it.
            "bias": np.array([0.0, self.start]),
            "scale": np.zeros(SCALE_SIZE),
            "squares": np.full(1 << self.bits, self.start, np.float32),
        }
        return HashedLearner(METHOD, steps, made(self, schema), tables)

    @property
    def definition(self) -> Definition:
        """What a prediction depends on, beside the weights."""
        return Definition(*(getattr(self, name) for name in Definition._fields))


class HashedLinearPredictor(HashedPredictor):
    """Numbers, in the labels' unit."""

    method = METHOD
