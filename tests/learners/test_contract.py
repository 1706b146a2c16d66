"""Which tasks a learner carries, what a model makes of that, and what probabilities of classes
are."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import freshet as fr
from freshet.learners.contract import of_classes, tasks_of
from freshet.schemas.errors import DefinitionError
from tests.toy_app import toy_app

shares = st.lists(st.floats(0, 1), min_size=2, max_size=50)


@dataclass(frozen=True)
class Own:
    """A learner of users' own that was written before there were tasks."""

    name: str = "own"

    def make(self, schema: Any) -> Any:
        return fr.Baseline().make(schema)


@dataclass(frozen=True)
class OwnOfNumbers(Own):
    """One that says what it carries."""

    tasks = ("regression",)


def test_one_that_says_nothing_carries_binary_tasks() -> None:
    assert tasks_of(Own()) == ("binary",)
    replace(toy_app().models[0], learners=[Own()])


@pytest.mark.parametrize(
    ("task", "learner", "refused"),
    [
        (fr.Regression(), Own(), "learner own does not carry task regression (it carries binary)"),
        (
            fr.Binary(),
            OwnOfNumbers(),
            "learner own does not carry task binary (it carries regression)",
        ),
        (fr.Classes(["a", "b"]), fr.HashedLinear(), "hashed_linear does not carry task classes"),
        (fr.Regression(), fr.HashedLogistic(), "(it carries binary, classes)"),
    ],
)
def test_a_model_refuses_a_learner_that_does_not_carry_its_task(
    task: Any, learner: Any, refused: str
) -> None:
    with pytest.raises(DefinitionError, match=re.escape(refused)):
        replace(toy_app().models[0], task=task, learners=[fr.Baseline(), learner])


@given(shares)
def test_shares_become_probabilities_above_0_that_add_up_in_their_order(
    given_: list[float],
) -> None:
    (told,) = of_classes(np.array([given_]))
    assert ((told > 0) & (told < 1)).all()
    assert abs(told.sum() - 1) < 1e-12
    assert (np.diff(told[np.argsort(given_, kind="stable")]) >= 0).all()


def test_shares_of_nothing_are_equal() -> None:
    np.testing.assert_array_equal(of_classes(np.zeros((1, 4))), [[0.25] * 4])
