"""What is known of answers is that of the whole log, whoever read how much of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from freshet.learners.baseline_learner import Baseline
from freshet.learners.model import Model
from freshet.learners.training import by_task
from freshet.schemas.durations import HOUR_MS
from freshet.schemas.models.layout import Layout
from freshet.schemas.models.tasks import Classes, Regression, Task
from freshet.schemas.text.columns import Texts
from freshet.schemas.wire import blocks, outcomes
from freshet.serving.board.model import ModelBoard
from freshet.serving.board.served_quality import ROLLING, ServedQuality
from freshet.serving.quality.told import quality_of, references_of
from freshet.serving.status import status as s
from freshet.serving.values import served_file, skew
from freshet.serving.values.served_file import KeptServed
from freshet.streams.log.contract import Batch
from tests.toy_app import toy_app

BLOCKS = 30
ROWS = 100  # of each kind in a block, which is one of an hour
FIRST_HOUR = 1_000
IDENTITY = "this log"
KINDS = Classes(["card", "cash", "debt"])


def examples(model: Model) -> Batch:
    """A block an hour: questions, and as many that were labelled, of numbers that move on."""
    values = [blocks.encode(_block(model, hour)) for hour in range(BLOCKS)]
    edges = np.cumsum([0, *map(len, values)])
    data = np.frombuffer(bytearray(b"".join(values)), np.uint8)
    offsets = np.arange(BLOCKS) * 2  # as where other records stand between them
    return Batch("examples", 0, data, edges[:-1], edges[1:], offsets, offsets)


def _block(model: Model, hour: int) -> blocks.Block:
    layout = Layout.of(model.vectors)
    rng = np.random.default_rng(hour)
    count = 2 * ROWS
    fixed = np.zeros(count, layout.dtype)
    fixed["numbers"] = rng.normal(hour, size=fixed["numbers"].shape)
    fixed["asked_at"] = (FIRST_HOUR + hour) * HOUR_MS
    kind = np.repeat([outcomes.ASKED, outcomes.LABELLED], ROWS).astype(np.int8)
    label = np.where(kind == outcomes.LABELLED, 1.0, np.nan)
    if model.task.kind != "binary":
        fixed["p"], label = _of_task(model.task, kind, rng)
    names = "|".join("a" for _ in layout.categories)
    texts = {name: Texts.of([names] * count) for name in outcomes.TEXTS}
    place = np.arange(count) + hour * count
    rows = outcomes.ExampleRows(kind, place, place, label, np.zeros(count, np.bool_), fixed, texts)
    return blocks.Block(blocks.EXAMPLES, "outcomes", 0, rows.to_arrow(layout, hour))


def _of_task(
    task: Task, kind: npt.NDArray[np.int8], rng: np.random.Generator
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Answers and labels that have to do with each other."""
    if isinstance(task, Classes):
        p = rng.dirichlet(np.ones(task.width), len(kind))
        came = np.array([rng.choice(task.width, p=row) for row in p], np.float64)
    else:
        p = rng.normal(50, 9, len(kind))
        came = p + rng.normal(2, 3, len(kind))
    return p, np.where(kind == outcomes.LABELLED, came, np.nan)


def of_task(task: Task) -> Model:
    """The toy app's model, predicting something else."""
    model = toy_app().models[0]
    return replace(model, task=task, learners=[Baseline()], fallback=[])


def labelled(model: Model, batch: Batch) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Every answer and its label, in the order of the log."""
    layout = Layout.of(model.vectors)
    parts = []
    for at in range(len(batch)):
        block = blocks.decode(batch.value(at))
        assert block.rows is not None
        rows = outcomes.ExampleRows.from_arrow(block.rows, layout)
        told = rows.kind == outcomes.LABELLED
        parts.append((rows.fixed["p"][told], rows.label[told]))
    return np.concatenate([p for p, _ in parts]), np.concatenate([y for _, y in parts])


def read(
    model: Model, batch: Batch, kept: Mapping[str, KeptServed], identity: str = IDENTITY
) -> ServedQuality:
    """One that reads a log from where it is to."""
    quality = ServedQuality(model)
    start = quality.begin(identity, kept.get(model.name))
    quality.learn(batch.where(batch.offsets >= start))
    quality.reckon()
    return quality


def told(quality: ServedQuality) -> tuple[Any, ...]:
    counts = (quality.asked, quality.labelled, quality.expired, quality.rungs)
    return (*counts, quality.figures, quality.skew, quality.skewed)


@pytest.mark.parametrize("cut", [0, 1, BLOCKS // 2, BLOCKS])
def test_one_that_goes_on_from_what_was_kept_tells_what_one_that_read_all_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    model = replace(toy_app().models[0], skew_bounds={"price": 0.2})
    judgements: list[int] = []
    judge = skew.Skew._judge

    def counted(judging: skew.Skew) -> None:
        judgements.append(judging._hour)
        judge(judging)

    monkeypatch.setattr(skew.Skew, "_judge", counted)
    batch = examples(model)
    whole = read(model, batch, {})
    assert whole.skewed
    every = list(judgements)
    kept = read(model, batch.rows(0, cut), {}).kept()
    assert kept is not None
    served_file.save(tmp_path, "toy", {model.name: kept})
    # What is read: the rest; of another log, or for another declaration, all of it.
    for identity, slices, first in (
        (IDENTITY, model.slices, cut),
        ("another", model.slices, 0),
        (IDENTITY, (), 0),
    ):
        judgements.clear()
        found = served_file.restored(tmp_path, "toy")
        again = read(replace(model, slices=slices), batch, found, identity)
        # The newest hour was not over yet.
        assert judgements == [hour for hour in every if hour >= FIRST_HOUR + first - 1]
        if slices == model.slices:
            assert told(again) == told(whole)
    # The first questions come before anything was learned, and the last hour is not over: one of many.
    assert len(every) == BLOCKS - 1


def test_before_a_log_is_read_nothing_is_kept() -> None:
    assert ServedQuality(toy_app().models[0]).kept() is None


@pytest.mark.parametrize("task", [KINDS, Regression()], ids=["classes", "regression"])
def test_answers_of_each_task_are_told_by_its_own_figures(task: Task) -> None:
    model = of_task(task)
    batch = examples(model)
    quality = read(model, batch, {})
    p, y = labelled(model, batch)
    overall = by_task.quality(task)
    overall.update(p, y)
    rolling = by_task.quality(task)
    rolling.update(p[-ROLLING:], y[-ROLLING:])
    beside = by_task.references(task, ROLLING)
    beside.update(y)
    found = quality.figures
    assert found.overall == quality_of(overall.figures())
    assert found.rolling == quality_of(rolling.figures())
    assert found.overall_references == references_of(beside.figures())
    assert found.rolling_references == references_of(beside.rolling())
    assert found.overall_references.prior.n >= BLOCKS * ROWS - 1
    assert [slice_[1:] for slice_ in found.slices] == [("a", found.overall)]
    assert found.overall.n == BLOCKS * ROWS
    assert found.overall.auc is None


def test_of_classes_the_board_tells_what_the_loss_and_each_class_came_to() -> None:
    model = of_task(KINDS)
    batch = examples(model)
    board = ModelBoard(model)
    board.learn(batch)
    board.quality.reckon()
    told = board.figures(None, 1, {}, {}, "")
    p, y = labelled(model, batch)
    loss = -np.log(p[np.arange(len(y)), y.astype(int)]).mean()
    assert told.task == "classes"
    assert told.overall.log_loss == pytest.approx(loss)
    assert told.overall.accuracy == (p.argmax(axis=1) == y).mean()
    assert [c.name for c in told.classes] == list(KINDS.classes)
    assert [c.labelled for c in told.classes] == [int((y == at).sum()) for at in range(3)]
    assert sum(c.right for c in told.classes) == (p.argmax(axis=1) == y).sum()
    # Answers were drawn as they said: confidence is right at each of its steps.
    assert sum(b.n for b in told.calibration) == len(y)
    for step in told.calibration:
        if step.n > 100:
            assert step.observed == pytest.approx(step.predicted, abs=0.15)


def test_of_numbers_the_board_tells_errors_in_the_label_s_unit() -> None:
    model = of_task(Regression())
    batch = examples(model)
    board = ModelBoard(model)
    board.learn(batch)
    board.quality.reckon()
    told = board.figures(None, 1, {}, {}, "")
    p, y = labelled(model, batch)
    assert told.task == "regression"
    assert told.overall.mae == pytest.approx(np.abs(p - y).mean())
    assert told.overall.rmse == pytest.approx(np.sqrt(((p - y) ** 2).mean()))
    assert told.overall.bias == pytest.approx((p - y).mean())
    assert told.classes == []
    assert [b.n for b in told.calibration] == [len(y) // 10] * 10
    # Labels are two above answers, at each tenth.
    for tenth in told.calibration:
        assert tenth.observed == pytest.approx((tenth.predicted or 0) + 2, abs=1)


@pytest.mark.parametrize("task", [KINDS, Regression()], ids=["classes", "regression"])
@pytest.mark.parametrize("cut", [0, 1, BLOCKS // 2, BLOCKS])
def test_figures_of_each_task_go_on_from_what_was_kept(
    tmp_path: Path, task: Task, cut: int
) -> None:
    model = of_task(task)
    batch = examples(model)
    kept = read(model, batch.rows(0, cut), {}).kept()
    assert kept is not None
    served_file.save(tmp_path, "toy", {model.name: kept})
    found = served_file.restored(tmp_path, "toy")
    assert told(read(model, batch, found)) == told(read(model, batch, {}))


def test_what_another_task_kept_is_none_of_this_one(tmp_path: Path) -> None:
    numbers = of_task(Regression())
    kept = read(numbers, examples(numbers), {}).kept()
    assert kept is not None
    again = ServedQuality(of_task(KINDS))
    assert again.begin(IDENTITY, kept) == 0
    assert again.figures.overall == s.Quality()
