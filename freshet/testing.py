"""An app in one process, step by step: for tests of an app's own definitions, and of freshet's
promises.

The same operators, trainers, release and scorer as in a run, over any log (SQLite where none is
given) and any store, without HTTP or other processes. What it computes is what a run computes, bit
for bit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from freshet.app import App
from freshet.declared import definitions
from freshet.declared.exclusions import excluding
from freshet.declared.lineages import Lineages
from freshet.features.cold.memory import RowMemory
from freshet.features.stores.complete_store import reflected
from freshet.features.stores.contract import Store
from freshet.features.stores.memory_store import MemoryStore
from freshet.features.views.task import ViewTask
from freshet.features.views.view import View
from freshet.hydration import beginnings, past_columns
from freshet.hydration import record as hydrations
from freshet.hydration.hydrator import Hydrator, Rhythm, past_of
from freshet.learners.catalog import predictor
from freshet.learners.contract import Export, LearnerSpec
from freshet.learners.model import Model
from freshet.learners.snapshots import files as snapshots
from freshet.learners.snapshots.keys import create_key
from freshet.learners.snapshots.signing import Signer, Verifier
from freshet.rebuilding.filler import Filler
from freshet.rebuilding.works import work_of
from freshet.replay.replayer import Events, published
from freshet.roles import plans
from freshet.roles.names import intakes
from freshet.runs.clusters import routed
from freshet.runs.opened import OpenedRun
from freshet.schemas.errors import ComponentError, DefinitionError
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.models.manifest import made_for, why_not_for
from freshet.schemas.topics.readers import INTAKE
from freshet.schemas.topics.topic import Topic
from freshet.schemas.wire.messages import Inputs, Message, NewLineage, Settled, Tick
from freshet.serving.loading.live_model import LiveModel, asked_with
from freshet.serving.release.judge import Judge
from freshet.serving.release.release import Release
from freshet.serving.scoring.contract import Answer, Question
from freshet.serving.scoring.scorer import Logging, Policy, Scorer
from freshet.settings import settings
from freshet.streams.clock import ManualClock, WallClock
from freshet.streams.control.channels import Follower, send
from freshet.streams.control.orders import OrderBook, ordered
from freshet.streams.intake import known_schemas
from freshet.streams.intake.task import IntakePlan
from freshet.streams.join.task import JoinTask
from freshet.streams.log.contract import Log
from freshet.streams.operators.loop import (
    Job,
    Operator,
    Place,
    first_retained,
)
from freshet.streams.operators.task import Task
from freshet.streams.operators.ticks import Pace, ReplayPace, Untimed
from freshet.streams.outages import Outages
from freshet.streams.redrive.task import RedriveTask
from freshet.streams.sqlite.log import SqliteLog

__all__ = ["Events", "LocalRun", "MemoryStore", "vectors_of"]

LOGGED_SECONDS = 10.0
STORE_SECONDS = 10.0  # for a store that was away to be back
STEP_SECONDS = 60.0  # without anything to do, for an operator that has yet to finish a step
WAIT_SECONDS = 0.02


class LocalRun:
    """A run of an app that goes on when it is told to; a context manager, which closes its log.

    In the folder of an earlier run it goes on where that one stopped. A view that is new there,
    over a topic that is not, is built from the topic's past in the first step.

    Args:
        app: What to run.
        directory: Its folder: keys, checkpoints, snapshots, and the log unless one is given.
        store: Where views put their rows, such as a `MemoryStore`; it is not closed.
        snapshot_every: Overrides the `snapshot_every` of every topic, a duration; empty: does not.
        log: The log to run over. None: SQLite in the folder.
        clusters: Addresses with logins of other Kafkas, by those that topics name.

    Attributes:
        swaps: What was put in place of the served snapshot so far, oldest first.
        messages: All that the roles have told each other so far, oldest first.
        scorer: Answers, also between steps.

    Raises:
        DefinitionError: a topic's records have ids of a schema registry, and others write the log.
        LogError: a log is there with another partition count.
        SchemaError: a topic cannot read what was written in the folder before.

    Examples:
        >>> import json, tempfile
        >>> from pathlib import Path
        >>> import freshet as fr
        >>> import polars as pl
        >>> from freshet.testing import LocalRun, MemoryStore
        >>> parcels = fr.Topic(
        ...     "parcels",
        ...     {
        ...         "type": "record",
        ...         "name": "parcel",
        ...         "fields": [
        ...             {"name": "id", "type": "string"},
        ...             {"name": "at", "type": "long"},
        ...             {"name": "courier", "type": "string"},
        ...             {"name": "late", "type": "boolean"},
        ...         ],
        ...     },
        ...     event_id="id",
        ...     event_time="at",
        ... )
        >>> by_courier = fr.View(
        ...     "by_courier", parcels, key="courier", features={"n_6h": fr.count(over="6h")}
        ... )
        >>> model = fr.Model(
        ...     "late",
        ...     on=parcels,
        ...     id="id",
        ...     label=fr.Label(parcels, id="id", value=pl.col("late")),
        ...     features=[by_courier["n_6h"]],
        ...     learners=[fr.Baseline()],
        ...     fallback=[fr.constant(0.2)],
        ... )
        >>> app = fr.App("parcels", topics=[parcels], views=[by_courier], models=[model])
        >>> class Sent(list):  # events in one partition, each with the time of its record
        ...     def split(self, partitions):
        ...         return [self]
        ...     def runs(self):
        ...         return [(event["at"], [json.dumps(event).encode()]) for event in self]
        >>> hour = 3_600_000
        >>> with (
        ...     tempfile.TemporaryDirectory() as folder,
        ...     LocalRun(app, Path(folder), MemoryStore(), snapshot_every="1h") as local,
        ... ):
        ...     for h in range(1, 4):
        ...         event = {"id": f"p{h}", "at": h * hour + 1, "courier": "ann", "late": True}
        ...         asked = {"id": [f"p{h}"], "courier": ["ann"]}
        ...         told = {"parcels": Sent([event])}
        ...         answer = local.step(h * hour, (h + 1) * hour, asked, told)
        ...         print(answer.parameters["rung"], answer.probabilities.round(3))
        constant [0.2]
        constant [0.2]
        champion [0.833]
    """

    def __init__(
        self,
        app: App,
        directory: Path,
        store: Store,
        snapshot_every: str = "",
        log: Log | None = None,
        clusters: Mapping[str, str] | None = None,
    ) -> None:
        self._checkpoints_url = str(directory / "checkpoints")
        # Without what was taken out of its views in this folder.
        app = excluding(app, self._checkpoints_url)
        self.app = app
        self._dir = directory
        self._store = store
        self._every = snapshot_every
        own = log if log is not None else SqliteLog(str(directory / "log"))
        self.log = routed(app, own, clusters or {})
        self._refuse_registries()
        plans.ensure_topics(app, self.log)
        self._begin_as_declared()
        for name in ("trainer", "qualifier"):
            create_key(directory / "keys" / name)
        self._trainer, self._qualifier = (
            Verifier.load(directory / "keys" / name) for name in ("trainer", "qualifier")
        )
        self._writer = self.log.writer()
        self._clock = ManualClock()
        self.messages: list[Message] = []
        self.swaps: list[Settled] = []
        self._partitions: dict[Operator, int] = {}
        self._lineages = Lineages(app, self._checkpoints_url)
        self._trained: set[str] = set()
        self.operators = self._operators()
        self._hydrators = self._hydrations()
        self._follower = Follower(self.log, app.control_log)
        signer = Signer.load(directory / "keys" / "qualifier")
        archive = directory / "snapshots"
        self._orders = OrderBook()
        competing = self._lineages.app.models
        judges = [Judge(app.name, model, archive, self._trainer, signer) for model in competing]
        self._releases = [Release(judge, self._tell, patient=True) for judge in judges]
        incomplete = beginnings.incomplete(self._checkpoints_url, app)
        models = [
            (model, plans.vector_plan(app, model, incomplete), app.outcomes_log_of(model))
            for model in app.models
        ]
        policy = Policy(reflected=lambda: reflected(store, plans.stored_partitions(app)))
        self.scorer = Scorer("local", models, store, self._clock, Logging(self.log.writer), policy)
        # in the folder of an earlier run, its champion answers from the first question on
        self._settle()

    def _operators(self) -> list[Operator]:
        app = self.app
        store = self._store
        sources = {app.log_of(topic.name): self._intake_plan(topic) for topic in app.topics}
        views = plans.views_by_log(app)
        joins = {app.outcomes_log_of(model): plans.join_plan(app, model) for model in app.models}
        starts = plans.starts(app, self.log, self._checkpoints_url, WallClock().now_ms)
        # Now, not when a partition is assigned: by then the first step has published its events.
        for source in sources:
            starts(source)

        readers = {source: plans.reader(app, plan, starts) for source, plan in sources.items()}

        def intake(source: str, partition: int) -> Task:
            if source == app.redriven_log:
                return RedriveTask(app.name, plans.redrive_plans(app, self._earlier))
            return readers[source](source, partition)

        by_id = {
            app.by_id_log_of(plan.topic): plan for plan in sources.values() if plan.topic.by_id
        }
        made = []
        # On the embedded log all topics are in one place, and one reader would do: two do no harm.
        for name, topics in intakes(app).items():
            logs = [app.log_of(topic.name) for topic in topics]
            if name == INTAKE:
                logs.append(app.redriven_log)
            made.append(self._operator(name, logs, intake, ReplayPace(), starts))
        if by_id:
            made.append(
                self._operator(
                    "dedup",
                    list(by_id),
                    lambda log, partition: plans.moved_intake(by_id[log], partition),
                )
            )
        if app.views:
            made.append(
                self._operator(
                    "view",
                    list(views),
                    self._view_task(views, store),
                )
            )
        if app.models:
            made.append(
                self._operator(
                    "join", list(joins), lambda topic, partition: JoinTask(joins[topic], partition)
                )
            )
        return [*made, *self._trainers()]

    def _trainers(self) -> list[Operator]:
        """Of lineages that have none yet: of what is declared, and of what was started beside."""
        found = []
        for model in self._lineages.take_up().models:
            for spec in model.learners:
                name = f"{model.name}.{model.lineage(spec)}"
                if name not in self._trained:
                    self._trained.add(name)
                    found.append(self._train(model, spec))
        return found

    def _compete(self) -> None:
        self.operators += self._trainers()
        models = {model.name: model for model in self._lineages.app.models}
        for release in self._releases:
            release.compete(models[release.name])

    def _view_task(self, views: Mapping[str, View], store: Store) -> Callable[[str, int], Task]:
        def make(topic: str, partition: int) -> Task:
            view = views[topic]
            identity = self.log.bounds(topic).identity
            task = ViewTask(view, self.app.stored_as(view), partition, store)
            task.past = past_of(self._checkpoints_url, view, partition, identity, Outages())
            return task

        return make

    def _begin_as_declared(self) -> None:
        """See what is declared otherwise than in this folder before."""
        before = definitions.read(self._checkpoints_url)
        now_ms = WallClock().now_ms()
        beginnings.decide(self._checkpoints_url, before, self.app, self.log, now_ms)
        hydrations.decide(self._checkpoints_url, before, self.app, now_ms)
        past_columns.decide(
            self._checkpoints_url,
            before,
            self.app,
            self.log,
            now_ms,
        )
        definitions.keep(self._checkpoints_url, before, self.app, now_ms)

    def _hydrations(self) -> list[Hydrator]:
        """What builds views that are new in this folder from its past."""
        app = self.app
        url = self._checkpoints_url
        intake_plans = {topic.name: self._intake_plan(topic) for topic in app.topics}
        starts = plans.starts(app, self.log, url, WallClock().now_ms)
        found = []
        for view in hydrations.unfinished(url, app):
            place = (self.log, url, Outages())
            work = work_of(app, view, intake_plans, place, starts, RowMemory())
            known = hydrations.of(url, view)
            assert known is not None
            found.append(Hydrator(work, known, Rhythm(look_seconds=0.0)))
        return found

    def _hydrate(self) -> None:
        """Views have their past before they take what the step brought."""
        if not self._hydrators:
            return
        for operator in self.operators:
            if operator.role.startswith(("intake", "dedup")):
                operator.checkpoint()  # what it has not saved is not the past yet
        deadline = time.monotonic() + STEP_SECONDS
        for hydrator in self._hydrators:
            while not hydrator.done:
                if hydrator.step(WAIT_SECONDS, self._clock.now_ms()):
                    deadline = time.monotonic() + STEP_SECONDS
                elif time.monotonic() > deadline:
                    raise ComponentError(
                        f"view {hydrator.known.view}",
                        f"was not built from the past within {STEP_SECONDS:.0f} s",
                        f"It waits for {hydrator.waits_for or 'its log'}.",
                    )
            hydrator.close()
        self._hydrators = []

    def _fill(self) -> None:
        """Trainers have what their columns were before they learn what the step brought."""
        found = past_columns.unfinished(self._checkpoints_url, self.app)
        if not found:
            return
        for operator in self.operators:
            # What is not saved is not the past yet.
            if operator.role.startswith(("intake", "dedup", "join")):
                operator.checkpoint()
        run = OpenedRun(
            self.app,
            self.log,
            settings(run_dir=str(self._dir)),
        )
        for model, filling in found:
            with closing(Filler(run, model, filling)) as filler:
                while not filler.done:
                    if not filler.step(self._clock.now_ms()):
                        raise ComponentError(
                            f"model {model.name}",
                            "has not joined what it was asked before",
                            "Look at the role join.",
                        )

    def _intake_plan(self, topic: Topic) -> IntakePlan:
        """By the schemas that the topic has had in this folder, as in a run."""
        source = self.app.log_of(topic.name)
        known_schemas.keep_declared(self._checkpoints_url, source, topic)
        return plans.intake_plan(self.app, topic, self._earlier(topic))

    def _earlier(self, topic: Topic) -> Mapping[int, EventSchema]:
        source = self.app.log_of(topic.name)
        return known_schemas.earlier_of(self._checkpoints_url, source, topic)

    def _refuse_registries(self) -> None:
        for topic in self.app.topics:
            # What is in an embedded log freshet wrote itself.
            if topic.registry is not None and self.log.is_shared:
                raise DefinitionError(
                    f"topic {topic.name}",
                    f"has records of a schema registry (subject {topic.registry}), which a "
                    "LocalRun asks nothing",
                    "Give it no log, so that it makes one of its own; or run the app: freshet run "
                    "--registry http://host:8081.",
                )

    def _operator(
        self,
        role: str,
        topics: list[str],
        make_task: Callable[[str, int], Task],
        pace: Pace | None = None,
        starts: Callable[[str], Mapping[int, int]] = first_retained,
    ) -> Operator:
        app = self.app
        job = Job(
            role,
            topics,
            make_task,
            group=f"{app.name}.{role}",
            declared=plans.declared(app, self._every),
            origin_of=app.origin_of,
            dead=app.dead_log,
            pace=pace or Untimed(),
            kept_as=partial(plans.kept_as, app),
            headers=plans.headers(app),
            starts=starts,
        )
        place = Place(self.log, app.channels, self._checkpoints_url, self._clock.now_ms)
        made = Operator(job, place)
        # As many as there are: a source may have more than are declared.
        self._partitions[made] = sum(len(self.log.bounds(topic).spans) for topic in topics)
        return made

    def _train(self, model: Model, spec: LearnerSpec) -> Operator:
        key = Signer.load(self._dir / "keys" / "trainer")
        shelf = plans.Shelf(str(self._dir / "snapshots"), key, Outages())
        make = plans.trainer(
            self.app,
            model,
            spec,
            shelf,
            self._every,
            self._checkpoints_url,
        )
        return self._operator(
            f"train.{model.lineage(spec)}",
            [self.app.examples_log_of(model)],
            make,
            starts=plans.begins_at(spec),
        )

    def step(
        self,
        start_ms: int,
        end_ms: int,
        queries: Mapping[str, list[Any]],
        events: Mapping[str, Events],
    ) -> Answer | None:
        """Ask as of the start, publish events, move the clock, and let everybody finish with them.

        Args:
            start_ms: Where the app's clock stands when the questions are asked, in milliseconds
                since 1970 (UTC).
            end_ms: The tick that ends the step: where the clock goes.
            queries: What to ask of the first model: a column of `n` values for each field of a
                request. Nothing is asked without columns, or of an app without models.
            events: Records by topic, as `freshet.replay.replayer.Events`: objects with a length,
                with `split(partitions)` (an object of that kind for each partition) and `runs()`
                (append times in milliseconds, each with its records as bytes: Avro in the Confluent
                wire format, or JSON).

        Returns:
            Probabilities float64 `[n]` with their ids, ages and the rung that answered; None if
            nothing was asked.

        Raises:
            RequestError: the questions cannot be answered as they are asked.
            ComponentError: no rung can answer, or a role did not finish within a minute.
        """
        self._clock.set(start_ms)
        # What was started since the last step takes part in this one.
        self._settle()
        # Before anything of the step happens: answers must not know of it.
        answer = self._ask(start_ms, queries)
        for part in published(self.app, events):
            for time_ms, values in part.runs:
                self._writer.append(part.topic, part.partition, values, time_ms)
        self._writer.flush()
        self._tell([Tick(end_ms)])
        for operator in self.operators:
            if operator.role == "view":
                self._hydrate()
            if operator.role.startswith("train."):
                self._fill()
            self._finish(operator, end_ms)
        self._settle()
        return answer

    def _finish(self, operator: Operator, tick: int) -> None:
        """Step an operator until it has read all there is and every task of it has reported the
        tick. A log of another process hands records out when it gets to it."""
        deadline = time.monotonic() + STEP_SECONDS
        done = False
        while (has_moved := operator.step(0.0 if done else WAIT_SECONDS)) or not done:
            found = operator.finished()
            done = len(found) == self._partitions[operator] and min(found) >= tick
            # A step may take minutes: kernels compile in the first of their kind.
            if has_moved:
                deadline = time.monotonic() + STEP_SECONDS
            elif time.monotonic() > deadline:
                raise ComponentError(
                    f"role {operator.role}",
                    f"did not finish {tick} within {STEP_SECONDS:.0f} s",
                    "Is its log reachable?",
                )

    def _ask(self, as_of_ms: int, queries: Mapping[str, list[Any]]) -> Answer | None:
        rows = max((len(values) for values in queries.values()), default=0)
        if not rows or not self.app.models:
            return None
        model = self.app.models[0].name
        answer = self._answer(Question(model, dict(queries), rows, as_of_ms=as_of_ms))
        log = self.scorer.served[model].predictions
        deadline = time.monotonic() + LOGGED_SECONDS
        while log is not None and log.held and time.monotonic() < deadline:
            time.sleep(0.0002)
        return answer

    def _answer(self, question: Question) -> Answer:
        """As a replay asks: again, while the scorer puts it off because its store is away."""
        deadline = time.monotonic() + STORE_SECONDS
        while True:
            try:
                return self.scorer.infer(question)
            except ComponentError as error:
                if error.retry_seconds is None or time.monotonic() > deadline:
                    raise
                time.sleep(WAIT_SECONDS)

    def _settle(self) -> None:
        """Release judges and settles; the scorer takes the newest of what was settled."""
        found = self._heard()
        while found:
            self.messages += found
            orders: dict[str, Settled] = {}
            if any(isinstance(message, NewLineage) for message in found):
                self._compete()
            for message in found:
                for release in self._releases:
                    release.note(message)
                if isinstance(message, Inputs):
                    self.scorer.note_inputs(message)
                # An earlier run in this folder may have had other models.
                if getattr(message, "model", None) not in self.scorer.served:
                    continue
                if (
                    isinstance(message, Settled)
                    and not self._orders.take(message)
                    and message.number is not None
                ):
                    orders[message.model] = message
            for order in orders.values():
                self._swap(order)
            for release in self._releases:
                release.act()
            found = self._heard()

    def _heard(self) -> list[Message]:
        """All that has been said on the control log by now."""
        end = self.log.bounds(self.app.control_log).spans[0][1]
        found = self._follower.poll(0.0)
        while self._follower.position < end:
            found += self._follower.poll(WAIT_SECONDS)
        return found

    def _swap(self, order: Settled) -> None:
        which = ordered(self.app.name, order)
        assert which is not None
        served = self.scorer.served[order.model]
        found = snapshots.read_verified(
            self._dir / "snapshots", which, self._trainer, self._qualifier
        )
        asked = served.model.vectors
        if why_not_for(found.manifest, asked):
            return  # ordered when the model was declared otherwise
        own = made_for(found.manifest, asked)
        export = Export(found.manifest.kind, found.manifest.meta, snapshots.arrays_of(found.data))
        answering = asked_with(asked, predictor(export, own), own)
        served.slot.swap(LiveModel(answering, found.manifest))
        self.swaps.append(order)

    def _tell(self, told: Iterable[Message]) -> None:
        send(self._writer, self.app.channels, list(told), self._clock.now_ms())

    def __enter__(self) -> LocalRun:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.scorer.close()
        for operator in self.operators:
            operator.checkpoint()
            operator.close()
        for hydrator in self._hydrators:
            hydrator.close()
        self._follower.close()
        self._writer.close()
        self.log.close()


def vectors_of(local: LocalRun, model: Model) -> dict[str, bytes]:
    """What was served, by prediction id: the bytes of vector and probability.

    Args:
        local: A run that is still open.
        model: One of its app's models.

    Returns:
        For each id uint64 categories, float32 numbers and a probability, one after the other. Two
        runs that served the same give the same.
    """
    from freshet.replay.report import outcomes_of
    from freshet.schemas.wire.outcomes import ASKED

    out: dict[str, bytes] = {}
    for rows in outcomes_of(local.app, local.log, model).rows:
        for i in np.flatnonzero(rows.kind == ASKED).tolist():
            fixed = rows.fixed[i]
            texts = rows.texts["id"]
            name = bytes(texts.data[texts.start[i] : texts.end[i]]).decode()
            vector = fixed["categories"].tobytes() + fixed["numbers"].tobytes()
            out[name] = vector + fixed["p"].tobytes()
    return out
