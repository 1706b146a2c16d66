"""`freshet plan`: what it prints and ends with, and what `freshet run` asks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from freshet.app import load
from freshet.cli.init import init
from freshet.cli.plan import agreed, plan
from freshet.declared import definitions
from freshet.schemas.errors import DefinitionError
from freshet.settings import settings

WINDOW = ('fr.count(over="10m")', 'fr.count(over="20m")')


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An app that has run in the folder beside it."""
    init(tmp_path / "app", Console(quiet=True))
    file = tmp_path / "app" / "app.py"
    url = settings(run_dir=str(tmp_path / "run")).checkpoints_url
    definitions.keep(url, None, load(file), 1)
    return file


def ended(file: Path, as_json: bool = False, out: Path | None = None) -> object:
    with pytest.raises(SystemExit) as end:
        plan(str(file), str(file.parents[1] / "run"), as_json, out)
    return end.value.code


def change(file: Path) -> None:
    file.write_text(file.read_text().replace(*WINDOW))


def test_it_ends_with_0_where_nothing_has_changed_and_with_2_where_something_has(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(file) == 0
    assert capsys.readouterr().out == "everything goes on as it is declared\n"
    change(file)
    assert ended(file) == 2
    told = capsys.readouterr().out
    assert "view load is changed: breaking (made anew, from the past)" in told
    assert "  feature n_10m was count(over 10m), is count(over 20m)" in told
    assert "lineage late.hashed_logistic is indirectly affected: breaking" in told
    assert "model late" in told.partition("as they are: ")[2], "what was asked stays"
    assert not (file.parents[1] / "run" / "log").exists(), "it starts nothing"


def test_it_ends_with_1_where_that_cannot_be_told(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("app = None\n")
    assert ended(file) == 1
    assert "declares 0 apps" in capsys.readouterr().err


def test_as_json_it_is_what_is_kept_for_a_run(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(file)
    kept = file.parent / "plan.json"
    assert ended(file, as_json=True, out=kept) == 2
    told = capsys.readouterr().out
    assert json.loads(told) == json.loads(kept.read_text())
    given = settings(run_dir=str(file.parents[1] / "run"))
    assert agreed(load(file), given, kept, yes=False)
    file.write_text(file.read_text().replace('over="20m"', 'over="30m"'))
    with pytest.raises(DefinitionError, match="the app is declared otherwise"):
        agreed(load(file), given, kept, yes=True)


@pytest.mark.parametrize("answer", [True, False])
def test_who_sits_at_the_terminal_is_asked_before_a_changed_app_runs(
    file: Path, answer: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def confirm(question: str) -> bool:
        asked.append(question)
        return answer

    monkeypatch.setattr("typer.confirm", confirm)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    given = settings(run_dir=str(file.parents[1] / "run"))
    assert agreed(load(file), given, None, yes=False)
    assert not asked, "nothing has changed"
    change(file)
    assert agreed(load(file), given, None, yes=True)
    assert not asked
    assert agreed(load(file), given, None, yes=False) is answer
    assert len(asked) == 1
