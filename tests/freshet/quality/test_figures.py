"""Figures of reports follow the task; those of a binary one are what they were."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freshet.learners.training import by_task
from freshet.learners.training.prequential import figures_of
from freshet.learners.training.references import References
from freshet.quality.figures import figures, guessed, no_answers, of_json, quality, references
from freshet.schemas.models.tasks import Binary, Classes, Regression

COLOURS = Classes(["red", "green", "blue"])


def test_binary_ones_are_exact_and_rounded_to_five_places() -> None:
    rng = np.random.default_rng(1)
    answers = rng.random(200)
    labels = (rng.random(200) < answers).astype(np.float64)
    answers[3] = np.nan
    told = cast(dict[str, Any], quality(Binary(), answers, labels))
    known = np.isfinite(answers)
    exact = figures_of(answers[known], labels[known])
    assert told == {
        "n": 199,
        "auc": round(exact.auc, 5),
        "ne": round(exact.normalised_entropy, 5),
        "calibration": round(exact.calibration, 5),
        "log_loss": round(exact.log_loss, 5),
        "accuracy": round(exact.accuracy, 5),
    }
    plain = References(window=150)
    plain.update(labels)
    found = cast(dict[str, Any], references(Binary(), labels, after=50))
    assert found["prior"]["log_loss"] == round(plain.rolling().prior.log_loss, 5)
    assert found["no_change"]["log_loss"] is None


def test_those_of_trainers_are_told_as_they_are() -> None:
    exact = figures_of(np.array([0.123456789, 0.7]), np.array([0.0, 1.0])).as_json()
    told = cast(dict[str, Any], of_json(Binary(), exact))
    assert told["log_loss"] == exact["log_loss"]


def test_classes_are_told_by_name() -> None:
    answers = np.array([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7], [0.6, 0.3, 0.1], [np.nan] * 3])
    told = cast(dict[str, Any], quality(COLOURS, answers, np.array([0.0, 2.0, 1.0, 1.0])))
    assert told["n"] == 3
    assert told["counts"] == {"red": 1, "green": 1, "blue": 1}
    assert told["log_loss"] == round(-(math.log(0.5) + math.log(0.7) + math.log(0.3)) / 3, 5)
    assert told["accuracy"] == round(2 / 3, 5)
    assert told["macro_f1"] == round((2 / 3 + 0 + 1) / 3, 5)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e9])
def test_numbers_keep_their_digits_in_any_unit(unit: float) -> None:
    answers = np.array([1.0, 2.5, 2.0]) * unit
    told = cast(dict[str, Any], quality(Regression(), answers, np.array([1.5, 2.0, 4.0]) * unit))
    assert told["mae"] == pytest.approx(unit, rel=1e-5)
    assert told["rmse"] == pytest.approx(math.sqrt(4.5 / 3) * unit, rel=1e-5)
    assert told["bias"] == pytest.approx(-2 / 3 * unit, rel=1e-5)


def test_a_number_beyond_all_bounds_counts_and_is_told_as_unknown() -> None:
    told = cast(dict[str, Any], quality(Regression(), np.array([np.inf, 1.0]), np.ones(2)))
    assert (told["n"], told["mae"], told["rmse"]) == (2, None, None)


def test_right_ones_have_no_error() -> None:
    told = cast(dict[str, Any], quality(Regression(), np.ones(2), np.ones(2)))
    assert (told["mae"], told["bias"]) == (0.0, 0.0)


@pytest.mark.parametrize("task", [Binary(), COLOURS, Regression()])
def test_of_nothing_nothing_is_told(task: Any) -> None:
    told = cast(dict[str, Any], quality(task, no_answers(task), np.empty(0)))
    assert told.pop("n") == 0
    assert not sum((told.pop("counts", {})).values())
    assert set(told.values()) == {None}
    assert references(task, np.empty(0))["prior"]["n"] == 0


@given(st.lists(st.integers(0, 2), min_size=1, max_size=40))
def test_references_are_those_that_trainers_tell(labels: list[int]) -> None:
    for task in (COLOURS, Regression()):
        plain = by_task.references(task, len(labels))
        plain.update(np.array(labels, np.float64))
        told = plain.figures().as_json()
        prior, no_change = guessed(task, np.array(labels, np.float64))
        assert prior.as_json() == told["prior"]
        assert no_change.as_json() == told["no_change"]


def test_classes_of_two_have_the_log_loss_of_the_binary_task() -> None:
    rng = np.random.default_rng(2)
    answers = rng.uniform(0.01, 0.99, 100)
    labels = (rng.random(100) < answers).astype(np.float64)
    two = figures(Classes(["no", "yes"]), np.stack([1 - answers, answers], axis=1), labels)
    one = figures(Binary(), answers, labels)
    assert two.as_json()["log_loss"] == pytest.approx(one.as_json()["log_loss"], rel=1e-12)
