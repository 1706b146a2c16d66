"""The operator loop: whatever step it is killed at, whoever starts next leaves the rows, ledger and
examples that an undisturbed run leaves, and says how far it is."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from polars.exceptions import PanicException

from freshet.audit import kept as kept_by_run
from freshet.audit import ledger as audit
from freshet.features import aggregates as fr
from freshet.features.stores.memory_store import MemoryStore
from freshet.features.views.task import ViewTask
from freshet.features.views.view import View
from freshet.learners.logistic.learner import HashedLogistic
from freshet.learners.training.task import TrainPlan, TrainTask
from freshet.schemas.errors import CheckpointError, LogError, StoreError
from freshet.schemas.topics.topic import Freshness
from freshet.schemas.wire import blocks
from freshet.schemas.wire.messages import Cut, Message, Progress, Setting, Status, Tick
from freshet.streams.clock import ManualClock
from freshet.streams.control.channels import Channels, Follower, send
from freshet.streams.intake.task import CleanRoute, IntakePlan, IntakeTask, LabelRoute
from freshet.streams.join.task import JoinTask
from freshet.streams.operators import loop as operator
from freshet.streams.operators import ticks
from freshet.streams.operators.checkpoints import Checkpoints
from freshet.streams.operators.crashes import KEPT_TEXT
from freshet.streams.operators.loop import Operator, Orders
from freshet.streams.operators.task import Append, Outputs, as_json, from_json
from freshet.streams.operators.ticks import ReplayPace, WallPace
from freshet.streams.sqlite.log import SqliteLog
from tests.streams import toy_events
from tests.streams.join import toy_outcomes
from tests.streams.join.toy_outcomes import VECTORS, Asked, prediction_block, rows_of
from tests.streams.toy_events import Sent, batch_of

ROUNDS, STEP_MS = 8, 3_000
CHANNELS = Channels("control", "reports")
NEVER = 1e9


class Outcome(dict[str, Any]):
    """All that must not depend on where roles were killed; too large to be printed."""

    def __repr__(self) -> str:
        return f"Outcome of {len(self['examples'])} examples"


class Killed(Exception):
    """The process ends here."""


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


# ------------------------------------------------------------ a small app: two topics, two views, a
# join, a trainer
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

    def __enter__(self) -> Run:
        self.log = SqliteLog(self.directory / "log")
        for topic in TOPICS:
            self.log.ensure(topic, 1)
        self.writer, self.follower = self.log.writer(), Follower(self.log, *CHANNELS)
        self.roles = {role: self.start(role) for role in READS}
        self.told: list[Message] = []
        return self

    def __exit__(self, *exc: object) -> None:
        for role in self.roles.values():
            role.close()
        self.writer.close()
        self.follower.close()
        self.log.close()

    def start(self, role: str) -> Operator:
        pace = ReplayPace() if role == "intake" else None
        orders = Orders(dict.fromkeys(PLANS, FRESHNESS), pace=pace)
        state = str(self.directory / "state")
        return Operator(
            role, self.log, READS[role], self.task, state, CHANNELS, lambda: 0, orders=orders
        )

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
        disarm = arm(self.roles[role], point) if point is not None else lambda: None
        while True:
            try:
                if i in self.checkpoints:
                    self.roles[role]._checkpointed_at = -NEVER
                op = self.roles[role]
                if not op.step(0.0) and not op._turn and not op._resting:
                    return disarm()
            except Killed:
                self.killed.append(f"{role} {point}")
                self.roles[role].close()
                self.roles[role] = self.start(role)

    def ticks(self) -> dict[str, int]:
        out: dict[str, int] = {}
        for m in self.told:
            if isinstance(m, Progress):
                out |= {k: max(v, out.get(k, v)) for k, v in m.ticks.items()}
        return out

    def records(self, topic: str) -> list[bytes]:
        return [r.value for r in kept_by_run.records(self.log, topic, 0)]


def arm(op: Operator, point: str) -> Callable[[], None]:
    """Let the operator be killed at a point of its next step that comes to it, once; returns how to
    call it off."""
    owner, name, when = POINTS[point]
    target: Any = op._writer if owner == "writer" else op
    real = getattr(target, name)

    def killing(*args: Any, **more: Any) -> Any:
        if when == "half":
            first = next(iter(target._queued), None)
            for topic in [t for t in target._queued if t != first]:
                del target._queued[topic]
        if when in ("after", "half"):
            real(*args, **more)
        disarm()
        raise Killed

    def disarm() -> None:
        setattr(target, name, real)

    setattr(target, name, killing)
    return disarm


POINTS = {
    "applied, nothing written": ("operator", "_write_rows", "before"),
    "rows written": ("operator", "_write_rows", "after"),
    "rows written, nothing appended": ("writer", "append", "before"),
    "appended, not flushed": ("writer", "flush", "before"),
    "one topic flushed": ("writer", "flush", "half"),
    "flushed, nothing told": ("operator", "_tell", "before"),
    "told": ("operator", "_tell", "after"),
    "before the checkpoint": ("operator", "checkpoint", "before"),
    "before the first task's checkpoint": ("operator", "_save", "before"),
    "first task's checkpoint saved": ("operator", "_save", "after"),
    "checkpoint saved, nothing reported": ("operator", "checkpoint", "after"),
    "reported": ("operator", "_report", "after"),
}


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
        assert kept[t] == audit.recompute(p.topic, kept_by_run.records(run.log, t, 0)), (
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


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operator, "CHECKPOINT_SECONDS", NEVER)
        with Run(tmp_path_factory.mktemp("undisturbed")) as run:
            run.play()
            found = outcome(run)
        assert len(found["examples"]) > 50
        assert found["cuts"][-1][2] >= 20
        assert all(
            e.counts[1] and e.counts[2]
            for entries in found["ledger"].values()
            for e in entries.values()
        )
        yield found


def check(
    directory: Path,
    kills: dict[tuple[str, int], str],
    checkpoints: frozenset[int],
    expected: dict[str, Any],
) -> Run:
    with Run(directory, kills=kills, checkpoints=checkpoints) as run:
        run.play()
        found = outcome(run)
    assert [k for k in expected if found[k] != expected[k]] == []
    return run


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_step_the_next_one_ends_as_if_nothing_had_happened(
    point: str, tmp_path: Path, undisturbed: Outcome
) -> None:
    kills = {(role, i): point for role in READS for i in (1, 4)}
    run = check(tmp_path, kills, frozenset({0, 1, 4}), undisturbed)
    impossible = (
        {"view", "train"}
        if POINTS[point][1] == "append"
        else {"train"}
        if "told" in point
        else set()
    )
    assert {k.split()[0] for k in run.killed} >= set(READS) - impossible


@settings(deadline=None, max_examples=8, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    st.dictionaries(
        st.tuples(st.sampled_from(list(READS)), st.integers(0, ROUNDS - 1)),
        st.sampled_from(list(POINTS)),
        min_size=3,
        max_size=9,
    ),
    st.frozensets(st.integers(0, ROUNDS - 1)),
)
def test_killed_over_and_over_it_ends_as_if_nothing_had_happened(
    tmp_path_factory: pytest.TempPathFactory,
    undisturbed: Outcome,
    kills: dict[tuple[str, int], str],
    checkpoints: frozenset[int],
) -> None:
    check(tmp_path_factory.mktemp("killed"), kills, checkpoints, undisturbed)


@pytest.mark.parametrize("durable", [True, False])
def test_a_trainer_that_crashes_cuts_the_same_snapshots_again_also_if_it_cannot_be_saved(
    durable: bool, tmp_path: Path, undisturbed: Outcome
) -> None:
    foreign, checkpoints = frozenset({3, 5}), frozenset({2, 4})
    with Run(tmp_path, durable=durable, foreign=foreign, checkpoints=checkpoints) as run:
        run.play()
    cuts = [
        (m.number, m.tick, m.stats["learned"], m.stats["all"]["log_loss"])
        for m in run.told
        if isinstance(m, Cut)
    ]
    assert sorted(set(cuts)) == undisturbed["cuts"]
    assert durable or len(cuts) > len(set(cuts)), "from the first record on, all are told again"
    assert run.learner.export().arrays["weights"].tobytes() == undisturbed["weights"]


# ------------------------------------------------------------ the same with settings, crashes, and
# a store that goes away
KEYS = {
    "intake": ("lateness", "max_future"),
    "join": ("label_wait",),
    "train": ("snapshot_every", "label_wait"),
}


def undisturbed_task(run: Run, role: str, topic: str, task: Any) -> list[Outputs]:
    """What a task leads to that nothing befalls: it takes settings on where the checkpoint says so,
    and skips what crashes."""
    found = Checkpoints(
        str(run.directory / "state"), task.name, run.log.bounds(topic).identity
    ).load()
    assert found is not None
    recorded = (
        from_json({**found[1], **(found[2][-1] if found[2] else {})}["settings"])
        if role in KEYS
        else []
    )
    recorded = [[at, *((v,) if isinstance(name, str) else (name, v))] for at, name, v in recorded]
    outs = list[Outputs]()
    for r in kept_by_run.records(run.log, topic, 0):
        while recorded and recorded[0][0] <= r.offset:
            at, *values = recorded.pop(0)
            now = replace(FRESHNESS, **{k: f"{ms}ms" for k, ms in zip(KEYS[role], values)})
            assert task.configure({"landings": now}, at)
        batch = batch_of([r.value], [r.offset], [r.time], topic)
        crashes = role == "intake" and r.offset in run.crashing
        outs.append(task.skip(batch) if crashes else task.apply(batch))
    return outs


def check_consistent(run: Run) -> None:
    def appended(outs: list[Outputs], topic: str) -> list[bytes]:
        return [v for out in outs for a in out.appends if a.topic == topic for v in a.values]

    state = str(run.directory / "state")
    for name, plan in PLANS.items():
        outs = undisturbed_task(run, "intake", name, IntakeTask(plan, 0))
        for to in [route.to for route in (*plan.clean, *plan.labels)]:
            assert events_of(run.records(to), name) == events_of(appended(outs, to), name)
        crashed = {
            r.offset: "crash"
            for r in kept_by_run.records(run.log, name, 0)
            if r.offset in run.crashing
        }
        assert kept_by_run.told(run.log, "dead", plan.topic, 0) == crashed
        settings = kept_by_run.settings_of(run.log, state, plan.topic, name, 0)
        left = kept_by_run.ledger(run.log, state, plan.topic, name, 0)[1]
        assert left == audit.recompute(
            plan.topic, kept_by_run.records(run.log, name, 0), crashed, settings
        )
    store = MemoryStore()
    for topic, view in VIEWS.items():
        task = ViewTask(view, view.name, 0, store)
        undisturbed_task(run, "view", topic, task)
        task.write()
    assert {k: v[16:] for k, v in store.rows.items()} == {
        k: v[16:] for k, v in run.store.rows.items()
    }
    learner = run.learner
    outs = undisturbed_task(run, "join", "outcomes", run.task("outcomes", 0))
    assert examples(run.records("examples")) == examples(appended(outs, "examples"))
    outs = undisturbed_task(run, "train", "examples", run.task("examples", 0))
    told = {(m.number, m.tick, m.stats["learned"]) for m in run.told if isinstance(m, Cut)}
    assert told == {
        (m.number, m.tick, m.stats["learned"])
        for out in outs
        for m in out.messages
        if isinstance(m, Cut)
    }
    weights = [x.export().arrays["weights"].tobytes() for x in (learner, run.learner)]
    assert weights[0] == weights[1]


CHANGES = st.sampled_from(
    [
        ("lateness", "1s"),
        ("lateness", "3s"),
        ("max_future", "0s"),
        ("label_wait", "4s"),
        ("snapshot_every", "3s"),
    ]
)
PLACES = st.tuples(st.sampled_from(list(READS)), st.integers(0, ROUNDS - 1))


@settings(deadline=None, max_examples=10, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    kills=st.dictionaries(PLACES, st.sampled_from(list(POINTS)), min_size=2, max_size=8),
    checkpoints=st.frozensets(st.integers(0, ROUNDS - 1), max_size=3),
    changes=st.dictionaries(PLACES, CHANGES, min_size=1, max_size=8),
    refusals=st.dictionaries(st.integers(0, ROUNDS - 1), st.integers(1, 3), max_size=4),
    crashing=st.frozensets(st.integers(0, 120), max_size=3),
)
@example(
    kills={(role, i): "flushed, nothing told" for role in READS for i in (2, 3)},
    checkpoints=frozenset({1}),
    changes={
        (role, i): (key, ("1s", "5s")[i % 2])
        for role, keys in KEYS.items()
        for i in (2, 3)
        for key in keys[:1]
    },
    refusals={2: 2, 3: 1},
    crashing=frozenset({7, 40, 41}),
)
def test_whatever_befalls_it_all_agrees_with_what_checkpoints_and_dead_letters_say(
    tmp_path_factory: pytest.TempPathFactory, **befalls: Any
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operator, "LISTEN_SECONDS", 0.0)
        patch.setattr(operator, "CHECKPOINT_SECONDS", NEVER)
        with Run(tmp_path_factory.mktemp("befallen"), **befalls) as run:
            run.play()
            check_consistent(run)


def test_a_lost_cursor_is_noticed(
    tmp_path: Path, undisturbed: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "freshet.streams.operators.origins.Cursors.fresh",
        lambda self, o, p, offsets, i: slice(0, len(offsets)),
    )
    with pytest.raises(AssertionError):
        check(tmp_path, {("intake", 3): "flushed, nothing told"}, frozenset(), undisturbed)


# ------------------------------------------------------------ the loop itself
class Toy:
    """A task that counts, echoes, and says when it was asked to write."""

    def __init__(self, name: str, journal: list[str]) -> None:
        self.name, self.journal, self.seen, self.finished = name, journal, 0, blocks.NO_TICK
        self.refusals = 0

    def apply(self, batch: Any) -> Outputs:
        self.journal.append(f"{self.name} applies {len(batch)}")
        self.seen += len(batch)
        self.finished = self.seen
        return Outputs([Append("out", 0, [batch.value(i).tobytes() for i in range(len(batch))], 5)])

    def write(self) -> None:
        if self.refusals:
            self.refusals -= 1
            raise StoreError("store", "is away", "Wait.")
        self.journal.append(f"{self.name} writes")

    def configure(self, settings: Any, at: int) -> bool:
        return False

    def skip(self, batch: Any) -> Outputs:
        self.journal.append(f"{self.name} skips {int(batch.offsets[0])}")
        self.finished += 1
        return Outputs()

    def dump(self, full: bool) -> dict[str, Any]:
        return {"seen": np.array([self.seen])}

    def load(self, base: Any, deltas: Any) -> None:
        self.seen = self.finished = int((deltas[-1] if deltas else base)["seen"][0])

    def facts(self) -> dict[str, Any]:
        return {"seen": self.seen}


@dataclass
class Bench:
    """A log with topics `in` (two partitions) and `out`, and operators of toys over it."""

    directory: Path
    journal: list[str] = field(default_factory=list)
    made: dict[int, Any] = field(default_factory=dict)
    kind: type[Toy] = Toy

    def __post_init__(self) -> None:
        self.log = SqliteLog(self.directory / "log")
        for topic, n in (("in", 2), ("out", 1), ("dead", 1), ("control", 1), ("reports", 1)):
            self.log.ensure(topic, n)
        self.writer = self.log.writer()

    def toy(self, topic: str, partition: int) -> Toy:
        self.made[partition] = self.kind(f"toy:{partition}", self.journal)
        return self.made[partition]

    def operator(self, orders: Orders | None = None) -> Operator:
        state = str(self.directory / "state")
        return Operator(
            "toys", self.log, ["in"], self.toy, state, CHANNELS, lambda: 77, orders=orders
        )

    def records(self, topic: str) -> list[bytes]:
        return [r.value for r in kept_by_run.records(self.log, topic, 0)]

    def put(self, partition: int, *values: bytes) -> None:
        self.writer.append("in", partition, values, 1)
        self.writer.flush()

    def told(self) -> list[Message]:
        follower = Follower(self.log, *CHANNELS)
        found = follower.poll(0.0)
        follower.close()
        return found

    def close(self) -> None:
        self.writer.close()
        self.log.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def test_every_task_applies_before_any_writes_and_all_write_before_progress_is_told(
    bench: Bench,
) -> None:
    bench.put(0, b"a", b"b")
    bench.put(1, b"c")
    op = bench.operator()
    assert op.step(0.0)
    assert sorted(bench.journal[:2]) == ["toy:0 applies 2", "toy:1 applies 1"]
    assert sorted(bench.journal[2:]) == ["toy:0 writes", "toy:1 writes"]
    assert not op.step(0.0)
    (progress,) = bench.told()
    assert isinstance(progress, Progress)
    assert progress.ticks == {"toy:0": 2, "toy:1": 1}
    op.close()


def test_a_resumed_task_writes_and_reports_before_anything_new_comes(bench: Bench) -> None:
    bench.put(0, b"a", b"b")
    op = bench.operator()
    op.step(0.0)
    op.checkpoint()
    op.close()
    before = len(bench.told())
    bench.journal.clear()
    again = bench.operator()
    assert not again.step(0.0)
    assert sorted(bench.journal) == ["toy:0 writes", "toy:1 writes"]
    assert [m.ticks for m in bench.told()[before:] if isinstance(m, Progress)] == [{"toy:0": 2}]
    assert bench.made[0].seen == 2
    bench.put(0, b"c")
    assert again.step(1.0)
    assert bench.made[0].seen == 3
    again.close()


def test_tasks_look_after_their_rows_at_their_start_and_now_and_then_where_nothing_comes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(operator.time, "monotonic", lambda: now[0])
    op = bench.operator()
    op.step(0.0)
    both = ["toy:0 writes", "toy:1 writes"]
    assert sorted(bench.journal) == both, "a task that is new has said that there are no rows"
    bench.put(0, b"a")
    now[0] += 0.9
    op.step(0.0)
    assert bench.journal[2:] == ["toy:0 applies 1", "toy:0 writes"], (
        "it is too early for the other one"
    )
    now[0] += 0.2
    op.step(0.0)
    assert bench.journal[4:] == ["toy:1 writes"], "the one has just written"
    for _ in range(3):
        now[0] += 1.1
        op.step(0.0)
    assert sorted(bench.journal[5:]) == sorted(3 * both)
    op.close()


def test_while_the_store_is_away_nothing_is_read_and_it_is_said(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator, "RETRY_SECONDS", 0.001)
    monkeypatch.setattr(operator, "STATUS_SECONDS", 0.0)
    bench.put(0, b"a")
    op = bench.operator()
    op.step(0.0)
    bench.made[0].refusals = 3
    bench.put(0, b"b")
    assert op.step(1.0)
    bench.put(0, b"c")
    bench.put(1, b"d")
    for _ in range(2):
        assert not op.step(1.0), "it rests"
    (outage,) = op.vitals.outages.current()
    assert (outage.component, outage.cause, outage.next_step) == ("store", "is away", "Wait.")
    assert "reads nothing" in outage.meanwhile
    told = [m for m in bench.told() if isinstance(m, Status)]
    assert told[-1].facts["outages"][0]["cause"] == "is away"
    ticks = [m.ticks for m in bench.told() if isinstance(m, Progress)]
    assert all(t.get("toy:0", 0) <= 1 for t in ticks), "progress stands for rows that are safe"
    assert not op.step(1.0), "the rows are written"
    assert bench.journal[-1] == "toy:0 writes"
    assert not op.vitals.outages.current()
    assert op.step(1.0), "it reads on"
    assert {p: t.seen for p, t in bench.made.items()} == {0: 3, 1: 1}
    op.close()


def test_a_role_that_is_held_from_the_start_reads_nothing_in_its_first_step(bench: Bench) -> None:
    held = [True]
    bench.put(0, b"a")
    op = bench.operator(Orders(held=lambda: held[0]))
    for _ in range(3):
        assert not op.step(0.0)
    assert bench.made[0].seen == 0
    held[0] = False
    assert op.step(1.0)
    assert bench.made[0].seen == 1
    op.close()


def test_a_held_role_reads_nothing_and_says_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator, "STATUS_SECONDS", 0.0)
    held = [True]
    op = bench.operator(Orders(held=lambda: held[0]))
    op.step(0.0)
    bench.put(0, b"a")
    assert not op.step(0.0)
    assert [m.facts["held"] for m in bench.told() if isinstance(m, Status)][-1]
    held[0] = False
    assert op.step(1.0)
    assert bench.made[0].seen == 1
    op.close()


# ------------------------------------------------------------ records that crash a task
class Fragile(Toy):
    """Crashes on some values."""

    def apply(self, batch: Any) -> Outputs:
        if any(batch.value(i).tobytes() == b"bad" for i in range(len(batch))):
            raise ZeroDivisionError("on a bad record")
        return super().apply(batch)


def settle(op: Operator) -> None:
    for _ in range(20):
        op.step(0.0)


def test_a_record_that_crashes_three_times_is_a_dead_letter_and_its_neighbours_are_applied(
    bench: Bench,
) -> None:
    bench.kind = Fragile
    bench.put(0, b"a", b"b")
    op = bench.operator()
    op.step(0.0)
    op.checkpoint()
    bench.put(0, b"c", b"bad", b"d")
    bench.put(1, b"x")
    settle(op)
    assert bench.made[0].seen == 4
    assert bench.made[1].seen == 1
    assert bench.journal.count("toy:0 skips 3") == 1
    (letter,) = [blocks.decode(v).rows for v in bench.records("dead")]
    assert letter is not None
    (row,) = letter.to_pylist()
    assert (row["reason"], row["_offset"], row["value"]) == ("crash", 3, b"bad")
    assert row["detail"] == "ZeroDivisionError: on a bad record"
    assert {bytes(v) for v in bench.records("out")} == {b"a", b"b", b"c", b"d", b"x"}
    op.checkpoint()
    op.close()


def test_nothing_is_told_of_what_follows_a_skipped_record_before_that_is_behind_a_checkpoint(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It might be got over after a restart, and what readers have had of later ones would keep it
    out."""
    monkeypatch.setattr(operator, "CHECKPOINT_SECONDS", NEVER)
    bench.kind = Fragile
    bench.put(0, b"a", b"bad", b"b", b"c")
    op = bench.operator()
    while not bench.records("dead"):
        op.step(0.0)
    assert bench.records("out") == [b"a"]
    op.close()  # killed once its checkpoint was saved
    again = bench.operator()
    settle(again)
    assert bench.records("out") == [b"a", b"b", b"c"]
    assert len(bench.records("dead")) == 1
    assert again._records == 2
    again.close()


def test_the_text_of_an_error_is_kept_up_to_a_bound(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Toy, batch: Any) -> Outputs:
        raise ValueError("x" * 2 * KEPT_TEXT)

    monkeypatch.setattr(Toy, "apply", fail)
    bench.put(0, b"a")
    op = bench.operator()
    settle(op)
    (letter,) = [blocks.decode(v).rows for v in bench.records("dead")]
    assert letter is not None
    assert len(letter.to_pylist()[0]["detail"]) == KEPT_TEXT
    op.close()


def test_after_a_restart_the_skipped_record_is_not_tried_again_once_it_is_behind_a_checkpoint(
    bench: Bench,
) -> None:
    bench.kind = Fragile
    bench.put(0, b"bad", b"a", b"bad")
    op = bench.operator()
    settle(op)
    op.checkpoint()
    op.close()
    again = bench.operator()
    settle(again)
    assert bench.made[0].seen == 1
    assert len(bench.records("dead")) == 2
    again.close()


def test_after_a_crash_nothing_is_saved_of_a_task_that_has_not_read_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator, "CHECKPOINT_SECONDS", NEVER)
    bench.kind = Fragile
    bench.put(0, b"a", b"b")
    op = bench.operator()
    op.step(0.0)
    monkeypatch.setattr(operator, "CHECKPOINT_SECONDS", 0.0)
    bench.put(0, b"c", b"bad")
    op.step(0.0)
    op.close()  # killed right after the checkpoint
    again = bench.operator()
    settle(again)
    assert bench.made[0].seen == 3
    again.close()


def test_a_panic_of_polars_is_a_crash_of_its_record(bench: Bench) -> None:
    class Panicking(Toy):
        def apply(self, batch: Any) -> Outputs:
            if any(batch.value(i).tobytes() == b"bad" for i in range(len(batch))):
                raise PanicException("index out of bounds")
            return super().apply(batch)

    bench.kind = Panicking
    bench.put(0, b"a", b"bad", b"b")
    op = bench.operator()
    settle(op)
    assert bench.made[0].seen == 2
    assert len(bench.records("dead")) == 1
    op.close()


def test_one_that_crashes_costs_the_other_partitions_of_its_step_nothing(bench: Bench) -> None:
    bench.kind = Fragile
    bench.put(0, b"bad")
    bench.put(1, b"x", b"y")
    op = bench.operator()
    assert op.step(0.0)
    assert bench.records("out") == [b"x", b"y"]
    assert bench.journal.index("toy:1 writes") > bench.journal.index("toy:1 applies 2")
    settle(op)
    assert bench.records("out") == [b"x", b"y"], "and nothing is read twice"
    assert bench.made[1].seen == 2
    op.close()


def test_a_full_disk_is_no_fault_of_a_record(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Toy, batch: Any) -> Outputs:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Toy, "apply", full)
    bench.put(0, b"a")
    op = bench.operator()
    with pytest.raises(OSError, match="No space"):
        op.step(0.0)
    assert not bench.records("dead")
    op.close()


# ------------------------------------------------------------ live settings and the batch wait
class Patient(Toy):
    """Takes on the lateness of `landings`, and remembers from which offset on."""

    def __init__(self, name: str, journal: list[str]) -> None:
        super().__init__(name, journal)
        self.lateness, self.taken = "2m", list[tuple[int, str]]()

    def configure(self, settings: Any, at: int) -> bool:
        now = settings["landings"].lateness
        if now == self.lateness:
            return False
        self.lateness = now
        self.taken.append((at, now))
        return True

    def dump(self, full: bool) -> dict[str, Any]:
        return {**super().dump(full), "taken": as_json(self.taken)}

    def load(self, base: Any, deltas: Any) -> None:
        super().load(base, deltas)
        self.taken = [(at, v) for at, v in from_json((deltas[-1] if deltas else base)["taken"])]
        self.lateness = self.taken[-1][1] if self.taken else "2m"


def test_a_setting_is_taken_on_at_a_checkpoint_that_records_it_and_survives_restarts(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator, "LISTEN_SECONDS", 0.0)
    bench.kind, orders = Patient, Orders({"landings": Freshness()})
    bench.put(0, b"a", b"b")
    op = bench.operator(orders)
    op.step(0.0)
    send(bench.writer, CHANNELS, [Setting("landings", "lateness", "7m", "ann", 1)], 1)
    op.step(0.0)
    assert bench.made[0].taken == [(2, "7m")]
    bench.put(0, b"c")
    op.step(1.0)
    op.close()  # killed: what came after the setting is not saved
    again = bench.operator(orders)
    again.step(0.0)
    assert bench.made[0].taken == [(2, "7m")], "from its checkpoint"
    assert bench.made[1].taken == [(0, "7m")]
    assert bench.made[0].seen == 3
    again.close()


def test_a_setting_that_came_while_it_was_killed_is_not_taken_on_for_what_was_told_before(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator, "LISTEN_SECONDS", 0.0)
    bench.kind, orders = Patient, Orders({"landings": Freshness()})
    bench.put(0, b"a", b"b")
    op = bench.operator(orders)
    op.step(0.0)
    op.close()  # killed: what it told of both is in the log, and no checkpoint
    send(bench.writer, CHANNELS, [Setting("landings", "lateness", "7m", "ann", 1)], 1)
    again = bench.operator(orders)
    for _ in range(3):
        again.step(0.0)
    assert bench.made[0].taken == [(2, "7m")]
    again.close()


def test_a_setting_that_came_before_a_crash_is_not_taken_on_for_what_was_told_before(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Both(Patient, Fragile):
        """Crashes, and takes settings on."""

    bench.kind, orders = Both, Orders({"landings": Freshness()})
    bench.put(0, b"a", b"b")
    op = bench.operator(orders)
    op.step(0.0)
    bench.made[0].refusals = 2
    bench.put(0, b"c")
    op.step(0.0)
    send(bench.writer, CHANNELS, [Setting("landings", "lateness", "7m", "ann", 1)], 1)
    monkeypatch.setattr(operator, "LISTEN_SECONDS", 0.0)
    op.step(0.0)  # the setting is heard, and the rows cannot be written
    monkeypatch.setattr(operator, "LISTEN_SECONDS", NEVER)
    bench.put(0, b"d", b"bad")
    for _ in range(12):
        op.step(0.0)
    assert [at >= 2 for at, _ in bench.made[0].taken] == [True]
    op.close()


def test_who_gets_a_partition_hears_all_that_was_set_before_it_tells_the_task(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator, "LISTEN_SECONDS", 0.0)
    bench.kind, orders = Patient, Orders({"landings": Freshness()})
    bench.put(0, b"a")
    long_there, other = bench.operator(orders), bench.operator(orders)
    long_there._listen()
    monkeypatch.setattr(operator, "LISTEN_SECONDS", NEVER)
    other._listened_at = -NEVER
    send(bench.writer, CHANNELS, [Setting("landings", "lateness", "7m", "ann", 1)], 1)
    other.step(0.0)
    assert bench.made[0].taken == [(1, "7m")]
    other.close()
    for _ in range(2):
        long_there.step(0.0)
        assert bench.made[0].taken == [(1, "7m")], "what it was declared with is out of date"
    monkeypatch.setattr(operator, "LISTEN_SECONDS", 0.0)
    long_there.step(0.0)
    assert bench.made[0].taken == [(1, "7m")]
    long_there.close()


def test_a_batch_wait_gathers_what_comes_meanwhile(bench: Bench) -> None:
    op = bench.operator(Orders(gather_seconds=lambda current: 0.5))
    op.step(0.0)
    bench.journal.clear()
    bench.put(0, b"a")
    timer = threading.Timer(0.05, lambda: bench.put(0, b"b", b"c"))
    timer.start()
    assert op.step(5.0)
    timer.join()
    assert bench.journal[0] == "toy:0 applies 3"
    op.close()


def test_a_time_that_is_to_be_told_ends_the_batch_wait(bench: Bench) -> None:
    clock = ManualClock(1)
    op = bench.operator(Orders(gather_seconds=lambda current: NEVER, pace=WallPace(clock, 0.0)))
    op.step(0.0)
    bench.put(0, b"a")
    clock.set(2)
    step = threading.Thread(target=op.step, args=(5.0,), daemon=True)
    step.start()
    step.join(30.0)
    assert not step.is_alive(), "what stood there when the clock was asked is read"
    op.close()


class Telling(Toy):
    """Is told the time, and writes it down."""

    def apply(self, batch: Any) -> Outputs:
        found = super().apply(batch)
        self.finished = self.told
        return found

    told = blocks.NO_TICK

    def tick(self, now_ms: int, partitions: int) -> Outputs:
        self.told = self.finished = now_ms
        self.journal.append(f"{self.name} is told {now_ms} of {partitions}")
        return Outputs([Append("out", 0, [f"{now_ms}".encode()], now_ms)])


def told(bench: Bench) -> list[str]:
    return [line for line in bench.journal if "told" in line]


def test_the_time_is_told_once_all_is_read_that_stood_there_then(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator, "MAX_RECORDS", 2)
    bench.kind, clock = Telling, ManualClock(7)
    bench.put(0, b"a", b"b", b"c")
    op = bench.operator(Orders(pace=WallPace(clock, 0.0)))
    op.step(0.0)
    assert told(bench) == ["toy:1 is told 7 of 2"], "the other partition is not read to its end"
    bench.put(0, b"later than 7")
    clock.set(8)
    op.step(0.0)
    assert "toy:0 is told 7 of 2" in told(bench), "it is reached, however much comes meanwhile"
    op.step(0.0)
    assert told(bench)[-1] == "toy:0 is told 8 of 2"
    op.close()


def test_no_time_is_told_while_nobody_knows_where_partitions_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ticks, "AGAIN_SECONDS", 0.0)
    bench.kind, clock = Telling, ManualClock(7)
    op = bench.operator(Orders(pace=WallPace(clock, 0.0)))
    op.step(0.0)
    honest = op._ticker._bounds  # type: ignore[union-attr]

    def away(topic: str) -> Any:
        raise LogError(topic, "is away", "Wait.")

    monkeypatch.setattr(op._ticker, "_bounds", away)
    clock.set(8)
    op.step(0.0)
    assert told(bench) == ["toy:0 is told 7 of 2", "toy:1 is told 7 of 2"]
    monkeypatch.setattr(op._ticker, "_bounds", honest)
    op.step(0.0)
    assert told(bench)[2:] == ["toy:0 is told 8 of 2", "toy:1 is told 8 of 2"]
    op.close()


def test_in_a_replay_the_time_is_what_the_control_log_says(bench: Bench) -> None:
    bench.kind = Telling
    op = bench.operator(Orders(pace=ReplayPace()))
    bench.put(0, b"a")
    op.step(0.0)
    assert told(bench) == []
    send(bench.writer, CHANNELS, [Tick(5), Tick(9)], 1)
    op.step(0.0)
    assert told(bench) == ["toy:0 is told 9 of 2", "toy:1 is told 9 of 2"]
    op.close()


def test_when_stopped_while_the_store_is_away_nothing_is_saved(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator, "RETRY_SECONDS", 60.0)
    bench.put(0, b"a")
    op, stop = bench.operator(), threading.Event()
    honest = Toy.write

    def refuse(self: Toy) -> None:
        stop.set()
        raise StoreError("store", "is away", "Wait.")

    monkeypatch.setattr(Toy, "write", refuse)
    op.run(stop)
    monkeypatch.setattr(Toy, "write", honest)
    again = bench.operator()
    assert again.step(0.0)
    assert bench.made[0].seen == 1
    again.close()


def test_a_stop_checkpoints_all_that_was_done(bench: Bench) -> None:
    bench.put(0, b"a")
    bench.put(1, b"b")
    stop, op = threading.Event(), bench.operator()
    monkey = op._apply

    def last(batch: Any) -> None:
        monkey(batch)
        stop.set()

    op._apply = last  # type: ignore[method-assign]
    op.run(stop)
    again = bench.operator()
    assert not again.step(0.0)
    assert {p: t.seen for p, t in bench.made.items()} == {0: 1, 1: 1}
    again.close()


def test_partitions_that_go_to_another_member_are_saved_and_lost_ones_are_not(bench: Bench) -> None:
    bench.put(0, b"a")
    bench.put(1, b"b")
    op = bench.operator()
    op.step(0.0)
    op._revoke([("in", 0)])
    op._lose([("in", 1)])
    assert op.finished() == []
    op.close()
    again = bench.operator()
    assert again.step(0.0)
    assert bench.journal[-3:-2] == ["toy:1 applies 1"]
    assert sorted(bench.journal[-2:]) == ["toy:0 writes", "toy:1 writes"]
    again.close()


def test_a_status_tells_of_every_task_about_once_a_second(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator, "STATUS_SECONDS", 0.0)
    bench.put(0, b"a")
    op = bench.operator()
    op.step(0.0)
    (status,) = [m for m in bench.told() if isinstance(m, Status)]
    assert status.facts["toy:0"] == {"seen": 1}
    assert status.facts["records"] == 1
    assert status.instance == op.instance
    op.close()


def test_figures_that_fail_stop_no_work(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator, "STATUS_SECONDS", 0.0)
    monkeypatch.setattr(Toy, "facts", lambda self: {"mean": 1 / 0})
    bench.put(0, b"a")
    op = bench.operator()
    assert op.step(0.0)
    (status,) = [m for m in bench.told() if isinstance(m, Status)]
    assert (status.facts["toy:0"], status.facts["records"]) == ({}, 1)
    op.close()


def test_a_recreated_log_or_one_that_starts_later_is_an_error_that_names_both(
    bench: Bench, tmp_path: Path
) -> None:
    bench.put(0, b"a")
    op = bench.operator()
    op.step(0.0)
    op.checkpoint()
    op.close()
    bench.close()
    for path in (tmp_path / "log").glob("in*"):
        path.unlink()
    other = Bench(tmp_path)
    with pytest.raises(CheckpointError, match=r"is of log .* and the log now is"):
        other.operator().step(0.0)
    other.close()


def test_a_checkpoint_beyond_the_end_of_the_log_is_an_error(bench: Bench, tmp_path: Path) -> None:
    op = bench.operator()
    op.step(0.0)
    op._given["in", 0].next = 5
    op.checkpoint()
    op.close()
    again = bench.operator()
    with pytest.raises(LogError):
        again.step(0.0)
    again.close()


def test_batches_of_the_toys_are_what_they_seem() -> None:
    assert Toy("x", []).apply(batch_of([b"a"], [0], [0])).appends[0].values == [b"a"]


def test_all_topics_of_the_small_app_are_read_by_some_role() -> None:
    read: Sequence[str] = [t for topics in READS.values() for t in topics]
    assert sorted(read) == sorted(SOURCES)
