"""The answers without features against a plain walk over the labels, and against River's own."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river.dummy import NoChangeClassifier

from freshet.learners.training.prequential import Figures
from freshet.learners.training.references import ReferenceFigures, References

LABELS = st.lists(st.booleans(), max_size=60)


def plain(labels: list[bool], newest: int) -> dict[str, dict[str, Any]]:
    """Both, one label after the other; figures are of the newest labels only."""
    rates, befores = [], []
    for i, _ in enumerate(labels):
        rates.append((sum(labels[:i]) + 0.5) / (i + 1))
        befores.append(labels[i - 1] if i else None)
    judged = list(zip(labels, rates, befores))[-newest:]
    if not judged:
        return {"prior": {"n": 0}, "no_change": {"n": 0}}
    n = len(judged)
    base = sum(y for y, _, _ in judged) / n
    loss = sum(-math.log(rate if y else 1 - rate) for y, rate, _ in judged) / n
    known = [(y, before) for y, _, before in judged if before is not None]
    prior = {
        "n": n,
        "base_rate": base,
        "mean_prediction": sum(rate for _, rate, _ in judged) / n,
        "log_loss": loss,
        "auc": 0.5,
        "accuracy": sum((rate >= 0.5) == y for y, rate, _ in judged) / n,
    }
    if base:
        prior["calibration"] = prior["mean_prediction"] / base
    if 0 < base < 1:
        prior["normalised_entropy"] = loss / -(
            base * math.log(base) + (1 - base) * math.log(1 - base)
        )
    no_change: dict[str, Any] = {"n": len(known)}
    if known:
        no_change["accuracy"] = sum(y == before for y, before in known) / len(known)
    return {"prior": prior, "no_change": no_change}


def check(found: ReferenceFigures, wanted: dict[str, dict[str, Any]]) -> None:
    for name in ("prior", "no_change"):
        figures = asdict(getattr(found, name))
        for key, value in figures.items():
            if key in wanted[name]:
                assert value == pytest.approx(wanted[name][key], rel=1e-12), (name, key)
            else:
                assert math.isnan(value), (name, key)


@settings(deadline=None)
@given(LABELS, st.integers(1, 20), st.lists(st.integers(0, 60), max_size=5).map(sorted))
def test_in_any_cuts_and_restarts_they_are_those_of_a_plain_walk(
    labels: list[bool], window: int, cuts: list[int]
) -> None:
    y = np.array(labels, float)
    found, whole = References(window), References(window)
    whole.update(y)
    for a, b in zip((0, *cuts), (*cuts, len(y))):
        found = References.restored(found.checkpoint())
        found.update(y[a:b])
    assert repr(found.figures()) == repr(whole.figures()), "to the bit"
    check(found.figures(), plain(labels, 10**9))
    check(found.rolling(), plain(labels, window))


def test_no_change_is_rivers() -> None:
    labels = (np.random.default_rng(1).random(500) < 0.3).tolist()
    model, hits = NoChangeClassifier(), []
    for y in labels:
        said = model.predict_one({})
        if said is not None:
            hits.append(said == y)
        model.learn_one({}, y)
    found = References()
    found.update(np.array(labels))
    assert found.figures().no_change.accuracy == pytest.approx(np.mean(hits))
    assert found.figures().no_change.n == len(hits)


def test_a_checkpoint_of_before_begins_with_the_next_label_and_its_count_tells() -> None:
    found = References.restored({})
    found.update(np.array([1.0, 1.0, 0.0]))
    assert found.figures().prior.n == 3
    assert found.figures().no_change.n == 2


def test_memory_does_not_grow_with_the_labels() -> None:
    found = References(10)
    before = {k: v.shape for k, v in found.checkpoint().items()}
    for _ in range(50):
        found.update(np.ones(37))
    assert {k: v.shape for k, v in found.checkpoint().items()} == before


def test_unknown_figures_are_null_in_json() -> None:
    told = References().figures().as_json()
    empty = dict.fromkeys(Figures.__dataclass_fields__) | {"n": 0}
    assert told == {"prior": empty, "no_change": empty}
