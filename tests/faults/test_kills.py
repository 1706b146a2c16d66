"""Every role of a running replay is killed, again and again, over both logs; what is left in the
end is what an undisturbed run leaves."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from freshet.app import App
from freshet.demo.flights.schedule import Schedule
from freshet.processes import runtime, supervisor
from freshet.processes.supervisor import Supervisor
from freshet.replay.client import ScoringClient
from freshet.roles.names import role_names
from tests.faults.disturbance import DAYS, Left, running
from tests.faults.disturbance import undisturbed as undisturbed_run

SEED, SECONDS = 2013, 60.0
ROUNDS = {"sqlite": 3, "kafka": 2}
LATEST_SECONDS = {"sqlite": 0.12, "kafka": 0.4}
IMPORTED_ONCE = (
    "freshet.roles.process",
    "freshet.roles.operators",
    "freshet.roles.serve",
    "freshet.roles.control",
    "freshet.demo.flights.schedule",
)
IMPORTED_BY_APP = (
    "freshet.learners.river.learner",
    "freshet.learners.ctr.learner",
)  # the file it is derived from names them


@dataclass
class Killer:
    """Kills the roles in a random order, at random steps, each a random while after its step
    began."""

    supervisor: Supervisor
    roles: list[str]
    steps: int
    rounds: int
    latest_seconds: float
    draw: random.Random = field(default_factory=lambda: random.Random(SEED))
    killed: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        order = [
            role
            for _ in range(self.rounds)
            for role in self.draw.sample(self.roles, len(self.roles))
        ]
        self.due = dict(zip(sorted(self.draw.sample(range(5, self.steps), len(order))), order))
        self._timer: threading.Timer | None = None

    def step(self, n: int) -> None:
        """Before step `n`."""
        self.wait()
        if (role := self.due.get(n)) is not None:
            until(lambda: self.supervisor.facts()[role]["alive"], f"{role} is alive")
            self._timer = threading.Timer(
                self.draw.uniform(0.0, self.latest_seconds), self._kill, (role,)
            )
            self._timer.start()

    def wait(self) -> None:
        if self._timer is not None:
            self._timer.join()

    def _kill(self, role: str) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.supervisor.facts()[role]["pid"], signal.SIGKILL)
            self.killed[role] += 1


def until(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {SECONDS:.0f} s: {what}"
        time.sleep(0.02)


@dataclass(frozen=True)
class Killed:
    """A run whose roles were killed: what it left, and how often."""

    app: App
    left: Left
    killed: Counter[str]
    restarts: dict[str, int]
    client: ScoringClient


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Left:
    return undisturbed_run(tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture(scope="module", params=["sqlite", "kafka"])
def killed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Killed:
    on = request.param
    log = f"kafka://{request.getfixturevalue('kafka')}" if on == "kafka" else ""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervisor, "BACKOFF_SECONDS", (0.0,))
        patch.setattr(supervisor, "WATCH_SECONDS", 0.05)
        patch.setattr(runtime, "_preload", lambda app: [*IMPORTED_ONCE, *IMPORTED_BY_APP])
        with running(tmp_path_factory.mktemp(f"killed-{on}"), log) as run:
            processes, roles = run.runtime.supervisor, role_names(run.app)
            killer = Killer(processes, roles, run.steps - 40, ROUNDS[on], LATEST_SECONDS[on])
            run.play(killer.step)
            killer.wait()
            restarts = {name: c["restarts"] for name, c in processes.facts().items()}
            return Killed(run.app, run.left(), killer.killed, restarts, run.client)


pytestmark = pytest.mark.timeout(600)


def test_there_are_at_least_thirty_kills_over_both_logs(killed: Killed) -> None:
    roles = len(role_names(killed.app))
    assert sum(ROUNDS.values()) * roles >= 30
    assert sum(killed.killed.values()) in {rounds * roles for rounds in ROUNDS.values()}


def test_every_role_was_killed_and_came_back(killed: Killed) -> None:
    assert killed.killed.keys() == set(role_names(killed.app))
    assert killed.restarts == killed.killed


def test_every_question_was_answered_in_the_end_though_its_only_scorer_was_killed(
    killed: Killed,
) -> None:
    """Connections broke while there was none; no attempt got another status than 200. Two scorers:
    `test_two_scorers.py`."""
    client = killed.client
    assert client.failed == 0
    assert client.attempts == client.answered + client.refused + client.broken
    assert client.rows >= sum(len(s.queries["flight_id"]) for s in Schedule(DAYS))


def test_the_ledger_is_that_of_an_undisturbed_run(killed: Killed, undisturbed: Left) -> None:
    assert killed.left.ledgers == undisturbed.ledgers


def test_the_rows_in_the_store_are_those_of_an_undisturbed_run(
    killed: Killed, undisturbed: Left
) -> None:
    assert killed.left.rows.keys() == undisturbed.rows.keys()
    for view, rows in undisturbed.rows.items():
        assert killed.left.rows[view] == rows, view


def test_the_examples_are_those_of_an_undisturbed_run(killed: Killed, undisturbed: Left) -> None:
    assert len(undisturbed.examples) > 3_000
    assert killed.left.examples == undisturbed.examples


def test_trainers_cut_the_snapshots_of_an_undisturbed_run(
    killed: Killed, undisturbed: Left
) -> None:
    both = killed.left.digests.keys() & undisturbed.digests.keys()
    assert len(both) >= 30
    assert {k: killed.left.digests[k] for k in both} == {k: undisturbed.digests[k] for k in both}
