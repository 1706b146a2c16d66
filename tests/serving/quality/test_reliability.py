"""Diagrams of each task, held to a slow obvious loop over the newest answers."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freshet.schemas.models.tasks import Binary, Classes, Regression, Task
from freshet.schemas.models.vectors import F64
from freshet.serving.quality.reliability import BINS, Diagram, diagram
from freshet.serving.status.status import CalibrationBin

THREE = Classes(["a", "b", "c"])
NEWEST = 40
EACH = pytest.mark.parametrize("task", [Binary(), THREE, Regression()], ids=lambda t: t.kind)


def drawn(task: Task, seed: int, count: int) -> tuple[F64, F64]:
    random = np.random.default_rng(seed)
    if isinstance(task, Classes):
        answers = random.dirichlet(np.ones(task.width), count)
        return answers, random.integers(0, task.width, count).astype(np.float64)
    if isinstance(task, Regression):
        return random.normal(0, 9, count).round(), random.normal(0, 9, count)
    return random.uniform(size=count), random.integers(0, 2, count).astype(np.float64)


def filled(made: Diagram, answers: F64, labels: F64, cuts: list[int]) -> Diagram:
    edges = [0, *sorted(min(cut, len(labels)) for cut in cuts), len(labels)]
    for start, stop in pairwise(edges):
        made.update(answers[start:stop], labels[start:stop])
    return made


def slow(task: Task, answers: F64, labels: F64) -> list[tuple[int, float, float]]:
    """Count, mean answer and mean outcome of each step that has any, row by row."""
    steps: dict[int, list[tuple[float, float]]] = {}
    for row, label in zip(answers.tolist(), labels.tolist(), strict=True):
        if isinstance(task, Classes):
            said = max(row)
            came = float(row.index(said) == label)
        else:
            said = row
            came = float(label)
        steps.setdefault(min(int(said * BINS), BINS - 1), []).append((said, came))
    return [
        (
            len(rows),
            sum(said for said, _ in rows) / len(rows),
            sum(came for _, came in rows) / len(rows),
        )
        for _, rows in sorted(steps.items())
    ]


def of(bins: tuple[CalibrationBin, ...]) -> list[tuple[int, float, float]]:
    return [(b.n, b.predicted or 0.0, b.observed or 0.0) for b in bins if b.n]


@given(st.integers(0, 99), st.integers(0, 90), st.lists(st.integers(0, 90), max_size=3))
def test_steps_are_those_of_a_loop_over_the_newest(seed: int, count: int, cuts: list[int]) -> None:
    for task in (Binary(), THREE):
        answers, labels = drawn(task, seed, count)
        if isinstance(task, Binary):
            # Its ring keeps float32, as it ever did.
            answers = answers.astype(np.float32).astype(np.float64)
        found = of(filled(diagram(task, NEWEST), answers, labels, cuts).bins())
        wanted = slow(task, answers[-NEWEST:], labels[-NEWEST:])
        assert [row[0] for row in found] == [row[0] for row in wanted]
        for row, other in zip(found, wanted, strict=True):
            assert row == pytest.approx(other)


@given(st.integers(0, 99), st.integers(1, 90), st.lists(st.integers(0, 90), max_size=3))
def test_tenths_of_numbers_hold_every_answer_once_and_in_order(
    seed: int, count: int, cuts: list[int]
) -> None:
    answers, labels = drawn(Regression(), seed, count)
    bins = filled(diagram(Regression(), NEWEST), answers, labels, cuts).bins()
    kept = answers[-NEWEST:]
    came = labels[-NEWEST:]
    assert sum(b.n for b in bins) == len(kept)
    assert len(bins) <= BINS
    for one, other in pairwise(bins):
        assert one.high < other.low, "equal answers stand in one bin"
    for each in bins:
        inside = (kept >= each.low) & (kept <= each.high)
        assert each.n == inside.sum()
        assert each.predicted == pytest.approx(kept[inside].mean())
        assert each.observed == pytest.approx(came[inside].mean())
        assert each.deviation == pytest.approx(came[inside].std())


def test_one_number_ever_answered_is_one_bin() -> None:
    made = diagram(Regression(), NEWEST)
    made.update(np.full(30, 5.0), np.arange(30.0))
    (only,) = made.bins()
    assert (only.low, only.high, only.n, only.observed) == (5.0, 5.0, 30, 14.5)


def test_numbers_beyond_floats_are_in_no_bin() -> None:
    made = diagram(Regression(), NEWEST)
    made.update(np.array([1.0, math.inf, math.nan]), np.array([1.0, 1.0, 1.0]))
    assert [b.n for b in made.bins()] == [1]
    made.update(np.full(NEWEST, math.inf), np.ones(NEWEST))
    assert made.bins() == ()


def test_finite_numbers_too_large_to_add_have_no_mean() -> None:
    made = diagram(Regression(), NEWEST)
    made.update(np.array([1.7e308, 1.7e308, -1.7e308]), np.ones(3))
    assert [b.predicted for b in made.bins()] == [-1.7e308, None]


def test_of_each_class_it_counts_labels_answers_and_both() -> None:
    made = diagram(THREE, NEWEST)
    answers = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1]])
    made.update(answers, np.array([0.0, 0.0, 2.0]))
    told = [(c.name, c.labelled, c.answered, c.right) for c in made.by_class()]
    assert told == [("a", 2, 2, 1), ("b", 0, 1, 0), ("c", 1, 0, 0)]


@EACH
def test_before_there_is_any_label_there_is_nothing_to_show(task: Task) -> None:
    made = diagram(task, NEWEST)
    assert sum(b.n for b in made.bins()) == 0
    assert sum(c.labelled for c in made.by_class()) == 0


@EACH
def test_it_goes_on_from_its_checkpoint(task: Task) -> None:
    answers, labels = drawn(task, 7, 70)
    whole = filled(diagram(task, NEWEST), answers, labels, [])
    first = filled(diagram(task, NEWEST), answers[:50], labels[:50], [])
    again = diagram(task, NEWEST, first.checkpoint())
    again.update(answers[50:], labels[50:])
    assert again.bins() == whole.bins()
    assert again.by_class() == whole.by_class()
