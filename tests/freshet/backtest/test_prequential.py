"""A backtest learns and answers as the run did, and no answer knows of what came later."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.app import load
from freshet.backtest.course import Course, Step, course_of
from freshet.backtest.prequential import answered
from freshet.datasets.recorded_run import open_run
from freshet.learners.catalog import predictor
from freshet.learners.snapshots import files as snapshots
from freshet.learners.snapshots.golden import attested
from freshet.learners.snapshots.signing import Verifier
from freshet.schemas.models.manifest import SnapshotName
from freshet.schemas.models.tasks import Classes
from freshet.schemas.models.vectors import Examples, Vectors
from tests.freshet.toy_day import HOUR

TWO_HOURS = 2 * HOUR


@pytest.fixture
def course(folder: Path) -> Iterator[Course]:
    with open_run(folder) as run:
        model = run.app.models[0]
        yield course_of(run.examples(), model.vectors, model.batch)


def cut_by_the_run(folder: Path, lineage: str) -> Iterator[snapshots.Snapshot]:
    keys = Verifier.load(folder / "keys" / "trainer")
    root = folder / "snapshots"
    number = 1
    while snapshots.is_there(root, SnapshotName("toy", "unpaid", lineage, number)):
        name = SnapshotName("toy", "unpaid", lineage, number)
        manifest = snapshots.read_signed(root, name, keys).manifest
        yield snapshots.Snapshot(manifest, memoryview(snapshots.read_arrays(root, manifest)))
        number += 1


@pytest.mark.parametrize("at", [0, 1])
def test_what_is_learned_by_a_moment_is_what_the_run_had_learned_bit_for_bit(
    folder: Path, course: Course, at: int
) -> None:
    model = load(folder / "app.py").models[0]
    spec = model.learners[at]
    learner = spec.make(model.vectors)
    done = 0
    compared = 0
    for cut in cut_by_the_run(folder, model.lineage(spec)):
        while done < len(course.steps) and course.steps[done].at_ms <= cut.manifest.tick:
            rows = course.steps[done].rows
            labels = course.label[rows].astype(np.float32)
            learner.learn(Examples(course.vectors.take(rows), labels))
            done += 1
        export = attested(learner, model.vectors)
        assert json.loads(json.dumps(export.meta)) == cut.manifest.meta
        found = snapshots.arrays_of(cut.data)
        assert found.keys() == export.arrays.keys()
        for name, array in export.arrays.items():
            np.testing.assert_array_equal(found[name], array)
        compared += 1
    assert compared >= 5
    assert done > 5


def test_answers_are_those_of_the_newest_snapshot_that_the_run_had_cut(
    folder: Path, course: Course
) -> None:
    model = load(folder / "app.py").models[0]
    spec = model.learners[1]
    found = answered(spec.make(model.vectors), course, [TWO_HOURS])[0]
    checked = 0
    cuts = list(cut_by_the_run(folder, model.lineage(spec)))
    for cut in cuts:
        tick = cut.manifest.tick
        rows = np.flatnonzero((course.asked_ms >= tick) & (course.asked_ms < tick + TWO_HOURS))
        if not len(rows) or not cut.manifest.examples:
            continue
        export = snapshots.Export(
            cut.manifest.kind, cut.manifest.meta, snapshots.arrays_of(cut.data)
        )
        expected = predictor(export, model.vectors).predict(course.vectors.take(rows))
        np.testing.assert_allclose(found[rows], expected, rtol=1e-6)
        checked += len(rows)
    assert checked > 20


class Counting:
    """Answers with the share of what it has learned, in a unit that tells each count apart."""

    def __init__(self) -> None:
        self.learned = 0

    def learn(self, examples: Examples) -> None:
        self.learned += len(examples)

    def predict(self, vectors: Vectors) -> Any:
        return np.full(len(vectors), self.learned / 1000)

    def checkpoint(self) -> Any: ...
    def restore(self, state: Any) -> None: ...
    def export(self) -> Any: ...


@st.composite
def courses(draw: st.DrawFn) -> Course:
    asked = np.sort(np.array(draw(st.lists(st.integers(0, 400), min_size=1, max_size=40))))
    waits = draw(st.lists(st.integers(0, 90), min_size=len(asked), max_size=len(asked)))
    known = asked + np.array(waits)
    order = np.argsort(known, kind="stable")
    steps = [Step(int(known[row]), np.array([row])) for row in order]
    vectors = Vectors(np.zeros((len(asked), 1), np.uint64), np.zeros((len(asked), 0), np.float32))
    return Course(asked, vectors, np.ones(len(asked)), steps)


@settings(max_examples=60)
@given(courses(), st.lists(st.integers(1, 120), min_size=1, max_size=4, unique=True))
def test_no_answer_knows_of_what_came_after_its_snapshot(course: Course, every: list[int]) -> None:
    found = answered(Counting(), course, every)
    known = np.array([step.at_ms for step in course.steps])
    for own, interval in zip(found, every):
        for asked, answer in zip(course.asked_ms.tolist(), own.tolist()):
            expected = int((known <= asked // interval * interval).sum())
            assert answer == expected / 1000 if expected else np.isnan(answer)


class Widened(Counting):
    """The same as answers of three classes, each in a unit of its own."""

    def predict(self, vectors: Vectors) -> Any:
        return super().predict(vectors)[:, None] * np.array([1.0, 2.0, 3.0])


@settings(max_examples=30)
@given(courses(), st.lists(st.integers(1, 120), min_size=1, max_size=4, unique=True))
def test_answers_of_classes_are_whole_rows_of_the_same_snapshots(
    course: Course, every: list[int]
) -> None:
    found = answered(Widened(), replace(course, task=Classes(["a", "b", "c"])), every)
    plain = answered(Counting(), course, every)
    np.testing.assert_array_equal(found, plain[:, :, None] * np.array([1.0, 2.0, 3.0]))
