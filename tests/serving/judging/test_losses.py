"""Losses are what they are called, and bounded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.schemas.errors import DefinitionError
from freshet.schemas.models.gates import LOSSES
from freshet.schemas.models.tasks import Binary, Classes, Regression, Task
from freshet.schemas.models.vectors import F64
from freshet.serving.judging.losses import Span, learned_span, loss_of

SPAN = Span(-3.0, 5.0)
THREE = Classes(["a", "b", "c"])
TASKS: list[Task] = [Binary(), THREE, Regression()]


def drawn(task: Task, seed: int) -> tuple[F64, F64, F64]:
    """Two answers and labels, certain ones among them."""
    rng = np.random.default_rng(seed)
    if task.kind == "classes":
        both = rng.dirichlet([0.1, 0.3, 0.6], (2, 50))
        return both[0], both[1], rng.integers(0, 3, 50).astype(float)
    if task.kind == "regression":
        one, other, label = rng.normal(0, 5, (3, 50))
        return one, other, label
    one, other = rng.random((2, 50)).round(1)
    return one, other, (rng.random(50) < 0.4).astype(float)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.kind)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_two_losses_are_never_farther_apart_than_was_said_before_the_label(
    task: Task, seed: int
) -> None:
    one, other, label = drawn(task, seed)
    for metric in LOSSES[task.kind]:
        loss = loss_of(metric, task, SPAN)
        own = loss.losses(one, label)
        apart = loss.apart(one, other)
        assert (own >= 0).all()
        assert (own <= loss.range + 1e-12).all()
        assert (np.abs(own - loss.losses(other, label)) <= apart + 1e-12).all()
        assert (apart <= loss.range + 1e-12).all()


def test_the_losses_are_those_of_a_loop() -> None:
    one, _, label = drawn(THREE, 1)
    for i in range(50):
        right = one[i, int(label[i])]
        squares = sum((one[i, k] - (k == label[i])) ** 2 for k in range(3))
        assert loss_of("brier", THREE, None).losses(one, label)[i] == pytest.approx(squares)
        logged = -np.log(max(right, 1e-6))
        assert loss_of("log_loss", THREE, None).losses(one, label)[i] == pytest.approx(logged)
        wrong = float(one[i].argmax() != label[i])
        assert loss_of("accuracy", THREE, None).losses(one, label)[i] == wrong


def test_numbers_are_judged_within_a_span_that_is_given() -> None:
    with pytest.raises(DefinitionError, match="no bound"):
        loss_of("mse", Regression(), None)
    squares = loss_of("mse", Regression(), SPAN)
    assert squares.losses(np.array([-100.0]), np.array([100.0])).tolist() == [64.0]
    assert squares.range == 64.0
    assert loss_of("mae", Regression(), SPAN).range == 8.0


def test_a_span_is_learned_of_labels_and_of_two_at_least() -> None:
    labels = np.arange(10_001, dtype=float)
    low, high = learned_span(labels)
    assert (low, high) == (10.0, 9_990.0)
    for few in ([], [4.0], [4.0, 4.0]):
        with pytest.raises(DefinitionError, match="no two values"):
            learned_span(np.array(few))
