"""By which gates a model is judged, and what has to be counted of each label for that."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from typing import NamedTuple

from freshet.schemas.errors import DefinitionError
from freshet.schemas.models.gates import LOSSES, RATES, Gate, check_gates
from freshet.schemas.models.tasks import BINARY, REGRESSION, Task
from freshet.serving.judging.betting_kernels import BETS, STAKES
from freshet.serving.judging.losses import LossOf, Span, loss_of

ALPHA = 0.05  # false halts of a model, over all its gates and all time
# Of the range of a loss: on questions where two could be farther apart than that, a difference
# counts less for passing. Errors are whole or none, so of accuracy nothing may count less.
REACH = 0.2
WHOLE = 1.0


class Measure(NamedTuple):
    """Something that each label has, between `low` and `high`, and whose mean is kept."""

    name: str
    low: float
    high: float


class Pairing(NamedTuple):
    """A test of two models' losses on the same questions. `margin` is a share of the range."""

    metric: str
    than: str
    margin: float
    reach: float

    @property
    def name(self) -> str:
        """Of the measure that holds the mean of the differences."""
        return f"{self.metric} - {self.than}"


@dataclass(frozen=True)
class Policy:
    """What is judged, and how surely: a verdict names its digest.

    Args:
        task: What the model predicts.
        gates: What it must hold. With none of them every verdict is inconclusive.
        slices: Names of the slices that labels come with.
        span: Of a regression, between which numbers it is judged.
        alpha: How many of a hundred times, at most, a model that holds all its gates is halted.

    Raises:
        DefinitionError: a gate that means nothing of this task, a regression without a span, an
            `alpha` that is no probability.
    """

    task: Task
    gates: Sequence[Gate]
    slices: Sequence[str] = ()
    span: Span | None = None
    alpha: float = ALPHA

    def __post_init__(self) -> None:
        check_gates("a policy", self.gates, self.task, self.slices)
        if not 0 < self.alpha < 1:
            raise DefinitionError(
                "a policy", f"alpha={self.alpha}", "Write a probability, such as 0.05."
            )
        for metric in LOSSES[self.task.kind]:
            self.loss(metric)

    @property
    def alpha_of_a_gate(self) -> float:
        """One level is split over a model's gates: whichever of them errs halts it."""
        return self.alpha / max(1, len(self.gates))

    def loss(self, metric: str) -> LossOf:
        """The loss that a metric is the mean of."""
        return loss_of(metric, self.task, self.span)

    def margin(self, gate: Gate) -> float:
        """What a relative gate tolerates, as a share of the range of its loss."""
        assert gate.no_worse_by is not None
        return gate.no_worse_by / self.loss(gate.metric).range

    def pairing(self, gate: Gate) -> Pairing:
        """The test that a relative gate needs."""
        reach = REACH
        if gate.metric == "accuracy":
            reach = WHOLE
        return Pairing(
            gate.metric,
            gate.than,
            self.margin(gate),
            reach,
        )

    @cached_property
    def pairings(self) -> tuple[Pairing, ...]:
        """Each test once, though several gates may need it."""
        found = [self.pairing(gate) for gate in self.gates if gate.is_relative]
        return tuple(dict.fromkeys(found))

    @cached_property
    def rates(self) -> tuple[tuple[str, float], ...]:
        """Each rate and its cut-off once."""
        found = [(gate.rate, gate.cut_off) for gate in self.gates]
        kept = [(rate, cut) for rate, cut in found if rate is not None and cut is not None]
        return tuple(dict.fromkeys(kept))

    @cached_property
    def measures(self) -> tuple[Measure, ...]:
        """What is kept of each label, whatever the gates are, and what these need beside."""
        found = [Measure(m, 0.0, self.loss(m).range) for m in LOSSES[self.task.kind]]
        if self.task.kind == BINARY:
            found += [Measure(name, 0.0, 1.0) for name in ("answer", "label", "auc")]
        if self.task.kind == REGRESSION and self.span is not None:
            width = self.span.high - self.span.low
            found.append(Measure("bias", -width, width))
        found += [Measure(rate_name(rate, cut), 0.0, 1.0) for rate, cut in self.rates]
        for test in self.pairings:
            width = self.loss(test.metric).range
            found.append(Measure(test.name, -width, width))
        # Two margins against the same model have the same differences.
        return tuple(dict.fromkeys(found))

    def measure(self, name: str) -> Measure:
        """By its name."""
        return next(each for each in self.measures if each.name == name)

    @cached_property
    def digest(self) -> str:
        """64 hex digits that change with anything that a verdict depends on."""
        facts: list[object] = [
            self.task.kind,
            self.task.facts,
            [astuple(gate) for gate in self.gates],
        ]
        facts += [list(self.slices), self.span, self.alpha, REACH, BETS.tolist(), STAKES.tolist()]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def rate_name(rate: str, cut_off: float) -> str:
    """As TensorFlow Model Analysis names them: `selection_rate@0.5`."""
    assert rate in RATES
    return f"{rate}@{cut_off}"
