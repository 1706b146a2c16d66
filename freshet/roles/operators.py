"""The roles that are operators of a log: intake, dedup, view, join, train, archive."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial

import structlog

from freshet.features.cold.memory import RowMemory
from freshet.features.views.task import ViewTask
from freshet.hydration.hydrator import past_of
from freshet.learners.snapshots.signing import Signer
from freshet.learners.started import Started
from freshet.learners.training.task import TrainTask
from freshet.roles import plans
from freshet.roles.context import Context, earlier_schemas, pace_of
from freshet.roles.names import archives, topics_of, trained_by
from freshet.runs.archived import AppClock, kept_ms, shortened, stored_archive
from freshet.runs.clusters import routed
from freshet.runs.retention_watch import RetentionWatch
from freshet.schemas.errors import ComponentError, DefinitionError
from freshet.schemas.topics.readers import ARCHIVE, INTAKE
from freshet.schemas.topics.topic import Topic
from freshet.streams.archive.folder import ArchiveFolder
from freshet.streams.archive.task import FILE_BYTES, HELD_BYTES, ArchiveTask, Rhythm, Start
from freshet.streams.archive.trimming import Trimmer
from freshet.streams.aside import NICE
from freshet.streams.catalog import open_log
from freshet.streams.clock import WallClock
from freshet.streams.control.channels import Follower
from freshet.streams.intake.task import IntakePlan
from freshet.streams.join.task import JoinTask
from freshet.streams.log.contract import Log
from freshet.streams.operators.loop import Steering
from freshet.streams.operators.task import Task
from freshet.streams.redrive.task import RedriveTask
from freshet.streams.registry.asking import Asking
from freshet.streams.registry.writers import Writers

logger = structlog.get_logger()
SHORTEN_SECONDS = 30.0
# What comes meanwhile is archived together: each record by itself would cost as much as ten.
GATHER_SECONDS = 0.5
# For how long a view takes its store for the one that it was: no longer than until a tick comes.
TRUSTED_SECONDS = 1.0


def intake(ctx: Context) -> None:
    """Source topics to clean logs, labels and dead letters; see `intakes` for which. Of those that
    `dedup` settles, to where their ids meet."""
    starts = plans.starts(ctx.app, ctx.log, ctx.settings.checkpoints_url, WallClock().now_ms)
    topics = [topic for topic in topics_of(ctx.app, ctx.name) if ctx.part.takes(topic)]
    with planned(ctx, topics) as found:
        makers = {plan.source: plans.reader(ctx.app, _feeding(ctx, plan), starts) for plan in found}
        # On the app's own log, which the first of them reads: of the version that is active.
        if ctx.name == INTAKE and not ctx.part.staged:
            makers[ctx.app.redriven_log] = partial(_redrive, ctx)
        operator = ctx.operator(
            list(makers),
            lambda source, partition: makers[source](source, partition),
            Steering(_held(ctx), gather_seconds=plans.shortest_batch_wait),
            pace_of(ctx),
            starts,
        )
        operator.run(ctx.stop)


def _held(ctx: Context) -> Callable[[], bool]:
    """What is built beside the version that is served is in nobody's way."""
    if not ctx.part.staged:
        return lambda: False
    late = ctx.late()
    return lambda: bool(late())


def _redrive(ctx: Context, log: str, partition: int) -> Task:
    found = plans.redrive_plans(ctx.app, partial(earlier_schemas, ctx))
    return RedriveTask(ctx.app.name, [_feeding(ctx, plan) for plan in found])


def _feeding(ctx: Context, plan: IntakePlan) -> IntakePlan:
    """With what intake fills for other versions of the app."""
    return ctx.part.feeding(ctx.settings.local_path, plan)


def dedup(ctx: Context) -> None:
    """Records that were brought together by their ids, to clean logs, labels and dead letters."""
    topics = [topic for topic in ctx.app.topics if topic.by_id and ctx.part.takes(topic)]
    with planned(ctx, topics) as found:
        by_log = {ctx.app.by_id_log_of(plan.topic): _feeding(ctx, plan) for plan in found}
        # Without a pace: it hears of time from its log, and waits for no fuller batch once more.
        operator = ctx.operator(
            list(by_log), lambda log, partition: plans.moved_intake(by_log[log], partition)
        )
        operator.run(ctx.stop)


@contextmanager
def planned(ctx: Context, topics: Sequence[Topic]) -> Iterator[list[IntakePlan]]:
    """What intake does with some topics."""
    asking = _asking_of(ctx)
    try:
        found = []
        for topic in topics:
            writers = _writers_of(ctx, topic, asking)
            earlier = earlier_schemas(ctx, topic)
            found.append(plans.intake_plan(ctx.app, topic, earlier, writers))
        yield found
    finally:
        if asking is not None:
            asking.close()


def _asking_of(ctx: Context) -> Asking | None:
    """What intake asks the registry by, if any of its topics needs one."""
    address = ctx.settings.registry_address
    if address is None or ctx.settings.replay:
        return None
    if all(topic.registry is None for topic in ctx.app.topics):
        return None
    return Asking(address)


def _writers_of(ctx: Context, topic: Topic, asking: Asking | None) -> Writers | None:
    """The schemas that a topic's records were written by; None where they are all declared."""
    if topic.registry is None or asking is None:
        return None
    return Writers(
        topic,
        ctx.app.log_of(topic.name),
        ctx.settings.checkpoints_url,
        asking,
        ctx.vitals.outages,
    )


def view(ctx: Context) -> None:
    """Clean logs to rows of the store."""
    views = {
        log: own for log, own in plans.views_by_log(ctx.app).items() if ctx.part.builds(own.name)
    }
    store = ctx.store()
    memory = RowMemory(ctx.settings.rows_path, ctx.settings.rows_memory)
    url = ctx.settings.checkpoints_url

    def task(topic: str, partition: int) -> ViewTask:
        bounds = ctx.log.bounds(topic)
        _, end = bounds.spans[partition]
        own = views[topic]
        stored_as = ctx.app.stored_as(own)
        made = ViewTask(own, stored_as, partition, store, end, memory)
        made.past = past_of(url, own, partition, bounds.identity, ctx.vitals.outages)
        made.trusted_seconds = TRUSTED_SECONDS
        return made

    ctx.operator(list(views), task, Steering(_held(ctx))).run(ctx.stop)


def join(ctx: Context) -> None:
    """Outcomes logs to examples logs."""
    models = {ctx.app.outcomes_log_of(m): plans.join_plan(ctx.app, m) for m in ctx.app.models}
    ctx.operator(list(models), lambda topic, p: JoinTask(models[topic], p)).run(ctx.stop)


def train(ctx: Context) -> bool:
    """One lineage; see `trained_by` for what its role is called. Whether it is to go on in another
    process."""
    model, spec = trained_by(ctx.app, ctx.name)
    key = Signer.load(
        ctx.settings.keys_dir / "trainer", source=ctx.settings.keys.get("trainer", "")
    )
    shelf = plans.Shelf(
        ctx.settings.snapshots_url,
        key,
        ctx.vitals.outages,
        ctx.settings.keep_checkpoints,
    )
    make = plans.trainer(
        ctx.app,
        model,
        spec,
        shelf,
        ctx.settings.snapshot_every,
        ctx.settings.checkpoints_url,
    )
    examples = ctx.app.examples_log_of(model)
    steering = Steering(held=lambda: not ctx.switches.current.learn.on)
    if isinstance(spec, Started):
        return _train_started(ctx, examples, make, spec)
    ctx.operator([examples], make, steering).run(ctx.stop)
    return False


def _train_started(
    ctx: Context, examples: str, make: Callable[[str, int], TrainTask], spec: Started
) -> bool:
    """A lineage that was started later has what processor time others leave, until it has caught
    up with them; whether it is to go on in another process then, since none gets back what it gave
    away of that."""
    is_nice = False
    has_caught_up = False

    def held() -> bool:
        nonlocal is_nice, has_caught_up
        tasks = [task for task in operator.tasks() if isinstance(task, TrainTask)]
        if not is_nice and any(not task.has_caught_up for task in tasks):
            os.nice(NICE)
            is_nice = True
        elif is_nice and tasks and all(task.has_caught_up for task in tasks):
            has_caught_up = True
            ctx.stop.set()
        return not ctx.switches.current.learn.on

    operator = ctx.operator([examples], make, Steering(held=held), starts=plans.begins_at(spec))
    operator.run(ctx.stop)
    return has_caught_up


def archive(ctx: Context) -> None:
    """Source topics, and what the app itself logs, to Parquet; see `archives` for which."""
    url = ctx.settings.archive_url
    if url is None:
        raise DefinitionError(
            f"role {ctx.name}",
            "has nowhere to keep the past: the setting archive is none",
            "Name a folder or a URL with --archive, or leave the role out.",
        )
    settled = plans.starts(ctx.app, ctx.log, ctx.settings.checkpoints_url, WallClock().now_ms)
    folder = ArchiveFolder(url, ctx.vitals.outages)
    with planned(ctx, archives(ctx.app)[ctx.name]) as found:
        kept = plans.archive_plans(ctx.app, found, ctx.name == ARCHIVE)
        sources = {plan.source for plan in found}
        partitions = sum(len(ctx.log.bounds(log).spans) for log in kept)
        file_bytes = min(FILE_BYTES, HELD_BYTES // max(1, partitions))
        rhythm = Rhythm(ends=ctx.stop.is_set, file_bytes=file_bytes)
        watch = RetentionWatch(ctx.settings.checkpoints_url)

        def starts(log: str) -> Mapping[int, int]:
            return settled(log) if log in sources else {}

        def task(log: str, partition: int) -> ArchiveTask:
            bounds = ctx.log.bounds(log)
            retained, _ = bounds.spans[partition]
            first = starts(log).get(partition, retained)
            start = Start(partition, first, bounds.identity)
            made = ArchiveTask(kept[log], start, folder, rhythm)
            made.retention = partial(watch.of, (log, partition))
            return made

        if ctx.name == ARCHIVE and kept_ms(ctx.app):
            ctx.thread(_shorten, ctx)
        theirs = {topic.log for topic in plans.of_others(ctx.app, ctx.log)} & sources
        if theirs:
            ctx.thread(_watch_retention, ctx, watch, sorted(filter(None, theirs)))
        steering = Steering(gather_seconds=lambda settings: GATHER_SECONDS)
        ctx.operator(list(kept), task, steering, starts=starts).run(ctx.stop)


def _watch_retention(ctx: Context, watch: RetentionWatch, topics: Sequence[str]) -> None:
    """Log and admin client of this thread's own, as below."""
    settings = ctx.settings
    outages = ctx.vitals.outages
    own = open_log(settings.log_url, outages=outages)
    instance = f"{ctx.app.name}.{ctx.lasting}.retention"
    with closing(routed(ctx.app, own, settings.clusters, instance, outages)) as log:
        watch.run(log, topics, ctx.stop)


def _shorten(ctx: Context) -> None:
    """Delete from the app's own logs what is archived and no longer to be kept, now and then. What
    hinders it is told, and hinders nothing else: the logs are longer then."""
    # One of this thread's own: logs are not thread-safe.
    with closing(open_log(ctx.settings.log_url, outages=ctx.vitals.outages)) as log:
        _shorten_by(ctx, log)


def _shorten_by(ctx: Context, log: Log) -> None:
    rules = shortened(ctx.app, log, plans.task_inputs(ctx.app), partial(plans.kept_as, ctx.app))
    archive = stored_archive(ctx.app, ctx.settings)
    assert archive is not None
    clock = AppClock(pace_of(ctx), Follower(log, ctx.app.control_log))
    trimmer = Trimmer(log, archive, ctx.settings.checkpoints_url, clock.now_ms)
    while not ctx.stop.wait(SHORTEN_SECONDS):
        for rule in rules:
            try:
                trimmer.trim(rule)
            except ComponentError as error:
                logger.warning("log is not shortened", topic=rule.topic, error=str(error))
