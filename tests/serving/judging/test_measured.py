"""What each label is worth to whoever bets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.schemas.models.gates import Gate
from freshet.schemas.models.tasks import Binary
from freshet.serving.judging.measured import Labelled, gains_of, values_of
from freshet.serving.judging.policy import REACH, Policy

POLICY = Policy(
    Binary(),
    [
        Gate("brier", no_worse_by=0.01),
        Gate("accuracy", no_worse_by=0.01),
        Gate("log_loss", no_worse_by=0.1),
        Gate("true_positive_rate", cut_off=0.5, at_least=0.1),
        Gate("false_positive_rate", cut_off=0.5, at_most=0.9),
    ],
)
ANSWERS = st.floats(0, 1)


@settings(max_examples=80, deadline=None)
@given(ANSWERS, ANSWERS, st.sampled_from([0.0, 1.0]))
def test_nobody_can_lose_more_than_the_stake(own: float, other: float, label: float) -> None:
    rows = Labelled(np.array([label]), np.array([own]), {"champion": np.array([other])})
    for gains in gains_of(POLICY, rows):
        assert (np.abs(gains) <= 1 + 1e-12).all()
    values = values_of(POLICY, rows)
    kept = values[~np.isnan(values)]
    assert (kept >= -1e-12).all()
    assert (kept <= 1 + 1e-12).all()


@settings(max_examples=60, deadline=None)
@given(ANSWERS, ANSWERS)
def test_what_a_question_counts_for_is_known_before_its_label(own: float, other: float) -> None:
    """Both outcomes have one weight: the gain of whoever bets that it holds is a straight line of
    the difference, with the same slope."""
    answers = np.array([own, own])
    others = np.array([other, other])
    rows = Labelled(np.array([0.0, 1.0]), answers, {"champion": others})
    gains = gains_of(POLICY, rows)[1][:, 0]
    difference = (answers - rows.labels) ** 2 - (others - rows.labels) ** 2
    apart = np.abs(difference).max()
    share = REACH / max(REACH, apart)
    assert gains == pytest.approx(share * (0.01 - difference) / (REACH + 0.01))


def test_rates_count_their_own_kind_of_labels() -> None:
    rows = Labelled(
        np.array([0.0, 1.0]), np.array([0.7, 0.7]), {"champion": np.array([np.nan, 0.2])}
    )
    values = values_of(POLICY, rows)
    names = [measure.name for measure in POLICY.measures]
    true = values[:, names.index("true_positive_rate@0.5")]
    false = values[:, names.index("false_positive_rate@0.5")]
    assert np.isnan(true).tolist() == [True, False]
    assert np.isnan(false).tolist() == [False, True]
    against = values[:, names.index("brier - champion")]
    assert np.isnan(against).tolist() == [True, False]
