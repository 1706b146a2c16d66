"""The roles: what each process of an app does, from start to a clean stop. Rooms are put together here and in `plans.py`."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from freshet.app import App, load
from freshet.features.stores.catalog import late_store
from freshet.features.stores.contract import Store
from freshet.features.views.task import ViewTask
from freshet.learners.contract import LearnerSpec
from freshet.learners.model import Model
from freshet.roles import plans, preflight
from freshet.runs import logs
from freshet.runs import record as run_record
from freshet.schemas.errors import DefinitionError, FreshetError
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.topics.topic import Freshness, Topic
from freshet.schemas.wire import messages
from freshet.settings import Settings
from freshet.streams.catalog import open_log
from freshet.streams.clock import ManualClock, WallClock
from freshet.streams.control.channels import Follower, send
from freshet.streams.control.switches import SwitchBoard
from freshet.streams.intake import known_schemas
from freshet.streams.intake.task import IntakeTask
from freshet.streams.join.task import JoinTask
from freshet.streams.log.contract import Log
from freshet.streams.operators.loop import Operator, Orders
from freshet.streams.operators.task import Task
from freshet.streams.outages import Outages
from freshet.streams.vitals import metrics
from freshet.streams.vitals.heartbeat import Heartbeat
from freshet.streams.vitals.metrics_server import MetricsServer
from freshet.streams.vitals.vitals import Vitals

log = structlog.get_logger()


@dataclass(frozen=True)
class Context:
    """What every role is given. `name` is the role's lasting name, such as `train.late.river-1a2b3c4d`; members of one role
    are told apart by `member`. `vitals` is what it says of itself, `switches` what operators switched off."""

    app: App
    settings: Settings
    name: str
    log: Log
    stop: threading.Event
    vitals: Vitals
    switches: SwitchBoard
    member: str = ""

    def store(self) -> Store:
        """Also while it is away: this role may have been started again in the middle of its outage."""
        return late_store(self.settings.store)

    @property
    def lasting(self) -> str:
        """The name of this member, over all its starts."""
        return f"{self.name}.{self.member}".rstrip(".")

    def metrics(self) -> bytes:
        """This process's metrics, also while its loop waits."""
        return metrics.exposition(self.app.name, self.vitals.status())

    def operator(
        self,
        topics: Sequence[str],
        make: Callable[[str, int], Task],
        held: Callable[[], bool] = lambda: False,
        gather_seconds: Callable[[Mapping[str, Freshness]], float] = lambda current: 0.0,
    ) -> Operator:
        app = self.app
        declared = plans.declared(app, self.settings.snapshot_every)
        return Operator(
            self.vitals.role,
            self.log,
            topics,
            make,
            self.settings.checkpoints_url,
            app.channels,
            WallClock().now_ms,
            group=f"{app.name}.{self.name}",
            vitals=self.vitals,
            orders=Orders(declared, held, gather_seconds, app.origin_of, app.dead_log),
        )


def intake(ctx: Context) -> None:
    """Source topics to clean logs, labels and dead letters."""
    tasks = {ctx.app.log_of(t.name): plans.intake_plan(ctx.app, t, _earlier(ctx, t)) for t in ctx.app.topics}
    ctx.operator(
        list(tasks), lambda topic, p: IntakeTask(tasks[topic], p), gather_seconds=plans.shortest_batch_wait
    ).run(ctx.stop)


def _earlier(ctx: Context, topic: Topic) -> dict[int, EventSchema]:
    return known_schemas.earlier(ctx.settings.checkpoints_url, ctx.app.log_of(topic.name), topic.events)


def view(ctx: Context) -> None:
    """Clean logs to rows of the store."""
    views, store = plans.views_by_log(ctx.app), ctx.store()
    ctx.operator(list(views), lambda topic, p: ViewTask(views[topic], ctx.app.stored_as(views[topic]), p, store)).run(
        ctx.stop
    )


def join(ctx: Context) -> None:
    """Outcomes logs to examples logs."""
    models = {ctx.app.outcomes_log_of(m): plans.join_plan(ctx.app, m) for m in ctx.app.models}
    ctx.operator(list(models), lambda topic, p: JoinTask(models[topic], p)).run(ctx.stop)


def train(ctx: Context) -> None:
    """One lineage; see `trained_by` for what its role is called."""
    from freshet.learners.snapshots.signing import Signer

    model, spec = trained_by(ctx.app, ctx.name)
    key = Signer.load(ctx.settings.keys_dir / "trainer")
    make = plans.trainer(ctx.app, model, spec, ctx.settings.snapshots_dir, key, ctx.settings.snapshot_every)
    ctx.operator([ctx.app.examples_log_of(model)], make, held=lambda: not ctx.switches.current.learn.on).run(ctx.stop)


def release(ctx: Context) -> None:
    """Judges snapshots and moves aliases."""
    from freshet.learners.snapshots.signing import Signer, Verifier
    from freshet.serving.release.release import Release

    writer = ctx.log.writer()

    def tell(told: Sequence[messages.Message]) -> None:
        send(writer, ctx.app.channels, told, WallClock().now_ms())

    trainer, qualifier = (
        Verifier.load(ctx.settings.keys_dir / "trainer"),
        Signer.load(ctx.settings.keys_dir / "qualifier"),
    )
    desks = [
        Release(m, trainer, qualifier, tell, ctx.settings.keep_snapshots, patient=ctx.settings.replay)
        for m in ctx.app.models
    ]
    follower = Follower(ctx.log, ctx.app.control_log)
    told_at = time.monotonic()
    said_before = ctx.log.bounds(ctx.app.control_log).spans[0][1]
    while not ctx.stop.is_set():
        found = follower.poll(0.2)
        held = not ctx.switches.current.release.on
        for desk in desks:
            for m in found:
                desk.note(m)
            if follower.position >= said_before and not held:  # what was decided before a restart is known first
                desk.act()
        if time.monotonic() - told_at >= 1.0:
            told_at = time.monotonic()
            tell([ctx.vitals.status({"held": held})])
    follower.close()
    writer.close()


def serve(ctx: Context) -> None:
    """Answers requests; see `serving/`."""
    from freshet.roles.serve import run

    run(ctx)


def control(ctx: Context) -> None:
    """Gathers the status, serves its page, and, when live, ticks every source partition once a second."""
    from freshet.roles.control import run

    run(ctx)


ROLES: dict[str, Callable[[Context], None]] = {
    "intake": intake,
    "view": view,
    "join": join,
    "train": train,
    "release": release,
    "serve": serve,
    "control": control,
}


def trained_by(app: App, name: str) -> tuple[Model, LearnerSpec]:
    """The model and learner of a trainer's name: `train.<model>.<lineage>`, or `train.<model>.<learner>`.

    Raises:
        DefinitionError: the app has no such trainer.
    """
    for m in app.models:
        for x in m.learners:
            if name in (f"train.{m.name}.{m.lineage(x)}", f"train.{m.name}.{x.name}"):
                return m, x
    known = ", ".join(f"train.{m.name}.{x.name}" for m in app.models for x in m.learners)
    raise DefinitionError(f"role {name!r}", f"app {app.name} trains no such lineage", f"Its trainers are {known}.")


SIGNERS = {"train": "trainer", "release": "qualifier"}


def role_names(app: App) -> list[str]:
    """Every process of an app: one of each role, and one trainer per lineage."""
    trainers = [f"train.{m.name}.{m.lineage(x)}" for m in app.models for x in m.learners]
    models = ["join", *trainers, "release", "serve"] if app.models else []
    return ["intake", "view", *models, "control"]


def run_role(app_path: str, name: str, given: Settings, member: str = "") -> None:
    """Run a role in this process until SIGTERM or SIGINT; the target of the supervisor's processes. Members of one role
    share its group, and are told apart by `member`.

    A foreseen error ends the process with status 3, any other with 1, after it was logged: whoever supervises starts
    it again.
    """
    stop = threading.Event()
    for s in (signal.SIGTERM, signal.SIGINT):
        signal.signal(s, lambda *_: stop.set())
    role, lasting = name.split(".", 1)[0], f"{name}.{member}".rstrip(".")
    logs.configure(lasting, given.run_dir / "logs")
    if role not in ROLES:
        raise DefinitionError(f"role {name!r}", "is unknown", f"Use one of {', '.join(ROLES)}.")
    try:
        app = load(app_path)
        vitals = Vitals(role, f"{lasting}/{uuid.uuid4().hex[:8]}", Outages())
        opened = open_log(given.log_url, f"{app.name}.{lasting}", vitals.outages)
        make_keys(role, given)
        if not (given.run_dir / run_record.FILE).exists():
            run_record.write(app.name, app_path, given)
        preflight.check(app, opened, given)
        log.info("role starts", pid=os.getpid())
        ctx = Context(app, given, name, opened, stop, vitals, SwitchBoard(given.run_dir), member)
        with _measured(ctx):
            ROLES[role](ctx)
        opened.close()
        log.info("role ends")
    except FreshetError as error:
        log.error("role fails", error=str(error), exc_info=True)
        raise SystemExit(3) from error
    except Exception as error:
        log.error("role fails by a fault of ours", error=str(error), exc_info=True)
        raise SystemExit(1) from error


@contextmanager
def _measured(ctx: Context) -> Iterator[None]:
    """Serve the metrics of a role that has no HTTP server of its own, and speak for its loop while that is busy."""
    if ctx.vitals.role in ("serve", "control"):
        yield
        return
    with MetricsServer(ctx.settings.host, ctx.settings.metrics_port, ctx.metrics) as server:
        ctx.vitals.metrics = server.address
        with Heartbeat(ctx.log, ctx.app.channels, ctx.vitals):
            yield


def make_keys(role: str, given: Settings) -> None:
    """A role that signs makes its key pair the first time it runs."""
    from freshet.learners.snapshots.signing import create_key

    if role in SIGNERS:
        create_key(given.keys_dir / SIGNERS[role])


def clock_of(ctx: Context) -> ManualClock | WallClock:
    return ManualClock() if ctx.settings.replay else WallClock()
