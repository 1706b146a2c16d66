"""Who is in nobody's way: it has the processor when nobody else wants it.

On Linux by the policy SCHED_IDLE: whoever wakes up has the processor at once, where beside one that
is only nice it waits until that has had its slice of milliseconds. Each thread has a policy of its
own, and hands it on to threads and processes that it starts. To go back takes a right that few
have (RLIMIT_NICE, CAP_SYS_NICE), so nobody goes back: what is to be in earnest later is done by a
thread that never stood aside.

Where the kernel groups processes by session (`autogroup`, as on desktops), niceness counts among
those of one session alone, and sessions have equal shares: a command in another terminal than the
run would take as much of a processor as all of that run's roles. So a command can go on in a
session of its own, which is nice as a whole.

Source: sched(7) of Linux, "The autogroup feature"; kernel/sched/fair.c, `wakeup_preempt_fair`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Collection
from contextvars import copy_context
from pathlib import Path
from typing import Any, TypeVar

NICE = 19  # where there is no such policy: there is no less
BEHIND = 10  # of what somebody waits for: a tenth of a processor that others want wholly
Made = TypeVar("Made")
# 1 where sessions share the processor.
BY_SESSION = Path("/proc/sys/kernel/sched_autogroup_enabled")
OWN_SESSION = Path("/proc/self/autogroup")  # takes the niceness of the session as a whole
THREADS = Path("/proc/self/task")
POOLED = "polars"  # has a pool of threads of its own, which it may start later
# What a shell, a service manager or a terminal that goes away ends a command with.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PR_SET_PDEATHSIG = 1  # of prctl(2), linux/prctl.h
BY_A_SIGNAL = 128  # and the signal's number, as a shell tells it


def stand_aside() -> None:
    """This thread, and all that it starts from now on, for good."""
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    # Not on every system, and not in every container.
    except (AttributeError, OSError):
        os.nice(NICE)


def behind(work: Callable[..., Made], *given: Any) -> Made:
    """What `work` gives, done in the context of here by a thread that others go before, and that is
    gone then. Raises what it raises."""
    found: list[Made] = []
    failed: list[BaseException] = []
    context = copy_context()

    def run() -> None:
        # Elsewhere it would be the whole process's, for good.
        if sys.platform == "linux":
            os.nice(BEHIND)
        try:
            found.append(context.run(work, *given))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="behind", daemon=True)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return found[0]


def apart() -> None:
    """Go on in a session of its own that stands behind the others: for a command, before it imports
    anything large. Does nothing where sessions do not count, or where this process has threads,
    which a child would not have.

    What goes on is a child; this process hands on to it what is to end it, and ends as it does.

    Raises:
        SystemExit: in this process, once its child has ended.
    """
    if not _sessions_count() or POOLED in sys.modules or len(list(THREADS.iterdir())) > 1:
        return
    # Else what is not written yet would be written twice.
    sys.stdout.flush()
    sys.stderr.flush()
    # Waited for, and by no handler: what comes just before a wait begins would be lost on it.
    awaited = {*ENDING, signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    own = os.getpid()
    child = os.fork()
    if child == 0:
        os.setsid()
        _end_with(own)
        # It may be forbidden: then it has an equal share, as before.
        with contextlib.suppress(OSError):
            OWN_SESSION.write_text(str(BEHIND))
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return

    status = _waited_for(child, awaited)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    code = os.waitstatus_to_exitcode(status)
    raise SystemExit(code if code >= 0 else BY_A_SIGNAL - code)


def _waited_for(child: int, awaited: Collection[signal.Signals]) -> int:
    """The status that a child ends with; what is to end this process is handed on to it."""
    while True:
        number = signal.sigwait(awaited)
        if number != signal.SIGCHLD:
            # A terminal tells its own session alone.
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)
            continue
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status


def _end_with(parent: int) -> None:
    """Nobody goes on whose parent is killed, which cannot hand that on."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # It may have been killed just before that.
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _sessions_count() -> bool:
    try:
        return BY_SESSION.read_text().strip() == "1" and OWN_SESSION.exists()
    except OSError:
        return False
