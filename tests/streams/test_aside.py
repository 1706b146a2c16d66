"""What stands aside, or behind, is a thread of its own, and nobody else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from subprocess import PIPE

import pytest

from freshet.streams.aside import (
    BEHIND,
    BY_A_SIGNAL,
    BY_SESSION,
    ENDING,
    NICE,
    OWN_SESSION,
    apart,
    behind,
    stand_aside,
)

SECONDS = 60.0
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="threads have this on Linux")


def standing() -> tuple[int, int]:
    """Policy and niceness of this thread."""
    return os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)


def aside() -> tuple[int, int]:
    stand_aside()
    return standing()


def test_who_stands_aside_or_behind_does_so_alone() -> None:
    before = standing()
    assert behind(standing) == (before[0], min(NICE, before[1] + BEHIND))
    assert behind(aside)[0] == os.SCHED_IDLE
    assert standing() == before


def test_where_there_is_no_such_policy_it_is_as_nice_as_can_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*given: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refused)
    before = standing()
    assert behind(aside)[1] == NICE
    assert standing() == before


def test_its_value_and_its_error_are_those_of_the_work() -> None:
    assert behind(max, 3, 5) == 5
    with pytest.raises(ZeroDivisionError):
        behind(divmod, 1, 0)


def command(then: str) -> subprocess.Popen[str]:
    lines = ["import os, signal, sys", "from freshet.streams.aside import OWN_SESSION, apart"]
    lines += ["print('once', flush=True)", "apart()", then]
    return subprocess.Popen([sys.executable, "-c", "\n".join(lines)], stdout=PIPE, text=True)


by_session = pytest.mark.skipif(
    not BY_SESSION.exists() or BY_SESSION.read_text().strip() != "1",
    reason="sessions do not share the processor here",
)


@by_session
def test_a_command_goes_on_in_a_session_that_stands_behind_the_others_and_ends_as_that_does() -> (
    None
):
    before = OWN_SESSION.read_text()
    process = command("print(os.getsid(0), OWN_SESSION.read_text(), end='')\nsys.exit(7)")
    out, _ = process.communicate()
    assert process.returncode == 7
    once, told = out.splitlines()
    assert once == "once"
    session, group = told.split(" ", 1)
    assert int(session) not in (process.pid, os.getsid(0))
    assert group.endswith(f"nice {BEHIND}")
    assert OWN_SESSION.read_text() == before, "nobody else's is another one"


@by_session
@pytest.mark.parametrize("number", [*ENDING, signal.SIGKILL])
def test_what_ends_a_command_ends_what_goes_on(number: signal.Signals) -> None:
    # As a shell's background jobs and nohup have it: nobody is deaf to what is to end it.
    deaf = f"for number in {tuple(map(int, ENDING))}: signal.signal(number, signal.SIG_DFL)"
    process = command(f"{deaf}\nprint(os.getpid(), flush=True)\nsignal.pause()")
    assert process.stdout is not None
    assert process.stdout.readline() == "once\n"
    child = int(process.stdout.readline())
    process.send_signal(number)
    process.communicate()
    if number == signal.SIGKILL:
        assert process.returncode == -number
    else:
        assert process.returncode == BY_A_SIGNAL + number
    # Of a process that is killed the child is somebody else's, who collects it in a moment.
    deadline = time.monotonic() + SECONDS
    while is_there(child):
        assert time.monotonic() < deadline, "what goes on ends, too"
        time.sleep(0.01)


def is_there(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_process_with_a_pool_of_threads_goes_on_where_it_is() -> None:
    import polars  # noqa: F401

    own = os.getpid()
    apart()
    assert os.getpid() == own
