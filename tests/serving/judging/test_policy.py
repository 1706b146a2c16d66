"""A policy is named by all that a verdict depends on."""

from __future__ import annotations

import pytest

from freshet.schemas.errors import DefinitionError
from freshet.schemas.models.gates import Gate
from freshet.schemas.models.tasks import Binary, Classes, Regression
from freshet.serving.judging.losses import Span
from freshet.serving.judging.policy import Policy

GATE = Gate("brier", no_worse_by=0.01)


def test_another_policy_has_another_digest_and_an_equal_one_the_same() -> None:
    several = [
        Policy(Binary(), [GATE]),
        Policy(Binary(), [GATE, GATE]),
        Policy(Binary(), [Gate("brier", no_worse_by=0.02)]),
        Policy(Binary(), [Gate("brier", no_worse_by=0.01, min_labels=2)]),
        Policy(Binary(), [GATE], ["carrier"]),
        Policy(Binary(), [GATE], alpha=0.01),
        Policy(Classes(["a", "b"]), [GATE]),
        Policy(Classes(["b", "a"]), [GATE]),
        Policy(Regression(), [], span=Span(0.0, 1.0)),
        Policy(Regression(), [], span=Span(0.0, 2.0)),
    ]
    assert len({policy.digest for policy in several}) == len(several)
    assert Policy(Binary(), [GATE]).digest == several[0].digest


def test_a_test_that_two_gates_need_is_kept_once() -> None:
    twice = Policy(Binary(), [GATE, Gate("brier", no_worse_by=0.01, min_labels=5)])
    assert len(twice.pairings) == 1
    other = Policy(Binary(), [GATE, Gate("brier", no_worse_by=0.02)])
    assert len(other.pairings) == 2
    assert [measure.name for measure in other.measures].count("brier - champion") == 1


def test_what_cannot_be_judged_is_refused() -> None:
    with pytest.raises(DefinitionError, match="no bound"):
        Policy(Regression(), [])
    with pytest.raises(DefinitionError, match=r"alpha=1\.0"):
        Policy(Binary(), [], alpha=1.0)
    with pytest.raises(DefinitionError, match="means nothing of task 'binary'"):
        Policy(Binary(), [Gate("mse", at_most=1.0)])
