"""Names that modules beside an app's file must not have are refused before anything there is
imported."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from freshet import shadows
from freshet.schemas.errors import DefinitionError

RAISES = "raise SystemExit('it was imported')"


def refused(folder: Path, *files: str) -> str:
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(RAISES)
    with pytest.raises(DefinitionError) as raised:
        shadows.refuse(folder)
    return str(raised.value)


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("random.py", "random.py: has the name of random of Python's standard library, and would be imported in its place"),
        ("json/__init__.py", "json/: has the name of json of Python's standard library, and would be imported in its place"),
        ("time.py", "time.py: could never be imported: time is built into Python"),
        ("os.py", "os.py: could never be imported: os is built into Python"),
        ("polars.py", "polars.py: has the name of polars, which freshet depends on, and would be imported in its place"),
        ("numpy/__init__.py", "numpy/: has the name of numpy, which freshet depends on, and would be imported in its place"),
        ("typing_extensions.py", "typing_extensions.py: has the name of typing_extensions, which freshet depends on"),
        ("dateutil.py", "dateutil.py: has the name of dateutil of python-dateutil, which freshet depends on"),
        ("freshet.py", "freshet.py: has freshet's own name, and would be imported in its place"),
        ("freshet/__init__.py", "freshet/: has freshet's own name, and would be imported in its place"),
    ],
)  # fmt: skip
def test_what_would_hide_a_library_is_refused(file: str, told: str, tmp_path: Path) -> None:
    text = refused(tmp_path, file)
    assert text.startswith(f"definition {told}")
    shown = file.removesuffix("__init__.py")
    assert text.endswith(f". Rename it, such as to my_{shown}.")


def test_a_compiled_module_hides_as_well(tmp_path: Path) -> None:
    assert "secrets.abi3.so: has the name of secrets" in refused(tmp_path, "secrets.abi3.so")


def test_what_hides_nothing_is_let_be(tmp_path: Path) -> None:
    for name in (
        "app.py",
        "features.py",
        "helpers.py",
        "schemas/__init__.py",
        "serving.py",
        "streams.py",
        "test.py",
        "tests/__init__.py",
        "polars/data.csv",  # no package: Python takes the library
        "freshet/notes.txt",
        "random.txt",
        "random.py.orig",
        ".venv/lib/python3.11/site-packages/polars/__init__.py",
        "inner/random.py",
        "__main__.py",
        "conftest.py",
        "setup.py",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(RAISES)
    shadows.refuse(tmp_path)


def test_an_installed_module_that_freshet_does_not_need_may_be_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "site-packages"
    installed.mkdir()
    (installed / "helpers.py").write_text("")
    monkeypatch.syspath_prepend(str(installed))
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "helpers.py").write_text("")
    shadows.refuse(mine)


def test_the_checkout_of_freshet_is_a_folder_like_another() -> None:
    shadows.refuse(Path(__file__).parents[2])


def test_it_takes_no_time(tmp_path: Path) -> None:
    for n in range(50):
        (tmp_path / f"mine_{n}.py").write_text("")
        (tmp_path / f"data_{n}.csv").write_text("")
    shadows.refuse(tmp_path)
    started = time.process_time()
    shadows.refuse(tmp_path)
    assert time.process_time() - started < 0.05


@pytest.mark.parametrize("file", ["logging.py", "polars.py", "structlog/__init__.py"])
@pytest.mark.parametrize("command", ["check", "run"])
def test_a_command_in_that_folder_says_so(command: str, file: str, tmp_path: Path) -> None:
    """`python -m` puts the folder first on the path; nothing of freshet's own is taken from
    there."""
    (tmp_path / "app.py").write_text(RAISES)
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(RAISES)
    program = [sys.executable, "-m", "freshet", command, "app.py"]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False)
    shown = file.removesuffix("__init__.py")
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"error: definition {shown}: has the name of "), done.stderr
    assert done.stderr.count("\n") == 1
