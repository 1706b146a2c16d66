"""What roles are forked from: the command itself, before it did anything."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psutil

from tests.freshet.processes.test_supervisor import ROOT, wait

# What it is forked from, what it has imported by then, and what it is to do at Ctrl-C.
ROLE = """
import json, os, signal, sys
from pathlib import Path


def role(path):
    found = {
        "server": os.getppid(),
        "imported": [name in sys.modules for name in ("freshet.processes.preloaded", "colorsys")],
        "polars_threads": os.environ["POLARS_MAX_THREADS"],
        "blas_threads": os.environ["OPENBLAS_NUM_THREADS"],
        "ignores": signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
    }
    aside = Path(path + ".part")
    aside.write_text(json.dumps(found))
    aside.rename(path)
    signal.pause()
"""
COMMAND = """
import os, sys, threading

sys.path.append(sys.argv[1])
from freshet.processes import fork_server

if sys.argv[2] == "with-thread":
    threading.Thread(target=threading.Event().wait, daemon=True).start()
if sys.argv[2] == "used":
    import polars as pl

    pl.DataFrame({"x": [1.0]}).select(pl.col("x") + 1)
os.environ.pop("POLARS_MAX_THREADS", None)
fork_server.fork_early()
assert "POLARS_MAX_THREADS" not in os.environ
print(fork_server._early.pid if fork_server._early else 0, flush=True)
if sys.argv[2] == "early-end":
    sys.exit()
from a_role import role
from freshet.processes.supervisor import RoleSpec, Supervisor

Supervisor([RoleSpec("a", role, (sys.argv[3],))], preload=("colorsys",)).start()
sys.stdin.read()
"""


def command(folder: Path, how: str) -> subprocess.Popen[str]:
    (folder / "a_role.py").write_text(ROLE)
    arguments = [sys.executable, "-c", COMMAND, str(folder), how, str(folder / "found")]
    return subprocess.Popen(
        arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def found(folder: Path) -> dict[str, object]:
    file = folder / "found"
    wait(file.exists)
    told: dict[str, object] = json.loads(file.read_text())
    file.unlink()
    return told


def forked(started: subprocess.Popen[str]) -> int:
    assert started.stdout is not None
    return int(started.stdout.readline())


def test_roles_are_forked_from_the_command_and_again_when_their_server_was_killed(
    tmp_path: Path,
) -> None:
    with command(tmp_path, "roles") as started:
        try:
            server = forked(started)
            first = found(tmp_path)
            assert psutil.Process(server).ppid() == started.pid
            psutil.Process(server).kill()
            # Its roles are the supervisor's to start again, from a server of multiprocessing's own.
            again = found(tmp_path)
        finally:
            started.kill()
    threads = {"polars_threads": "1", "blas_threads": "1"}
    assert first == {"server": server, "imported": [True, True], "ignores": True, **threads}
    # This one imports what it is told to import.
    assert again["server"] not in (0, server)
    assert again["imported"] == [False, True]


def test_where_a_thread_runs_multiprocessing_starts_its_own(tmp_path: Path) -> None:
    with command(tmp_path, "with-thread") as started:
        try:
            assert forked(started) == 0
            assert found(tmp_path)["imported"] == [False, True]
        finally:
            started.kill()


def test_where_polars_was_used_multiprocessing_starts_its_own(tmp_path: Path) -> None:
    """Of a pool of threads that is forked no thread is left: a role waited for it for ever."""
    with command(tmp_path, "used") as started:
        try:
            assert forked(started) == 0
            assert found(tmp_path)["imported"] == [False, True]
        finally:
            started.kill()


def test_a_command_that_ends_before_it_starts_a_role_leaves_no_process(tmp_path: Path) -> None:
    with command(tmp_path, "early-end") as started:
        server = forked(started)
        assert server
        assert started.wait() == 0
    wait(lambda: not psutil.pid_exists(server))
