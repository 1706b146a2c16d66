"""Lineages that are started while their app runs learn what they are to learn, and compete."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from typer.testing import CliRunner

from freshet.app import App
from freshet.cli.main import cli
from freshet.declared import lineages as record
from freshet.learners.model import Model
from freshet.learners.training.task import TrainTask
from freshet.lineages.start import Wanted, begin, outlined
from freshet.past.own_logs import blocks_of
from freshet.roles import plans
from freshet.runs.opened import opened
from freshet.schemas.errors import RequestError
from freshet.schemas.models.layout import Layout
from freshet.schemas.wire import blocks
from freshet.schemas.wire.messages import Cut, Settled
from freshet.schemas.wire.outcomes import ExampleRows
from freshet.streams.log.contract import Log
from freshet.testing import LocalRun
from tests.freshet.toy_day import HOUR, asked_in, toy_day
from tests.streams.toy_events import batch_of

EXCEPT = "shop = 'north' and day = '1970-01-01'"
Arrays = dict[str, npt.NDArray[Any]]


def started(folder: Path, **wanted: Any) -> list[str]:
    with opened(folder) as run:
        outline = outlined(run, Wanted("unpaid", by="ann", **wanted))
        return begin(run, outline.model, outline.starts)


def goes_on(local: LocalRun, hours: range) -> None:
    for hour in hours:
        start = (hour + 1) * HOUR
        local.step(start, start + HOUR, {**asked_in(hour)}, {})


def learned_by(local: LocalRun, name: str) -> Arrays:
    """What the learner of a lineage is made of now."""
    return _task(local, name)._learner.checkpoint()


def _task(local: LocalRun, name: str) -> TrainTask:
    found = [
        task
        for operator in local.operators
        for task in operator.tasks()
        if isinstance(task, TrainTask) and task.name == f"train:unpaid.{name}:0"
    ]
    return found[0]


def learned_without(log: Log, app: App, model: Model, shop: str) -> Arrays:
    """The slow and obvious way: an examples log without those rows, learned from its start."""
    layout = Layout.of(model.vectors)
    spec = model.learners[1]
    task = TrainTask(plans.train_plan(model, spec), spec.make(model.vectors), lambda *_: None, 0)
    at = list(model.vectors.categories).index("shop")
    for offset, block in blocks_of(log, app.examples_log_of(model)):
        if block.rows is not None:
            rows = ExampleRows.from_arrow(block.rows, layout)
            texts = rows.texts["categories"].to_arrow().to_pylist()
            keep = [i for i, text in enumerate(texts) if text.split("|")[at] != shop]
            block = blocks.Block(
                block.kind,
                block.origin,
                block.partition,
                block.rows.take(keep) if keep else None,
                block.tick,
                block.partitions,
            )
        task.apply(batch_of([blocks.encode(block)], [offset], [0]))
    return task._learner.checkpoint()


@contextmanager
def a_day(folder: Path, hours: int = 8) -> Iterator[tuple[Model, LocalRun]]:
    with toy_day(folder, hours=hours) as (app, local):
        yield app.models[0], local


def test_weights_are_those_of_an_examples_log_without_what_is_excepted(tmp_path: Path) -> None:
    with a_day(tmp_path) as (model, local):
        (name,) = started(tmp_path, learner="hashed_logistic", where=EXCEPT)
        goes_on(local, range(8, 12))
        found = learned_by(local, name)
        expected = learned_without(local.log, local.app, model, "north")
        declared = learned_by(local, model.lineage(model.learners[1]))
    assert found.keys() == expected.keys()
    for key, array in expected.items():
        assert array.tobytes() == found[key].tobytes(), key
    assert any(array.tobytes() != found[key].tobytes() for key, array in declared.items())


def test_what_is_left_out_is_scored_all_the_same(tmp_path: Path) -> None:
    """Else a lineage would win by leaving out what is hard to tell."""
    with a_day(tmp_path) as (model, local):
        (name,) = started(tmp_path, learner="hashed_logistic", where=EXCEPT)
        goes_on(local, range(8, 10))
        own, declared = (
            _task(local, lineage).facts() for lineage in (name, model.lineage(model.learners[1]))
        )
    assert own["learned"] < declared["learned"]
    for of in ("all", "rolling"):
        assert own[of]["n"] == declared[of]["n"]
        assert own[of]["base_rate"] == declared[of]["base_rate"]


def test_a_started_lineage_cuts_with_the_others_and_is_settled_with_them(tmp_path: Path) -> None:
    with a_day(tmp_path) as (_, local):
        (name,) = started(tmp_path, learner="hashed_logistic", where=EXCEPT)
        before = len(local.messages)
        goes_on(local, range(8, 12))
        told = local.messages[before:]
    cuts = [m for m in told if isinstance(m, Cut)]
    own = [cut.tick for cut in cuts if cut.lineage == name]
    others = {cut.tick for cut in cuts if cut.lineage != name}
    assert own
    assert set(own) <= others
    # Nothing that it cut stands for a time at which it did not take part yet.
    assert [m.tick for m in told if isinstance(m, Settled)] == sorted(others)
    assert [cut.number for cut in cuts if cut.lineage == name] == list(range(1, len(own) + 1))


def test_what_was_started_goes_on_in_the_next_run_of_the_folder(tmp_path: Path) -> None:
    with a_day(tmp_path):
        pass
    (name,) = started(tmp_path, learner="hashed_logistic", where=EXCEPT)
    with opened(tmp_path) as run:
        app = run.app
    model = app.models[0]
    with LocalRun(record_declared(app), tmp_path, store()) as local:
        goes_on(local, range(8, 10))
        first = _task(local, name).facts()["learned"]
        assert first
    with LocalRun(record_declared(app), tmp_path, store()) as local:
        local.step(11 * HOUR, 12 * HOUR, {}, {})
        # From its checkpoint: whatever it had read it does not read once more.
        assert _task(local, name).facts()["learned"] >= first
    assert name in [model.lineage(spec) for spec in model.learners]


def record_declared(app: App) -> App:
    from dataclasses import replace

    models = [replace(m, learners=record.declared(m)) for m in app.models]
    return replace(app, models=models)


def store() -> Any:
    from freshet.testing import MemoryStore

    return MemoryStore()


def test_asking_twice_starts_one(tmp_path: Path) -> None:
    with a_day(tmp_path, 2):
        pass
    assert started(tmp_path, where=EXCEPT) == started(tmp_path, where=EXCEPT)
    assert len(record.starts_of(str(tmp_path / "checkpoints"), "unpaid")) == 2


def test_the_outline_tells_who_saw_what_is_left_out(tmp_path: Path) -> None:
    with a_day(tmp_path) as (model, local):
        for operator in local.operators:
            operator.checkpoint()
        with opened(tmp_path) as run:
            outline = outlined(run, Wanted("unpaid", "hashed_logistic", where="shop = 'north'"))
            frame_rows = outline.left_out
        assert record.starts_of(str(tmp_path / "checkpoints"), "unpaid") == []
    assert frame_rows.asked == 8
    lineages = {seen.name: seen.count for seen in outline.seen if seen.kind == "lineage"}
    assert lineages == {model.lineage(spec): frame_rows.labelled for spec in model.learners}
    snapshots = [seen.count for seen in outline.seen if seen.kind == "snapshot"]
    assert snapshots
    assert max(snapshots) <= frame_rows.labelled
    assert [(s.name, s.count > 0) for s in outline.seen if s.kind == "view"] == [("shops", True)]


def test_ids_and_a_first_moment_leave_out_their_questions(tmp_path: Path) -> None:
    with a_day(tmp_path):
        pass
    with opened(tmp_path) as run:
        by_ids = outlined(run, Wanted("unpaid", ids=("3.north", "4.south", "none")))
        by_moment = outlined(run, Wanted("unpaid", since=4 * HOUR))
    assert by_ids.left_out.asked == 2
    assert by_moment.left_out.asked == 9


@pytest.mark.parametrize(
    ("where", "cause"),
    [
        ("shop = ", "is no expression"),
        ("airport = 'EWR'", "reads 'airport', which no question has"),
        ("price", "is Float32 and not true or false"),
        ("price > avg(price)", "an aggregate"),
        ("shop > 3", "cannot be evaluated"),
        ("source = 'north'", "reads 'source', which no question has"),
    ],
)
def test_what_cannot_be_told_of_a_question_is_refused(
    tmp_path: Path, where: str, cause: str
) -> None:
    with a_day(tmp_path, 1), opened(tmp_path) as run, pytest.raises(RequestError, match=cause):
        outlined(run, Wanted("unpaid", where=where))


def test_the_command_says_what_it_means_and_does_it(tmp_path: Path) -> None:
    with a_day(tmp_path, 3):
        pass
    told = ["retrain", "unpaid", "hashed_logistic", "--except", "shop = 'north'"]
    place = ["--run-dir", str(tmp_path)]
    dry = CliRunner().invoke(cli, [*told, "--dry-run", *place], catch_exceptions=False)
    assert "left out: 3 questions" in dry.output
    assert "nothing was started" in dry.output
    assert record.starts_of(str(tmp_path / "checkpoints"), "unpaid") == []
    done = CliRunner().invoke(cli, [*told, "--why", "a test", *place], catch_exceptions=False)
    assert "started" in done.output
    (start,) = record.starts_of(str(tmp_path / "checkpoints"), "unpaid")
    assert (start.why, start.where) == ("a test", "shop = 'north'")
    assert np.all(np.array([start.number]) == 1)
