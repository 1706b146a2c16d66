"""Every role of a running replay is killed, again and again, over both logs; what is left in the
end is what an undisturbed run leaves."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest

from freshet.app import App
from freshet.replay.client import ScoringClient
from freshet.roles.names import role_names
from tests.faults.disturbance import Left, flights, running
from tests.faults.killer import Killer, started_again_at_once

ROUNDS = {"sqlite": 3, "kafka": 2}
LATEST_SECONDS = {"sqlite": 0.12, "kafka": 0.4}


@dataclass(frozen=True)
class Killed:
    """A run whose roles were killed: what it left, and how often."""

    app: App
    left: Left
    killed: Counter[str]
    restarts: dict[str, int]
    client: ScoringClient


@pytest.fixture(scope="module", params=["sqlite", "kafka"])
def killed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Killed:
    on = request.param
    log = f"kafka://{request.getfixturevalue('kafka')}" if on == "kafka" else ""
    folder = tmp_path_factory.mktemp(f"killed-{on}")
    with started_again_at_once(), running(folder, log) as run:
        keepers = dict.fromkeys(role_names(run.app), run.runtime.supervisor)
        kills = ROUNDS[on] * len(keepers)
        killer = Killer(keepers, run.killable, kills, LATEST_SECONDS[on])
        run.play(killer.step)
        killer.wait()
        return Killed(run.app, run.left(), killer.killed, killer.restarts(), run.client)


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
    assert client.rows >= sum(len(s.queries["flight_id"]) for s in flights())


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
