"""Figures of a candidate with what is not known of them: a value, and bounds around it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from freshet.schemas.models.gates import Gate
from freshet.serving.judging.evidence import Evidence, all_slices, mean_of
from freshet.serving.judging.intervals import bounds
from freshet.serving.judging.policy import rate_name

NAN = float("nan")


class Estimate(NamedTuple):
    """Of a figure. NaN where it means nothing, and then it decides nothing."""

    labels: int  # that it is a mean of; the least of its groups', of a ratio
    value: float
    low: float
    high: float


def estimate(evidence: Evidence, gate: Gate, row: int, alpha: float) -> Estimate:
    """Of a gate's figure in a slice, or of the difference that it bounds; the bounds hold at every
    moment at once, but for a chance `alpha`."""
    if gate.is_relative:
        return of_mean(
            evidence,
            evidence.policy.pairing(gate).name,
            row,
            alpha,
        )
    if gate.slice is not None:
        return _ratio_of_groups(evidence, gate, alpha)
    if gate.rate is not None and gate.cut_off is not None:
        return of_mean(
            evidence,
            rate_name(gate.rate, gate.cut_off),
            row,
            alpha,
        )
    if gate.metric in _MADE:
        return _MADE[gate.metric](evidence, row, alpha)
    return of_mean(evidence, gate.metric, row, alpha)


def of_mean(evidence: Evidence, measure: str, row: int, alpha: float) -> Estimate:
    """Of a measure itself."""
    sums = evidence.sums(measure, row)
    own = evidence.policy.measure(measure)
    width = own.high - own.low
    low, high = bounds(sums, alpha)
    value = mean_of(evidence, measure, row)
    return Estimate(
        labels=sums.labels,
        value=value,
        low=own.low + width * low,
        high=own.low + width * high,
    )


def _accuracy(evidence: Evidence, row: int, alpha: float) -> Estimate:
    """It is kept as the share of errors."""
    errors = of_mean(evidence, "accuracy", row, alpha)
    return Estimate(
        labels=errors.labels,
        value=1 - errors.value,
        low=1 - errors.high,
        high=1 - errors.low,
    )


def _rmse(evidence: Evidence, row: int, alpha: float) -> Estimate:
    squares = of_mean(evidence, "mse", row, alpha)
    return Estimate(
        labels=squares.labels,
        value=math.sqrt(squares.value),
        low=math.sqrt(squares.low),
        high=math.sqrt(squares.high),
    )


def _auc(evidence: Evidence, row: int, alpha: float) -> Estimate:
    """Of pairs of neighbouring labels that are each in one pair: so it is a mean, and has bounds.
    Each label counts for `min_labels`, in a pair or not."""
    pairs = of_mean(evidence, "auc", row, alpha)
    return pairs._replace(labels=evidence.sums("label", row).labels)


def _calibration(evidence: Evidence, row: int, alpha: float) -> Estimate:
    """The mean answer over the mean label, each with half of the chance."""
    answers = of_mean(evidence, "answer", row, alpha / 2)
    labels = of_mean(evidence, "label", row, alpha / 2)
    if not labels.value > 0:
        return Estimate(labels.labels, NAN, NAN, NAN)
    high = math.inf  # until enough labels are positive
    if labels.low > 0:
        high = answers.high / labels.low
    return Estimate(
        labels=labels.labels,
        value=answers.value / labels.value,
        low=answers.low / labels.high,
        high=high,
    )


def _ratio_of_groups(evidence: Evidence, gate: Gate, alpha: float) -> Estimate:
    """The least rate over the greatest, of groups that have `min_labels`; one alone is no ratio.

    Bounds of all groups hold at once: the chance is split over them."""
    assert gate.rate is not None
    assert gate.cut_off is not None
    name = rate_name(gate.rate, gate.cut_off)
    rows = [row for row, slice_ in all_slices(evidence) if slice_.startswith(f"{gate.slice}=")]
    counts = {row: evidence.sums(name, row).labels for row in rows}
    told = [row for row in rows if counts[row] >= gate.min_labels]
    if len(told) < 2:
        # So many as the second has: what is missing is missing from that one.
        second = sorted(counts.values(), reverse=True)[1:2]
        return Estimate(sum(second), NAN, NAN, NAN)
    groups = [of_mean(evidence, name, row, alpha / len(rows)) for row in told]
    greatest = max(group.value for group in groups)
    least_low = min(group.low for group in groups)
    least_high = min(group.high for group in groups)
    greatest_low = max(group.low for group in groups)
    value = NAN
    if greatest > 0:
        value = min(group.value for group in groups) / greatest
    high = 1.0  # by what it is, until the greatest rate is known to be above 0
    if greatest_low > 0:
        high = min(1.0, least_high / greatest_low)
    greatest_high = max(group.high for group in groups)
    return Estimate(
        labels=min(group.labels for group in groups),
        value=value,
        low=least_low / greatest_high,
        high=high,
    )


_MADE: dict[str, Callable[[Evidence, int, float], Estimate]] = {
    "accuracy": _accuracy,
    "rmse": _rmse,
    "auc": _auc,
    "calibration": _calibration,
}
