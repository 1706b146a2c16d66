"""Going back with a lineage: from a state of then, without or with what came after it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from freshet.cli.main import cli
from freshet.declared import lineages as record
from freshet.learners.training.task import TrainTask
from freshet.lineages.rewind import Wanted, go_back, outlined
from freshet.roles import plans
from freshet.runs.opened import opened
from freshet.schemas.errors import RequestError
from freshet.streams.log.spans import PartitionSpans
from freshet.testing import LocalRun
from tests.freshet.lineages.test_start import Arrays, _task, a_day, goes_on, learned_by
from tests.freshet.toy_day import HOUR, toy_day

MOMENT = 6 * HOUR


def saved_each_hour(hour: int, local: LocalRun) -> None:
    for operator in local.operators:
        operator.checkpoint()


def rewound(folder: Path, lineage: str, to_ms: int = MOMENT, relearn: bool = False) -> str:
    with opened(folder) as run:
        return go_back(run, outlined(run, lineage, Wanted(to_ms, relearn, "ann")))


def learned_by_tick(local: LocalRun, tick_ms: int) -> Arrays:
    """The slow and obvious way: a trainer that never read on."""
    model = local.app.models[0]
    spec = model.learners[1]
    task = TrainTask(plans.train_plan(model, spec), spec.make(model.vectors), lambda *_: None, 0)
    log = local.app.examples_log_of(model)
    with PartitionSpans(local.log, log) as spans:
        for batch in spans.read(spans.first, spans.after):
            for at in range(len(batch)):
                if task.finished < tick_ms:
                    task.apply(batch.rows(at, at + 1))
    return task._learner.checkpoint()


def equal(one: Arrays, other: Arrays) -> bool:
    return {k: v.tobytes() for k, v in one.items()} == {k: v.tobytes() for k, v in other.items()}


@pytest.mark.parametrize("relearn", [False, True])
def test_it_goes_on_from_then_and_skips_what_came_after(tmp_path: Path, relearn: bool) -> None:
    with toy_day(tmp_path, hours=10, before=saved_each_hour) as (app, local):
        model = app.models[0]
        parent = model.lineage(model.learners[1])
        name = rewound(tmp_path, parent, relearn=relearn)
        local.step(11 * HOUR, 11 * HOUR + 1, {}, {})
        assert equal(learned_by(local, name), learned_by_tick(local, MOMENT)) is not relearn
        assert equal(learned_by(local, name), learned_by(local, parent)) is relearn
        before = _task(local, name).facts()
        goes_on(local, range(11, 14))
        after = _task(local, name).facts()
        # Both answer, and are scored by, the same questions.
        assert after["all"]["n"] == _task(local, parent).facts()["all"]["n"]
        assert before["all"]["n"] <= after["all"]["n"]
        (start,) = record.starts_of(str(tmp_path / "checkpoints"), model.name)
        assert (start.parent, start.resumes) == (parent, True)


def test_a_rewound_lineage_can_be_rewound(tmp_path: Path) -> None:
    with toy_day(tmp_path, hours=8, before=saved_each_hour) as (app, local):
        model = app.models[0]
        first = rewound(tmp_path, model.lineage(model.learners[1]))
        goes_on(local, range(9, 12))
        for operator in local.operators:
            operator.checkpoint()
        second = rewound(tmp_path, first, 12 * HOUR)
        goes_on(local, range(12, 13))
        assert _task(local, second).facts()["learned"] >= _task(local, first).facts()["learned"] - 8
    starts = record.starts_of(str(tmp_path / "checkpoints"), model.name)
    assert [start.parent for start in starts][1] == first


def test_a_trainer_keeps_two_checkpoints_and_a_ladder(tmp_path: Path) -> None:
    with toy_day(tmp_path, hours=10, before=saved_each_hour) as (app, _):
        model = app.models[0]
    for spec in model.learners:
        folder = tmp_path / "checkpoints" / "train" / f"{model.name}.{model.lineage(spec)}" / "0"
        assert len([p for p in folder.iterdir() if p.is_file()]) == 2
        assert len(list((folder / "ladder").iterdir())) >= 6


def test_what_was_not_kept_is_refused(tmp_path: Path) -> None:
    with a_day(tmp_path, 3) as (model, local):
        for operator in local.operators:
            operator.checkpoint()
        lineage = model.lineage(model.learners[1])
        with pytest.raises(RequestError, match="kept no checkpoint of then; its oldest is of 1970"):
            rewound(tmp_path, lineage, HOUR // 2)
        with pytest.raises(RequestError, match="is after all"):
            rewound(tmp_path, lineage, 40 * HOUR)
        with pytest.raises(RequestError, match="is none of app toy"):
            rewound(tmp_path, "river-1", HOUR)


def test_the_command_says_what_it_goes_back_to(tmp_path: Path) -> None:
    with toy_day(tmp_path, hours=8, before=saved_each_hour) as (app, _):
        model = app.models[0]
        lineage = model.lineage(model.learners[1])
    told = ["models", "rewind", lineage, "--to", "1970-01-01T06:00", "--run-dir", str(tmp_path)]
    dry = CliRunner().invoke(cli, [*told, "--dry-run"], catch_exceptions=False)
    assert "nothing was started" in dry.output
    done = CliRunner().invoke(cli, told, catch_exceptions=False)
    assert "skips" in done.output
    assert "started" in done.output
