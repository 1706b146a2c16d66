"""Streaming figures against those computed from everything at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.learners.training import prequential
from freshet.learners.training.prequential import (
    OTHER,
    Quality,
    RollingQuality,
    SliceQuality,
    figures_of,
)

F64 = npt.NDArray[np.float64]


def predictions(n: int, seed: int = 0) -> tuple[F64, F64]:
    rng = np.random.default_rng(seed)
    p = 1 / (1 + np.exp(-rng.normal(-1, 1.5, n)))
    return p, (rng.random(n) < p).astype(float)


def test_auc_is_the_share_of_pairs_in_order() -> None:
    p, y = predictions(200)
    p = np.round(p, 1)  # ties
    pairs = [(a > b) + 0.5 * (a == b) for a in p[y == 1] for b in p[y == 0]]
    assert prequential.auc(y, p) == pytest.approx(np.mean(pairs))


def test_normalised_entropy_of_the_base_rate_is_1_and_calibration_too() -> None:
    _, y = predictions(1000)
    rate = np.full(1000, y.mean())
    assert prequential.figures_of(rate, y).normalised_entropy == pytest.approx(1.0)
    assert prequential.figures_of(rate, y).calibration == pytest.approx(1.0)
    assert prequential.figures_of(2 * rate, y).calibration == pytest.approx(2.0)


def test_accuracy_is_the_share_of_right_answers_and_one_half_says_yes() -> None:
    p, y = predictions(2_000)
    p = np.round(p, 2)  # some at one half exactly
    assert 0.5 in p
    plain = sum((a >= 0.5) == (b == 1) for a, b in zip(p, y)) / len(p)
    quality, rolling = Quality(), RollingQuality(5_000)
    for one in (quality, rolling):
        one.update(p, y)
    assert (figures_of(p, y).accuracy, quality.figures().accuracy, rolling.figures().accuracy) == (
        plain,
    ) * 3


@given(cut=st.lists(st.integers(0, 5000), max_size=6).map(sorted))
@settings(max_examples=10, deadline=None)
def test_updates_in_any_cuts_and_merges_come_to_the_figures_of_all(cut: list[int]) -> None:
    p, y = predictions(5000)
    whole = figures_of(p, y)
    parts = []
    for a, b in zip((0, *cut), (*cut, 5000)):
        parts.append(Quality())
        parts[-1].update(p[a:b], y[a:b])
    for part in parts[1:]:
        parts[0].merge(part)
    found = parts[0].figures()
    assert found.n == 5000
    assert found.auc == pytest.approx(whole.auc, abs=2e-4)
    for name in (
        "base_rate",
        "mean_prediction",
        "log_loss",
        "normalised_entropy",
        "calibration",
        "accuracy",
    ):
        assert getattr(found, name) == pytest.approx(getattr(whole, name), rel=1e-9), name


def test_a_checkpoint_goes_on_bit_equal() -> None:
    p, y = predictions(300)
    for make in (Quality, lambda: RollingQuality(100)):
        one = make()
        one.update(p[:150], y[:150])
        two = type(one).restored(one.checkpoint())
        for quality in (one, two):
            quality.update(p[150:], y[150:])
        assert one.figures() == two.figures()


def test_the_rolling_figures_are_those_of_the_newest() -> None:
    p, y = predictions(1000)
    rolling = RollingQuality(300)
    for a, b in ((0, 10), (10, 250), (250, 900), (900, 1000)):
        rolling.update(p[a:b], y[a:b])
        newest = figures_of(p[max(0, b - 300) : b].astype(np.float32), y[max(0, b - 300) : b])
        assert rolling.figures().log_loss == pytest.approx(newest.log_loss, rel=1e-6)
        assert rolling.figures().auc == pytest.approx(newest.auc, rel=1e-6)
        assert len(rolling) == min(b, 300)


def test_slices_are_told_apart_up_to_a_limit() -> None:
    p, y = predictions(400)
    names = ["a", "b", "c", "d"] * 100
    table = SliceQuality(limit=2)
    table.update(names[:200], p[:200], y[:200])
    table = SliceQuality.restored(table.checkpoint())
    table.update(names[200:], p[200:], y[200:])
    found = table.figures()
    assert list(found) == ["a", "b", OTHER]
    assert found["b"].log_loss == pytest.approx(figures_of(p[1::4], y[1::4]).log_loss)
    assert found[OTHER].n == 200
    other = SliceQuality(limit=2)
    other.update(["b", "e", "f"], p[:3], y[:3])
    table.merge(other)
    assert {k: v.n for k, v in table.figures().items()} == {"a": 100, "b": 101, OTHER: 202}


def test_figures_of_nothing_and_of_one_class_are_nan_not_errors() -> None:
    empty, ones = Quality().figures(), figures_of(np.array([0.2, 0.7]), np.ones(2))
    assert empty.n == 0
    assert np.isnan([empty.auc, empty.log_loss, ones.auc, ones.normalised_entropy]).all()
    assert empty.as_json()["auc"] is None


def test_predictions_of_0_and_1_cost_much_but_not_everything() -> None:
    quality = Quality()
    quality.update(np.array([0.0, 1.0]), np.array([1.0, 0.0]))
    assert quality.figures().log_loss == pytest.approx(-np.log(1e-6))
    assert quality.figures().auc == 0.0


@given(n=st.integers(0, 400), bins=st.integers(1, 20))
@settings(max_examples=50, deadline=None)
def test_a_reliability_diagram_counts_every_prediction_in_the_bin_it_lies_in(
    n: int, bins: int
) -> None:
    p, y = predictions(n)
    p = np.round(p, 2)  # some on the edges
    found = prequential.reliability(p, y, bins)
    for i in range(bins):
        mine = [k for k in range(n) if min(int(p[k] * bins), bins - 1) == i]
        assert found[i] == pytest.approx([len(mine), sum(p[mine]), sum(y[mine])])


def test_a_prediction_of_0_or_1_has_a_bin_and_only_the_window_counts() -> None:
    rolling = RollingQuality(2)
    rolling.update(np.array([0.5, 0.0, 1.0]), np.array([1.0, 0.0, 1.0]))
    assert rolling.reliability(4).tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0], [1, 1, 1]]
