"""Kills roles of a run that goes on, by a plan that a seed decides."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from freshet.processes import runtime, supervisor
from freshet.processes.supervisor import Supervisor

SEED = 2013
PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.05
# The file that an app is derived from names them.
IMPORTED_BY_APP = (
    "freshet.demo.flights.schedule",
    "freshet.learners.river.learner",
    "freshet.learners.ctr.learner",
)


@dataclass
class Killer:
    """Kills `kills` times, at random steps of `killable`, each a random while after its step began:
    all roles in a random order, then all again. `keepers` are those who start a role again, by its
    name."""

    keepers: Mapping[str, Supervisor]
    killable: Sequence[int]
    kills: int
    latest_seconds: float
    killed: Counter[str] = field(default_factory=Counter)
    _draw: random.Random = field(default_factory=lambda: random.Random(SEED))
    _timer: threading.Timer | None = None

    def __post_init__(self) -> None:
        names = list(self.keepers)
        order: list[str] = []
        while len(order) < self.kills:
            order += self._draw.sample(names, len(names))
        self._due = dict(zip(sorted(self._draw.sample(self.killable, self.kills)), order))

    def step(self, n: int) -> None:
        """Before step `n`."""
        self.wait()
        role = self._due.get(n)
        if role is None:
            return
        until(lambda: self._facts(role)["alive"], f"{role} is alive")
        after = self._draw.uniform(0.0, self.latest_seconds)
        self._timer = threading.Timer(after, self._kill, (role,))
        self._timer.start()

    def wait(self) -> None:
        if self._timer is not None:
            self._timer.join()

    def restarts(self) -> dict[str, int]:
        return {role: self._facts(role)["restarts"] for role in self.keepers}

    def _facts(self, role: str) -> Mapping[str, Any]:
        return self.keepers[role].facts()[role]

    def _kill(self, role: str) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._facts(role)["pid"], signal.SIGKILL)
            self.killed[role] += 1


def until(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS:.0f} s: {what}"
        time.sleep(POLL_SECONDS)


@contextmanager
def started_again_at_once() -> Iterator[None]:
    """Supervisors watch closely and wait for nothing, and what a role imports is there already."""
    preload = runtime._preload
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervisor, "BACKOFF_SECONDS", (0.0,))
        patch.setattr(supervisor, "WATCH_SECONDS", 0.05)
        patch.setattr(runtime, "_preload", lambda app: [*IMPORTED_BY_APP, *preload(app)])
        yield
