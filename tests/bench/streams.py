"""How many events does a CPU second carry from a Kafka topic to rows in Redis, beside a
hand-written loop doing the same?

Real Kafka and Redis, one source partition, an intake and a view process under the operators that a
run uses. The records are there before the clock starts; a side's CPU is that of its processes from
before they make their readers until the last row is written: threads of the clients included,
servers and imports excluded. Ours once with the topic's statistics, as they are declared unless
something else is said, and once without; and each of the two with the archive beside them, which
copies every record. `FRESHET_BENCH_EVENTS` says how many events.
"""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from collections.abc import Mapping
from contextlib import closing
from itertools import islice
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from freshet.features.stores.contract import RowKeys
from freshet.schemas.wire.messages import Tick
from freshet.streams.catalog import open_log
from freshet.streams.control.channels import send
from tests.bench.harness import Row, at_least
from tests.bench.operated import Given, archive, by_step, intake, timed, view
from tests.bench.servers import servers

EVENTS = int(os.environ.get("FRESHET_BENCH_EVENTS", "1000000"))
ROUNDS = int(os.environ.get("FRESHET_BENCH_ROUNDS", "2"))
APP = "tests.bench.flight_features"
BAR = 8.0
BAR_WITHOUT_STATISTICS = 10.0
AGREE_FROM_EVENTS = 100_000  # with fewer in a day, repeats come after the horizon


def run() -> list[Row]:
    """The best of some rounds of each side, in turns."""
    with servers() as (brokers, address):
        name = f"bench{uuid.uuid4().hex[:8]}"
        os.environ["FRESHET_BENCH_APP"] = name
        tick = fill(brokers)
        taken = [_round(brokers, address, tick, number) for number in range(ROUNDS)]
        if EVENTS >= AGREE_FROM_EVENTS:
            _check_agreement(address)
    best = {side: min((one[side] for one in taken), key=lambda r: r["cpu"]) for side in taken[0]}
    bare = best["bare"]
    return [
        _cpu_row("streams", best["ours"], bare, BAR),
        _cpu_row("streams without statistics", best["without"], bare, BAR_WITHOUT_STATISTICS),
        _cpu_row("streams and archive", best["archived"], bare, BAR),
        _cpu_row(
            "streams and archive without statistics",
            best["archived without"],
            bare,
            BAR_WITHOUT_STATISTICS,
        ),
        _row("streams end to end", "events/s", best["ours"]["wall"], bare["wall"]),
    ]


def _round(brokers: str, address: str, tick: int, number: int) -> dict[str, dict[str, Any]]:
    """Ours, ours without statistics, both with the archive, and the loop."""
    # Under groups of its own each, beside those of all other rounds.
    numbers = iter(range(4 * number, 4 * number + 4))
    taken = {
        "ours": ours(brokers, address, tick, next(numbers)),
        "archived": ours(brokers, address, tick, next(numbers), archived=True),
    }
    os.environ["FRESHET_BENCH_STATISTICS"] = "none"
    try:
        taken["without"] = ours(brokers, address, tick, next(numbers))
        taken["archived without"] = ours(brokers, address, tick, next(numbers), archived=True)
    finally:
        del os.environ["FRESHET_BENCH_STATISTICS"]
    return taken | {"bare": _bare(brokers, address)}


def _cpu_row(name: str, own: dict[str, Any], bare: dict[str, Any], bar: float) -> Row:
    row = _row(
        name,
        "events per CPU-second",
        own["cpu"],
        bare["cpu"],
        breakdown_us_per_event=own["steps"],
    )
    row["bar"] = at_least(bare["cpu"] / own["cpu"], bar, "× the loop's")
    return row


def _row(name: str, unit: str, ours: float, bare: float, **detail: Any) -> Row:
    detail |= {"events": EVENTS, "load": os.getloadavg()[0]}
    return Row(
        name=name,
        unit=unit,
        ours=round(EVENTS / ours),
        baseline=round(EVENTS / bare),
        ratio=round(bare / ours, 2),
        against="consume + fastavro + dictionaries",
        detail=detail,
    )


def fill(brokers: str) -> int:
    """Publish the records, and move the clock after them; where to."""
    from freshet.roles import plans
    from tests.bench.flight_features import DAY_MS, FIRST_MS, app, records

    tick = FIRST_MS + DAY_MS
    with closing(open_log(f"kafka://{brokers}")) as log:
        plans.ensure_topics(app, log)
        writer, source, found = log.writer(), app.log_of("flights"), records(EVENTS)
        while some := list(islice(found, 1000)):
            writer.append(source, 0, [value for value, _ in some], some[-1][1])
        writer.flush()
        send(writer, app.channels, [Tick(tick)], tick)
        writer.close()
    return tick


def ours(
    brokers: str, address: str, tick: int, number: int, archived: bool = False
) -> dict[str, Any]:
    """All roles from the first record, under groups and checkpoints of this round's own."""
    roles = [intake, view]
    if archived:
        roles.append(archive)
    with tempfile.TemporaryDirectory() as folder:
        place = (f"kafka://{brokers}", f"redis://{address}/0", folder)
        given = (Given(APP, *place, tick, number),)
        started, told = timed([(role, given) for role in roles])
    wall = max(facts["ended"] for facts in told.values()) - started
    cpu = sum(facts["cpu"] for facts in told.values())
    return {"cpu": cpu, "wall": wall, "steps": by_step(told, EVENTS)}


def _bare(brokers: str, address: str) -> dict[str, Any]:
    started, told = timed([(_loop, (brokers, address))])
    return {"cpu": told["loop"]["cpu"], "wall": told["loop"]["ended"] - started}


def _loop(pipe: Connection, brokers: str, address: str) -> None:
    from tests.bench.bare_loop import consume
    from tests.bench.flight_features import app

    pipe.send("ready")
    pipe.recv()
    cpu = time.process_time()
    consume(brokers, app.log_of("flights"), EVENTS, address)
    pipe.send({"cpu": time.process_time() - cpu, "ended": time.monotonic()})


def _check_agreement(address: str) -> None:
    """Both sides' rows of every origin, as of its newest event."""
    import redis

    from freshet.features.catalog import open_store
    from freshet.features.rows.finish import finish
    from tests.bench.flight_features import app, by_origin

    host, port = address.split(":")
    client = redis.Redis(host=host, port=int(port))
    keys = sorted(key[5:] for key in client.scan_iter("bare:*"))
    with closing(open_store(f"redis://{address}/0")) as store:
        (rows,) = store.read([RowKeys(f"{app.stored_as(by_origin)}:0", keys)])
    assert keys, "the loop wrote nothing"
    assert rows.present.all(), "an origin has no row"
    late = np.full(len(keys), 1 << 42)
    newest = late - finish(by_origin.plan, rows.packed, late).age_ms
    values = finish(by_origin.plan, rows.packed, newest).values
    for key, ours in zip(keys, values):
        bare: Mapping[bytes, bytes] = client.hgetall(f"bare:{key.decode()}")  # type: ignore[assignment]
        theirs = [float(bare[name.encode()]) for name in by_origin.plan.names]
        np.testing.assert_allclose(
            np.nan_to_num(ours), theirs, rtol=1e-9, atol=1e-9, err_msg=key.decode()
        )
