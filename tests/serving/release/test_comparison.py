"""Release follows the task: by its loss, in shares of it, with answers of its shape."""

from __future__ import annotations

import math

import numpy as np
import pytest

from freshet.learners.release_config import ReleaseConfig
from freshet.schemas.models.tasks import Classes, Regression
from freshet.schemas.wire.messages import Cut
from freshet.serving.release import gate
from freshet.serving.release.comparison import Approved, Comparison
from freshet.serving.release.policy import Keep, LineageStanding, Promote, Standing, decide
from freshet.serving.release.qualify import is_flat, moved, wrong_answers
from freshet.serving.release.servable import Servable
from freshet.serving.release.standing import lineage_standing

NOW = 100 * 3_600_000
THREE = Classes(["a", "b", "c"])


def cut(rolling: dict[str, float], prior: dict[str, float]) -> Cut:
    stats = {
        "learned": 2_000,
        "rolling": {"n": 2_000, **rolling},
        "references": {"rolling": {"prior": {"n": 1_999, **prior}, "no_change": {"n": 1_999}}},
    }
    return Cut("m", "l", 2, 5, "d", stats)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_margins_are_shares_of_the_squared_error_in_whatever_unit(unit: float) -> None:
    def standing(challenger: float) -> Standing:
        lineages = (
            LineageStanding("one", 1, 2_000, 4.0 * unit),
            LineageStanding("two", 1, 2_000, challenger * unit),
        )
        return Standing(NOW, "one", 0, lineages, None, "squared_error")

    config = ReleaseConfig(margin=0.05)
    better = decide(standing(3.7), config)
    assert isinstance(better, Promote)
    assert better.lineage == "two"
    assert "in squared error" in better.reason
    assert isinstance(decide(standing(3.9), config), Keep)
    assert isinstance(decide(standing(math.nan), config), Keep), "an unknown loss never serves"


def test_a_lineage_stands_by_the_loss_of_its_task() -> None:
    found = cut({"squared_error": 9.0, "log_loss": 0.1}, {})
    assert lineage_standing("l", found, Servable(2), Regression()).loss == 9.0
    assert lineage_standing("l", found, Servable(2), THREE).loss == 0.1
    assert math.isnan(lineage_standing("l", cut({}, {}), Servable(2), Regression()).loss)


def test_a_jump_of_numbers_is_held_in_spreads_of_the_labels() -> None:
    before = np.array([10.0, 12.0, 14.0])
    own = Comparison(approved=Approved(1, 2_000, before), task=Regression())
    bounds = gate.GateBounds()
    told = cut({"squared_error": 3.0}, {"rmse": 2.0, "squared_error": 4.0})
    far = own.standing(told, before + 8.0, bounds)
    assert far.moved == 4.0
    held = gate.decide(far, bounds)
    assert isinstance(held, gate.Hold)
    assert "4.00 spreads of the labels" in held.reason
    assert "logit" not in held.reason
    near = Comparison(approved=Approved(1, 2_000, before), task=Regression())
    assert gate.decide(near.standing(told, before + 2.0, bounds), bounds) == gate.Pass()


def test_two_classes_move_as_a_binary_task_does() -> None:
    before = np.array([0.2, 0.7])
    after = np.array([0.4, 0.1])
    two = moved(np.stack([1 - after, after], 1), np.stack([1 - before, before], 1), THREE)
    assert two == pytest.approx(moved(after, before))
    assert moved(after, before, Regression()) == 0.0, "no label has told a spread yet"


def test_answers_of_another_task_are_refused() -> None:
    row = np.array([[0.2, 0.3, 0.5]])
    assert wrong_answers(row, 1, THREE) == []
    assert "miss the sum of 1" in wrong_answers(np.array([[0.2, 0.3, 0.4]]), 1, THREE)[0]
    assert "leave (0, 1)" in wrong_answers(np.array([[0.0, 0.5, 0.5]]), 1, THREE)[0]
    assert "shape" in wrong_answers(row[:, :2], 1, THREE)[0]
    assert "shape" in wrong_answers(row, 1)[0]
    assert wrong_answers(np.array([-40.0, 1e6]), 2, Regression()) == []
    assert "not finite" in wrong_answers(np.array([np.inf]), 1, Regression())[0]
    assert is_flat(np.repeat(row, 2, axis=0), np.array([[0.1, 0.4, 0.5], [0.2, 0.3, 0.5]]))
