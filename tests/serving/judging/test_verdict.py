"""A verdict says what the evidence says, to the last bit, and passes only what is known to hold."""

from __future__ import annotations

import math

import numpy as np
import pytest

from freshet.schemas.models.gates import Gate
from freshet.schemas.models.tasks import Binary, Classes, Regression, Task
from freshet.schemas.models.vectors import F64
from freshet.serving.judging.evidence import Evidence
from freshet.serving.judging.losses import learned_span
from freshet.serving.judging.measured import Labelled
from freshet.serving.judging.policy import Policy
from freshet.serving.judging.verdict import Verdict, decoded, encoded, judge

COUNT = 4_000
RNG = np.random.default_rng(11)
TRUTH = RNG.beta(2, 6, COUNT)
LABELS = (RNG.random(COUNT) < TRUTH).astype(float)
CARRIERS = RNG.choice(["AA", "UA", "OO"], COUNT, p=[0.5, 0.49, 0.01])
NEAR = np.clip(TRUTH + RNG.normal(0, 0.01, COUNT), 0.01, 0.99)
INVERTED = 1 - TRUTH
RELATIVE = Gate("brier", no_worse_by=0.002)


def verdict_on(gates: list[Gate], own: F64, other: F64, first: int = COUNT) -> Verdict:
    policy = Policy(Binary(), gates, ["carrier"])
    evidence = Evidence(policy)
    rows = Labelled(LABELS, own, {"champion": other}, {"carrier": CARRIERS})
    evidence.update(rows.where(np.arange(COUNT) < first))
    return judge(policy, evidence)


def test_an_equal_one_passes_and_a_worse_one_fails() -> None:
    assert verdict_on([RELATIVE], NEAR, TRUTH).outcome == "pass"
    assert verdict_on([RELATIVE], INVERTED, TRUTH).outcome == "fail"


def test_sides_are_not_confused() -> None:
    """Whoever is better by far passes even a gate that asks for a better one; swapped, it fails."""
    better = Gate("brier", no_worse_by=0.0)
    assert verdict_on([better], TRUTH, INVERTED).outcome == "pass"
    assert verdict_on([better], INVERTED, TRUTH).outcome == "fail"


def test_with_few_labels_nothing_passes_and_it_says_how_many_are_missing() -> None:
    found = verdict_on([RELATIVE], NEAR, TRUTH, first=999)
    assert (found.outcome, found.gates[0].reason) == ("inconclusive", "few_labels")
    assert found.gates[0].whole.missing == 1
    none = verdict_on([RELATIVE], NEAR, TRUTH, first=0)
    assert (none.outcome, none.gates[0].reason) == ("inconclusive", "no_labels")
    assert none.gates[0].whole.missing == 1_000


def test_harm_is_told_before_there_are_enough_labels() -> None:
    assert verdict_on([RELATIVE], INVERTED, TRUTH, first=300).outcome == "fail"


def test_one_answer_that_is_no_number_passes_nothing() -> None:
    own = NEAR.copy()
    own[7] = math.nan
    found = verdict_on([RELATIVE, Gate("brier", at_most=0.9)], own, TRUTH)
    assert found.outcome == "inconclusive"
    assert {gate.reason for gate in found.gates} == {"not_finite"}


def test_a_reference_that_never_answered_decides_nothing() -> None:
    found = verdict_on([RELATIVE], NEAR, np.full(COUNT, math.nan))
    assert found.gates[0].reason == "no_labels"
    absent = verdict_on([Gate("brier", no_worse_by=0.002, than="frozen")], NEAR, TRUTH)
    assert absent.outcome == "inconclusive"


def test_a_failed_job_and_no_gates_decide_nothing() -> None:
    policy = Policy(Binary(), [RELATIVE], ["carrier"])
    evidence = Evidence(policy)
    evidence.update(Labelled(LABELS, NEAR, {"champion": TRUTH}, {"carrier": CARRIERS}))
    for found in (judge(policy, None), judge(policy, evidence, "the disk is full")):
        assert found.outcome == "inconclusive"
        assert found.gates[0].reason == "job_failed"
    assert judge(policy, evidence, "the disk is full").why == "the disk is full"
    assert verdict_on([], NEAR, TRUTH).outcome == "inconclusive"


@pytest.mark.parametrize("metric", ["brier", "log_loss", "accuracy", "mse", "mae"])
def test_of_classes_and_numbers_the_better_passes_and_the_worse_fails(metric: str) -> None:
    rng = np.random.default_rng(31)
    task: Task = Classes(["a", "b", "c"])
    good = rng.dirichlet([0.4, 0.4, 0.4], COUNT)
    label = (rng.random((COUNT, 1)) > good.cumsum(axis=1)).sum(axis=1).astype(float)
    bad = good[:, ::-1].copy()
    span = None
    if metric in ("mse", "mae"):
        task = Regression()
        label = rng.normal(0, 1, COUNT)
        good = label + rng.normal(0, 0.3, COUNT)
        bad = label + rng.normal(0, 2, COUNT)
        span = learned_span(rng.normal(0, 1, 5_000))
    policy = Policy(task, [Gate(metric, no_worse_by=0.0)], span=span)
    outcomes = []
    for own, other in ((good, bad), (bad, good), (good, good)):
        evidence = Evidence(policy)
        evidence.update(Labelled(label, own, {"champion": other}))
        outcomes.append(judge(policy, evidence).outcome)
    assert outcomes == ["pass", "fail", "inconclusive"]


def test_one_gate_that_does_not_pass_is_enough() -> None:
    undecided = Gate("brier", at_most=float(((NEAR - LABELS) ** 2).mean()))
    found = verdict_on([RELATIVE, undecided], NEAR, TRUTH)
    assert [gate.outcome for gate in found.gates] == ["pass", "inconclusive"]
    assert found.outcome == "inconclusive"
    broken = Gate("auc", at_least=0.99)
    assert verdict_on([RELATIVE, undecided, broken], NEAR, TRUTH).outcome == "fail"


@pytest.mark.parametrize(
    ("gate", "outcome"),
    [
        (Gate("log_loss", at_most=0.69), "pass"),
        (Gate("log_loss", at_most=0.3), "fail"),
        (Gate("accuracy", at_least=0.65), "pass"),
        (Gate("accuracy", at_least=0.9), "fail"),
        (Gate("auc", at_least=0.55), "pass"),
        (Gate("calibration", at_least=0.7, at_most=1.4), "pass"),
        (Gate("calibration", at_most=0.5), "fail"),
        (Gate("selection_rate", cut_off=0.9, at_most=0.2), "pass"),
        (Gate("true_positive_rate", cut_off=0.9, at_least=0.5), "fail"),
    ],
)
def test_a_bound_of_a_figure_is_kept_or_broken_surely(gate: Gate, outcome: str) -> None:
    assert verdict_on([gate], NEAR, TRUTH).gates[0].outcome == outcome


def test_a_slice_alone_fails_a_gate_and_is_named() -> None:
    own = np.where(CARRIERS == "UA", INVERTED, NEAR)
    gate = verdict_on([Gate("brier", no_worse_by=0.1, per_slice=True)], own, TRUTH).gates[0]
    by_slice = {part.slice: part.outcome for part in gate.slices}
    assert gate.outcome == "fail"
    assert by_slice["carrier=UA"] == "fail"
    assert by_slice["carrier=AA"] == "pass"
    assert gate.worst == "carrier=UA"


def test_a_slice_of_few_labels_is_listed_and_waited_for_by_nobody() -> None:
    gate = verdict_on([Gate("brier", no_worse_by=0.1, per_slice=True)], NEAR, TRUTH).gates[0]
    assert gate.outcome == "pass"
    small = next(part for part in gate.slices if part.slice == "carrier=OO")
    assert (small.outcome, small.reason) == ("inconclusive", "few_labels")


def test_groups_are_compared_by_their_rates() -> None:
    unfair = np.where(CARRIERS == "UA", 0.9, 0.1)
    gate = Gate(
        "selection_rate_ratio", slice="carrier", cut_off=0.5, at_least=0.8, min_labels=1_000
    )
    assert verdict_on([gate], unfair, TRUTH).outcome == "fail"
    assert verdict_on([gate], np.full(COUNT, 0.9), TRUTH).outcome == "pass"
    alone = verdict_on([gate], unfair, TRUTH, first=300).gates[0]
    assert (alone.outcome, alone.reason) == ("inconclusive", "no_figure")


def test_a_level_is_split_over_gates_and_over_slices() -> None:
    """Each of eight gates needs eight times the evidence of one; of slices, 1/2, 1/6, 1/12 …"""
    half = verdict_on([RELATIVE], TRUTH + 0.12, TRUTH, first=700)
    e_value = half.gates[0].whole.e_broken
    assert e_value is not None
    alpha = 1.5 / e_value
    for gates, slices, fails in (([RELATIVE], False, True), ([RELATIVE] * 8, False, False)):
        policy = Policy(Binary(), gates, ["carrier"], alpha=alpha)
        evidence = Evidence(policy)
        rows = Labelled(LABELS, TRUTH + 0.12, {"champion": TRUTH}, {"carrier": CARRIERS})
        evidence.update(rows.where(np.arange(COUNT) < 700))
        assert (judge(policy, evidence).outcome == "fail") == fails, slices
    assert sum(1 / ((row + 1) * (row + 2)) for row in range(10_000)) < 1


def test_a_verdict_is_made_again_to_the_bit() -> None:
    gates = [RELATIVE, Gate("auc", at_least=0.6), Gate("brier", no_worse_by=0.1, per_slice=True)]
    first = encoded(verdict_on(gates, NEAR, TRUTH))
    assert encoded(verdict_on(gates, NEAR, TRUTH)) == first
    assert encoded(decoded(first)) == first
    other = NEAR.copy()
    other[17] += 1e-12
    assert encoded(verdict_on(gates, other, TRUTH)) != first
