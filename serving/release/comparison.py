"""What a lineage's cuts are compared with: the answers of the one that was approved last, and of
the cut before."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from freshet.schemas.models.losses import loss_of
from freshet.schemas.models.tasks import DEFAULT_TASK, Task
from freshet.schemas.models.vectors import F64
from freshet.schemas.wire.messages import Cut
from freshet.serving.release.gate import GateBounds, GateStanding, Reference
from freshet.serving.release.qualify import is_flat, moved


@dataclass(frozen=True, slots=True)
class Approved:
    """The lineage's snapshot that was approved last, and its answers to the golden vectors."""

    number: int
    examples: int
    answers: F64


@dataclass
class Comparison:
    """Of one lineage, in the order of its cuts."""

    approved: Approved | None = None
    held_since_ms: int | None = None
    task: Task = DEFAULT_TASK
    _before: F64 | None = None
    _agreeing: int = 0

    def standing(self, cut: Cut, answers: F64, bounds: GateBounds) -> GateStanding:
        """Of a sound cut with these answers, for the gate. Called once for each."""
        rolling = cut.stats["rolling"]
        # Trainers of an older run say nothing of references.
        prior = ((cut.stats.get("references") or {}).get("rolling") or {}).get("prior") or {}
        # How far labels spread about their mean is what numbers are far or near by.
        spread = _number(prior.get("rmse"))
        before = self._before
        alike = (
            before is not None and moved(answers, before, self.task, spread) <= bounds.divergence
        )
        if not alike:
            self._agreeing = 0
        self._agreeing += 1  # with itself
        self._before = answers
        loss = loss_of(self.task)
        facts = GateStanding(
            examples=examples_of(cut),
            tick_ms=cut.tick,
            agreeing=self._agreeing,
            held_since_ms=self.held_since_ms,
            kind=self.task.kind,
            loss=_number(rolling.get(loss)),
            prior_loss=_number(prior.get(loss)),
        )
        if self.approved is None:
            return facts
        last = self.approved
        return replace(
            facts,
            reference=Reference(last.number, last.examples),
            moved=moved(answers, last.answers, self.task, spread),
            flat=is_flat(answers, last.answers),
        )

    def approve(self, cut: Cut, answers: F64) -> None:
        self.approved = Approved(
            cut.number,
            examples_of(cut),
            answers,
        )
        self.held_since_ms = None
        # What agrees from now on agrees with this one.
        self._before = answers
        self._agreeing = 0

    def hold(self, tick_ms: int) -> None:
        # The first one: time is a way out of the gate, and every cut would begin it anew.
        if self.held_since_ms is None:
            self.held_since_ms = tick_ms


def examples_of(cut: Cut) -> int:
    """How many examples its lineage had learned. One that does not say so has learned something."""
    return int(cut.stats.get("learned", 1))


def _number(value: float | None) -> float:
    if value is None:
        return math.nan
    return float(value)
