"""The supervisor: what dies comes back, what should stop stops."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from freshet.processes.supervisor import RoleSpec, Supervisor
from freshet.schemas.errors import ComponentError

DEADLINE_SECONDS = 60.0
ROOT = Path(__file__).parents[3]


def role(path: str, patience: float) -> None:
    """Says its pid, and lives until it is told to end."""
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\n")
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda s, _: ended.append(s))
    deadline = time.monotonic() + patience
    while not ended and time.monotonic() < deadline:
        time.sleep(0.01)


def stubborn(path: str) -> None:
    """Says its pid, and does not care to be told to end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(10 * DEADLINE_SECONDS)


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def pids(path: Path) -> list[int]:
    return [int(x) for x in path.read_text().split()] if path.exists() else []


def test_a_killed_role_is_started_again_and_all_stop_cleanly(tmp_path: Path) -> None:
    files = [tmp_path / "a", tmp_path / "b"]
    supervisor = Supervisor([RoleSpec(f.name, role, (str(f), 120.0)) for f in files], preload=())
    supervisor.start()
    try:
        wait(lambda: all(len(pids(f)) == 1 for f in files))
        os.kill(pids(files[0])[0], signal.SIGKILL)
        wait(lambda: len(pids(files[0])) == 2)
        assert supervisor.facts()["a"]["restarts"] == 1
        assert supervisor.facts()["b"]["restarts"] == 0
        assert supervisor.facts()["b"]["alive"]
    finally:
        codes = supervisor.stop()
    assert codes == {"a": 0, "b": 0}
    assert not any(Path(f"/proc/{pid}").exists() for f in files for pid in pids(f))


def test_one_that_has_done_its_work_is_not_started_again_but_one_that_failed_is(
    tmp_path: Path,
) -> None:
    specs = [
        RoleSpec("work", role, (str(tmp_path / "work"), 0.0), ends=True),
        RoleSpec("fails", fails, (), ends=True),
        RoleSpec("last", role, (str(tmp_path / "last"), 120.0)),
    ]
    supervisor = Supervisor(specs, preload=())
    supervisor.start()
    try:
        wait(lambda: "work" not in supervisor.facts())
        wait(lambda: supervisor.facts()["fails"]["restarts"] > 1)
        assert set(supervisor.facts()) == {"fails", "last"}
    finally:
        supervisor.stop()
    assert len(pids(tmp_path / "work")) == 1


def test_one_that_is_behind_leaves_the_processor_to_the_others(tmp_path: Path) -> None:
    first = tmp_path / "first"
    behind = tmp_path / "behind"
    specs = [
        RoleSpec("first", role, (str(first), 120.0)),
        RoleSpec("behind", role, (str(behind), 120.0), behind=7),
    ]
    supervisor = Supervisor(specs, preload=())
    supervisor.start()
    try:
        wait(lambda: len(pids(first)) == len(pids(behind)) == 1)
        nice = [psutil.Process(pids(file)[0]).nice() for file in (first, behind)]
    finally:
        supervisor.stop()
    assert nice[1] - nice[0] == 7


def fails() -> None:
    try:
        raise ComponentError("key file trainer.key", "is empty", "Restore it.")
    except ComponentError as error:
        raise SystemExit(3) from error


def test_a_role_that_ends_again_and_again_is_known_for_it_with_its_own_last_words() -> None:
    told: list[Mapping[str, Mapping[str, Any]]] = []
    supervisor = Supervisor([RoleSpec("a", fails, ())], preload=(), tell=told.append)
    supervisor.start()
    try:
        wait(lambda: supervisor.facts()["a"]["failing"])
        facts = supervisor.facts()["a"]
        assert facts["restarts"] >= 2
        assert facts["last_exit"] == "freshet key file trainer.key: is empty. Restore it."
        wait(lambda: bool(told) and told[-1]["a"]["failing"])
    finally:
        supervisor.stop()


def test_how_a_role_was_killed_is_its_last_exit(tmp_path: Path) -> None:
    file = tmp_path / "a"
    supervisor = Supervisor([RoleSpec("a", role, (str(file), 120.0))], preload=())
    supervisor.start()
    try:
        wait(lambda: len(pids(file)) == 1)
        os.kill(pids(file)[0], signal.SIGKILL)
        wait(lambda: supervisor.facts()["a"]["restarts"] == 1)
        facts = supervisor.facts()["a"]
        assert (facts["last_exit"], facts["failing"]) == ("killed by signal 9", False)
    finally:
        supervisor.stop()


KILLED = """
import sys, time

from freshet.processes import supervisor
from tests.freshet.processes.test_supervisor import stubborn

supervisor.STOP_SECONDS = 0.2
role = supervisor.RoleSpec("a", stubborn, (sys.argv[1],))
supervisor.Supervisor([role], preload=()).start()
time.sleep(600)
"""


def test_a_role_that_does_not_end_is_gone_soon_after_its_supervisor_was_killed(
    tmp_path: Path,
) -> None:
    file = tmp_path / "pids"
    killed = subprocess.Popen([sys.executable, "-c", KILLED, str(file)], cwd=ROOT)
    try:
        wait(lambda: bool(pids(file)))
    finally:
        killed.kill()
        killed.wait()
    wait(lambda: not psutil.pid_exists(pids(file)[0]))


def test_a_change_leaves_alone_what_is_as_it_should_be(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("stays", "goes", "changes", "comes")}

    def spec(name: str, patience: float = 120.0) -> RoleSpec:
        return RoleSpec(name, role, (str(files[name]), patience))

    supervisor = Supervisor([spec("stays"), spec("goes"), spec("changes")], preload=())
    supervisor.start()
    try:
        wait(lambda: all(len(pids(files[name])) == 1 for name in ("stays", "goes", "changes")))
        supervisor.change([spec("stays"), spec("changes", 60.0), spec("comes")])
        wait(lambda: len(pids(files["changes"])) == 2 and len(pids(files["comes"])) == 1)
        assert set(supervisor.facts()) == {"stays", "changes", "comes"}
        assert len(pids(files["stays"])) == 1
        assert not psutil.pid_exists(pids(files["goes"])[0])
    finally:
        supervisor.stop()


def test_what_may_end_is_not_started_again(tmp_path: Path) -> None:
    file = tmp_path / "a"
    supervisor = Supervisor([RoleSpec("a", role, (str(file), 120.0))], preload=())
    supervisor.start()
    try:
        wait(lambda: len(pids(file)) == 1)
        supervisor.let_end("a")
        os.kill(pids(file)[0], signal.SIGTERM)
        wait(lambda: "a" not in supervisor.facts())
        assert len(pids(file)) == 1
    finally:
        supervisor.stop()
