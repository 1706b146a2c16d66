"""Which files are an app's, and when they are others."""

from __future__ import annotations

from pathlib import Path

import pytest

from freshet.schemas.errors import DefinitionError
from freshet.versions import copied


def made(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def test_environments_runs_and_hidden_files_are_left_out(tmp_path: Path) -> None:
    app = ["app.py", "helpers.py", "schemas/__init__.py", "schemas/paid.avsc"]
    made(tmp_path, *app, ".git/config", ".env", "__pycache__/app.pyc")
    made(tmp_path, "env/pyvenv.cfg", "env/lib/polars.py", "run/run.lock", "run/log/paid.sqlite")
    copied.copy(tmp_path, tmp_path / "run" / "copy")
    copy = tmp_path / "run" / "copy"
    found = [str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()]
    assert sorted(found) == sorted(app)


def test_what_is_too_large_is_named(tmp_path: Path) -> None:
    made(tmp_path, "app.py", "small.csv")
    with (tmp_path / "data.parquet").open("wb") as file:
        file.truncate(copied.MOST_BYTES)
    with pytest.raises(DefinitionError, match=r"the largest so far are data\.parquet \(67\.1 MB\)"):
        copied.files(tmp_path)


def test_modules_and_declarations_make_the_content_and_other_files_do_not(tmp_path: Path) -> None:
    made(tmp_path, "app.py", "helpers.py")
    before = copied.content(tmp_path, "a topic")
    made(tmp_path, "report.json")
    assert copied.content(tmp_path, "a topic") == before
    assert copied.content(tmp_path, "another topic") != before
    (tmp_path / "helpers.py").write_text("otherwise")
    assert copied.content(tmp_path, "a topic") != before
