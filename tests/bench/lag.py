"""How long does an event take from the producer's call until its row can be read, beside a
hand-written loop of one hop?

5,000 events a second through real Kafka into real Redis, with intake and view as processes of
their own at `batch_wait=10ms`, and the loop with a wait of 10 ms. Some forty events a second have a
key of their own, and Redis is asked for their rows every half millisecond. Both sides are sent to
by the same producer with librdkafka's own linger (5 ms), in turns; of each the turn that the
machine disturbed least counts. `FRESHET_BENCH_SECONDS` says how long a turn is.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import tempfile
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.bench.harness import Row, at_most
from tests.bench.members import Place, Usage, running
from tests.bench.paced import Paced
from tests.bench.servers import servers

SECONDS = float(os.environ.get("FRESHET_BENCH_SECONDS", "15"))
ROUNDS = int(os.environ.get("FRESHET_BENCH_ROUNDS", "3"))
RATE = 5_000.0
WARM_SECONDS = 3.0
WAIT_MS = 10
P50_BAR, P99_BAR, CORE_BAR = 1.2, 1.3, 0.3
NO_END = 1 << 60


class Lag(NamedTuple):
    """Of one turn: milliseconds, and the share of a core that all processes took."""

    p50: float
    p99: float
    core: float


def run() -> list[Row]:
    with servers() as (brokers, address):
        turns = [(_ours(brokers, address), _bare(brokers, address)) for _ in range(ROUNDS)]
    ours, bare = (_best(side) for side in zip(*turns))
    found = [
        _row("p50", ours.p50, bare.p50, P50_BAR),
        _row("p99", ours.p99, bare.p99, P99_BAR),
        _row("share of a core", ours.core, bare.core, None),
    ]
    found[-1]["bar"] = at_most(ours.core, CORE_BAR, "of a core")
    for row in found:
        row["detail"] = {"turns": turns, "load": os.getloadavg()[0]}
    return found


def _row(name: str, ours: float, bare: float, bar: float | None) -> Row:
    unit = "ms" if bar else "of a core"
    row = Row(
        name=f"lag {name}",
        unit=unit,
        ours=round(ours, 2),
        baseline=round(bare, 2),
        ratio=round(bare / ours, 2),
        against="one hop: consume, fold, write",
    )
    if bar:
        row["bar"] = at_most(ours / bare, bar, "× the loop's")
    return row


def _best(turns: tuple[Lag, ...]) -> Lag:
    return Lag(*(min(figures) for figures in zip(*turns)))


def _ours(brokers: str, address: str) -> Lag:
    with tempfile.TemporaryDirectory() as folder:
        place = Place(brokers, address, Path(folder))
        place.make(batch_wait=f"{WAIT_MS}ms")
        intake = place.member("intake")
        view = place.member("view")
        with running(intake, view):
            paced = Paced(brokers, place.source, address, place.rows)
            return _measured(paced, Usage(intake.pid, view.pid))


def _bare(brokers: str, address: str) -> Lag:
    from tests.bench.bare_loop import consume

    with tempfile.TemporaryDirectory() as folder:
        place = Place(brokers, address, Path(folder))
        place.make()
        given = (brokers, place.source, NO_END, address, WAIT_MS / 1000, place.name)
        process = mp.get_context("spawn").Process(target=consume, args=given, daemon=True)
        process.start()
        try:
            return _measured(
                Paced(brokers, place.source, address, place.name), Usage(process.pid or 0)
            )
        finally:
            process.kill()
            process.join()


def _measured(paced: Paced, watch: Usage) -> Lag:
    """Once rows come, and the first seconds are over."""
    with closing(paced):
        paced.wait_for_a_row()
        paced.send(RATE, WARM_SECONDS)
        paced.waits_ms.clear()
        watch.start()
        paced.send(RATE, SECONDS)
        core = watch.core
        p50, p99 = np.percentile(paced.waits_ms, [50, 99])
    return Lag(float(p50), float(p99), core)
