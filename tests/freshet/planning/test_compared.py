"""A plan says how much of what was served comes out of the past as it was, and which snapshots a
person keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from freshet.declared import definitions
from freshet.planning import compared as of_plan
from freshet.planning.compared import Compared, compared
from freshet.planning.frozen import frozen
from freshet.planning.history import History
from freshet.planning.of_run import planned
from freshet.planning.plan import plan
from freshet.planning.shown import lines
from freshet.reconstructed.columns_then import ColumnsThen
from freshet.runs.opened import opened
from freshet.schemas.models.vectors import Vectors
from freshet.settings import settings
from freshet.streams.control import switches
from tests.freshet.planning.test_plan import WAS
from tests.freshet.toy_day import toy_day


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("day")
    with toy_day(folder, hours=8):
        pass
    return folder


def test_what_was_served_in_a_paced_replay_comes_out_as_it_was(day: Path) -> None:
    with opened(day) as run:
        (found,) = compared(run, definitions.read(run.settings.checkpoints_url))
    assert (found.view, found.model) == ("shops", "unpaid")
    assert found.questions >= 24
    assert found.values >= found.questions
    assert found.unequal == 0


def test_values_that_do_not_are_counted(day: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = ColumnsThen.of

    def other(self: ColumnsThen, rows: Any) -> Vectors:
        found = own(self, rows)
        found.numbers[0] = np.where(np.isnan(found.numbers[0]), 1, found.numbers[0] + 1)
        return found

    monkeypatch.setattr(ColumnsThen, "of", other)
    with opened(day) as run:
        (found,) = compared(run, definitions.read(run.settings.checkpoints_url))
    assert 0 < found.unequal < found.values


def test_no_more_is_read_than_a_person_waits_for(
    day: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is asked later than the last record that was read is not compared."""
    with opened(day) as run:
        before = definitions.read(run.settings.checkpoints_url)
        (whole,) = compared(run, before)
        monkeypatch.setattr(of_plan, "MOST_RECORDS", 40)
        (part,) = compared(run, before)
        monkeypatch.setattr(of_plan, "MOST_QUESTIONS", 5)
        (few,) = compared(run, before)
    assert 0 < part.questions < whole.questions
    assert part.unequal == 0
    assert few.questions == 5


def test_a_plan_says_so_and_which_snapshots_keep_a_view(day: Path) -> None:
    given = settings(run_dir=str(day))
    with opened(day) as run:
        before = definitions.read(run.settings.checkpoints_url)
        app = run.app
        assert frozen(app, before, run.log, given) == {}
        switches.turn(day, "release", False, "ann")
        found = frozen(app, before, run.log, given)
    switches.turn(day, "release", True, "ann")
    (kept,) = found["shops"]
    assert kept.model == "unpaid"
    assert kept.why == "releases are off, by ann"
    removed = WAS._replace(views=(), reads=()).app()
    of = History(
        0,
        compared=[Compared("by_user", "m", 10, 200, 3)],
        frozen={"by_user": [kept]},
    )
    text = "\n".join(lines(plan(removed, definitions.of(WAS.app()), given, of)))
    assert "of 200 values that model m was served (10 questions, the oldest) 3 come out" in text
    assert "(1.5%)" in text
    assert "(releases are off, by ann): the old version's rows are needed" in text
    assert planned(app, given).changes == []
    assert list(lines(planned(app, given))) == ["everything goes on as it is declared"]
