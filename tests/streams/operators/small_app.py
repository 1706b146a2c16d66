"""A small app, played in a folder: two topics, two views, a join and a trainer, which may be killed,
crash, and lose their store."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from freshet.audit import kept as kept_by_run
from freshet.audit import ledger as audit
from freshet.features import aggregates as fr
from freshet.features.stores.memory_store import MemoryStore
from freshet.features.views.task import ViewTask
from freshet.features.views.view import View
from freshet.learners.logistic.learner import HashedLogistic
from freshet.learners.training.task import TrainPlan, TrainTask
from freshet.schemas.errors import StoreError
from freshet.schemas.topics.topic import Freshness
from freshet.schemas.wire import blocks
from freshet.schemas.wire.messages import Cut, Message, Progress, Setting, Tick
from freshet.streams.control.channels import Follower, send
from freshet.streams.intake.task import CleanRoute, IntakePlan, IntakeTask
from freshet.streams.join.task import JoinTask
from freshet.streams.labels.routes import LabelRoute
from freshet.streams.operators.checkpoints import Checkpoints, kept_as
from freshet.streams.operators.loop import Job, Operator, Place, Rhythm
from freshet.streams.operators.reading import MAX_RECORDS
from freshet.streams.operators.task import Outputs
from freshet.streams.operators.ticks import ReplayPace, Untimed
from freshet.streams.sqlite.log import SqliteLog
from tests.streams import toy_events
from tests.streams.join import toy_outcomes
from tests.streams.join.toy_outcomes import VECTORS, Asked, prediction_block, rows_of
from tests.streams.operators.deaths import CHANNELS, NEVER, Death, Killed, MortalLog
from tests.streams.toy_events import Sent

ROUNDS, STEP_MS = 8, 3_000

ROUNDS = 8
STEP_MS = 3_000


class Outcome(dict[str, Any]):
    """All that must not depend on where roles were killed; too large to be printed."""

    def __repr__(self) -> str:
        return f"Outcome of {len(self['examples'])} examples"


class Shaky(MemoryStore):
    """Refuses its next `refusals` writes."""

    refusals = 0

    def write(self, view: str, keys: Sequence[bytes], rows: Any) -> int:
        if self.refusals:
            self.refusals -= 1
            raise StoreError("store", "is away", "Wait.")
        return super().write(view, keys, rows)


class Crashing(IntakeTask):
    """Crashes on the events at some offsets."""

    offsets: frozenset[int] = frozenset()

    def apply(self, batch: Any) -> Outputs:
        out = super().apply(batch)
        if self.offsets.intersection(batch.offsets.tolist()):
            raise ZeroDivisionError("halfway through")
        return out


def _plan(name: str, key: str, label: bool) -> IntakePlan:
    base = toy_events.plan(1, partitions=1, name=name, freshness=FRESHNESS)
    clean = (CleanRoute(f"clean.{name}", 1, (key,), toy_events.CLEAN_FIELDS),)
    labels = (LabelRoute("outcomes", 1, "id", base.labels[0].value),) if label else ()
    return IntakePlan(name, base.topic, base.codec, clean, labels, "dead")


FRESHNESS = Freshness(lateness="2s", max_future="5m", label_wait="9s", snapshot_every="6s")
PLANS = {"landings": _plan("landings", "gate", True), "starts": _plan("starts", "carrier", False)}
FEATURES = {
    "n": fr.count(over="5s"),
    "delay": fr.mean("delay", over="5s"),
    "wind": fr.decayed_mean("wind", "2s"),
    "temp": fr.last("temp"),
    "seats": fr.sum("seats", over="5s"),
    "mileage": fr.max("mileage", over="5s"),
}
VIEWS = {
    "clean.landings": View(
        "by_gate", PLANS["landings"].topic, key="gate", tile="1s", features=FEATURES
    ),
    "clean.starts": View(
        "by_carrier", PLANS["starts"].topic, key="carrier", tile="1s", features=FEATURES
    ),
}
SOURCES = [*PLANS, *VIEWS, "outcomes", "examples"]
TOPICS = [*SOURCES, "dead", *CHANNELS]
READS = {"intake": list(PLANS), "view": list(VIEWS), "join": ["outcomes"], "train": ["examples"]}
TASKS = [
    "intake:landings:0",
    "intake:starts:0",
    "view:by_gate:0",
    "view:by_carrier:0",
    "join:late:0",
    "train:late.logistic:0",
]


def events(seed: int, start: int, end: int) -> list[Sent]:
    """Good, bad and repeated events between two times."""
    r, out = random.Random(seed), list[Sent]()
    for at in range(start, end, 150):
        e: dict[str, Any] = {
            "id": f"flight-{at}", "at": at - r.randrange(0, 3_000, 50), "gate": r.choice("abc"), "late": r.random() < 0.5,
            "carrier": r.choice(["AA", "B6", None, "??"]), "runway": "L", "delay": r.choice([None, r.gauss(9, 30)]),
            "wind": r.choice([None, r.gauss(0, 5)]), "temp": None, "seats": r.choice([None, 180]), "mileage": 7,
            "crew": r.choice([2, 2, 2, 2, 2, 2, None]), "gust": r.uniform(0, 30),
        }  # fmt: skip
        out += [Sent(at, e)] * r.choice([1, 1, 1, 2])
    return out


def checkpoint_of(task: str) -> str:
    """The name under which a task keeps it: intake's goes by its topic's digest, as audits expect."""
    role, name, _ = task.split(":")
    return kept_as(task, PLANS[name].topic.digest) if role == "intake" else task


@dataclass
class Run:
    """The app in a folder, its roles stepped in turn. `kill` says at which point of which step a
    role is killed."""

    directory: Path
    store: Shaky = field(default_factory=Shaky)
    changes: dict[tuple[str, int], tuple[str, str]] = field(default_factory=dict)
    refusals: dict[int, int] = field(default_factory=dict)
    crashing: frozenset[int] = frozenset()
    foreign: frozenset[int] = frozenset()
    durable: bool = True
    kills: dict[tuple[str, int], str] = field(default_factory=dict)
    checkpoints: frozenset[int] = frozenset()
    killed: list[str] = field(default_factory=list)
    learner: Any = None
    # Of a turn: those before the first kill, those after it, and so on, over and over.
    max_records: Sequence[int] = (MAX_RECORDS,)
    ahead_seconds: float = 0.0
    death: Death = field(default_factory=Death)

    def __enter__(self) -> Run:
        save = Checkpoints.save

        def saved(checkpoints: Checkpoints, *given: Any) -> None:
            self.death.at("save", lambda: save(checkpoints, *given))

        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(Checkpoints, "save", saved)
        self.log = SqliteLog(self.directory / "log")
        for topic in TOPICS:
            self.log.ensure(topic, 1)
        self.writer, self.follower = self.log.writer(), Follower(self.log, *CHANNELS)
        self.roles = {role: self.start(role) for role in READS}
        self.told: list[Message] = []
        return self

    def __exit__(self, *exc: object) -> None:
        self.patch.undo()
        for role in self.roles.values():
            role.close()
        self.writer.close()
        self.follower.close()
        self.log.close()

    def start(self, role: str) -> Operator:
        job = Job(
            role,
            READS[role],
            self.mortal_task,
            declared=dict.fromkeys(PLANS, FRESHNESS),
            kept_as=checkpoint_of,
            pace=ReplayPace() if role == "intake" else Untimed(),
        )
        log: Any = MortalLog(self.log, self.death)
        place = Place(log, CHANNELS, str(self.directory / "state"), lambda: 0)
        return Operator(job, place, rhythm=self.rhythm)

    @property
    def rhythm(self) -> Rhythm:
        """Checkpoints are saved when the clock is `ahead`; settings are heard in every step."""
        return Rhythm(
            listen_seconds=0.0,
            checkpoint_seconds=NEVER,
            max_records=self.max_records[len(self.killed) % len(self.max_records)],
            wall=self.wall,
        )

    def wall(self) -> float:
        return time.monotonic() + self.ahead_seconds

    def mortal_task(self, topic: str, partition: int) -> Any:
        task = self.task(topic, partition)
        write = task.write
        task.write = lambda: self.death.at("write", write)
        return task

    def task(self, topic: str, partition: int) -> Any:
        if topic in PLANS:
            made = Crashing(PLANS[topic], partition)
            made.offsets = self.crashing
            return made
        if topic in VIEWS:
            return ViewTask(VIEWS[topic], VIEWS[topic].name, partition, self.store)
        if topic == "outcomes":
            return JoinTask(
                replace(toy_outcomes.plan(wait=9_000), label_topic="landings"), partition
            )
        self.learner = HashedLogistic(bits=8).make(VECTORS)
        plan = TrainPlan(
            "late",
            "logistic",
            VECTORS,
            "outcomes.late",
            5,
            (),
            9_000,
            6_000,
            self.durable,
            label_topic="landings",
        )
        return TrainTask(plan, self.learner, lambda learner, at: f"{at.number:064}", partition)

    def play(self) -> None:
        for i in range(ROUNDS):
            start, end = toy_events.START + i * STEP_MS, toy_events.START + (i + 1) * STEP_MS
            asked = [
                Asked(f"flight-{at}", start - STEP_MS, categories="AA|a")
                for at in range(start, end, 450)
            ]
            self.writer.append("outcomes", 0, [prediction_block(asked, i * 100)], start)
            for seed, topic in enumerate(PLANS):
                for sent in events(100 * i + seed, start, end) if i < ROUNDS - 3 else []:
                    self.writer.append(topic, 0, [sent.value], sent.time)
            if i in self.foreign:
                self.writer.append("examples", 0, [b"nobody's"], start)
            self.writer.flush()
            send(self.writer, CHANNELS, [Tick(end)], end)
            self.store.refusals = self.refusals.get(i, 0)
            for role in READS:
                if (role, i) in self.changes:
                    key, value = self.changes[role, i]
                    send(self.writer, CHANNELS, [Setting("landings", key, value, "ann", 1)], start)
                self.finish(role, i)
            self.told += self.follower.poll(0.0)
            assert self.ticks() == dict.fromkeys(TASKS, end), (
                f"a replay would wait for ever in round {i}"
            )
        for role in self.roles.values():
            role.checkpoint()

    def finish(self, role: str, i: int) -> None:
        """Step until nothing is left to read. Who was killed is started again."""
        point = self.kills.get((role, i))
        self.death.point = point
        idle = 0
        while idle < 2:  # who rested for a turn, since rows were unwritten, reads in the next one
            if i in self.checkpoints:
                self.ahead_seconds += 2 * NEVER
            try:
                operator = self.roles[role]
                busy = operator.step(0.0) or bool(operator.vitals.outages.current())
                idle = 0 if busy else idle + 1
            except Killed:
                self.killed.append(f"{role} {point}")
                self.roles[role].close()
                self.roles[role] = self.start(role)
                idle = 0
        self.death.point = None

    def ticks(self) -> dict[str, int]:
        out: dict[str, int] = {}
        for m in self.told:
            if isinstance(m, Progress):
                out |= {k: max(v, out.get(k, v)) for k, v in m.ticks.items()}
        return out

    def records(self, topic: str) -> list[bytes]:
        return [r.value for r in kept_by_run.records(self.log, topic, 0)]


# By what the operator does then, and whether it dies before that, after it, or halfway through.


def first_taken(
    values: Sequence[bytes], rows: Callable[[bytes], Sequence[Any]], origin: str | None
) -> list[Any]:
    """Rows of blocks (of an origin) as whoever reads them takes them: each place once, in order."""
    found, last = list[Any](), (-1, -1)
    for value in values:
        block = blocks.decode(value)
        if block.rows is not None and origin in (None, block.origin):
            at = list(
                zip(
                    block.rows.column("_offset").to_pylist(),
                    block.rows.column("_index").to_pylist(),
                )
            )
            found += [row for row, where in zip(rows(value), at) if where > last]
            last = max(last, at[-1])
    return found


def examples(values: Sequence[bytes]) -> list[Any]:
    return first_taken(values, lambda value: rows_of([value]), None)


def events_of(values: Sequence[bytes], origin: str) -> list[Any]:
    def rows(value: bytes) -> list[Any]:
        found = blocks.decode(value).rows
        return [repr(r) for r in found.to_pylist()] if found is not None else []

    return first_taken(values, rows, origin)


def outcome(run: Run) -> Outcome:
    taken = examples(run.records("examples"))
    kept = {
        t: kept_by_run.ledger(run.log, str(run.directory / "state"), p.topic, t, 0)[1]
        for t, p in PLANS.items()
    }
    for t, p in PLANS.items():
        recorded = kept_by_run.taken_on(run.log, str(run.directory / "state"), p.topic, t, 0)
        found = kept_by_run.records(run.log, t, 0)
        assert kept[t] == audit.recompute(p.topic, found, None, recorded), (
            "the ledger is that of the log"
        )
    cuts = {
        (m.number, m.tick, m.stats["learned"], m.stats["all"]["log_loss"])
        for m in run.told
        if isinstance(m, Cut)
    }
    return Outcome(
        rows={k: v[16:] for k, v in run.store.rows.items()},
        examples=taken,
        ledger=kept,
        cuts=sorted(cuts),
        weights=run.learner.export().arrays["weights"].tobytes(),
    )
