"""What does an event cost where keys are many: in CPU, in memory, on disk?

As `streams`, for a view of fifteen features over windows from ten minutes to thirty days, at a
thousand keys and more, every key as likely as any other. Checkpoints come as if 20,000 events came
in a second, so that a run meets three bases. A run covers a thousand, 100,000 and a million keys;
`FRESHET_BENCH_KEYS=1000,5000000` others: a key has five events at least, so five millions take some
minutes. `FRESHET_BENCH_ROUNDS` says how many rounds there are of each, over the same logs.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from freshet.schemas.wire.messages import Tick
from freshet.streams.catalog import open_log
from freshet.streams.control.channels import send
from freshet.streams.operators.checkpoints import DELTAS_PER_BASE
from freshet.streams.operators.loop import Rhythm
from tests.bench.harness import Row, at_most
from tests.bench.operated import PATIENCE_SECONDS, Given, by_step, intake, timed, view
from tests.bench.record_batches import AT_ONCE, Publisher
from tests.bench.servers import servers

KEYS = [
    int(keys) for keys in os.environ.get("FRESHET_BENCH_KEYS", "1000,100000,1000000").split(",")
]
ROUNDS = int(os.environ.get("FRESHET_BENCH_ROUNDS", "1"))
APP = "tests.bench.keyed_app"
PACE = 20_000.0
BASES = 3
EVENTS_A_KEY = 5
# What is slower than that on a machine that others use has stopped.
LEAST_EVENTS_A_SECOND = 10_000
COST_BAR, FOLD_BAR_US, DISK_BAR_BYTES = 2.5, 0.5, 200
BASE_MEMORY_BYTES, KEY_MEMORY_BYTES = 600e6, 300


class Filled(NamedTuple):
    """A log of events, and the app that it is of; `tick` is after them."""

    app: str
    keys: int
    events: int
    tick: int


class Found(NamedTuple):
    """Of one number of keys."""

    keys: int
    events: int
    us: float
    steps: dict[str, float]
    bases: int
    peak_bytes: int
    disk_bytes_a_key: float


def events_for(keys: int) -> int:
    """As many as make the bases, with deltas between them; more where keys are many."""
    until_last_base = (BASES - 1) * (DELTAS_PER_BASE + 1) + 1
    paced = PACE * Rhythm().checkpoint_seconds * until_last_base
    return max(int(paced), EVENTS_A_KEY * keys)


def run() -> list[Row]:
    """The best of some rounds of each number of keys, in turns."""
    with servers() as (brokers, address):
        logs = [_fill(keys, brokers) for keys in KEYS]
        rounds = [
            [_measured(log, brokers, address, number) for log in logs] for number in range(ROUNDS)
        ]
    found = [min(tries, key=lambda one: one.us) for tries in zip(*rounds)]
    few = found[0]
    rows = []
    for one in found:
        rows += [_cost(one, few), _fold(one), _memory(one), _disk(one)]
    return rows


def _row(name: str, one: Found, unit: str, figure: float) -> Row:
    return Row(
        name=f"streams_keys {name} at {one.keys:,}",
        unit=unit,
        ours=round(figure, 3),
        baseline=None,
        ratio=None,
        against="",
    )


def _cost(one: Found, few: Found) -> Row:
    row = _row("cost", one, "µs an event", one.us)
    row["detail"] = {"events": one.events, "bases": one.bases, "us": one.steps}
    row["detail"]["load"] = os.getloadavg()[0]
    if one is not few:
        row["baseline"] = round(few.us, 3)
        row["ratio"] = round(few.us / one.us, 2)
        row["against"] = f"the same at {few.keys:,} keys"
        row["bar"] = at_most(one.us / few.us, COST_BAR, f"× that of {few.keys:,}")
    return row


def _fold(one: Found) -> Row:
    row = _row("fold", one, "µs an event", one.steps["view fold"])
    row["bar"] = at_most(one.steps["view fold"], FOLD_BAR_US, "µs")
    return row


def _memory(one: Found) -> Row:
    limit = (BASE_MEMORY_BYTES + KEY_MEMORY_BYTES * one.keys) / 1e6
    row = _row("memory", one, "MB at most, of the view", one.peak_bytes / 1e6)
    row["bar"] = at_most(round(one.peak_bytes / 1e6), limit, "MB")
    return row


def _disk(one: Found) -> Row:
    row = _row("state on disk", one, "bytes a key", one.disk_bytes_a_key)
    # Of fewer events a key than that the bar says nothing, and of many more rows are fuller.
    if one.events <= 2 * EVENTS_A_KEY * one.keys:
        row["bar"] = at_most(one.disk_bytes_a_key, DISK_BAR_BYTES, "bytes")
    return row


def _measured(filled: Filled, brokers: str, address: str, number: int) -> Found:
    """All events of a log, under groups and checkpoints of this round's own."""
    keys, events = filled.keys, filled.events
    _choose(filled.app, keys)
    with tempfile.TemporaryDirectory() as folder:
        place = (f"kafka://{brokers}", f"redis://{address}/0", folder)
        given = Given(APP, *place, filled.tick, number, pace=PACE)
        patience = max(PATIENCE_SECONDS, events / LEAST_EVENTS_A_SECOND)
        _, told = timed([(intake, (given,)), (view, (given,))], patience)
        bases = [file.stat() for file in Path(folder).rglob("view/**/*.base")]
    cpu = sum(facts["cpu"] for facts in told.values())
    newest = max(bases, key=lambda stat: stat.st_mtime_ns)
    return Found(
        keys,
        events,
        1e6 * cpu / events,
        by_step(told, events),
        told["view"]["bases"],
        told["view"]["peak_bytes"],
        newest.st_size / keys,
    )


def _choose(app: str, keys: int) -> None:
    """Whose name processes that are started find the app under."""
    os.environ["FRESHET_BENCH_APP"] = app
    os.environ["FRESHET_BENCH_KEY_COUNT"] = str(keys)


def _fill(keys: int, brokers: str) -> Filled:
    """Publish the records once for all rounds, and move the clock after them."""
    from freshet.app import App
    from freshet.roles import plans
    from tests.bench import keyed_app

    app = App(f"bench{uuid.uuid4().hex[:8]}", [keyed_app.seen], [keyed_app.by_user])
    tick = keyed_app.FIRST_MS + keyed_app.SPAN_MS
    filled = Filled(app.name, keys, events_for(keys), tick)
    with closing(open_log(f"kafka://{brokers}")) as log:
        plans.ensure_topics(app, log)
        with closing(Publisher(brokers, app.log_of(keyed_app.seen.name))) as publisher:
            for records, times in keyed_app.tables(filled.events, keys, AT_ONCE):
                publisher.append(records, int(times[-1]))
        writer = log.writer()
        send(writer, app.channels, [Tick(tick)], tick)
        writer.close()
    return filled
