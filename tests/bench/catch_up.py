"""How soon is a killed run at the head of its topic again, while 100,000 events come in a second?

Intake and view as processes of their own on real Kafka and Redis, both killed at once and started
again at once, as whoever supervises them does. They are at the head once an event's row can be
read within a second of the producer's call. `FRESHET_BENCH_KILLS` says how often; the p95 of few
is the longest. Of each kill the report has its phases: when each role had imported and asked what
it needs, when it had loaded its checkpoint, and what CPU it had taken when it was at the head.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from tests.bench.harness import Row, at_most
from tests.bench.live_events import Keyed
from tests.bench.members import Member, Place, Usage, running
from tests.bench.paced import Paced
from tests.bench.servers import servers

KILLS = int(os.environ.get("FRESHET_BENCH_KILLS", "8"))
RATE = float(os.environ.get("FRESHET_BENCH_RATE", "100000"))
KEYS = 10_000
STEADY_SECONDS = 6.0  # before each kill: a checkpoint comes every five
HEAD_MS = 1_000.0
BAR_SECONDS = 15.0
ROLES = ("intake", "view")
# What a role's log calls the ends of phases, in their order.
PHASES = ("role starts", "resumed")


@dataclass(frozen=True)
class CaughtUp:
    """Seconds from a kill to the head of the topic; to the end of each phase of each role's start;
    and CPU that each took until then."""

    seconds: float
    phases: dict[str, float]
    cpu: dict[str, float]


def run() -> list[Row]:
    with servers() as (brokers, address), tempfile.TemporaryDirectory() as folder:
        place = Place(brokers, address, Path(folder), "tests.bench.keyed_app")
        place.make()
        with closing(Killing(place)) as killing:
            taken = [killing.again() for _ in range(KILLS)]
    seconds = [one.seconds for one in taken]
    longest = float(np.percentile(seconds, 95, method="higher"))
    return [
        Row(
            name="catch_up p95",
            unit="s",
            ours=round(longest, 2),
            baseline=None,
            ratio=None,
            against="",
            bar=at_most(longest, BAR_SECONDS, "s"),
            detail={
                "seconds": seconds,
                "phases": [one.phases for one in taken],
                "cpu": [one.cpu for one in taken],
                "rate": RATE,
                "load": os.getloadavg()[0],
            },
        )
    ]


class Killing:
    """A run under load. Not thread-safe."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._members = self._started()
        self._paced = Paced(
            place.brokers, place.source, place.address, place.rows, events=Keyed(KEYS)
        )
        self._paced.wait_for_a_row()

    def _started(self) -> list[Member]:
        return [self._place.member(role) for role in ROLES]

    def again(self) -> CaughtUp:
        """Kill both, and wait until they are at the head."""
        self._until_at_head(time.monotonic(), STEADY_SECONDS)
        for member in self._members:
            member.kill()
        killed_at = time.monotonic()
        killed_ms = 1000 * time.time()
        self._members = self._started()
        seconds = round(self._until_at_head(killed_at, 0.0), 2)
        phases = {}
        for role in ROLES:
            phases |= self._phases(role, killed_ms)
        cpu = {
            role: round(Usage(member.pid).since_its_start, 2)
            for role, member in zip(ROLES, self._members)
        }
        return CaughtUp(seconds, phases, cpu)

    def _phases(self, role: str, since_ms: float) -> dict[str, float]:
        """By what it wrote into its log."""
        found = {}
        text = (self._place.folder / "logs" / f"{role}.1.jsonl").read_text()
        for line in map(json.loads, text.splitlines()):
            at_ms = 1000 * datetime.fromisoformat(line["timestamp"]).timestamp()
            if at_ms >= since_ms and line["event"] in PHASES:
                found[f"{role} {line['event']}"] = round((at_ms - since_ms) / 1000, 2)
        return found

    def _until_at_head(self, since: float, at_least_seconds: float) -> float:
        """Go on sending; when, in seconds since then, the first event had its row in time."""
        while True:
            sent_at = self._paced.send_until_seen(RATE)
            waited_ms = self._paced.waits_ms.pop()
            now = time.monotonic() - since
            if waited_ms <= HEAD_MS and now >= at_least_seconds:
                return sent_at - since

    def close(self) -> None:
        with running(*self._members):
            self._paced.close()
