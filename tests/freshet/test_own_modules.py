"""Modules beside an app's file are imported by their bare names, whatever these are, in every
process of a run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from freshet.app import load
from freshet.demo.flights import APP
from freshet.own_modules import is_own
from freshet.runs.page_client import PageClient
from freshet.schemas.errors import DefinitionError, FreshetError
from tests.freshet import folder_app

DEADLINE_SECONDS = 120.0
MODULE = [sys.executable, "-m", "freshet"]
SCRIPT = [str(Path(sys.executable).with_name("freshet"))]
ONE_FILE = """
import freshet as fr
import counted

fields = [{"name": "id", "type": "string"}, {"name": "at", "type": "long"}]
topic = fr.Topic("events", {"type": "record", "name": "event", "fields": fields}, "id", "at")
app = fr.App(counted.NAME, topics=[topic])
"""


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Two folders, each with an app and a module `counted` that names it."""
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "app.py").write_text(ONE_FILE)
        (folder / "counted.py").write_text(f'NAME = "{name}"\n')
    yield tmp_path / "one", tmp_path / "two"
    load(APP)  # what the test imported is forgotten


def test_two_apps_in_one_process_have_each_their_own_modules(folders: tuple[Path, Path]) -> None:
    one, two = folders
    assert [load(folder / "app.py").name for folder in (one, two, one)] == ["one", "two", "one"]
    assert sys.path[0] == str(one)
    assert str(two) not in sys.path


def test_a_module_that_only_the_earlier_app_had_is_gone(folders: tuple[Path, Path]) -> None:
    one, two = folders
    load(one / "app.py")
    (two / "counted.py").unlink()
    with pytest.raises(
        DefinitionError, match=r"app\.py:3: ModuleNotFoundError: No module named 'counted'"
    ):
        load(two / "app.py")


def test_a_file_that_was_changed_is_read_again(folders: tuple[Path, Path]) -> None:
    one, _ = folders
    load(one / "app.py")
    (one / "counted.py").write_text('NAME = "changed"\n')
    assert load(one / "app.py").name == "changed"


def test_what_was_imported_before_the_app_was_loaded_stays(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test beside an app imports modules of it, too, and may replace something in them."""
    one, two = folders
    monkeypatch.syspath_prepend(str(one))
    import counted

    monkeypatch.setattr(counted, "NAME", "patched")
    assert load(one / "app.py").name == "patched"
    load(two / "app.py")
    assert sys.modules["counted"] is counted
    del sys.modules["counted"]


def test_the_app_is_a_module_that_others_can_import(folders: tuple[Path, Path]) -> None:
    """By the name of its file, and it is executed once."""
    one, _ = folders
    (one / "late.py").write_text("def topics():\n    import app\n\n    return app.app.topics\n")
    app = load(one / "app.py")
    import late

    assert late.topics() is app.topics


def test_a_mistake_in_a_module_is_shown_there(folders: tuple[Path, Path]) -> None:
    one, _ = folders
    for text, told in {
        "NAME = 'one'\n\nNAME.lower(1)": r"counted\.py:3: TypeError: ",
        "NAME = 'one'\nNAME = = 1": r"counted\.py:2: SyntaxError: invalid syntax",
        "import freshet as fr\n\nfr.Classes([])": r"counted\.py:3, fr\.Classes: it has 0 classes",
    }.items():
        (one / "counted.py").write_text(text)
        with pytest.raises(DefinitionError, match=told):
            load(one / "app.py")


def test_an_environment_inside_the_folder_is_not_the_app_s() -> None:
    folder = Path("/parcels")
    assert not is_own(
        "polars.frame", folder / ".venv/lib/python3.11/site-packages/polars/frame.py", folder
    )
    assert not is_own("tests.helpers", folder.parent / "tests/helpers.py", folder)
    assert is_own("helpers", folder / "helpers.cpython-311-x86_64-linux-gnu.so", folder)
    assert is_own("schemas", folder / "schemas", folder)


# Over real processes. Other names would do in one process, but these may not become modules of the
# test's own.


def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FRESHET_")}
    return kept | {"FRESHET_RUN_DIR": str(folder), "FRESHET_PORT": "0", "FRESHET_STATUS_PORT": "0"}


def trapped(folder: Path) -> Path:
    """A working directory of somebody else's, whose files break whoever imports them."""
    folder.mkdir()
    for name in ("queue", "socket", "typing", "polars", "freshet", "helpers"):
        (folder / f"{name}.py").write_text("raise SystemExit(f'{__file__} was imported')")
    return folder


@contextmanager
def running(command: list[str], cwd: Path, run_dir: Path) -> Iterator[Callable[[], None]]:
    """A command until the end of the block. What it gives fails if the command has ended."""
    output = run_dir.parent / "output"
    with output.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=cwd, env=environment(run_dir), stdout=out, stderr=out
        )

    def check() -> None:
        assert process.poll() is None, output.read_text()

    try:
        yield check
        process.send_signal(signal.SIGINT)
        assert process.wait(60.0) == 0, output.read_text()
    finally:
        process.kill()
        process.wait()


def until(condition: Callable[[], bool], check: Callable[[], None]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        check()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def roles(run_dir: Path) -> dict[str, int]:
    """The roles that the status page has heard of, and how often each was started again."""
    try:
        with PageClient(run_dir) as page:
            return {r.role: r.restarts for r in page.status().roles}
    except FreshetError:
        return {}


@pytest.mark.parametrize("way", ["in the folder", "elsewhere"])
def test_an_app_of_many_files_is_checked(way: str, tmp_path: Path) -> None:
    file = folder_app.write(tmp_path / "shop")
    if way == "elsewhere":
        command, cwd = SCRIPT, trapped(tmp_path / "cwd")
    else:
        command, cwd = MODULE, file.parent
    done = subprocess.run(
        [*command, "check", str(file)], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("\nok\n")


def test_an_app_of_many_files_runs(tmp_path: Path) -> None:
    """Started elsewhere, in a folder whose files nobody takes for modules."""
    file = folder_app.write(tmp_path / "shop")
    run_dir = tmp_path / "run"
    with running([*SCRIPT, "run", str(file)], trapped(tmp_path / "cwd"), run_dir) as check:
        until(lambda: len(roles(run_dir)) == 8, check)
        assert set(roles(run_dir).values()) == {0}


def test_a_role_of_it_runs_alone(tmp_path: Path) -> None:
    file = folder_app.write(tmp_path / "shop")
    log = tmp_path / "run" / "logs" / "intake.jsonl"
    with running(
        [*MODULE, "run", "app.py", "--role", "intake"], file.parent, tmp_path / "run"
    ) as check:
        until(lambda: log.exists() and "role starts" in log.read_text(), check)


def test_a_program_beside_it_needs_no_more(tmp_path: Path) -> None:
    """As `produce.py` of `freshet init`: Python puts a script's folder first by itself."""
    file = folder_app.write(tmp_path / "shop")
    program = file.with_name("produce.py")
    program.write_text("import app, features, freshet.features\n\nprint(app.app.name)\n")
    told = subprocess.run(
        [sys.executable, str(program)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert told.stdout == "shop\n", told.stderr
