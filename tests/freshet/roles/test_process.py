"""A role runs by what the run that started it has checked, and by nothing else."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from freshet.app import load
from freshet.roles.process import _loaded
from freshet.schemas.errors import DefinitionError
from freshet.settings import Settings, settings

# On made-up rows it fails; on the texts that it stands for, it does not.
LABEL = 'value=pl.col("minutes_late") > 10'
FAILS = 'value=pl.col("courier").str.to_integer() > 1'


@pytest.fixture
def given(tmp_path: Path) -> Settings:
    return settings(run_dir=str(tmp_path / "run"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "app.py"
    file.write_text(files("freshet.cli").joinpath("template", "app.py").read_text())
    return file


def test_an_app_that_the_run_has_checked_is_loaded_as_it_is(file: Path, given: Settings) -> None:
    digest = load(file).digest
    assert _loaded(str(file), digest, given, 0).digest == digest


def test_what_no_run_has_checked_is_tried_by_the_role_itself(file: Path, given: Settings) -> None:
    text = file.read_text()
    assert LABEL in text
    file.write_text(text.replace(LABEL, FAILS))
    with pytest.raises(DefinitionError, match="fails"):
        _loaded(str(file), "", given, 0)


def test_what_is_not_what_the_run_has_checked_is_refused_though_it_is_not_tried(
    file: Path, given: Settings
) -> None:
    digest = load(file).digest
    text = file.read_text()
    assert LABEL in text
    file.write_text(text.replace(LABEL, FAILS))
    with pytest.raises(DefinitionError, match="declares something else than when the run started"):
        _loaded(str(file), digest, given, 0)
