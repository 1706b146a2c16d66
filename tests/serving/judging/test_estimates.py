"""Figures are those of a plain reckoning, and bounds are around them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from freshet.schemas.models.gates import Gate
from freshet.schemas.models.tasks import Binary, Regression
from freshet.serving.judging.estimates import estimate
from freshet.serving.judging.evidence import Evidence
from freshet.serving.judging.losses import Span
from freshet.serving.judging.measured import Labelled
from freshet.serving.judging.policy import Policy

RNG = np.random.default_rng(21)
COUNT = 6_000
TRUTH = RNG.beta(2, 4, COUNT)
LABELS = (RNG.random(COUNT) < TRUTH).astype(float)
GROUPS = RNG.choice(["a", "b", "c"], COUNT)
RATES = {group: float((TRUTH[group == GROUPS] >= 0.4).mean()) for group in "abc"}
AUC = float((TRUTH[LABELS == 1][:, None] > TRUTH[LABELS == 0][None, :]).mean())
EXACT = {
    "brier": float(((TRUTH - LABELS) ** 2).mean()),
    "log_loss": float(-np.log(np.where(LABELS == 1, TRUTH, 1 - TRUTH)).mean()),
    "accuracy": float(((TRUTH >= 0.5) == (LABELS == 1)).mean()),
    "calibration": float(TRUTH.sum() / LABELS.sum()),
    "selection_rate": float((TRUTH >= 0.4).mean()),
    "true_positive_rate": float((TRUTH[LABELS == 1] >= 0.4).mean()),
    "false_positive_rate": float((TRUTH[LABELS == 0] >= 0.4).mean()),
    "selection_rate_ratio": min(RATES.values()) / max(RATES.values()),
}


def gate_of(metric: str) -> Gate:
    if metric.endswith("_ratio"):
        return Gate(metric, at_least=0.5, cut_off=0.4, slice="group")
    if "rate" in metric:
        return Gate(metric, at_least=0.5, cut_off=0.4)
    return Gate(metric, at_least=0.5)


def evidence_of(gates: list[Gate]) -> Evidence:
    out = Evidence(Policy(Binary(), gates, ["group"]))
    out.update(Labelled(LABELS, TRUTH, {}, {"group": GROUPS}))
    return out


@pytest.mark.parametrize("metric", list(EXACT))
def test_a_figure_is_what_it_is_called(metric: str) -> None:
    gate = gate_of(metric)
    found = estimate(evidence_of([gate]), gate, 0, 0.05)
    assert found.value == pytest.approx(EXACT[metric], rel=1e-9)
    assert found.low <= found.value <= found.high
    assert found.high - found.low < 1


def test_neighbours_rank_as_all_pairs_do() -> None:
    gate = Gate("auc", at_least=0.5)
    found = estimate(evidence_of([gate]), gate, 0, 0.05)
    assert found.low <= AUC <= found.high
    assert found.value == pytest.approx(AUC, abs=0.03)
    assert found.labels == COUNT


def test_numbers_are_reckoned_within_their_span() -> None:
    label = RNG.normal(0, 3, 500)
    own = label + RNG.normal(0.5, 1, 500)
    gates = [Gate(metric, at_most=9.0) for metric in ("mse", "rmse", "mae", "bias")]
    evidence = Evidence(Policy(Regression(), gates, span=Span(-5.0, 5.0)))
    evidence.update(Labelled(label, own, {}))
    off = np.clip(own, -5, 5) - np.clip(label, -5, 5)
    exact = [(off**2).mean(), math.sqrt((off**2).mean()), np.abs(off).mean(), off.mean()]
    found = [estimate(evidence, gate, 0, 0.05) for gate in gates]
    assert [each.value for each in found] == pytest.approx(exact)
    assert all(each.low <= each.value <= each.high for each in found)


def test_labels_of_one_kind_have_no_calibration() -> None:
    gate = Gate("calibration", at_most=2.0)
    evidence = Evidence(Policy(Binary(), [gate]))
    evidence.update(Labelled(np.zeros(50), np.full(50, 0.2), {}))
    assert math.isnan(estimate(evidence, gate, 0, 0.05).value)
