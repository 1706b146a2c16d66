"""A snapshot is approved only if nothing speaks against it, and every reason is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pytest

import freshet as fr
from freshet.learners.snapshots.golden import ANSWERS, golden_vectors
from freshet.schemas.errors import LearnerError
from freshet.schemas.models.manifest import Manifest
from freshet.schemas.models.vectors import F64, Vectors, VectorSchema
from freshet.serving.release.qualify import (
    Bounds,
    Candidate,
    Sound,
    Unsound,
    is_flat,
    moved,
    qualify,
    wrong_answers,
)

SCHEMA = VectorSchema(("carrier", "origin"), ("distance", "origin_delay.ewm"))
MANIFEST = Manifest("flights", "late", "toy-1", 1, "toy", {}, SCHEMA.digest, 0, 10, 10, "", 100)
WEIGHTS = {"weights": np.ones(4, np.float32), "ids": np.arange(3)}


@dataclass
class Toy:
    answer: Callable[[Vectors], Any]

    def predict(self, vectors: Vectors) -> F64:
        out: F64 = self.answer(vectors)
        return out


def told_apart(vectors: Vectors) -> F64:
    return 0.2 + 0.6 * (vectors.categories[:, 0] % np.uint64(7)) / 7.0


def flat(vectors: Vectors) -> F64:
    return np.full(len(vectors), 0.24)


def candidate(
    answer: Callable[[Vectors], Any] = told_apart, manifest: Manifest = MANIFEST, **arrays: Any
) -> Candidate:
    return Candidate(manifest, {**WEIGHTS, **arrays}, lambda: Toy(answer))


def broken(vectors: Vectors) -> F64:
    raise LearnerError("toy", "the table is too short", "Cut it again.")


def one_nan(vectors: Vectors) -> F64:
    return np.where(np.arange(len(vectors)) == 3, np.nan, 0.5)


def unsteady() -> Callable[[Vectors], F64]:
    state = np.random.default_rng(1)
    return lambda vectors: state.uniform(0.1, 0.9, len(vectors))


REFUSED = [
    (
        candidate(manifest=msgspec.structs.replace(MANIFEST, vectors="other")),
        "made for vectors other",
    ),
    (candidate(manifest=msgspec.structs.replace(MANIFEST, size=1 << 40)), "bytes"),
    (
        candidate(bias=np.array([1.0, np.nan, np.inf])),
        "array 'bias' holds 2 values that are not finite",
    ),
    (candidate(broken), "the table is too short"),
    (candidate(one_nan), "1 of 64 golden predictions are not finite"),
    (candidate(lambda v: np.ones(len(v))), "leave (0, 1)"),
    (candidate(lambda v: np.zeros(3)), "predicts shape (3,) for 64 rows"),
    (candidate(unsteady()), "differ when the same vectors are asked again"),
]


@pytest.mark.parametrize(("refused", "word"), REFUSED)
def test_a_bad_snapshot_is_refused_with_its_reason(refused: Candidate, word: str) -> None:
    found = qualify(refused, SCHEMA)
    assert isinstance(found, Unsound)
    assert any(word in r for r in found.reasons), found.reasons


@pytest.mark.parametrize("answer", [told_apart, flat])
def test_a_good_snapshot_is_sound_and_brings_its_answers(answer: Callable[[Vectors], Any]) -> None:
    found = qualify(candidate(answer), SCHEMA)
    assert isinstance(found, Sound)
    np.testing.assert_array_equal(found.answers, answer(golden_vectors(SCHEMA)))


def test_a_slow_snapshot_is_refused() -> None:
    found = qualify(candidate(), SCHEMA, Bounds(predict_seconds=0.0))
    assert isinstance(found, Unsound)
    assert any("predictions took" in r for r in found.reasons)


@pytest.mark.parametrize(
    "told", [[0.5] * 64, ["a"] * 64, [None] * 64, "a" * 64, {}, 7, [[0.5]] * 64]
)
def test_odd_answers_of_a_trainer_are_a_reason_and_no_fault(told: object) -> None:
    odd = msgspec.structs.replace(MANIFEST, meta={ANSWERS: told})
    assert isinstance(qualify(candidate(manifest=odd), SCHEMA), Unsound)


def test_how_far_answers_moved_is_measured_in_logits() -> None:
    p = told_apart(golden_vectors(SCHEMA))
    assert moved(p, p) == 0.0
    assert moved(p / 1e5, p) > 3.0
    assert (is_flat(flat(golden_vectors(SCHEMA)), p), is_flat(p, p)) == (True, False)
    constant = flat(golden_vectors(SCHEMA))
    assert not is_flat(constant, constant), "a constant model may follow a constant one"


def test_golden_vectors_are_the_same_each_time_and_cover_the_edges() -> None:
    a, b = golden_vectors(SCHEMA), golden_vectors(SCHEMA)
    assert (a.categories == b.categories).all()
    assert np.array_equal(a.numbers, b.numbers, equal_nan=True)
    assert (a.categories == 0).any()
    assert np.isnan(a.numbers).any()
    assert a.categories.flags.c_contiguous
    assert a.numbers.flags.c_contiguous
    assert a.numbers.dtype == np.float32
    assert np.isnan(a.numbers[0]).all()
    assert len(golden_vectors(VectorSchema((), ("x",)))) == 64


COLOURS = fr.Classes(["red", "green", "blue"])


def test_answers_are_sound_by_the_task() -> None:
    even = np.full((4, 3), 1 / 3)
    assert wrong_answers(even, 4, COLOURS) == []
    assert wrong_answers(np.array([-1e30, 0.0, 7.0]), 3, fr.Regression()) == []
    uneven = even.copy()
    uneven[2, 0] += 1e-6
    nan = even.copy()
    nan[1] = np.nan
    certain = np.array([[1.0, 0.0, 0.0]])
    for answers, task, told in (
        (even[:, 0], COLOURS, "predicts shape (4,) for 4 rows"),
        (even, fr.Binary(), "predicts shape (4, 3) for 4 rows"),
        (uneven, COLOURS, "miss the sum of 1"),
        (nan, COLOURS, "1 of 4 golden predictions are not finite"),
        (certain, COLOURS, "leave (0, 1)"),
        (np.array([np.inf]), fr.Regression(), "1 of 1 golden predictions are not finite"),
    ):
        (reason,) = wrong_answers(answers, len(answers), task)
        assert told in reason


def test_how_far_numbers_moved_is_measured_by_the_spread_of_their_labels() -> None:
    before = np.array([0.0, 2.0, 4.0])
    cents = before * 100
    step = moved(before + 1.0, before, fr.Regression(), spread=2.0)
    assert step == pytest.approx(0.5)
    assert step == pytest.approx(moved(cents + 100.0, cents, fr.Regression(), spread=200.0))
    assert moved(before + 1.0, before, fr.Regression()) == 0.0, "no label has told a spread yet"
    assert is_flat(np.full((2, 3), 1 / 3), np.array([[0.5, 0.3, 0.2], [0.3, 0.5, 0.2]]))
    assert not is_flat(np.array([[0.5, 0.3, 0.2], [0.3, 0.5, 0.2]]), np.full((2, 3), 1 / 3))
