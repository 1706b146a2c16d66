"""From an app's declarations to what its operators do: the one place where rooms are put
together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from freshet.app import App
from freshet.features.reading.vectors import VectorPlan
from freshet.features.views.view import View
from freshet.hydration.past_columns import ColumnsOfLineage
from freshet.learners.contract import Learner, LearnerSpec
from freshet.learners.holding.watch import Watching
from freshet.learners.model import Model
from freshet.learners.snapshots import files as snapshots
from freshet.learners.snapshots.golden import attested
from freshet.learners.snapshots.signing import Signer
from freshet.learners.started import Started
from freshet.learners.training.task import (
    Moment,
    TrainPlan,
    TrainTask,
)
from freshet.runs.archived import kinds
from freshet.schemas.durations import milliseconds
from freshet.schemas.errors import DefinitionError, LogError
from freshet.schemas.events.decode import EventCodec
from freshet.schemas.events.masks import Masked
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.models.vectors import VectorSchema
from freshet.schemas.topics.topic import FieldRef, Freshness, Topic
from freshet.schemas.wire.blocks import SENT_AGAIN
from freshet.streams.archive import layout
from freshet.streams.archive.task import ArchivePlan
from freshet.streams.disk import until_there_is_room
from freshet.streams.intake.starts import settle
from freshet.streams.intake.task import (
    CleanRoute,
    IntakePlan,
    IntakeTask,
)
from freshet.streams.join.task import JoinPlan
from freshet.streams.labels.routes import LabelRoute
from freshet.streams.log.contract import WHOLE, Log, TopicPartition
from freshet.streams.objects import is_remote
from freshet.streams.operators import checkpoints
from freshet.streams.operators.task import Task
from freshet.streams.outages import Outages
from freshet.streams.registry.writers import Writers
from freshet.streams.repartition.intake import MovedIntakeTask
from freshet.streams.repartition.task import (
    RepartitionPlan,
    RepartitionTask,
)

if TYPE_CHECKING:
    import polars as pl


def ensure_topics(app: App, log: Log, elsewhere: Collection[str] = frozenset()) -> None:
    """Create every topic that the app reads or writes, but those of others; those that are
    `elsewhere` are not asked for. Raises `LogError` if one exists with other partitions; a source
    may have got more, which are taken in like the others; and if one of others is not there."""
    sources = {app.log_of(t.name) for t in app.topics}
    theirs = {topic.log: topic for topic in of_others(app, log)}
    for name, partitions in topics(app).items():
        if name in elsewhere:
            continue
        if name in theirs:
            _require(theirs[name], log)
            continue
        try:
            log.ensure(name, partitions)
        except LogError:
            if name not in sources or len(log.bounds(name).spans) <= partitions:
                raise


def of_others(app: App, log: Log) -> list[Topic]:
    """The topics whose logs others have made and write."""
    return [topic for topic in app.topics if topic.log is not None and log.is_shared]


def _require(topic: Topic, log: Log) -> None:
    assert topic.log is not None
    found = len(log.bounds(topic.log).spans)
    if found < topic.partitions:
        raise LogError(
            f"topic {topic.log}",
            f"has fewer partitions ({found}) than topic {topic.name} declares ({topic.partitions})",
            f"Declare partitions={found}, or fewer: all that it has are read.",
            topic=topic.log,
        )


def starts(
    app: App, log: Log, url: str, now_ms: Callable[[], int]
) -> Callable[[str], Mapping[int, int]]:
    """Where the partitions of a source begin of which nothing is known under `url`; decided as of
    now where nobody has. See `freshet.streams.intake.starts.settle` for what it raises."""
    sources = {app.log_of(topic.name): topic for topic in app.topics}

    # Once: what was decided stays, and partitions that are added begin at their first record.
    @cache
    def of(source: str) -> Mapping[int, int]:
        # A log of the app's own begins at its first record.
        if source not in sources:
            return {}
        found = settle(url, log, sources[source], source, now_ms())
        if found is None:
            return {}
        return found.offsets

    return of


def refuse_writing(app: App, log: Log) -> None:
    """Raises `DefinitionError` where a replay would write what is others'."""
    for topic in of_others(app, log):
        raise DefinitionError(
            f"topic {topic.name}",
            f"is read from {topic.log}, which others write, and a replay writes its events",
            "Replay on the embedded log: leave FRESHET_LOG and log out.",
        )


def topics(app: App) -> Mapping[str, int]:
    """All topics of the app with their partition counts."""
    found = {app.log_of(t.name): t.partitions for t in app.topics}
    found |= {app.by_id_log_of(t): t.partitions for t in app.topics if t.by_id}
    found |= {app.fates_log_of(t): 1 for t in app.topics}
    found |= {app.clean_log_of(v): v.partitions for v in app.views}
    for m in app.models:
        found |= {app.outcomes_log_of(m): 1, app.examples_log_of(m): 1}
    own = (app.dead_log, app.redriven_log, app.control_log, app.reports_log, app.statistics_log)
    return found | dict.fromkeys(own, 1)


def declared(app: App, snapshot_every: str = "") -> dict[str, Freshness]:
    """The freshness of every topic as declared; `snapshot_every` overrides all."""
    over = {"snapshot_every": snapshot_every} if snapshot_every else {}
    return {t.name: replace(t.freshness, **over) for t in app.topics}


def shortest_batch_wait(current: Mapping[str, Freshness]) -> float:
    """In seconds."""
    return min((f.ms("batch_wait") for f in current.values()), default=0) / 1000


def clean_route(log: str, view: View, topic: Topic) -> CleanRoute:
    """What a view takes of the events of one of its topics."""
    conditions: dict[str, pl.Expr] = {}
    masked = []
    plain = []
    for own in view.inputs_of(topic):
        if own.where is None and own.field is not None:
            plain.append(own.field)
            continue
        which = -1
        if own.where is not None and own.where.expression is not None:
            # By text: expressions are not compared.
            conditions.setdefault(own.where.text, own.where.expression)
            which = list(conditions).index(own.where.text)
        masked.append(Masked(own.name, own.field, which))
    return CleanRoute(
        log,
        view.partitions,
        view.keys,
        tuple(plain),
        tuple(conditions.values()),
        tuple(masked),
    )


def intake_plan(
    app: App,
    topic: Topic,
    earlier: Mapping[int, EventSchema] | None = None,
    writers: Writers | None = None,
) -> IntakePlan:
    """`earlier` are schemas that the topic had under other wire ids; `writers` those that a
    registry is asked for, where its records' ids are a registry's."""
    clean = tuple(
        clean_route(app.clean_log_of(view), view, topic)
        for view in app.views
        if view.is_over(topic.name)
    )
    labels = tuple(
        LabelRoute(
            app.outcomes_log_of(m),
            1,
            m.label.id,
            m.label.value,
            m.name,
            m.task,
        )
        for m in app.models
        if m.label.topic.name == topic.name
    )
    statistics = None
    if topic.statistics is not None:
        statistics = app.statistics_log
    return IntakePlan(
        app.log_of(topic.name),
        topic,
        EventCodec(topic.records, {**topic.written, **(earlier or {})}),
        clean,
        labels,
        app.dead_log,
        writers,
        statistics,
        app.fates_log_of(topic),
    )


def repartition_plan(app: App, intake: IntakePlan) -> RepartitionPlan:
    """Of a topic whose records are brought together by their ids."""
    topic = intake.topic
    return RepartitionPlan(
        intake,
        app.by_id_log_of(topic),
        topic.partitions,
    )


def reader(
    app: App, plan: IntakePlan, starts: Callable[[str], Mapping[int, int]]
) -> Callable[[str, int], Task]:
    """Makes the tasks that read a topic's own log: intake, or what comes before it."""

    def make(source: str, partition: int) -> Task:
        start = starts(source).get(partition)
        if plan.topic.by_id:
            return RepartitionTask(
                repartition_plan(app, plan),
                partition,
                start,
            )
        return IntakeTask(plan, partition, start)

    return make


def redrive_plans(
    app: App, earlier: Callable[[Topic], Mapping[int, EventSchema]]
) -> list[IntakePlan]:
    """What is done with dead letters that are sent again, topic by topic; `earlier` are the
    schemas that its records bear beside its own."""
    return [redrive_plan(intake_plan(app, topic, earlier(topic))) for topic in app.topics]


def redrive_plan(intake: IntakePlan) -> IntakePlan:
    """What is done with letters of a topic, where this is done with its records."""
    origin = SENT_AGAIN + intake.topic.name
    return replace(
        intake,
        writers=None,
        statistics=None,
        fates=None,
        origin=origin,
    )


def moved_intake(plan: IntakePlan, partition: int) -> MovedIntakeTask:
    """Intake of a partition of the log that records were brought together in."""
    return MovedIntakeTask(plan, partition, plan.topic.partitions)


def archive_plans(
    app: App, sources: Sequence[IntakePlan], with_own: bool
) -> dict[str, ArchivePlan]:
    """What is archived, by log: topics as they come, and the app's own logs, but for those that are
    made again of the others (clean events, records by id) unless they are shortened, and for
    reports, which are not missed."""
    found = {
        plan.source: ArchivePlan(app.name, layout.SOURCE, plan.source, plan) for plan in sources
    }
    if not with_own:
        return found
    for log, kind in kinds(app).items():
        if kind != layout.SOURCE:
            # Messages are JSON; every other log of the app's own has blocks of rows.
            found[log] = ArchivePlan(
                app.name,
                kind,
                log,
                blocks=kind != layout.CONTROL,
            )
    return found


def headers(app: App, whole: bool = False) -> Mapping[str, Sequence[str]]:
    """The headers that are read of records, by log; of `whole` ones all."""
    every = [WHOLE] if whole else []
    found = {app.log_of(t.name): [*every, *t.headers.values()] for t in app.topics}
    return {log: names for log, names in found.items() if names}


def views_by_log(app: App) -> Mapping[str, View]:
    return {app.clean_log_of(v): v for v in app.views}


def stored_partitions(app: App) -> Mapping[str, int]:
    """How many partitions each view has, by its name in the store."""
    return {app.stored_as(v): v.partitions for v in app.views}


def join_plan(app: App, model: Model) -> JoinPlan:
    label = model.label
    return JoinPlan(
        model.name,
        app.examples_log_of(model),
        label.topic.freshness.ms("label_wait"),
        label.late == "correct",
        label.topic.name,
        model.task,
    )


def train_plan(model: Model, learner: LearnerSpec, snapshot_every: str = "") -> TrainPlan:
    freshness = model.label.topic.freshness
    return TrainPlan(
        model.name,
        model.lineage(learner),
        model.vectors_of(learner),
        f"outcomes.{model.name}",
        model.batch,
        tuple(model.slices),
        freshness.ms("label_wait"),
        milliseconds(snapshot_every) if snapshot_every else freshness.ms("snapshot_every"),
        getattr(learner, "servable", True),
        model.label.topic.name,
        _with_slices(model, model.vectors_of(learner)),
        learner.start if isinstance(learner, Started) else None,
        model.on.source or "",
        watching=Watching(
            tuple(model.hold),
            freshness.ms("model_slo"),
            model.missing_inputs,
        ),
    )


def _with_slices(model: Model, own: VectorSchema) -> VectorSchema:
    """A learner's vectors, and behind their categories those that quality is told apart by."""
    more = tuple(name for name in model.slices if name not in own.categories)
    meanings = list(own.meanings)
    at = len(own.categories)
    meanings[at:at] = map(model.meanings.digest, more)
    return replace(
        own,
        categories=(*own.categories, *more),
        meanings=tuple(meanings),
    )


def begins_at(learner: LearnerSpec) -> Callable[[str], Mapping[int, int]]:
    """Where a lineage without a checkpoint begins to read: of one that was started later, that is
    said."""
    offsets: Mapping[int, int] = {}
    if isinstance(learner, Started):
        offsets = {0: learner.start.offset}
    return lambda log: offsets


class Shelf(NamedTuple):
    """Where snapshots go, the key that signs them, who is told while the disk is full, and how many
    bytes of a trainer's earlier checkpoints are kept."""

    place: str
    key: Signer
    outages: Outages
    earlier_bytes: int = 32 << 20

    @property
    def told(self) -> str:
        """The folder that has no room, for a person."""
        if is_remote(self.place):
            return self.place
        return str(Path(self.place).parent.absolute())


def trainer(
    app: App,
    model: Model,
    spec: LearnerSpec,
    shelf: Shelf,
    snapshot_every: str = "",
    url: str = "",
) -> Callable[[str, int], TrainTask]:
    """Makes the task of a lineage, whose snapshots go onto `shelf`; what its columns were before
    anybody read them lies below `url` (empty: nowhere)."""
    plan = train_plan(model, spec, snapshot_every)
    past = ColumnsOfLineage(url, model, plan.vectors) if url else None
    plan = replace(plan, earlier_bytes=shelf.earlier_bytes)

    def save(learner: Learner, at: Moment) -> str | None:
        if not plan.durable:
            return None
        facts = snapshots.Facts(
            app.name,
            model.name,
            plan.lineage,
            at.number,
            plan.vectors,
            at.tick,
            at.examples,
            at.position,
        )
        export = attested(learner, plan.vectors)
        # Written again from its start: a snapshot is not there before its manifest.
        write = partial(
            snapshots.write,
            shelf.place,
            facts,
            export,
            shelf.key,
        )
        written = until_there_is_room(
            write,
            shelf.outages,
            shelf.told,
        )
        return written.digest

    return lambda _, partition: TrainTask(
        plan,
        spec.make(plan.vectors),
        save,
        partition,
        past,
    )


def vector_plan(app: App, model: Model, incomplete: Mapping[str, int] | None = None) -> VectorPlan:
    """`incomplete` says until when features of views are missing, as `VectorPlan` has it."""
    views = app.views_of(model)
    fields = [feature for feature in model.read if isinstance(feature, FieldRef)]
    plan = VectorPlan(
        model.vectors,
        [*fields, *model.view_features],
        views,
        [app.stored_as(v) for v in views],
        model.on,
        model.computed,
    )
    plan.incomplete = incomplete or {}
    return plan


def task_inputs(app: App) -> Mapping[str, TopicPartition]:
    """What each task of the app reads, by the name that its checkpoints have."""
    found = {
        f"intake:{t.name}:{p}": (app.settled_log_of(t), p)
        for t in app.topics
        for p in range(t.partitions)
    }
    found |= {
        f"repartition:{t.name}:{p}": (app.log_of(t.name), p)
        for t in app.topics
        for p in range(t.partitions)
        if t.by_id
    }
    found |= {
        f"view:{v.name}:{p}": (app.clean_log_of(v), p)
        for v in app.views
        for p in range(v.partitions)
    }
    found[f"redrive:{app.name}:0"] = app.redriven_log, 0
    for m in app.models:
        found[f"join:{m.name}:0"] = app.outcomes_log_of(m), 0
        found |= {
            f"train:{m.name}.{m.lineage(x)}:0": (app.examples_log_of(m), 0) for x in m.learners
        }
    return found


def kept_as(app: App, task: str) -> str:
    """Under which name a task keeps its checkpoints: with the digest of what it is made of. That of
    a trainer is in its lineage's name."""
    kind, name, _ = task.split(":")
    of_topics = {topic.name: topic.digest for topic in app.topics}
    digests = {
        "repartition": of_topics,
        "intake": of_topics,
        "view": {view.name: view.digest for view in app.views},
        "join": {model.name: model.digest for model in app.models},
    }
    digest = digests.get(kind, {}).get(name)
    if digest is None:
        return task
    return checkpoints.kept_as(task, digest)


def task_names(app: App) -> set[str]:
    """Every task whose progress a replay waits for."""
    names = {f"view:{v.name}:{p}" for v in app.views for p in range(v.partitions)}
    for m in app.models:
        names.add(f"join:{m.name}:0")
        names |= {f"train:{m.name}.{m.lineage(spec)}:0" for spec in m.learners}
    return names
