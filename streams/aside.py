"""Who is in nobody's way: it has the processor when nobody else wants it.

On Linux by the policy SCHED_IDLE: whoever wakes up has the processor at once, where beside one that
is only nice it waits until that has had its slice of milliseconds. Each thread has a policy of its
own, and hands it on to threads and processes that it starts. To go back takes a right that few
have (RLIMIT_NICE, CAP_SYS_NICE), so nobody goes back: what is to be in earnest later is done by a
thread that never stood aside.

Source: sched(7) of Linux; kernel/sched/fair.c, `wakeup_preempt_fair`.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, TypeVar

NICE = 19  # where there is no such policy: there is no less
BEHIND = 10  # of what somebody waits for: a tenth of a processor that others want wholly
Made = TypeVar("Made")


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
