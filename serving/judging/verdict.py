"""Verdicts: what the evidence says of each gate, as a record that anyone can make again.

Of the same labels and the same policy it is the same bytes (`encoded`), so a verdict that was
written down is checked by making it again.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

from freshet.schemas.models.gates import Gate
from freshet.serving.judging.betting_kernels import HOLDS, WORSE
from freshet.serving.judging.estimates import Estimate, estimate
from freshet.serving.judging.evidence import ALL, Evidence, all_slices
from freshet.serving.judging.outcomes import INCONCLUSIVE, Known, Outcome, all_of, outcome_of
from freshet.serving.judging.policy import Policy


class Part(msgspec.Struct, frozen=True):
    """A gate in one slice; `slice` is empty of the whole. Numbers that mean nothing are null."""

    slice: str
    outcome: str
    reason: str
    labels: int
    missing: int  # labels until it can pass, 0 if there are enough
    value: float | None  # the figure, or of a relative gate the difference
    low: float | None
    high: float | None
    # Of a relative gate, the greatest so far: that the bound is broken, and that it is kept.
    e_broken: float | None = None
    e_kept: float | None = None


class GateVerdict(msgspec.Struct, frozen=True):
    """A gate in all, and in its slices. `worst` is the slice with most evidence against it: it is
    where to look first, and no level is claimed for its name."""

    metric: str
    bound: str
    outcome: str
    reason: str
    whole: Part
    slices: tuple[Part, ...] = ()
    worst: str = ""


class Verdict(msgspec.Struct, frozen=True):
    """Of a candidate. Only `pass` may serve."""

    outcome: str
    gates: tuple[GateVerdict, ...]
    alpha: float
    policy: str
    evidence: str  # digest of all that was counted; empty where there is none
    why: str = ""  # of a job that failed, in its own words


class Levels(NamedTuple):
    """How surely a bound must be broken, and how surely kept."""

    broken: float
    kept: float


def judge(policy: Policy, evidence: Evidence | None, failed: str = "") -> Verdict:
    """By every gate of the policy. Without evidence, or where what gathers it has `failed` (in its
    own words), nothing is decided: inconclusive."""
    if evidence is None or failed:
        why = failed or "there is no evidence"
        gates = tuple(_without_evidence(gate) for gate in policy.gates)
        return Verdict(
            INCONCLUSIVE,
            gates,
            policy.alpha,
            policy.digest,
            "",
            why,
        )
    assert evidence.policy.digest == policy.digest
    gates = tuple(_of_gate(gate, evidence) for gate in policy.gates)
    outcome = all_of(gate.outcome for gate in gates)
    return Verdict(
        outcome,
        gates,
        policy.alpha,
        policy.digest,
        evidence.digest,
    )


def encoded(verdict: Verdict) -> bytes:
    """As it is stored: JSON, with every number to its last bit."""
    return msgspec.json.encode(verdict)


def decoded(text: bytes) -> Verdict:
    """Of `encoded`."""
    return msgspec.json.decode(text, type=Verdict)


def bound_of(gate: Gate) -> str:
    """As it reads: `<= 0.62`, `no worse than champion by 0.002`."""
    if gate.is_relative:
        return f"no worse than {gate.than} by {gate.no_worse_by}"
    found = []
    if gate.at_least is not None:
        found.append(f">= {gate.at_least}")
    if gate.at_most is not None:
        found.append(f"<= {gate.at_most}")
    return " and ".join(found)


def _of_gate(gate: Gate, evidence: Evidence) -> GateVerdict:
    rows = all_slices(evidence)
    whole = _part(gate, evidence, (0, ALL))
    parts: tuple[Part, ...] = ()
    if gate.per_slice:
        parts = tuple(_part(gate, evidence, row) for row in rows)
    # A slice without enough labels can fail and cannot pass: it is waited for by nobody, and the
    # record says that it was not judged.
    judged = [part for part in parts if part.reason not in ("few_labels", "no_labels")]
    deciding = [whole, *judged]
    outcome = all_of(part.outcome for part in deciding)
    reason = next(part.reason for part in deciding if part.outcome == outcome)
    worst = _worst_slice(gate, evidence)
    return GateVerdict(
        gate.metric,
        bound_of(gate),
        outcome,
        reason,
        whole,
        parts,
        worst,
    )


def _part(gate: Gate, evidence: Evidence, row: tuple[int, str]) -> Part:
    levels = _levels(gate, evidence.policy, row[0])
    found = estimate(evidence, gate, row[0], levels.broken)
    known = Known(
        is_finite=evidence.odd == 0,
        has_figure=not math.isnan(found.value),
        labels=found.labels,
        min_labels=gate.min_labels,
    )
    e_values: tuple[float | None, float | None] = (None, None)
    if gate.is_relative:
        test = evidence.policy.pairings.index(evidence.policy.pairing(gate))
        broken = evidence.peak(WORSE, test, row[0])
        kept = evidence.peak(HOLDS, test, row[0])
        e_values = (broken, kept)
        assert gate.no_worse_by is not None
        # The plain mean must be within the margin, too: for passing, differences are weighed.
        is_for = kept >= 1 / levels.kept and found.value <= gate.no_worse_by
        known = known._replace(is_against=broken >= 1 / levels.broken, is_for=is_for)
    else:
        known = _bounded(known, gate, found)
    return _recorded(
        row[1],
        outcome_of(known),
        found,
        gate.min_labels,
        e_values,
    )


def _levels(gate: Gate, policy: Policy, row: int) -> Levels:
    """Slices share a gate's level in the order in which they appear: 1/2, 1/6, 1/12 … of it, which
    add up to 1 however many come. To pass, all must be shown to keep it, and each is asked at the
    whole level: that errs no more often than one alone does (Berger, 1982)."""
    broken = policy.alpha_of_a_gate
    if gate.per_slice:
        broken /= (row + 1) * (row + 2)
    return Levels(broken, policy.alpha)


def _bounded(known: Known, gate: Gate, found: Estimate) -> Known:
    """Of a gate on a figure: kept once all of the interval is within, broken once none is."""
    low = -math.inf
    high = math.inf
    if gate.at_least is not None:
        low = gate.at_least
    if gate.at_most is not None:
        high = gate.at_most
    is_for = low <= found.low and found.high <= high
    return known._replace(is_for=is_for, is_against=found.low > high or found.high < low)


def _recorded(
    slice_: str,
    outcome: Outcome,
    found: Estimate,
    min_labels: int,
    e_values: tuple[float | None, float | None],
) -> Part:
    return Part(
        slice=slice_,
        outcome=outcome.outcome,
        reason=outcome.reason,
        labels=found.labels,
        missing=max(0, min_labels - found.labels),
        value=_number(found.value),
        low=_number(found.low),
        high=_number(found.high),
        e_broken=e_values[0],
        e_kept=e_values[1],
    )


def _number(value: float) -> float | None:
    """JSON knows no NaN and no infinity."""
    if math.isfinite(value):
        return value
    return None


def _worst_slice(gate: Gate, evidence: Evidence) -> str:
    rows = all_slices(evidence)
    if not gate.is_relative or not rows:
        return ""
    test = evidence.policy.pairings.index(evidence.policy.pairing(gate))
    return max(rows, key=lambda row: evidence.peak(WORSE, test, row[0]))[1]


def _without_evidence(gate: Gate) -> GateVerdict:
    outcome = outcome_of(Known(ran=False))
    whole = Part(ALL, *outcome, 0, gate.min_labels, None, None, None)
    return GateVerdict(gate.metric, bound_of(gate), *outcome, whole)
