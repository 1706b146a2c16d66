"""The demo as users run it: a real process and its roles, through the command line."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

import httpx
import psutil
import pytest

from freshet.demo.demo import DemoOptions
from freshet.demo.flights.app import app as flights
from freshet.demo.flights.faults import BAD
from freshet.demo.flights.schedule import Schedule
from freshet.learners.snapshots import files as snapshots
from freshet.learners.snapshots.signing import Verifier
from freshet.quality.report_types import QualityReport
from freshet.replay.report_types import (
    ModelReport,
    ReplayReport,
    RequestReport,
    TopicReport,
)
from freshet.roles.names import role_names
from freshet.runs.lock import RunLock
from tests.snapshot_files import identity_of

DAYS, SECONDS = 2, 240.0
REASONS = (
    "unknown_type",
    "missing_required",
    "out_of_domain",
    "out_of_range",
    "undecodable",
    "far_future",
)
MODEL = "late_arrival"


def until(condition: Callable[[], Any], what: str, seconds: float = SECONDS) -> Any:
    """The first truth that `condition` gives; fails once the deadline is over."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.2)
    return found


@dataclass
class Demo:
    """A demo in a process group of its own, as a shell would start it."""

    folder: Path
    process: subprocess.Popen[bytes]
    output: Path
    report: Path
    family: dict[int, psutil.Process] = field(default_factory=dict)

    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def look(self) -> None:
        """Remember every process that it has by now."""
        with contextlib.suppress(psutil.Error):
            for p in psutil.Process(self.process.pid).children(recursive=True):
                self.family.setdefault(p.pid, p)

    def alive(self) -> list[psutil.Process]:
        return [
            p for p in self.family.values() if p.is_running() and p.status() != psutil.STATUS_ZOMBIE
        ]

    def get(self, what: str, path: str) -> Any:
        """The JSON (or text) at a path of the scorer (`serve`) or the page (`status`); None while
        it does not answer."""
        self.look()
        assert self.process.poll() is None, self.text()[-3000:]
        with contextlib.suppress(OSError, httpx.TransportError):
            address = (self.folder / f"{what}.address").read_text()
            # To read certificates, which nobody here has, would cost more than the answer.
            answer = httpx.get(address + path, timeout=10.0, verify=False)
            assert answer.status_code == 200, answer.text
            return (
                answer.json()
                if answer.content[:1] in b"{[" and answer.content
                else answer.text or "answered"
            )
        return None

    def end(self) -> int:
        """Wait for it; its exit code."""

        def code() -> int | None:
            self.look()
            return self.process.poll()

        until(lambda: code() is not None, "the demo ends")
        return self.process.returncode


def command(folder: Path, *options: str) -> list[str]:
    where = ["--run-dir", str(folder), "--report", str(folder) + "-report.json"]
    return [
        sys.executable,
        "-m",
        "freshet",
        "demo",
        "--days",
        str(DAYS),
        "--step",
        "1h",
        *where,
        *options,
    ]


@contextlib.contextmanager
def started(folder: Path) -> Iterator[Demo]:
    output = Path(str(folder) + f"-{time.monotonic_ns()}.out")
    with output.open("wb") as out:
        process = subprocess.Popen(command(folder), stdout=out, stderr=out, start_new_session=True)
    demo = Demo(folder, process, output, Path(str(folder) + "-report.json"))
    try:
        yield demo
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60.0)
        for p in demo.alive():  # a test has failed: leave nothing behind
            p.kill()


@dataclass(frozen=True)
class Finished:
    """What a demo that ran to its end said meanwhile and in the end."""

    demo: Demo
    exit_code: int
    status: dict[str, Any]
    metadata: dict[str, Any]
    ready: Any
    page: Any

    @property
    def report(self) -> Any:
        return json.loads(self.demo.report.read_text())


def stopped(demo: Demo, send: Callable[[], None]) -> int:
    """Its exit code, when it is stopped after its first snapshot."""
    until(lambda: demo.get("serve", f"/v2/models/{MODEL}/ready"), "the scorer answers")
    until(lambda: list(demo.folder.glob("snapshots/*/*/*.approval.sig")), "a snapshot is approved")
    demo.look()
    send()
    return demo.end()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "run"


@pytest.fixture(scope="module")
def interrupted(folder: Path) -> Iterator[tuple[Demo, int]]:
    """Ctrl-C: the terminal sends SIGINT to the whole group."""
    with started(folder) as demo:
        yield demo, stopped(demo, lambda: os.killpg(demo.process.pid, signal.SIGINT))


@pytest.fixture(scope="module")
def finished(folder: Path, interrupted: tuple[Demo, int]) -> Iterator[Finished]:
    """A whole run, in the folder that an interrupted one has left."""
    with started(folder) as demo:
        ready = until(lambda: demo.get("serve", "/v2/health/ready"), "the scorer is ready")
        metadata = until(lambda: demo.get("serve", f"/v2/models/{MODEL}"), "the model's metadata")
        page = until(lambda: demo.get("status", "/"), "the page")
        status = until(lambda: demo.get("status", "/status.json"), "the status")
        yield Finished(demo, demo.end(), status, metadata, ready, page)


def left_nothing_running(demo: Demo) -> None:
    assert len(demo.family) >= len(role_names(flights))
    until(lambda: not demo.alive(), "all processes have ended")


def left_in_order(folder: Path) -> None:
    """Not locked, nothing half-written, and every approved snapshot whole."""
    with RunLock(folder):
        pass
    assert not list(folder.rglob("*.part"))
    trainer, qualifier = (Verifier.load(folder / "keys" / n) for n in ("trainer", "qualifier"))
    approved = list(folder.glob("snapshots/*/*/*.approval.sig"))
    assert approved
    for path in approved:
        which = identity_of(path.with_name(path.name.replace(".approval.sig", ".json")))
        snapshots.read_verified(folder / "snapshots", which, trainer, qualifier)


def test_ctrl_c_ends_it_in_order_with_130(interrupted: tuple[Demo, int]) -> None:
    demo, code = interrupted
    assert code == 130, demo.text()[-3000:]
    assert "stopped" in demo.text()
    assert "Traceback" not in demo.text()
    assert "died" not in (demo.folder / "logs" / "supervisor.jsonl").read_text()
    left_nothing_running(demo)
    left_in_order(demo.folder)


def test_sigterm_ends_it_in_order_with_130(tmp_path: Path) -> None:
    with started(tmp_path / "run") as demo:
        code = stopped(demo, demo.process.terminate)
        assert code == 130, demo.text()[-3000:]
        assert "Traceback" not in demo.text()
        left_nothing_running(demo)
        left_in_order(demo.folder)


def test_when_it_is_killed_its_roles_end_too(tmp_path: Path) -> None:
    with started(tmp_path / "run") as demo:
        until(lambda: demo.get("serve", f"/v2/models/{MODEL}/ready"), "the scorer answers")
        demo.look()
        demo.process.kill()
        demo.process.wait()
        left_nothing_running(demo)
        with RunLock(demo.folder):
            pass


def test_scorer_and_page_answer_while_it_runs(finished: Finished) -> None:
    assert finished.metadata["name"] == MODEL
    assert {"carrier", "origin", "dest"} <= {x["name"] for x in finished.metadata["inputs"]}
    assert finished.metadata["outputs"]
    assert finished.status
    assert "<html" in finished.page
    assert finished.ready


def test_it_passes_and_leaves_nothing_running(finished: Finished) -> None:
    assert finished.exit_code == 0, finished.demo.text()[-3000:]
    left_nothing_running(finished.demo)
    left_in_order(finished.demo.folder)


def test_it_prints_where_to_look_and_what_came_of_it(finished: Finished) -> None:
    text = finished.demo.text()
    assert "Traceback" not in text
    assert f"/v2/models/{MODEL}" in text
    assert "status page  http://127.0.0.1:" in text
    assert text.index("status page") < text.lower().index("ledger")


def test_the_report_has_every_key_that_its_types_say(finished: Finished) -> None:
    report = finished.report
    model = report["models"][MODEL]
    for told, kind in (
        (report, ReplayReport),
        (model, ModelReport),
        (report["requests"], RequestReport),
        (model["served"], QualityReport),
        *((t, TopicReport) for t in report["topics"].values()),
    ):
        assert told.keys() == get_type_hints(kind).keys()
    assert report["exit_code"] == 0
    assert report["verdict"] == []
    assert report["peak_memory_mb"].keys() == set(role_names(flights))


def test_every_record_has_the_fate_that_was_planned_for_it(finished: Finished) -> None:
    report = finished.report
    assert report["ledger_agrees"]
    schedule = Schedule(DAYS)
    for name, expected in schedule.expected.items():
        topic = report["topics"][name]
        assert topic["ledger_agrees"]
        assert topic["applied"] + topic["dropped"].get("no_reading", 0) == expected.good
        assert set(topic["dropped"]) <= {"no_reading"}
        assert topic["deduplicated"] == expected.duplicates
        dead = {
            reason: expected.dead[kind] for reason, kind in zip(REASONS, BAD) if expected.dead[kind]
        }
        assert topic["dead"] == dead
        assert topic["records"] == expected.records


def test_requests_examples_and_snapshots_add_up(finished: Finished) -> None:
    report = finished.report
    model, requests = report["models"][MODEL], report["requests"]
    flown = sum(len(s.queries["flight_id"]) for s in Schedule(DAYS))
    assert requests["failed"] == requests["broken"] == 0
    # What a scorer puts off, since a busy machine kept its store from it, is asked again.
    assert requests["attempts"] == requests["answered"] + requests["refused"]
    assert requests["answered"] > 0
    assert requests["rows"] == model["asked"] == flown
    # A flight that came after the wait for its label has expired, and is corrected.
    assert model["labelled"] + model["corrections"] == report["topics"]["arrivals"]["applied"]
    assert model["labelled"] + model["expired"] == flown
    assert model["snapshots"] == model["approvals"] + model["refusals"] > 0
    assert model["refusals"] == 0
    assert model["swaps"] > 5
    assert set(report["restarts"].values()) == {0}
    assert DemoOptions().every == "3h"


def test_a_port_that_is_taken_is_one_clear_error(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            command(tmp_path / "run", "--port", port),
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
    assert done.returncode == 2
    (line,) = [x for x in done.stderr.splitlines() if x]
    assert line.startswith("error: ")
    assert f"127.0.0.1:{port}" in line
    assert "--port" in line


def test_a_folder_of_a_run_that_lives_is_refused_and_left_alone(tmp_path: Path) -> None:
    with RunLock(tmp_path):
        (tmp_path / "theirs").write_text("kept")
        done = subprocess.run(command(tmp_path), capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 2
    (line,) = [x for x in done.stderr.splitlines() if x]
    assert "log locked by another run" in line
    assert str(os.getpid()) in line
    assert (tmp_path / "theirs").read_text() == "kept"


def test_a_folder_that_is_no_runs_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "one.txt").write_text("kept")
    done = subprocess.run(command(tmp_path), capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 2
    assert "not of a run" in done.stderr
    assert (tmp_path / "letters" / "one.txt").read_text() == "kept"
