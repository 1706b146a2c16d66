"""The kills of the tests many times over: `make soak`, which takes minutes.

Each log has half of the kills, all of them in one replay that goes on: every role of it, and second
members beside the first. Two scorers are asked in turn. On Kafka two intakes and two views share
the logs, too; the embedded log has one of each, since every member of it would read everything.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from rich.console import Console
from rich.table import Table

from freshet.processes.supervisor import RoleSpec, Supervisor
from freshet.replay.client import ScoringClient
from freshet.roles.names import role_names
from freshet.roles.process import run_role
from freshet.servers.kafka_server import KafkaServer
from freshet.servers.server import free_ports
from tests.faults.disturbance import HOUR_MS, Disturbed, Left, running, undisturbed
from tests.faults.killer import Killer, started_again_at_once

KILLS = 200
STEP_MS = HOUR_MS // 4  # so many that each kill has one of its own
LATEST_SECONDS = {"sqlite": 0.12, "kafka": 0.4}
SECOND_MEMBERS = {"sqlite": ("serve",), "kafka": ("intake", "view", "serve")}


@dataclass(frozen=True)
class Outcome:
    """What a run with kills came to."""

    log: str
    left: Left
    killer: Killer
    client: ScoringClient


@contextmanager
def second_members(run: Disturbed, file: Path, log: str) -> Iterator[tuple[Supervisor, str]]:
    """Who keeps them, and where the second scorer listens."""
    (port,) = free_ports(1)
    given = run.runtime.settings.model_copy(update={"port": port})
    specs = [
        RoleSpec(f"{role}.2", run_role, (str(file), role, given, "2"))
        for role in SECOND_MEMBERS[log]
    ]
    keeper = Supervisor(specs)
    keeper.start()
    try:
        yield keeper, f"http://127.0.0.1:{port}"
    finally:
        keeper.stop()


def killed(folder: Path, log: str, url: str, kills: int) -> Outcome:
    with ExitStack() as stack:
        stack.enter_context(started_again_at_once())
        run = stack.enter_context(running(folder, url, step_ms=STEP_MS))
        file = folder / "flights_app.py"
        second, address = stack.enter_context(second_members(run, file, log))
        keepers = dict.fromkeys(role_names(run.app), run.runtime.supervisor)
        keepers |= dict.fromkeys(second.facts(), second)
        model = run.app.models[0]
        run.client = ScoringClient(
            [run.runtime.address("serve"), address],
            model.name,
            model.on.events,
        )
        stack.callback(run.client.close)
        killer = Killer(keepers, run.killable, kills, LATEST_SECONDS[log])
        run.play(killer.step)
        killer.wait()
        return Outcome(log, run.left(), killer, run.client)


def differing(found: Left, expected: Left) -> list[str]:
    """The parts that are not as they would be without a kill. A trainer that was killed may have
    skipped a cut, so of snapshots those are compared that both have."""
    names = [f.name for f in fields(Left) if f.name != "digests"]
    out = [name for name in names if getattr(found, name) != getattr(expected, name)]
    both = found.digests.keys() & expected.digests.keys()
    same = all(found.digests[cut] == expected.digests[cut] for cut in both)
    if not both or not same:
        out.append("digests")
    return out


def show(outcomes: list[Outcome], expected: Left, console: Console) -> bool:
    """Whether all is as it must be."""
    table = Table("log", "kills", "roles", "attempts", "answered", "put off", "broken", "failed")
    table.add_column("compared with a run without kills")
    good = True
    for outcome in outcomes:
        client = outcome.client
        counted = client.answered + client.refused + client.broken + client.failed
        wrong = differing(outcome.left, expected)
        if client.attempts != counted or client.failed:
            wrong.append("attempts")
        if outcome.killer.restarts() != outcome.killer.killed:
            wrong.append("restarts")
        good = good and not wrong
        verdict = "equal: ledgers, rows, examples, snapshots"
        if wrong:
            verdict = f"differs: {', '.join(wrong)}"
        figures = (
            outcome.killer.killed.total(),
            len(outcome.killer.killed),
            client.attempts,
            client.answered,
            client.refused,
            client.broken,
            client.failed,
        )
        table.add_row(outcome.log, *(f"{figure:,}" for figure in figures), verdict)
    console.print(table)
    return good


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS, help="over both logs")
    asked = parser.parse_args()
    console = Console(width=140)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="freshet-soak-")))
        kafka = stack.enter_context(KafkaServer(folder / "kafka"))
        expected = undisturbed(folder / "undisturbed", STEP_MS)
        outcomes = []
        for log, url in (("sqlite", ""), ("kafka", f"kafka://{kafka.address}")):
            console.print(f"{asked.kills // 2} kills over {log}")
            outcomes.append(killed(folder / log, log, url, asked.kills // 2))
        return 0 if show(outcomes, expected, console) else 1


if __name__ == "__main__":
    sys.exit(main())
