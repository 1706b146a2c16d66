"""Probabilities of classes and the running scale of labels."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.learners.targets import kernels

scores = st.lists(st.floats(-1e300, 1e300), min_size=2, max_size=40)
labels = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=90)


@settings(max_examples=200, deadline=None)
@given(scores)
def test_whatever_the_scores_are_probabilities_are_above_0_and_add_up(given_: list[float]) -> None:
    rows = np.array([given_])
    kernels.softmax_rows(rows)
    assert ((rows > 0) & (rows < 1)).all()
    assert abs(rows.sum() - 1) < 1e-9
    # A higher score has no lower probability.
    order = np.argsort(given_, kind="stable")
    assert (np.diff(rows[0][order]) >= 0).all()


@settings(max_examples=100, deadline=None)
@given(labels)
def test_the_scale_is_mean_and_deviation_of_all_labels(values: list[float]) -> None:
    scale = np.zeros(kernels.SCALE_SIZE)
    for value in values:
        assert kernels.take_in(scale, value) == value
    np.testing.assert_allclose(scale[0], len(values))
    np.testing.assert_allclose(scale[1], np.mean(values), rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(scale[2] / len(values), np.var(values), rtol=1e-6, atol=1e-3)
    assert scale[3:].tolist() == [min(values), max(values)]


def test_a_label_far_out_counts_as_a_hundred_deviations_once_the_scale_has_settled() -> None:
    scale = np.zeros(kernels.SCALE_SIZE)
    for value in [-1.0, 1.0] * 50:
        kernels.take_in(scale, value)
    assert kernels.take_in(scale, 3.4e38) == 100.0
    assert scale[4] == 100.0


def test_labels_that_never_varied_have_a_unit_too() -> None:
    scale = np.zeros(kernels.SCALE_SIZE)
    for _ in range(200):
        kernels.take_in(scale, 7.0)
    assert kernels.deviation(scale) == 1.0
    # And the first one that does is no outlier.
    assert kernels.take_in(scale, 1e9) == 1e9
