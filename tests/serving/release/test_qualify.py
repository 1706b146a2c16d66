"""A snapshot is approved only if nothing speaks against it, and every reason is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pytest

from freshet.learners.snapshots.golden import golden_vectors
from freshet.schemas.errors import LearnerError
from freshet.schemas.models.manifest import Manifest
from freshet.schemas.models.vectors import F64, Vectors, VectorSchema
from freshet.serving.release.qualify import Bounds, Candidate, qualify

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


def candidate(answer: Callable[[Vectors], Any] = told_apart, manifest: Manifest = MANIFEST, **arrays: Any) -> Candidate:
    return Candidate(manifest, {**WEIGHTS, **arrays}, lambda: Toy(answer))


def broken(vectors: Vectors) -> F64:
    raise LearnerError("toy", "the table is too short", "Cut it again.")


def one_nan(vectors: Vectors) -> F64:
    return np.where(np.arange(len(vectors)) == 3, np.nan, 0.5)


def unsteady() -> Callable[[Vectors], F64]:
    state = np.random.default_rng(1)
    return lambda vectors: state.uniform(0.1, 0.9, len(vectors))


REFUSED = [
    (candidate(manifest=msgspec.structs.replace(MANIFEST, vectors="other")), "made for vectors other"),
    (candidate(manifest=msgspec.structs.replace(MANIFEST, size=1 << 40)), "bytes"),
    (candidate(bias=np.array([1.0, np.nan, np.inf])), "array 'bias' holds 2 values that are not finite"),
    (candidate(broken), "the table is too short"),
    (candidate(one_nan), "1 of 64 golden predictions are not finite"),
    (candidate(lambda v: np.ones(len(v))), "leave (0, 1)"),
    (candidate(lambda v: np.zeros(3)), "predicts shape (3,) for 64 rows"),
    (candidate(unsteady()), "differ when the same vectors are asked again"),
    (candidate(flat), "answers 0.2400 to every golden vector"),
    (candidate(lambda v: told_apart(v) / 1e5), "moved by"),
]


@pytest.mark.parametrize(("refused", "word"), REFUSED)
def test_a_bad_snapshot_is_refused_with_its_reason(refused: Candidate, word: str) -> None:
    reasons = qualify(refused, SCHEMA, Toy(told_apart))
    assert any(word in r for r in reasons), reasons


def test_a_good_snapshot_is_approved_with_and_without_one_to_compare() -> None:
    assert qualify(candidate(), SCHEMA) == []
    assert qualify(candidate(), SCHEMA, Toy(lambda v: told_apart(v) * 0.9)) == []


def test_a_constant_model_may_follow_a_constant_model() -> None:
    assert qualify(candidate(flat), SCHEMA, Toy(flat)) == []


def test_a_slow_snapshot_is_refused() -> None:
    reasons = qualify(candidate(), SCHEMA, bounds=Bounds(predict_seconds=0.0))
    assert any("predictions took" in r for r in reasons)


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
