"""Figures by task: held to a slow obvious loop, whatever the cuts, and the same after a restart."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freshet.learners.training import by_task
from freshet.schemas.models.tasks import Binary, Classes, Regression, Task
from freshet.schemas.models.vectors import F64

THREE = Classes(["a", "b", "c"])
CUTS = st.lists(st.integers(0, 60), max_size=4)
TASKS = st.sampled_from([THREE, Regression()])


def drawn(task: Task, seed: int, count: int = 60) -> tuple[F64, F64]:
    random = np.random.default_rng(seed)
    if task.kind == "regression":
        return random.normal(50, 9, count), random.normal(52, 9, count)
    answers = random.dirichlet(np.ones(task.width), count)
    return answers, random.integers(0, task.width, count).astype(np.float64)


def slow_classes(answers: F64, labels: F64) -> dict[str, Any]:
    """A loop over rows, in the words of the docstring."""
    count = len(labels)
    loss = confidence = hits = 0.0
    steps: dict[int, list[float]] = {}
    of: dict[int, list[int]] = {name: [0, 0, 0] for name in range(answers.shape[1])}
    for row, label in zip(answers, labels.astype(int).tolist(), strict=True):
        top = int(np.argmax(row))
        loss -= math.log(min(max(row[label], 1e-6), 1 - 1e-6))
        confidence += row[top]
        hits += top == label
        step = steps.setdefault(min(int(row[top] * 10), 9), [0.0, 0.0])
        step[0] += row[top]
        step[1] += top == label
        of[label][0] += 1
        of[top][1] += 1
        of[label][2] += top == label
    shares = [seen / count for seen, _, _ in of.values() if seen]
    entropy = -sum(share * math.log(share) for share in shares)
    scores = [2 * both / (seen + said) for seen, said, both in of.values() if seen + said]
    return {
        "n": count,
        "log_loss": loss / count,
        "accuracy": hits / count,
        "macro_f1": sum(scores) / len(scores),
        "calibration": confidence / hits if hits else None,
        "calibration_error": sum(abs(said - hit) for said, hit in steps.values()) / count,
        "normalised_entropy": loss / count / entropy if entropy else None,
        "counts": [seen for seen, _, _ in of.values()],
    }


def slow_numbers(answers: F64, labels: F64) -> dict[str, Any]:
    errors = [p - y for p, y in zip(answers.tolist(), labels.tolist(), strict=True)]
    count = len(errors)
    squared = sum(error * error for error in errors) / count
    return {
        "n": count,
        "mae": sum(abs(error) for error in errors) / count,
        "rmse": math.sqrt(squared),
        "bias": sum(errors) / count,
        "squared_error": squared,
        "mean_label": sum(labels.tolist()) / count,
        "mean_prediction": sum(answers.tolist()) / count,
    }


def slow(task: Task, answers: F64, labels: F64) -> dict[str, Any]:
    return (
        slow_numbers(answers, labels)
        if task.kind == "regression"
        else slow_classes(answers, labels)
    )


def alike(found: Any, wanted: dict[str, Any]) -> bool:
    told = found.as_json()
    assert told.keys() == wanted.keys()
    # Counts are exact; what is not known is so in both.
    return all(
        told[name] == value
        if value is None or isinstance(value, list)
        else told[name] == pytest.approx(value, rel=1e-9, abs=1e-9)
        for name, value in wanted.items()
    )


@given(TASKS, st.integers(0, 9_999), st.integers(1, 60))
def test_figures_are_those_of_a_loop(task: Task, seed: int, count: int) -> None:
    answers, labels = drawn(task, seed, count)
    whole = by_task.quality(task)
    newest = by_task.rolling(task, 20)
    slices = by_task.sliced(task)
    whole.update(answers, labels)
    newest.update(answers, labels)
    names = [str(at % 3) for at in range(count)]
    slices.update(names, answers, labels)
    assert alike(whole.figures(), slow(task, answers, labels))
    assert alike(newest.figures(), slow(task, answers[-20:], labels[-20:]))
    for at, name in enumerate(dict.fromkeys(names)):
        assert alike(slices.figures()[name], slow(task, answers[at::3], labels[at::3]))


@given(TASKS, st.integers(0, 9_999), CUTS)
def test_cuts_and_restarts_change_no_bit(task: Task, seed: int, cuts: list[int]) -> None:
    answers, labels = drawn(task, seed)
    parts = [whole_set(task), whole_set(task)]
    fed(parts[0], answers, labels)
    edges = [0, *sorted(cuts), len(labels)]
    for start, end in itertools.pairwise(edges):
        fed(parts[1], answers[start:end], labels[start:end])
        saved = [part.checkpoint() for part in parts[1]]
        parts[1] = (
            by_task.quality(task, saved[0]),
            by_task.rolling(task, 20, saved[1]),
            by_task.references(task, 20, saved[2]),
        )
    for one, other in zip(*parts, strict=True):
        states = one.checkpoint(), other.checkpoint()
        assert states[0].keys() == states[1].keys()
        for name, array in states[0].items():
            assert array.tobytes() == states[1][name].tobytes(), name
        assert one.figures().as_json() == other.figures().as_json()


def whole_set(task: Task) -> tuple[Any, Any, Any]:
    return by_task.quality(task), by_task.rolling(task, 20), by_task.references(task, 20)


def fed(parts: tuple[Any, Any, Any], answers: F64, labels: F64) -> None:
    parts[0].update(answers, labels)
    parts[1].update(answers, labels)
    parts[2].update(labels)


@given(TASKS, st.integers(0, 9_999), st.integers(0, 60), st.integers(0, 60))
def test_merging_is_associative(task: Task, seed: int, first: int, second: int) -> None:
    answers, labels = drawn(task, seed)
    edges = [0, *sorted((first, second)), len(labels)]

    def made(start: int, end: int) -> by_task.Overall:
        part = by_task.Overall(by_task.measure_of(task))
        part.update(answers[start:end], labels[start:end])
        return part

    left = made(0, edges[1])
    left.merge(made(edges[1], edges[2]))
    left.merge(made(edges[2], edges[3]))
    tail = made(edges[1], edges[2])
    tail.merge(made(edges[2], edges[3]))
    right = made(0, edges[1])
    right.merge(tail)
    wanted = slow(task, answers, labels)
    assert alike(left.figures(), wanted)
    assert alike(right.figures(), wanted)


def test_references_of_numbers_are_the_mean_so_far_and_the_label_before() -> None:
    found = by_task.references(Regression(), 10)
    labels = np.array([4.0, 8.0, 3.0])
    found.update(labels)
    both = found.figures().as_json()
    assert both["prior"] == slow_numbers(np.array([4.0, 6.0]), labels[1:])
    assert both["no_change"] == slow_numbers(np.array([4.0, 8.0]), labels[1:])
    assert found.rolling().as_json() == both


def test_references_of_classes_are_the_shares_so_far_and_the_label_before() -> None:
    found: Any = by_task.references(THREE, 10)
    found.update(np.array([0.0, 2.0, 2.0]))
    both = found.figures().as_json()
    answers = np.array([[0.5, 0.5, 0.5], [1.5, 0.5, 0.5], [1.5, 0.5, 1.5]])
    answers /= answers.sum(axis=1, keepdims=True)
    wanted = slow_classes(answers, np.array([0.0, 2.0, 2.0]))
    assert alike(found.figures().prior, wanted)
    assert (both["no_change"]["n"], both["no_change"]["accuracy"]) == (2, 0.5)
    assert both["no_change"]["log_loss"] is None, "a class has no log loss"


def test_what_was_never_asked_is_left_out_and_what_diverged_is_not() -> None:
    answers = np.array([1.0, np.nan, np.inf])
    assert by_task.known(Regression(), answers).tolist() == [True, False, True]
    assert by_task.known(Binary(), answers).tolist() == [True, False, False]
    both = np.array([[0.5, 0.3, 0.2], [np.nan] * 3])
    assert by_task.known(THREE, both).tolist() == [True, False]


def test_nothing_is_told_of_no_examples() -> None:
    for task in (THREE, Regression()):
        told = dict(by_task.quality(task).figures().as_json())
        told.pop("counts", None)
        assert told.pop("n") == 0
        assert set(told.values()) == {None}
