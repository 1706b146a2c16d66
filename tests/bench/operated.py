"""Operators of an app in processes of their own, which start together once all are ready, and tell
what CPU each step took."""

from __future__ import annotations

import multiprocessing as mp
import os
import resource
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import islice
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from freshet.app import App
from freshet.features.stores.memory_store import MemoryStore
from freshet.processes.fork_server import SINGLE_THREADED
from freshet.streams.catalog import open_log
from freshet.streams.garbage import leave_alone
from freshet.streams.log.contract import Batch
from freshet.streams.operators.checkpoints import Checkpoints
from freshet.streams.operators.loop import Job, Operator, Place, Rhythm
from freshet.streams.operators.ticks import ReplayPace

PATIENCE_SECONDS = 600.0
Told = dict[str, dict[str, Any]]


class Steps:
    """CPU of this thread by step, each without the steps inside it, and how often each was taken."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self._inner = [0.0]

    def watch(self, owner: Any, name: str, step: str) -> None:
        """Replace `owner.name` by itself, timed."""
        call = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            self.calls[step] += 1
            started = time.thread_time()
            self._inner.append(0.0)
            try:
                return call(*args, **kwargs)
            finally:
                taken = time.thread_time() - started
                self.seconds[step] += taken - self._inner.pop()
                self._inner[-1] += taken

        setattr(owner, name, timed)


def timed(
    sides: list[tuple[Callable[..., None], tuple[Any, ...]]],
    patience_seconds: float = PATIENCE_SECONDS,
) -> tuple[float, Told]:
    """Start a process for each, let all go at once when they are ready; when that was, and what
    each told, for which there is `patience_seconds`."""
    # As the supervisor starts roles.
    os.environ.update({k: v for k, v in SINGLE_THREADED.items() if k not in os.environ})
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
        assert pipe.poll(patience_seconds), f"{name} did not end"
        told[name] = pipe.recv()
        process.join()
    return at, told


@dataclass(frozen=True)
class Given:
    """What the operators of an app with one topic and one view are to do: all until the tick
    `tick`, as groups and with checkpoints of round `number`. `app` is a module that has it as
    `app`, and `records(n)` of its topic. `pace` (0: as they come) is how many events pass in a
    second, as far as checkpoints and reports know."""

    app: str
    log_url: str
    store_url: str
    folder: str
    tick: int
    number: int = 0
    pace: float = 0.0


def intake(pipe: Connection, given: Given) -> None:
    from freshet.roles import plans
    from freshet.schemas.wire import blocks
    from freshet.streams.admission import admission
    from freshet.streams.intake import imputation, task
    from freshet.streams.intake.field_statistics import TopicStatistics

    app = import_module(given.app).app
    (topic,) = app.topics
    plan = plans.intake_plan(app, topic)
    warm(given.app)
    watch = Steps()
    for name, step in (("decode", "decode"), ("timed", "validate"), ("joined", "keys")):
        watch.watch(task, name, step)
    watch.watch(admission.Admission, "judge", "deduplicate, judge lateness")
    watch.watch(task.kernels, "account", "ledger")
    watch.watch(task.IntakeTask, "_filter", "filter")
    watch.watch(imputation.Imputer, "fill", "impute")
    watch.watch(task.IntakeTask, "_settle", "ids and the rest of settling")
    watch.watch(task.IntakeTask, "_bury", "dead letters")
    watch.watch(TopicStatistics, "take", "statistics")
    watch.watch(task.IntakeTask, "_sketch", "sketches")
    watch.watch(task.IntakeTask, "_route", "columns of blocks")
    watch.watch(blocks, "encode_parts", "encode blocks")
    job = Job(
        "intake",
        [app.log_of(topic.name)],
        lambda _, partition: task.IntakeTask(plan, partition),
        group=f"{app.name}.intake.{given.number}",
        pace=ReplayPace(),
    )
    operate(pipe, app, job, given, watch)


def view(pipe: Connection, given: Given) -> None:
    from freshet.features.catalog import open_store
    from freshet.features.partition.rows import ViewRows
    from freshet.features.views import task
    from freshet.roles.operators import TRUSTED_SECONDS
    from freshet.schemas.wire import blocks

    app = import_module(given.app).app
    (only,) = app.views
    warm(given.app)
    store = open_store(given.store_url)
    watch = Steps()
    watch.watch(blocks, "decode", "decode blocks")
    watch.watch(ViewRows, "fold", "fold")
    watch.watch(task.ViewTask, "_fold", "columns of blocks")
    watch.watch(ViewRows, "hand_over", "rows to write")
    watch.watch(store, "write", "write to Redis")
    watch.watch(store, "generation", "ask Redis for its generation")
    stored_as = f"{app.stored_as(only)}:{given.number}"

    def made(_: str, partition: int) -> task.ViewTask:
        found = task.ViewTask(only, stored_as, partition, store)
        found.trusted_seconds = TRUSTED_SECONDS
        return found

    job = Job(
        "view",
        [app.clean_log_of(only)],
        made,
        group=f"{app.name}.view.{given.number}",
    )
    operate(pipe, app, job, given, watch)


def archive(pipe: Connection, given: Given) -> None:
    """The topic as it was before it starts, and of the app's own logs what there is by then."""
    from freshet.roles import plans
    from freshet.streams.archive import compaction, events, records, task
    from freshet.streams.archive.folder import ArchiveFolder

    app = import_module(given.app).app
    (topic,) = app.topics
    kept = plans.archive_plans(app, [plans.intake_plan(app, topic)], with_own=True)
    source = app.log_of(topic.name)
    warm(given.app)
    watch = Steps()
    watch.watch(records, "columns_of", "columns of records")
    watch.watch(events, "columns_of", "columns of events")
    watch.watch(task.Draft, "add", "Parquet")
    watch.watch(ArchiveFolder, "write", "write files")
    watch.watch(compaction, "joined", "join files")
    folder = ArchiveFolder(os.path.join(given.folder, "archive"))
    stop = threading.Event()
    rhythm = task.Rhythm(ends=stop.is_set)

    def made(log: str, partition: int) -> task.ArchiveTask:
        bounds = spans.bounds(log)
        first, _ = bounds.spans[partition]
        return task.ArchiveTask(
            kept[log], task.Start(partition, first, bounds.identity), folder, rhythm
        )

    spans = open_log(given.log_url, f"spans{given.number}")
    goal = spans.bounds(source).spans[0][1]
    job = Job(
        "archive",
        list(kept),
        made,
        group=f"{app.name}.archive.{given.number}",
        headers=plans.headers(app, whole=True),
    )
    operate(pipe, app, job, given, watch, lambda operator: _has_read(operator, source, goal), stop)


def _has_read(operator: Operator, source: str, goal: int) -> bool:
    is_assigned = (source, 0) in operator._assigned
    return is_assigned and operator._reader.position(source, 0) >= goal


def operate(
    pipe: Connection,
    app: App,
    job: Job,
    given: Given,
    watch: Steps,
    done: Callable[[Operator], bool] | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Do it once the pipe says so, until it is `done` (its tasks have the tick), and tell it to
    `stop` then; tell its CPU by step, and how large it grew."""
    log = open_log(given.log_url, f"{job.role}{given.number}")
    if done is None:
        done = partial(_has_ticked, given.tick)
    watch.watch(Operator, "checkpoint", "checkpoint")
    watch.watch(Checkpoints, "_prune", "base")  # which follows the writing of each
    watch.watch(Operator, "_report", "report")
    # As a role does once it has worked.
    leave_alone()
    pipe.send("ready")
    pipe.recv()
    cpu = time.process_time()
    own = time.thread_time()
    passed = [0]
    rhythm = Rhythm()
    if given.pace:
        # Else a view, whose records are blocks of many events, would take millions in one turn.
        most = rhythm.max_records if job.role == "intake" else 1
        rhythm = Rhythm(wall=lambda: passed[0] / given.pace, max_records=most)
    place = Place(log, app.channels, given.folder, lambda: given.tick)
    operator = Operator(job, place, rhythm=rhythm)
    watch.watch(operator._reader, "poll", "read")
    watch.watch(operator._writer, "append", "append")
    watch.watch(operator._writer, "flush", "flush")
    while not done(operator):
        operator.step(0.5)
        if given.pace:
            passed[0] = _events(operator)
    if stop is not None:
        stop.set()
    operator.checkpoint()
    ended = time.monotonic()
    cpu = time.process_time() - cpu
    own = time.thread_time() - own
    steps = {
        **watch.seconds,
        "other": own - sum(watch.seconds.values()),
        "client's threads": cpu - own,
    }
    size = {"bases": watch.calls["base"], "peak_bytes": _peak_bytes()}
    pipe.send({"cpu": cpu, "ended": ended, "steps": steps, **size})
    operator.close()


def _has_ticked(tick: int, operator: Operator) -> bool:
    return bool(operator.finished()) and min(operator.finished()) >= tick


def _events(operator: Operator) -> int:
    """How many it has taken: of a view by its task, whose records are blocks of many."""
    if operator.role == "intake":
        return operator._records
    return sum(task.facts()["events"] for task in operator.tasks())


def warm(app_module: str) -> None:
    """Compile, or load, every kernel of both roles on a batch of their own."""
    from freshet.features.views.task import ViewTask
    from freshet.roles import plans
    from freshet.streams.intake.task import IntakeTask

    module = import_module(app_module)
    (topic,) = module.app.topics
    (only,) = module.app.views
    found = list(islice(module.records(2_000), 2_000))
    out = IntakeTask(plans.intake_plan(module.app, topic), 0).apply(
        batch_of([value for value, _ in found], found[-1][1])
    )
    task = ViewTask(only, "warm", 0, MemoryStore())
    clean = [value for a in out.appends if ".clean." in a.topic for value in a.values]
    task.apply(batch_of(clean, 1))
    task.write()
    task.dump(True)


def _peak_bytes() -> int:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def batch_of(values: list[bytes], time_ms: int) -> Batch:
    edges = np.cumsum([0, *map(len, values)])
    data, n = np.frombuffer(bytearray(b"".join(values)), np.uint8), len(values)
    return Batch("warm", 0, data, edges[:-1], edges[1:], np.arange(n), np.full(n, time_ms))


def by_step(told: Told, events: int) -> dict[str, float]:
    """µs an event, of each step of each role."""
    return {
        f"{role} {step}": round(1e6 * seconds / events, 3)
        for role, facts in told.items()
        for step, seconds in facts["steps"].items()
    }
