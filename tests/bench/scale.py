"""What does an event cost where two members share two partitions, beside one that has both?

Intake and view as processes of their own, on real Kafka and Redis: first one of each role, then two
of each, as events come as fast as a producer on the same machine sends them (200,000 a second at
most). Batches are full (`batch_wait=1s`), since a small one costs nearly as much as a large one.
CPU is that of all members from the first event of the span until the last row can be read; the
servers' is left out. In turns; of each the turn that took least counts. `FRESHET_BENCH_SECONDS`
says how long a turn is.

Beside it the same of hand-written loops that know nothing of each other: what two of them cost more
than one is what the machine takes where two processes share its caches.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import tempfile
from contextlib import closing
from pathlib import Path

from tests.bench.bare_loop import consume
from tests.bench.harness import Row, at_most
from tests.bench.live_events import Flights, Keyed
from tests.bench.members import Place, Usage, running
from tests.bench.paced import Paced
from tests.bench.servers import servers

SECONDS = float(os.environ.get("FRESHET_BENCH_SECONDS", "15"))
ROUNDS = int(os.environ.get("FRESHET_BENCH_ROUNDS", "2"))
RATE = 200_000.0
KEYS = 10_000
WARM_SECONDS = 3.0
PARTITIONS = 2
BATCH_WAIT = "1s"  # batches are full before that, of one member and of two
BAR = 1.1
# Of the loops: as many as their producer makes, which keeps both of them and the machine busy.
LOOPS_RATE = 40_000.0
LOOPS_WAIT_SECONDS = 0.1  # batches are full before that
NO_END = 1 << 60


def run() -> list[Row]:
    with servers() as (brokers, address):
        turns = [[_us(brokers, address, members) for members in (1, 2)] for _ in range(ROUNDS)]
        loops = [[_loops_us(brokers, address, count) for count in (1, 2)] for _ in range(ROUNDS)]
    one, two = (min(side) for side in zip(*turns))
    loop, two_loops = (min(side) for side in zip(*loops))
    return [
        Row(
            name="scale",
            unit="µs of CPU an event",
            ours=round(two, 2),
            baseline=round(one, 2),
            ratio=round(one / two, 2),
            against="one member of each role",
            bar=at_most(two / one, BAR, "× that of one member"),
            detail={"turns": turns, "load": os.getloadavg()[0]},
        ),
        Row(
            name="scale of hand-written loops",
            unit="µs of CPU an event",
            ours=round(two_loops, 2),
            baseline=round(loop, 2),
            ratio=round(loop / two_loops, 2),
            against="one loop of both partitions",
            detail={"turns": loops},
        ),
    ]


def _us(brokers: str, address: str, members: int) -> float:
    """CPU of an event, with so many members of each role."""
    with tempfile.TemporaryDirectory() as folder:
        place = Place(brokers, address, Path(folder), "tests.bench.keyed_app")
        place.make(PARTITIONS, batch_wait=BATCH_WAIT)
        names = [(role, str(member)) for role in ("intake", "view") for member in range(members)]
        started = [place.member(role, name) for role, name in names]
        paced = Paced(brokers, place.source, address, place.rows, PARTITIONS, Keyed(KEYS))
        with running(*started), closing(paced):
            paced.wait_for_a_row()
            place.wait_until_shared(members)
            paced.send(RATE, WARM_SECONDS)
            usage = Usage(*(member.pid for member in started))
            sent = paced.send(RATE, SECONDS)
            return 1e6 * usage.cpu_seconds / sent


def _loops_us(brokers: str, address: str, count: int) -> float:
    """The same of so many loops."""
    with tempfile.TemporaryDirectory() as folder:
        place = Place(brokers, address, Path(folder))
        place.make(PARTITIONS)
        given = (brokers, place.source, NO_END, address, LOOPS_WAIT_SECONDS, place.name)
        context = mp.get_context("spawn")
        loops = [
            context.Process(target=consume, args=(*given, range(PARTITIONS)[loop::count]))
            for loop in range(count)
        ]
        for process in loops:
            process.start()
        paced = Paced(brokers, place.source, address, place.name, PARTITIONS, Flights())
        try:
            with closing(paced):
                paced.wait_for_a_row()
                paced.send(LOOPS_RATE, WARM_SECONDS)
                usage = Usage(*(process.pid or 0 for process in loops))
                sent = paced.send(LOOPS_RATE, SECONDS)
                return 1e6 * usage.cpu_seconds / sent
        finally:
            for process in loops:
                process.kill()
                process.join()
