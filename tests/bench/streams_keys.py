"""What does an event cost where keys are many: in CPU, in memory, on disk?

As `streams`, for a view of fifteen features over windows from ten minutes to thirty days, at a
thousand keys and more, every key as likely as any other. Checkpoints come as if 20,000 events came
in a second, so that a run meets three bases. A run covers a thousand, 100,000 and a million keys;
`FRESHET_BENCH_KEYS=1000,5000000` others: a key has five events at least, so five millions take some
minutes.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from freshet.schemas.wire.messages import Tick
from freshet.streams.catalog import open_log
from freshet.streams.control.channels import send
from freshet.streams.operators.checkpoints import DELTAS_PER_BASE
from freshet.streams.operators.loop import Rhythm
from tests.bench.harness import Row, at_most
from tests.bench.operated import Given, by_step, intake, timed, view
from tests.bench.servers import servers

KEYS = [
    int(keys) for keys in os.environ.get("FRESHET_BENCH_KEYS", "1000,100000,1000000").split(",")
]
APP = "tests.bench.keyed_app"
PACE = 20_000.0
BASES = 3
EVENTS_A_KEY = 5
COST_BAR, FOLD_BAR_US, DISK_BAR_BYTES = 2.5, 0.5, 200
BASE_MEMORY_BYTES, KEY_MEMORY_BYTES = 600e6, 300


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
    with servers() as (brokers, address):
        found = [_at(keys, brokers, address) for keys in KEYS]
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


def _at(keys: int, brokers: str, address: str) -> Found:
    events = events_for(keys)
    os.environ["FRESHET_BENCH_APP"] = f"bench{uuid.uuid4().hex[:8]}"
    os.environ["FRESHET_BENCH_KEY_COUNT"] = str(keys)
    tick = _fill(keys, events, brokers)
    with tempfile.TemporaryDirectory() as folder:
        given = Given(APP, f"kafka://{brokers}", f"redis://{address}/0", folder, tick, pace=PACE)
        _, told = timed([(intake, (given,)), (view, (given,))])
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


def _fill(keys: int, events: int, brokers: str) -> int:
    """Publish the records, and move the clock after them; where to."""
    from freshet.app import App
    from freshet.roles import plans
    from tests.bench import keyed_app

    app = App(os.environ["FRESHET_BENCH_APP"], [keyed_app.seen], [keyed_app.by_user])
    tick = keyed_app.FIRST_MS + keyed_app.SPAN_MS
    with closing(open_log(f"kafka://{brokers}")) as log:
        plans.ensure_topics(app, log)
        writer = log.writer()
        source = app.log_of(keyed_app.seen.name)
        found = keyed_app.records(events, keys)
        while some := list(islice(found, 10_000)):
            writer.append(source, 0, [value for value, _ in some], some[-1][1])
        writer.flush()
        send(writer, app.channels, [Tick(tick)], tick)
        writer.close()
    return tick
