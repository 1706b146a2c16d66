"""One of two scorers is killed, then the other, while a client asks on: what the living one is
asked, it answers."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import httpx
import pytest

from freshet.demo.flights.schedule import Step
from freshet.processes import supervisor
from freshet.processes.supervisor import RoleSpec, Supervisor
from freshet.replay.client import ScoringClient
from freshet.replay.replayer import NotYet, published
from freshet.roles.process import run_role
from freshet.servers.server import free_ports
from tests.faults.disturbance import Disturbed, flights, running

STEPS = 16  # hours: models have been released
ROUNDS = 2  # each scorer is killed as often
KILL_AFTER_SECONDS = 0.3
ASKED = 12  # the least for each kill, however busy the machine is
PATIENCE_SECONDS = 60.0


@dataclass
class Scorer:
    """One of the two: where it listens, and who keeps it alive."""

    name: str
    address: str
    supervisor: Supervisor

    @property
    def pid(self) -> int | None:
        found: int | None = self.supervisor.facts()[self.name]["pid"]
        return found

    def kill(self) -> None:
        assert self.pid is not None
        os.kill(self.pid, signal.SIGKILL)

    def is_back(self, killed: int | None) -> bool:
        return self.pid not in (None, killed) and self.ready()

    def ready(self) -> bool:
        try:
            told = httpx.get(f"{self.address}/v2/health/ready", timeout=1.0, verify=False)
            return told.status_code == 200
        except httpx.TransportError:
            return False


@dataclass
class Phase:
    """From before a kill until the killed one answers again: what was counted in it."""

    killed: str
    asked: int = 0
    attempts: int = 0
    answered: int = 0
    failed: int = 0
    broken_at: dict[str, int] = field(default_factory=dict)


@dataclass
class Scene:
    """All phases, and who answered in them."""

    addresses: tuple[str, str]
    phases: list[Phase] = field(default_factory=list)
    instances: set[str] = field(default_factory=set)  # one for each start of a scorer that answered


def second_scorer(run: Disturbed, file: Path) -> Scorer:
    """A member of `serve` with a port of its own."""
    (port,) = free_ports(1)
    given = run.runtime.settings.model_copy(update={"port": port})
    keeper = Supervisor([RoleSpec("serve.2", run_role, (str(file), "serve", given, "2"))])
    return Scorer("serve.2", f"http://127.0.0.1:{port}", keeper)


def replay(run: Disturbed, client: ScoringClient) -> Step:
    """The first steps; the last that asked something."""
    newest: Step | None = None
    for step in islice(flights(), STEPS):

        def ask(step: Step = step) -> dict[str, int]:
            return client.ask(step.queries, step.start_ms) if any(step.queries.values()) else {}

        run.replayer.step(step.start_ms, step.end_ms, ask, published(run.app, step.events))
        newest = step if any(step.queries.values()) else newest
    assert newest is not None
    return newest


def phase(scorers: dict[str, Scorer], client: ScoringClient, step: Step, found: Scene) -> None:
    """Kill the scorer that is being asked, and ask on until it is back, and a few times in any
    case."""
    victim = scorers[client.address]
    now = Phase(victim.address)
    attempts = client.attempts - client.refused
    answered = client.answered
    failed = client.failed
    broken = dict(client.broken_at)
    timer = threading.Timer(KILL_AFTER_SECONDS, victim.kill)
    timer.start()
    pid = victim.pid
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not victim.is_back(pid) or now.asked < ASKED:
        assert time.monotonic() < deadline, f"{victim.name} does not come back"
        with suppress(NotYet):  # one that has just started looks at its store first
            found.instances |= client.ask(step.queries, step.start_ms).keys()
            now.asked += 1
    now.attempts = client.attempts - client.refused - attempts
    now.answered = client.answered - answered
    now.failed = client.failed - failed
    now.broken_at = {
        address: client.broken_at[address] - broken.get(address, 0) for address in scorers
    }
    found.phases.append(now)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("two-scorers")
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(supervisor, "BACKOFF_SECONDS", (0.0,))
        run = stack.enter_context(running(folder))
        first = Scorer("serve", run.runtime.address("serve"), run.runtime.supervisor)
        second = second_scorer(run, folder / "flights_app.py")
        second.supervisor.start()
        stack.callback(second.supervisor.stop)
        model = run.app.models[0]
        scorers = {s.address: s for s in (first, second)}
        client = ScoringClient(list(scorers), model.name, model.on.events)
        stack.callback(client.close)
        step = replay(run, client)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not all(s.ready() for s in scorers.values()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        found = Scene((first.address, second.address))
        for _ in range(2 * ROUNDS):
            phase(scorers, client, step, found)
        yield found


pytestmark = pytest.mark.timeout(300)


def test_each_was_killed_in_turn_while_it_was_asked(scene: Scene) -> None:
    assert [p.killed for p in scene.phases] == list(scene.addresses) * ROUNDS
    assert all(p.asked >= ASKED for p in scene.phases)
    assert len(scene.instances) > len(scene.phases)


def test_no_attempt_got_another_status_than_200(scene: Scene) -> None:
    assert [p.failed for p in scene.phases] == [0] * len(scene.phases)


def test_what_the_living_one_was_sent_it_answered(scene: Scene) -> None:
    for p in scene.phases:
        assert {address for address, n in p.broken_at.items() if n} == {p.killed}


def test_a_client_that_goes_to_the_other_gets_every_answer_with_one_attempt_more_at_each_kill(
    scene: Scene,
) -> None:
    for p in scene.phases:
        assert p.answered == p.asked
        assert p.attempts == p.asked + 1
