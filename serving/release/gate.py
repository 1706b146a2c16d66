"""May a sound snapshot be served that answers quite differently from the one that was approved
last?

A pure function from what is known to one action. The comparison is with an approved snapshot, and
only approving moves it on: so alone it would lock itself wherever the world really changed, or the
first one knew next to nothing. The ways out are what has been learned since, agreement of
successive cuts, time, and a person (`freshet approve`), who does not come by here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from freshet.schemas.durations import HOUR_MS, text_of
from freshet.schemas.models.tasks import BINARY, REGRESSION


@dataclass(frozen=True, slots=True)
class GateBounds:
    """`divergence` is the mean |Δlogit| on the golden vectors (of a regression: the mean |Δ| in
    spreads of its labels); it is generous, since a model that
    learns should move."""

    divergence: float = 3.0
    learned: int = 1_000  # examples; who has learned fewer may itself be what is wrong
    agreeing: int = 3  # successive cuts; one accident is not repeated by the next two
    held_ms: int = HOUR_MS  # app clock; what is served ages meanwhile
    # A world that has changed is learned, so that the loss is soon no more than that of who knows
    # the base rate alone (with some room: figures are over the newest examples, and right after a
    # change both are bad).
    loss: float = 1.1


@dataclass(frozen=True, slots=True)
class Reference:
    """The lineage's snapshot that was approved last: its number, and how many examples it had
    learned."""

    number: int
    examples: int


@dataclass(frozen=True, slots=True)
class GateStanding:
    """What is known of a cut at `tick_ms` (app clock). `moved` is the mean |Δlogit| from the
    reference, and `flat` says that it tells no golden vectors apart, which the reference does.

    `agreeing` counts the cuts up to this one of which each answers as the one before it, none of
    them approved; the first that was held was cut at `held_since_ms` (None: none is). Losses are
    over the newest examples (NaN: unknown), `prior_loss` of who answers with the base rate."""

    examples: int
    tick_ms: int
    reference: Reference | None = None
    moved: float = 0.0
    flat: bool = False
    agreeing: int = 1
    held_since_ms: int | None = None
    loss: float = math.nan
    prior_loss: float = math.nan
    kind: str = BINARY


@dataclass(frozen=True, slots=True)
class Pass:
    """`reason` is empty where nothing was in the way."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Hold:
    reason: str


def decide(state: GateStanding, bounds: GateBounds) -> Pass | Hold:
    """Let a snapshot pass, or hold it back, in one sentence."""
    reference = state.reference
    if reference is None or not (state.flat or state.moved > bounds.divergence):
        return Pass()
    differs = _difference(state, reference, bounds)
    if reference.examples < bounds.learned and state.examples > reference.examples:
        learned = f"had learned {reference.examples} examples, this one {state.examples}"
        return Pass(f"{differs}; that one {learned}")
    worse = state.loss > state.prior_loss * bounds.loss  # False where either is not known
    if state.agreeing >= bounds.agreeing and not worse:
        return Pass(f"{differs}; {state.agreeing} successive cuts agree")
    held_ms = 0
    if state.held_since_ms is not None:
        held_ms = state.tick_ms - state.held_since_ms
    if held_ms >= bounds.held_ms:
        return Pass(f"{differs}; that has lasted for {text_of(held_ms)}")
    return Hold(f"held back: {differs}; {_way_out(state, worse, bounds.held_ms - held_ms, bounds)}")


def _difference(state: GateStanding, reference: Reference, bounds: GateBounds) -> str:
    if state.flat:
        apart = f"snapshot {reference.number} tells them apart"
        return f"it answers the same to every golden vector, and {apart}"
    unit = "in logit"
    if state.kind == REGRESSION:
        unit = "spreads of the labels"
    moved = f"golden predictions moved by {state.moved:.2f} {unit} from snapshot {reference.number}"
    return f"{moved}, {bounds.divergence:.2f} are allowed"


def _way_out(state: GateStanding, worse: bool, left_ms: int, bounds: GateBounds) -> str:
    if worse:
        knows = "base rate"
        if state.kind != BINARY:
            knows = "prior"
        against = f"its loss {state.loss:.4f} is above {state.prior_loss:.4f} of the {knows}"
        return f"{against}; let through in {text_of(left_ms)}, or by freshet approve"
    missing = bounds.agreeing - state.agreeing
    return f"let through once {missing} more agree, in {text_of(left_ms)}, or by freshet approve"
