"""Two runs are compared by what they have left: equal ones have no difference, and what was done
otherwise is told where it shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from freshet.app import App
from freshet.cli.main import cli
from freshet.compared.compare import compare
from freshet.compared.difference import (
    DEFINITIONS,
    FATES,
    PARTS,
    QUALITY,
    ROWS,
    SETTINGS,
    Comparison,
    Difference,
)
from freshet.compared.side import FIGURES, side_of
from freshet.declared import definitions
from freshet.quality.figures import no_answers, quality
from freshet.redrive.chosen import Wanted
from freshet.redrive.patching import parsed
from freshet.redrive.redrive import Redrive
from freshet.runs.opened import opened
from freshet.schemas.models.tasks import Binary, Classes, Regression, Task
from freshet.schemas.wire.messages import Setting
from freshet.streams.control.channels import send
from freshet.testing import LocalRun
from tests.freshet.toy_day import TOY, app_file, toy_day

HOURS = 8
# A feature more, and another filling of a field: of view, model and topic.
OTHERWISE = """
from dataclasses import replace
import freshet as fr
from tests.toy_app import topics, toy_app
[declared] = toy_app().views
[payments] = declared.topics
orders = replace(topics()[0], impute={{"price": fr.impute.constant(3.0)}})
shops = replace(
    declared,
    features={{**declared.features, "late": fr.max("late", over="1h"), "top": fr.max("late", over="2h")}},
)
app = fr.App({name!r}, topics=[orders, payments], views=[shops])
"""
Before = Callable[[int, LocalRun], None]


def nothing(hour: int, local: LocalRun) -> None:
    pass


def ran(folder: Path, hours: int = HOURS, before: Before = nothing) -> Path:
    with toy_day(folder, TOY, hours=hours, before=before) as (app, _):
        keep(app, folder)
    return folder


def keep(app: App, folder: Path) -> None:
    """What it declares, as a run does when it starts."""
    with opened(folder) as run:
        definitions.keep(run.settings.checkpoints_url, None, app, 0)


def compared(a: Path, b: Path) -> Comparison:
    with opened(a) as first, opened(b) as second:
        return compare(side_of(first), side_of(second), (str(a), str(b)))


def of_part(found: Comparison, part: str) -> dict[tuple[str, str], Difference]:
    return {(one.thing, one.what): one for one in found.differences if one.part == part}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ran(tmp_path_factory.mktemp("first"))


@pytest.fixture(scope="module")
def shorter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def settle(hour: int, local: LocalRun) -> None:
        if hour == 1:
            writer = local.log.writer()
            changed = Setting("payments", "lateness", "9m", "ann", 0)
            send(writer, local.app.channels, [changed], 0)
            writer.close()

    return ran(tmp_path_factory.mktemp("shorter"), HOURS - 1, settle)


def test_runs_of_the_same_events_have_no_difference(
    first: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    found = compared(first, ran(tmp_path_factory.mktemp("second")))
    assert (found.differences, found.not_compared) == ([], [])
    assert found.until_a_ms == found.until_b_ms
    assert all(found.compared[part] > 0 for part in PARTS)


def test_other_events_show_in_fates_rows_and_quality(first: Path, shorter: Path) -> None:
    found = compared(first, shorter)
    fates = of_part(found, FATES)["topic payments", "applied"]
    assert fates.a > fates.b
    rows = of_part(found, ROWS)
    assert any(what.startswith("n: other in") for _, what in rows)
    asked = of_part(found, QUALITY)["model unpaid", "asked"]
    assert asked.a > asked.b
    assert not of_part(found, DEFINITIONS)
    assert found.until_a_ms > found.until_b_ms


def test_a_setting_that_was_changed_live_is_one(first: Path, shorter: Path) -> None:
    found = of_part(compared(first, shorter), SETTINGS)
    assert list(found) == [("topic payments", "lateness")]
    [one] = found.values()
    assert (one.a, one.b) == ("5m", "9m")


def test_what_was_sent_again_of_dead_letters_has_fates_of_its_own(
    first: Path, tmp_path: Path
) -> None:
    def send_again(hour: int, local: LocalRun) -> None:
        if hour != 4:
            return
        with opened(tmp_path) as run:
            wanted = Wanted(reason="out_of_range")
            patches = parsed(["late = late / 100"])
            assert Redrive(run, wanted, patches).send(sleep=lambda seconds: None).sent == 1
            Redrive(run, Wanted(reason="missing_required"), {}).send(sleep=lambda seconds: None)

    found = of_part(compared(first, ran(tmp_path, before=send_again)), FATES)
    counts = {key: (one.a, one.b) for key, one in found.items()}
    assert counts == {
        ("topic payments", "again: applied"): (None, 1),
        ("topic payments", "again: dead:missing_required"): (None, 1),
    }


def test_each_run_is_told_by_its_own_definitions(first: Path, tmp_path: Path) -> None:
    """Things that one alone declares are named once, and those that both do by what differs."""
    with toy_day(tmp_path, OTHERWISE, hours=2) as (app, _):
        keep(app, tmp_path)
    found = compared(first, tmp_path)
    told = of_part(found, DEFINITIONS)
    assert told["model unpaid", ""].b is None
    assert ("topic payments", "") not in told
    changed = {thing for thing, _ in told}
    assert {"topic orders", "view shops", "model unpaid"} <= changed
    # A feature of one name is compared, whatever it is made of now; one of no other is not.
    named = {what.partition(":")[0] for _, what in of_part(found, ROWS)}
    assert "late" in named
    assert "top" not in named


def test_what_a_file_declares_otherwise_by_now_is_not_compared_in_silence(
    first: Path, tmp_path: Path
) -> None:
    changed = ran(tmp_path, 2)
    app_file(changed, OTHERWISE)
    found = compared(first, changed)
    assert [why for why in found.not_compared if why.startswith("view shops: the app's file of")]
    assert not of_part(found, DEFINITIONS)
    assert not of_part(found, ROWS)


def test_the_command_tells_it_and_ends_as_diff_does(first: Path, shorter: Path) -> None:
    told = CliRunner().invoke(cli, ["diff", str(first), str(shorter)])
    assert told.exit_code == 1, told.output
    for text in ("Settings", "lateness", "5m", "9m", "Events by fate", "equal: ", "differences"):
        assert text in told.output
    same = CliRunner().invoke(cli, ["diff", str(first), str(first), "--json"])
    assert same.exit_code == 0, same.output
    assert json.loads(same.output)["differences"] == []


@pytest.mark.parametrize("task", [Binary(), Classes(["a", "b"]), Regression()])
def test_quality_is_told_in_all_figures_of_its_task(task: Task) -> None:
    told = quality(task, no_answers(task), np.empty(0))
    # Of classes how often each came is no figure of the answers.
    assert set(FIGURES[task.kind].values()) == told.keys() - {"n", "counts"}
