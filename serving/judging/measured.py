"""From labels and the answers to their questions: values of measures, and gains of bets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from freshet.schemas.models.gates import LOSSES
from freshet.schemas.models.vectors import F64
from freshet.serving.judging.losses import LossOf
from freshet.serving.judging.policy import Pairing, Policy, rate_name

Bools = npt.NDArray[np.bool_]
Texts = npt.NDArray[np.str_]


class Labelled(NamedTuple):
    """Questions whose outcome is known, at one age, in the order of the log."""

    labels: F64  # [n]
    answers: F64  # of the candidate, [n], or [n, k] of classes
    references: Mapping[str, F64]  # of others to the same questions; NaN where one had none
    slices: Mapping[str, Texts] = {}

    def is_finite(self, of_classes: bool) -> Bools:
        """Where the candidate said a number, and the label is one."""
        finite = np.asarray(np.isfinite(self.answers))
        if of_classes:
            finite = np.asarray(finite.all(axis=1))
        return np.asarray(finite & np.isfinite(self.labels))

    def where(self, kept: Bools) -> Labelled:
        """Some of them."""
        return Labelled(
            self.labels[kept],
            self.answers[kept],
            {name: answers[kept] for name, answers in self.references.items()},
            {name: values[kept] for name, values in self.slices.items()},
        )


def values_of(policy: Policy, labelled: Labelled) -> F64:
    """Measures of each label [n, measures], in [0, 1]; NaN where a label does not count."""
    columns: dict[str, F64] = {}
    for metric in LOSSES[policy.task.kind]:
        columns[metric] = policy.loss(metric).losses(labelled.answers, labelled.labels)
    columns["answer"] = labelled.answers
    columns["label"] = labelled.labels
    if policy.span is not None:
        own = np.clip(labelled.answers, *policy.span)
        right = np.clip(labelled.labels, *policy.span)
        columns["bias"] = own - right
    for rate, cut_off in policy.rates:
        columns[rate_name(rate, cut_off)] = _rate(
            rate,
            labelled,
            cut_off,
        )
    for test in policy.pairings:
        columns[test.name] = _differences(
            test,
            policy.loss(test.metric),
            labelled,
        )
    nothing = np.full(len(labelled.labels), np.nan)  # of AUC, which is made of two labels
    out = []
    for each in policy.measures:
        width = each.high - each.low
        value = columns.get(each.name, nothing)
        out.append((value - each.low) / width)
    return np.stack(out, axis=1)


def gains_of(policy: Policy, labelled: Labelled) -> tuple[F64, F64]:
    """Of whoever bets that the candidate is worse by more than the margin, and that it is not:
    each [n, tests] in [-1, 1], NaN where the reference said nothing.

    For passing, a difference counts the less the more the two answers could differ beyond `reach`.
    That share is known before the label, and no difference is cut off: whether a question counts
    less does not depend on how it turned out."""
    worse = np.full((len(labelled.labels), len(policy.pairings)), np.nan)
    holds = worse.copy()
    for i, test in enumerate(policy.pairings):
        loss = policy.loss(test.metric)
        difference = _differences(test, loss, labelled) / loss.range
        beyond = difference - test.margin
        worse[:, i] = beyond / (1 + test.margin)
        other = _reference(test, labelled)
        apart = loss.apart(labelled.answers, other) / loss.range
        share = test.reach / np.maximum(apart, test.reach)
        holds[:, i] = share * -beyond / (test.reach + test.margin)
    return worse, holds


def _reference(test: Pairing, labelled: Labelled) -> F64:
    nothing = np.full_like(labelled.answers, np.nan)
    given = labelled.references.get(test.than, nothing)
    return np.where(np.isfinite(given), given, np.nan)


def _differences(test: Pairing, loss: LossOf, labelled: Labelled) -> F64:
    """Of losses, [n]: above 0 where the candidate is worse."""
    other = _reference(test, labelled)
    said = np.asarray(~np.isnan(other))
    if other.ndim > 1:
        said = np.asarray(said.all(axis=1))
    own = loss.losses(labelled.answers, labelled.labels)
    others = loss.losses(other, labelled.labels)
    # Errors are told by comparing, and NaN compares as wrong: so it is left out by itself.
    return np.where(said, own - others, np.nan)


def _rate(rate: str, labelled: Labelled, cut_off: float) -> F64:
    selected = (labelled.answers >= cut_off).astype(np.float64)
    is_positive = labelled.labels > 0.5
    if rate == "true_positive_rate":
        return np.where(is_positive, selected, np.nan)
    if rate == "false_positive_rate":
        return np.where(is_positive, np.nan, selected)
    return selected
