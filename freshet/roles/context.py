"""What every role is given, and what it makes of it: its store, its operator, its clock, its
metrics."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import structlog

from freshet.app import App
from freshet.features.catalog import late_store
from freshet.features.stores.contract import Store
from freshet.roles import plans
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.topics.readers import ARCHIVE
from freshet.schemas.topics.topic import Topic
from freshet.settings import Settings
from freshet.streams.clock import ManualClock, WallClock
from freshet.streams.control.channels import Channels
from freshet.streams.control.switches import SwitchBoard
from freshet.streams.intake import known_schemas
from freshet.streams.log.contract import Log
from freshet.streams.operators.loop import (
    Job,
    Operator,
    Place,
    Steering,
    first_retained,
)
from freshet.streams.operators.task import Task
from freshet.streams.operators.ticks import (
    Pace,
    ReplayPace,
    Untimed,
    WallPace,
)
from freshet.streams.vitals import metrics
from freshet.streams.vitals.vitals import Vitals
from freshet.versions.lags import Lags, stored_views
from freshet.versions.part import WHOLE, Part, active_and_kept, is_active
from freshet.versions.record import StoredView, Versions

log = structlog.get_logger()


@dataclass(frozen=True)
class Context:
    """What every role is given. `name` is the role's lasting name, such as
    `train.late.river-1a2b3c4d`; members of one role are told apart by `member`. `vitals` is what it
    says of itself, `switches` what operators switched off. What it does beside another version of
    the app is its `part`."""

    app: App
    settings: Settings
    name: str
    log: Log
    stop: threading.Event
    vitals: Vitals
    switches: SwitchBoard
    member: str = ""
    part: Part = WHOLE
    faults: list[Exception] = field(default_factory=list)  # of the role's own threads

    def thread(self, work: Callable[..., None], *given: object) -> threading.Thread:
        """A thread of this role, started. What it does not foresee ends the role, so that it is
        started again: with one of its threads gone it would look alive, and do half of its work."""

        def run() -> None:
            try:
                work(*given)
            except Exception as error:
                # Before `stop` is set: whoever ends by that looks here for why.
                self.faults.append(error)
                log.error(
                    "a thread of the role fails; the role ends", thread=work.__name__, exc_info=True
                )
                self.stop.set()

        started = threading.Thread(target=run, name=work.__name__.strip("_"), daemon=True)
        started.start()
        return started

    def store(self) -> Store:
        """Also while it is away: this role may have been started again in the middle of its
        outage."""
        return late_store(self.settings.store)

    def late(self) -> Callable[[], str]:
        """Says which view that is served is near what its lag may be, for whoever works on the
        past; empty where none is. In a replay time waits for everybody."""
        if self.settings.replay:
            return str
        return self.lags(self._served()).late

    def lags(self, served: Mapping[str, StoredView]) -> Lags:
        """Of views by their names in the store."""
        declared = plans.declared(self.app)
        return Lags(self.store(), served, declared, self.log, self.app.control_log)

    def _served(self) -> Mapping[str, StoredView]:
        active, _ = active_and_kept(Versions(self.settings.local_path))
        if self.part.staged and active is not None:
            return active.views
        return stored_views(self.app)

    @property
    def lasting(self) -> str:
        """The name of this member, over all its starts."""
        return f"{self.name}.{self.member}".rstrip(".")

    @property
    def channels(self) -> Channels:
        """Where it talks. What a process of a version that is not active says of itself would be
        taken for what the active one's says."""
        own = self.app.channels
        if not self.part.staged:
            return own
        # A scorer goes on when its version is active; all others make room for others then.
        serves = self.vitals.role == "serve"
        if serves and is_active(self.settings.local_path, self.part.version):
            return own
        return own._replace(reports="")

    def metrics(self) -> bytes:
        """This process's metrics, also while its loop waits."""
        return metrics.exposition(self.app.name, self.vitals.status())

    @property
    def _group(self) -> str:
        # A group of its own: else each would wait for the other's partitions.
        return self.lasting if self.part.staged else self.name

    def operator(
        self,
        topics: Sequence[str],
        make_task: Callable[[str, int], Task],
        steering: Steering | None = None,
        pace: Pace | None = None,
        starts: Callable[[str], Mapping[int, int]] | None = None,
    ) -> Operator:
        app = self.app
        job = Job(
            self.vitals.role,
            topics,
            make_task,
            group=f"{app.name}.{self._group}",
            declared=plans.declared(app, self.settings.snapshot_every),
            origin_of=app.origin_of,
            dead=app.dead_log,
            pace=pace or Untimed(),
            kept_as=partial(plans.kept_as, app),
            headers=plans.headers(app, whole=self.vitals.role == ARCHIVE),
            starts=starts or first_retained,
        )
        place = Place(
            self.log,
            self.channels,
            self.settings.checkpoints_url,
            WallClock().now_ms,
            self.vitals,
        )
        return Operator(job, place, steering)


def clock_of(ctx: Context) -> ManualClock | WallClock:
    """The app's clock: a replay paces it by messages, live it is the wall."""
    if ctx.settings.replay:
        return ManualClock()
    clock = WallClock()
    ctx.vitals.clock_off_ms = lambda: clock.off_ms
    return clock


def pace_of(ctx: Context) -> Pace:
    """The same clock as intake tells it."""
    return ReplayPace() if ctx.settings.replay else WallPace(clock_of(ctx))


def earlier_schemas(ctx: Context, topic: Topic) -> dict[int, EventSchema]:
    """The schemas that records of the topic carry beside its own, by the id that they carry."""
    return known_schemas.earlier_of(ctx.settings.checkpoints_url, ctx.app.log_of(topic.name), topic)
