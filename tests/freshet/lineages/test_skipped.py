"""What a condition of the app's file skips is told with its figures, and can be learned later."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from freshet.cli.main import cli
from freshet.learners.holding import cases
from freshet.lineages.skipped import held_last, learned_later_by_conditions
from freshet.runs.opened import opened
from freshet.schemas.errors import RequestError
from freshet.schemas.models.spans import Span
from freshet.testing import LocalRun
from tests.freshet.lineages.test_rewind import equal, saved_each_hour
from tests.freshet.lineages.test_start import _task, learned_by
from tests.freshet.toy_day import TOY, toy_day

FREED = 11  # the hour at whose beginning it is over
CONDITION = 'fr.HoldWhen("expired_share", above=0.3, over="1h")'
HELD = f"""from dataclasses import replace
import freshet as fr
from tests.toy_app import toy_app
app = toy_app()
app = replace(app, name={{name!r}}, models=[replace(app.models[0], hold=[{CONDITION}])])
"""


@contextmanager
def a_day(folder: Path, text: str, **more: Any) -> Iterator[LocalRun]:
    with toy_day(folder, text, hours=12, **more) as (_, local):
        yield local


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A day of which two hours have many orders that expire, and what was learned of it later; and
    one that nothing held."""
    found: dict[str, Any] = {}
    folder = tmp_path_factory.mktemp("held")

    def later(hour: int, local: LocalRun) -> None:
        saved_each_hour(hour, local)
        if hour == FREED:
            told = CliRunner().invoke(
                cli, ["models", "resume", "unpaid", "--learn-skipped", "--run-dir", str(folder)]
            )
            assert told.exit_code == 0, told.output
            found["printed"] = told.output

    with pytest.MonkeyPatch.context() as patched:
        # A toy's hours have a few questions each.
        patched.setattr(cases, "LEAST", 4)
        with a_day(folder, HELD, before=later) as local:
            declared = local.app.models[0].lineage(local.app.models[0].learners[1])
            (name,) = [word for word in found["printed"].split() if word.startswith("hashed")]
            found["held"] = _task(local, declared)
            found["later"] = _task(local, name)
            found["weights later"] = learned_by(local, name)
        with a_day(tmp_path_factory.mktemp("free"), TOY) as local:
            found["free"] = _task(local, declared)
            found["weights free"] = learned_by(local, declared)
    return found


def test_what_is_skipped_is_told_with_figure_and_bound(days: dict[str, Any]) -> None:
    held, free = days["held"].facts(), days["free"].facts()
    for skip in held["skips"]:
        assert skip["by"] == "condition expired_share above 30% over 1h"
        assert "within 1h expired, 0.3 is the bound" in skip["why"]
    (skipped,) = [skip["examples"] for skip in held["skips"] if skip["examples"]]
    assert held["learned"] == free["learned"] - skipped
    # It is scored all the same.
    assert held["all"]["n"] == free["all"]["n"]


def test_a_condition_is_no_part_of_what_a_lineage_is(days: dict[str, Any]) -> None:
    assert days["held"].name == days["free"].name


def test_what_was_skipped_is_learned_later(days: dict[str, Any]) -> None:
    assert days["later"].facts()["learned"] == days["free"].facts()["learned"]
    assert equal(days["weights later"], days["weights free"])


def test_where_nothing_was_skipped_there_is_nothing_to_learn_later(tmp_path: Path) -> None:
    with (
        toy_day(tmp_path, hours=2, before=saved_each_hour),
        opened(tmp_path) as run,
        pytest.raises(RequestError, match="has skipped nothing by its conditions"),
    ):
        learned_later_by_conditions(run, run.app.models[0], "ann")


@pytest.mark.parametrize(
    ("spans", "last"),
    [
        ([(1, 3)], (1, 3)),
        ([(1, 3), (5, 9)], (5, 9)),
        # The source is silent, its features are missing then, and come back a little later.
        ([(5, 9), (6, 11)], (5, 11)),
        ([(5, 12), (6, 8)], (5, 12)),
        ([(1, 2), (3, 7), (5, 9), (8, 10)], (3, 10)),
        ([(5, None), (6, 8)], (5, None)),
        ([(5, 8), (6, None)], (5, None)),
    ],
)
def test_conditions_that_held_it_at_once_are_one_hold(
    spans: list[tuple[int, int | None]], last: tuple[int, int | None]
) -> None:
    for order in (spans, spans[::-1]):
        found = held_last([Span(start, until, why=str(start)) for start, until in order])
        assert (found.start, found.until) == last
        assert found.why == str(last[0]), "what began it"
