"""A paced replay in one process, changed by `freshet apply` on its way: whatever the processes of a
run would do is done by the same code, by who carries changes out (`Applier`) and by what each
process is given to do (`Part`), but in turns."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

import freshet as fr
from freshet.app import load
from freshet.applying import asking
from freshet.audit import kept as kept_by_run
from freshet.declared.lineages import running
from freshet.demo.flights.schedule import Records
from freshet.features.cold.memory import RowMemory
from freshet.features.stores.contract import VERSION_BYTES, RowKeys, Store
from freshet.features.stores.memory_store import MemoryStore
from freshet.hydration import record as hydrations
from freshet.hydration.hydrator import Hydrator, Rhythm
from freshet.learners.training.task import TrainTask
from freshet.past.examples import frame_of
from freshet.past.own_logs import blocks_of
from freshet.processes.applying import Applier
from freshet.processes.crew import Place
from freshet.processes.supervisor import RoleSpec
from freshet.processes.versioned import take
from freshet.rebuilding.works import work_of
from freshet.roles import plans, preflight
from freshet.roles.context import Context
from freshet.roles.process import ROLES
from freshet.runs import record as run_record
from freshet.schemas.events.writer import EventWriter
from freshet.settings import Settings
from freshet.streams.clock import WallClock
from freshet.streams.control.switches import SwitchBoard
from freshet.streams.intake import known_schemas
from freshet.streams.operators.loop import Operator
from freshet.streams.outages import Outages
from freshet.streams.sqlite.log import SqliteLog
from freshet.streams.vitals.vitals import Vitals
from freshet.testing import LocalRun
from freshet.versions import progress
from freshet.versions.record import Versions
from tests.freshet.toy_day import HOUR, SHOPS, asked_in, payments_of

EVERY = "2h"
# In this order each reads what those before it wrote.
IN_TURN = ("intake", "dedup", "view", "join", "train")
HYDRATING_SECONDS = 0.0  # between two looks: nobody else works meanwhile
Arrays = Mapping[str, bytes]


class Crew:
    """Processes that are none: what they would be given to do."""

    def __init__(self) -> None:
        self.specs: list[RoleSpec] = []

    def change(self, specs: Sequence[RoleSpec]) -> None:
        self.specs = list(specs)

    def let_end(self, name: str) -> None:
        """The scorer of the version before ends with its run."""

    def facts(self) -> Mapping[str, Mapping[str, Any]]:
        return {}


@dataclass(frozen=True)
class _Role(Context):
    """What a role would run is kept, and run in turns."""

    rows: Store = field(default_factory=MemoryStore)
    made: list[Operator] = field(default_factory=list)

    def store(self) -> Store:
        return self.rows

    def operator(self, *args: Any, **more: Any) -> Operator:
        operator = super().operator(*args, **more)
        self.made.append(operator)
        operator.run = lambda stop: None  # type: ignore[method-assign]
        return operator


class _Turns(LocalRun):
    """The active version, and what is built beside it, by what a crew is to be."""

    def __init__(self, run: AppliedRun) -> None:
        self._run = run
        super().__init__(run.active, run.folder, run.store, EVERY)

    def _operators(self) -> list[Operator]:
        found = []
        for spec in sorted(self._run.crew.specs, key=_turn):
            name = str(spec.args[1])
            if name.split(".")[0] in IN_TURN:
                found.append(self._operator_of(spec))
                self._trained.add(name.removeprefix("train."))
        return found

    def _operator_of(self, spec: RoleSpec) -> Operator:
        file, name, given, member, _, part = spec.args
        kind = name.split(".")[0]
        app = running(load(file), given.checkpoints_url)
        # Told apart by their names, as `LocalRun` has them.
        vitals = Vitals(name, spec.name, Outages())
        role = _Role(
            app,
            given,
            name,
            self.log,
            threading.Event(),
            vitals,
            SwitchBoard(given.local_path),
            member,
            part,
            rows=self._run.store,
        )
        module, function = ROLES[kind]
        getattr(import_module(module), function)(role)
        (operator,) = role.made
        topics = operator._job.topics
        self._partitions[operator] = sum(len(self.log.bounds(topic).spans) for topic in topics)
        return operator

    def _hydrations(self) -> list[Hydrator]:
        """As the role `hydrate` of each version does."""
        found = []
        for spec in self._run.crew.specs:
            if spec.args[1] == "hydrate":
                found += self._hydrators_of(load(spec.args[0]))
        return found

    def _hydrators_of(self, app: fr.App) -> list[Hydrator]:
        url = self._checkpoints_url
        starts = plans.starts(app, self.log, url, WallClock().now_ms)
        intakes = {}
        for topic in app.topics:
            earlier = known_schemas.earlier_of(url, app.log_of(topic.name), topic)
            intakes[topic.name] = plans.intake_plan(app, topic, earlier)
        found = []
        for view in hydrations.unfinished(url, app):
            work = work_of(app, view, intakes, (self.log, url, Outages()), starts, RowMemory())
            known = hydrations.of(url, view)
            assert known is not None
            found.append(Hydrator(work, known, Rhythm(look_seconds=HYDRATING_SECONDS)))
        return found


def _turn(spec: RoleSpec) -> tuple[int, bool, str]:
    kind = str(spec.args[1]).split(".")[0]
    at = IN_TURN.index(kind) if kind in IN_TURN else len(IN_TURN)
    return at, spec.args[5].staged, spec.name


class Outcome(NamedTuple):
    """What a replay came to: rows of each view by key, without their versions; examples; what each
    lineage has learned; ledgers by topic; by which rung each question was answered."""

    rows: Mapping[str, Mapping[str, bytes]]
    examples: pl.DataFrame
    weights: Mapping[str, Arrays]
    ledgers: Mapping[str, Any]
    rungs: Sequence[str]


class AppliedRun:
    """A replay of the toy day, of an app that a line of Python declares (`declared`). `ask_from` is
    the first hour in which anything is asked."""

    def __init__(self, folder: Path, declared: str, ask_from: int = 0) -> None:
        self.folder = folder / "run"
        self.store = MemoryStore()
        self._file = folder / "app" / "app.py"
        self._file.parent.mkdir(parents=True)
        self._ask_from = ask_from
        self.rungs: list[str] = []
        self.given = Settings(
            run_dir=str(self.folder), replay=True, archive="none", snapshot_every=EVERY
        )
        self.given = self.given.model_copy(update={"log": self.given.log_url})
        self.folder.mkdir()
        self._write(declared)
        self._start()

    def _write(self, declared: str) -> None:
        self._file.write_text(declared)

    def _start(self) -> None:
        """As `freshet run` does."""
        app = load(self._file)
        log = SqliteLog(self.given.log_url)
        preflight.check(app, log, self.given)
        log.close()
        taken = take(app, self._file, self.given)
        assert isinstance(taken, Versions), taken
        self._moved(taken.app_file(taken.active()))
        self.crew = Crew()
        place = Place(taken, self.given, None)
        self._applier = Applier(place, self.crew, lambda made, version: None, self._moved)
        self.crew.change(self._applier.specs())
        self.local = self._opened()

    def _moved(self, file: Path) -> None:
        run_record.write("toy", str(file), self.given)
        self.active = load(file)

    def _opened(self) -> _Turns:
        return _Turns(self).__enter__()

    @contextmanager
    def _restarted(self) -> Any:
        """All processes end, and others begin: each saves where it is."""
        self.local.__exit__(None, None, None)
        yield
        self.local = self._opened()

    def apply(self, declared: str) -> None:
        """Ask for the app as it is declared now: from here on it is built."""
        self._write(declared)
        asking.ask(load(self._file), str(self._file), self.given)
        with self._restarted():
            while self._step() != progress.BUILDING:
                pass
            self._applier.step()
        assert any(spec.args[5].staged for spec in self.crew.specs)

    def _step(self) -> str:
        self._applier.step()
        now = progress.read(self.folder)
        return "" if now is None else now.step

    def cut_over(self) -> None:
        """What is built could answer: from here on it does."""
        for spec in self.crew.specs:
            if spec.name.startswith("serve.v"):
                progress.say(self.folder, spec.name, {"ready": True})
        before = self.active
        with self._restarted():
            while self._step():
                pass
        assert self.active is not before
        assert not any(spec.args[5].fed and spec.args[5].staged for spec in self.crew.specs)

    def hours(self, hours: range) -> None:
        for hour in hours:
            start = (hour + 1) * HOUR
            asked = asked_in(hour)
            events = {topic.name: EventWriter(topic.records) for topic in self.active.topics}
            rows = [{**dict(zip(asked, row)), "at": start} for row in zip(*asked.values())]
            told = {
                "orders": _records([(start + 1, events["orders"].encode(row)) for row in rows]),
                "payments": _records(
                    [(at, events["payments"].encode(_more(paid))) for at, paid in payments_of(hour)]
                ),
            }
            answer = self.local.step(
                start, start + HOUR, asked if hour >= self._ask_from else {}, told
            )
            # So that a lineage can go back to the end of each hour.
            for operator in self.local.operators:
                operator.checkpoint()
            if answer is not None:
                self.rungs.append(str(answer.parameters["rung"]))

    def outcome(self) -> Outcome:
        """Of what is declared now; ends the run."""
        local = self.local
        app = local.app
        model = app.models[0]
        weights = {}
        for operator in local.operators:
            for task in operator.tasks():
                if isinstance(task, TrainTask):
                    arrays = task._learner.checkpoint()
                    weights[task.name] = {key: at.tobytes() for key, at in arrays.items()}
            operator.checkpoint()
        found = Outcome(
            {view.name: self.rows(view) for view in app.views},
            frame_of(model, blocks_of(local.log, app.examples_log_of(model))),
            weights,
            {topic.name: self._ledger(topic) for topic in app.topics},
            self.rungs,
        )
        local.__exit__(None, None, None)
        return found

    def rows(self, view: fr.View) -> Mapping[str, bytes]:
        keys = [shop.encode() for shop in SHOPS]
        (rows,) = self.store.read([RowKeys(self.active.stored_as(view), keys)])
        assert rows.present.all(), f"view {view.name} lacks rows"
        return {shop: bytes(row[VERSION_BYTES:]) for shop, row in zip(SHOPS, rows.packed)}

    def _ledger(self, topic: fr.Topic) -> Any:
        source = self.active.log_of(topic.name)
        return kept_by_run.ledger(self.local.log, self.given.checkpoints_url, topic, source, 0)


def _more(paid: dict[str, Any]) -> dict[str, Any]:
    """With values of fields that some apps have."""
    return {**paid, "tip": len(paid["order_id"]) / 7, "fee": paid["at"] % 7_000 / 3}


def _records(of: list[tuple[int, bytes]]) -> Records:
    return Records([v for _, v in of], [t for t, _ in of], [str(i) for i in range(len(of))])


class Hours(NamedTuple):
    """When a change is asked for, when it is carried out, and how long it all is."""

    asked_at: int
    cut_over_at: int
    end: int


def never_changed(folder: Path, declared: str, hours: Hours, ask_from: int = 0) -> Outcome:
    run = AppliedRun(folder, declared, ask_from)
    run.hours(range(hours.end))
    return run.outcome()


def changed_on_the_way(
    folder: Path,
    before: str,
    after: str,
    hours: Hours,
    meanwhile: Callable[[AppliedRun], None] = lambda run: None,
) -> Outcome:
    """`meanwhile` is called before the change is asked for."""
    run = AppliedRun(folder, before)
    run.hours(range(hours.asked_at))
    meanwhile(run)
    run.apply(after)
    run.hours(range(hours.asked_at, hours.cut_over_at))
    run.cut_over()
    run.hours(range(hours.cut_over_at, hours.end))
    return run.outcome()
