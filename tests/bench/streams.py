"""How many events does a CPU second carry from a Kafka topic to rows in Redis, beside a
hand-written loop doing the same?

Real Kafka and Redis, one source partition, an intake and a view process under the operators that a
run uses. The records are there before the clock starts; a side's CPU is that of its processes from
before they make their readers until the last row is written: threads of the clients included,
servers and imports excluded. `FRESHET_BENCH_EVENTS` says how many events.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import closing
from itertools import islice
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from freshet.features.stores.contract import RowKeys
from freshet.features.stores.memory_store import MemoryStore
from freshet.schemas.wire.messages import Tick
from freshet.streams.catalog import open_log
from freshet.streams.control.channels import send
from freshet.streams.log.contract import Batch
from freshet.streams.operators.loop import Job, Operator, Place
from freshet.streams.operators.ticks import ReplayPace, Untimed
from tests.bench.harness import Row
from tests.bench.servers import servers

EVENTS = int(os.environ.get("FRESHET_BENCH_EVENTS", "1000000"))
ROUNDS = int(os.environ.get("FRESHET_BENCH_ROUNDS", "2"))
PATIENCE_SECONDS = 600.0
AGREE_FROM_EVENTS = 100_000  # with fewer in a day, repeats come after the horizon


class Stopwatch:
    """CPU of this thread by step, each without the steps inside it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner = [0.0]

    def watch(self, owner: Any, name: str, step: str) -> None:
        """Replace `owner.name` by itself, timed."""
        call = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.thread_time()
            self._inner.append(0.0)
            try:
                return call(*args, **kwargs)
            finally:
                taken = time.thread_time() - started
                self.seconds[step] += taken - self._inner.pop()
                self._inner[-1] += taken

        setattr(owner, name, timed)


def run() -> list[Row]:
    """The best of some rounds of each side, in turns."""
    with servers() as (brokers, address):
        name = f"bench{uuid.uuid4().hex[:8]}"
        os.environ["FRESHET_BENCH_APP"] = name
        tick = _fill(brokers)
        taken = [(_ours(brokers, address, tick, i), _bare(brokers, address)) for i in range(ROUNDS)]
        if EVENTS >= AGREE_FROM_EVENTS:
            _check_agreement(address)
    ours, bare = (min(side, key=lambda r: r["cpu"]) for side in zip(*taken))
    against = "confluent-kafka + fastavro + dict loop"
    return [
        _row(
            "streams",
            "events per CPU-second",
            ours["cpu"],
            bare["cpu"],
            against,
            breakdown_us_per_event=ours["steps"],
        ),
        _row("streams end to end", "events/s", ours["wall"], bare["wall"], against),
    ]


def _row(name: str, unit: str, ours: float, bare: float, against: str, **detail: Any) -> Row:
    ratio = round(bare / ours, 2)
    detail |= {"events": EVENTS, "load": os.getloadavg()[0]}
    return Row(
        name=name, unit=unit, ours=round(EVENTS / ours), baseline=round(EVENTS / bare), ratio=ratio, against=against,
        detail=detail,
    )  # fmt: skip


def _fill(brokers: str) -> int:
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


def _ours(brokers: str, address: str, tick: int, number: int) -> dict[str, Any]:
    """Both roles from the first record, under groups and checkpoints of this round's own."""
    with tempfile.TemporaryDirectory() as folder:
        given = (f"kafka://{brokers}", f"redis://{address}/0", folder, tick, number)
        started, told = _timed([(_intake, given), (_view, given)])
    wall = max(r["ended"] for r in told.values()) - started
    n = EVENTS
    steps = {
        f"{role} {k}": round(1e6 * v / n, 3)
        for role, r in told.items()
        for k, v in r["steps"].items()
    }
    return {"cpu": sum(r["cpu"] for r in told.values()), "wall": wall, "steps": steps}


def _bare(brokers: str, address: str) -> dict[str, Any]:
    started, told = _timed([(_loop, (brokers, address))])
    return {"cpu": told["loop"]["cpu"], "wall": told["loop"]["ended"] - started}


def _timed(
    sides: list[tuple[Callable[..., None], tuple[Any, ...]]],
) -> tuple[float, dict[str, dict[str, Any]]]:
    """Start a process for each, let all go at once when they are ready; when that was, and what
    each told."""
    context = mp.get_context("spawn")
    started = []
    for target, args in sides:
        here, there = context.Pipe()
        process = context.Process(target=target, args=(there, *args), daemon=True)
        process.start()
        started.append((target.__name__.strip("_"), process, here))
    for name, _, pipe in started:
        assert pipe.poll(PATIENCE_SECONDS), f"{name} is not ready"
        pipe.recv()
    at = time.monotonic()
    for _, _, pipe in started:
        pipe.send("go")
    told = {}
    for name, process, pipe in started:
        assert pipe.poll(PATIENCE_SECONDS), f"{name} did not end"
        told[name] = pipe.recv()
        process.join()
    return at, told


def _intake(
    pipe: Connection, log_url: str, store_url: str, folder: str, tick: int, number: int
) -> None:
    from freshet.roles import plans
    from freshet.schemas.wire import blocks
    from freshet.streams.admission import admission
    from freshet.streams.intake import imputation
    from freshet.streams.intake import task as intake
    from freshet.streams.intake.field_statistics import TopicStatistics
    from tests.bench.flight_features import app, flights

    plan = plans.intake_plan(app, flights)
    _warm()
    watch = Stopwatch()
    for name, step in (("decode", "decode"), ("timed", "validate"), ("joined", "keys")):
        watch.watch(intake, name, step)
    watch.watch(admission.Admission, "judge", "deduplicate, judge lateness")
    watch.watch(intake.kernels, "account", "ledger")
    watch.watch(intake.IntakeTask, "_filter", "filter")
    watch.watch(imputation.Imputer, "fill", "impute")
    watch.watch(intake.IntakeTask, "_settle", "ids and the rest of settling")
    watch.watch(intake.IntakeTask, "_bury", "dead letters")
    watch.watch(TopicStatistics, "take", "statistics")
    watch.watch(intake.IntakeTask, "_route", "columns of blocks")
    watch.watch(blocks, "encode_parts", "encode blocks")
    topics = [app.log_of("flights")]
    _operate(
        pipe,
        "intake",
        log_url,
        topics,
        lambda t, p: intake.IntakeTask(plan, p),
        folder,
        tick,
        number,
        watch,
    )


def _view(
    pipe: Connection, log_url: str, store_url: str, folder: str, tick: int, number: int
) -> None:
    from freshet.features.catalog import open_store
    from freshet.features.rows.rows import ViewRows
    from freshet.features.views import task as view_task
    from freshet.schemas.wire import blocks
    from tests.bench.flight_features import app, by_origin

    _warm()
    store = open_store(store_url)
    watch = Stopwatch()
    watch.watch(blocks, "decode", "decode blocks")
    watch.watch(ViewRows, "fold", "fold")
    watch.watch(view_task.ViewTask, "_fold", "columns of blocks")
    watch.watch(ViewRows, "hand_over", "rows to write")
    watch.watch(store, "write", "write to Redis")
    watch.watch(store, "generation", "ask Redis for its generation")
    stored_as = f"{app.stored_as(by_origin)}:{number}"

    def make(topic: str, partition: int) -> view_task.ViewTask:
        return view_task.ViewTask(by_origin, stored_as, partition, store)

    topics = [app.clean_log_of(by_origin)]
    _operate(pipe, "view", log_url, topics, make, folder, tick, number, watch)


def _operate(
    pipe: Connection, role: str, log_url: str, topics: list[str], make: Callable[..., Any], folder: str, tick: int,
    number: int, watch: Stopwatch,
) -> None:  # fmt: skip
    """Run an operator until it has finished the tick; tell its CPU by step."""
    from tests.bench.flight_features import app

    log = open_log(log_url, f"{role}{number}")
    watch.watch(Operator, "checkpoint", "checkpoint")
    watch.watch(Operator, "_report", "report")
    pipe.send("ready")
    pipe.recv()
    cpu, own = time.process_time(), time.thread_time()
    group = f"{app.name}.{role}.{number}"
    pace = ReplayPace() if role == "intake" else Untimed()
    job = Job(role, topics, make, group=group, pace=pace)
    operator = Operator(job, Place(log, app.channels, folder, lambda: tick))
    watch.watch(operator._reader, "poll", "read")
    watch.watch(operator._writer, "append", "append")
    watch.watch(operator._writer, "flush", "flush")
    while not (operator.finished() and min(operator.finished()) >= tick):
        operator.step(0.5)
    operator.checkpoint()
    ended = time.monotonic()
    cpu, own = time.process_time() - cpu, time.thread_time() - own
    steps = {
        **watch.seconds,
        "other": own - sum(watch.seconds.values()),
        "client's threads": cpu - own,
    }
    pipe.send({"cpu": cpu, "ended": ended, "steps": steps})
    operator.close()


def _warm() -> None:
    """Compile, or load, every kernel of both roles on a batch of their own."""
    from freshet.features.views.task import ViewTask
    from freshet.roles import plans
    from freshet.streams.intake.task import IntakeTask
    from tests.bench.flight_features import app, by_origin, flights, records

    found = list(records(2000))
    out = IntakeTask(plans.intake_plan(app, flights), 0).apply(
        _batch([v for v, _ in found], found[-1][1])
    )
    task = ViewTask(by_origin, "warm", 0, MemoryStore())
    task.apply(_batch([v for a in out.appends if ".clean." in a.topic for v in a.values], 1))
    task.write()
    task.dump(True)


def _batch(values: list[bytes], time_ms: int) -> Batch:
    edges = np.cumsum([0, *map(len, values)])
    data, n = np.frombuffer(bytearray(b"".join(values)), np.uint8), len(values)
    return Batch("warm", 0, data, edges[:-1], edges[1:], np.arange(n), np.full(n, time_ms))


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
