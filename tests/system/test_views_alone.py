"""An app of topics and views, without any model: a scorer takes pushes and answers with features;
and what is told over restarts of control and of the run."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest

from freshet.serving.status import reports_file
from freshet.serving.status.status import RoleFigures, Status, decode
from tests.system.operated_run import command, until

pytestmark = pytest.mark.timeout(300)
NAMES = {"intake", "view", "archive", "serve", "control"}


def app_file(directory: Path) -> Path:
    """The template's app, less its model."""
    text = files("freshet.cli").joinpath("template", "app.py").read_text()
    model, app = text.index("# A model:"), text.index("app = fr.App(")
    declared = text[app:].replace("models=[late]", "models=[]")
    assert declared != text[app:]
    file = directory / "app.py"
    file.write_text(text[:model] + declared)
    return file


class Run:
    """`freshet run` in a folder, as from a shell."""

    def __init__(self, file: Path, folder: Path) -> None:
        self._output, self._folder = folder.with_suffix(".output"), folder
        arguments = ["--port", "0", "--status-port", "0", "--run-dir", str(folder)]
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "freshet", "run", str(file), *arguments],
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        before = self.printed.count("status page ")
        until(
            lambda: self._lives() and self.printed.count("status page ") > before,
            "it says where it listens",
        )
        addresses = [(folder / f"{name}.address").read_text() for name in ("serve", "status")]
        self.scorer, self.page = (httpx.Client(base_url=a, timeout=30.0) for a in addresses)

    @property
    def printed(self) -> str:
        return self._output.read_text()

    def _lives(self) -> bool:
        assert self._process.poll() is None, self.printed
        return True

    def status(self) -> Status:
        return decode(self.page.get("/status.json").raise_for_status().content)

    def roles(self) -> list[RoleFigures]:
        """None while the page is being started again."""
        try:
            return self.status().roles
        except httpx.TransportError:
            return []

    def states(self) -> dict[str, str]:
        return {r.instance: r.state for r in self.roles()}

    def all_there(self) -> bool:
        return self.states() == dict.fromkeys(NAMES, "running")

    def stop(self) -> None:
        for client in (self.scorer, self.page):
            client.close()
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(60.0)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    directory = tmp_path_factory.mktemp("views_alone")
    return app_file(directory), directory / "run"


@pytest.fixture(scope="module")
def run(place: tuple[Path, Path]) -> Iterator[Run]:
    found = Run(*place)
    yield found
    found.stop()


def parcels(n: int) -> dict[str, list[Any]]:
    at = time.time_ns() // 1_000_000
    return {
        "parcel": [f"p{i}-{at}" for i in range(n)],
        "at": [at] * n,
        "courier": ["ann"] * n,
        "city": ["Lyon"] * n,
        "weight_kg": [1.0] * n,
    }


def test_check_lists_its_scorer(place: tuple[Path, Path]) -> None:
    told = command("check", str(place[0]))
    assert told.status == 0
    assert "\n  serve    answers with predictions and features, takes pushes\n" in told.out


def test_it_takes_pushes_and_answers_with_features_and_docs(run: Run) -> None:
    assert "scorer       http://" in run.printed
    until(run.all_there, "all its roles run")
    told = run.scorer.post("/push", json={"push_source_name": "handovers", "df": parcels(3)})
    assert (told.status_code, told.json()["accepted"]) == (200, 3), told.text

    def counted() -> bool:
        asked = {"features": ["load:n_10m"], "entities": {"courier": ["ann"]}}
        answer = run.scorer.post("/get-online-features", json=asked)
        if answer.status_code == 503:  # a busy machine kept the store from it
            return False
        return bool(answer.raise_for_status().json()["results"][-1]["values"] == [3])

    until(counted, "the features reflect the push")
    assert run.scorer.get("/v2/health/ready").json() == {"ready": True}
    assert "load" in run.scorer.get("/docs").raise_for_status().text
    assert "/push" in run.scorer.get("/openapi.json").raise_for_status().json()["paths"]
    assert run.scorer.post("/v2/models/late/infer", json={}).status_code in (400, 404)
    assert run.status().models == []


def test_controls_restart_calls_nobody_lost_and_keeps_the_history(
    place: tuple[Path, Path], run: Run
) -> None:
    until(run.all_there, "all its roles run")
    until(lambda: len(run.page.get("/history.json").json()["times"]) > 3, "there is a history")
    before = run.page.get("/history.json").json()
    answered = run.status().requests.answered
    (control,) = (r for r in run.status().roles if r.role == "control")
    assert control.pid is not None
    os.kill(control.pid, signal.SIGTERM)
    seen: set[str] = set()

    def back() -> bool:
        roles = run.roles()
        seen.update(r.state for r in roles)
        others = {r.instance for r in roles if r.state == "running" and r.pid != control.pid}
        return others == NAMES

    until(back, "control is there again, and hears of all")
    assert "lost" not in seen
    # What it ended with is what the next one goes on from: reports before that may be gone.
    saved = reports_file.restored(place[1], "parcels")
    assert saved is not None
    assert saved.position > 0
    assert run.status().requests.answered >= answered
    after = run.page.get("/history.json").json()
    assert after["times"][: len(before["times"]) - 1] == before["times"][:-1]
    assert after["begun_ms"] == before["begun_ms"]


def test_the_runs_restart_calls_nobody_lost_and_keeps_the_history(
    place: tuple[Path, Path], run: Run
) -> None:
    until(run.all_there, "all its roles run")
    begun = run.page.get("/history.json").json()["begun_ms"]
    run.stop()
    again = Run(*place)
    try:
        seen: set[str] = set()

        def back() -> bool:
            seen.update(again.states().values())
            return again.all_there()

        until(back, "all its roles run again")
        assert seen <= {"starting", "running"}
        assert again.page.get("/history.json").json()["begun_ms"] == begun
        assert "not heard of" not in again.printed
    finally:
        again.stop()
