"""Every role of a running replay is killed, again and again; what is left in the end is what an undisturbed run leaves."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.catalog import open_store
from features.redis_server import RedisServer
from features.store import VERSION_BYTES, RowKeys, Store
from freshet import audit, runtime, supervisor
from freshet.app import App, load
from freshet.client import ScoringClient
from freshet.flights.schedule import Schedule
from freshet.replay import Replayer, published
from freshet.report import outcomes_of, topic_report
from freshet.roles import role_names
from freshet.runtime import Runtime
from freshet.settings import settings
from freshet.supervisor import Supervisor
from freshet.testing import LocalRun
from learners import snapshots
from learners.signing import Verifier
from schemas import blocks
from schemas.durations import milliseconds
from schemas.outcomes import KINDS
from streams.log import Log

APP_FILE = Path(__file__).parent / "light_flights.py"
DAYS, EVERY, DRAIN_MS, SEED = 2, "3h", 13 * 3_600_000, 2013
ROUNDS, LATEST_SECONDS, SECONDS = 3, 0.12, 60.0
IMPORTED_ONCE = ("freshet.roles", "freshet.serve", "freshet.control", "freshet.flights.schedule")
IMPORTED_BY_APP = ("learners.river_learner", "learners.torch_learner")  # the file it is derived from names them


@dataclass(frozen=True)
class Left:
    """What a run leaves: ledgers by topic, rows without versions by view and key, examples, digests of snapshots."""

    ledgers: dict[str, dict[int, Any]]
    rows: dict[str, dict[str, bytes]]
    examples: list[tuple[Any, ...]]
    digests: dict[str, str]


def left(app: App, log: Log, store: Store, folder: Path) -> Left:
    checkpoints = str(folder / "checkpoints")
    for t in app.topics:
        assert topic_report(app, log, checkpoints, t.name)["ledger_agrees"], t.name
    ledgers = {t.name: audit.kept(log, checkpoints, t, app.log_of(t.name), 0)[1] for t in app.topics}
    return Left(ledgers, rows_of(app, log, store), sorted(examples_of(app, log)), digests_of(folder))


def rows_of(app: App, log: Log, store: Store) -> dict[str, dict[str, bytes]]:
    out = {}
    for view in app.views:
        found = (blocks.decode(r.value).rows for r in audit.records(log, app.clean_log_of(view), 0))
        keys = sorted({k for rows in found if rows is not None for k in rows.column("key").to_pylist()})
        (rows,) = store.read([RowKeys(app.stored_as(view), [k.encode() for k in keys], view.plan.width)])
        assert rows.present.all(), view.name
        out[view.name] = {k: row[VERSION_BYTES:].tobytes() for k, row in zip(keys, rows.data)}
    return out


def examples_of(app: App, log: Log) -> list[tuple[Any, ...]]:
    out = []
    for rows in outcomes_of(app, log, app.models[0]).rows:
        ids = rows.texts["id"].to_arrow().to_pylist()
        labels = np.nan_to_num(rows.label, nan=-1.0).tolist()
        for i, (flight, label) in enumerate(zip(ids, labels)):
            vector = rows.fixed["categories"][i].tobytes(), rows.fixed["numbers"][i].tobytes()
            out.append((flight, KINDS[rows.kind[i]], label, int(rows.t[i]), *vector))
    return out


def digests_of(folder: Path) -> dict[str, str]:
    trainer, qualifier = (Verifier.load(folder / "keys" / n) for n in ("trainer", "qualifier"))
    paths = folder.glob("snapshots/*/*/*.safetensors")
    found = [snapshots.read_verified(path, trainer, qualifier).manifest for path in paths]
    return {f"{m.lineage}/{m.number}": m.sha256 for m in found}


@pytest.fixture(scope="module")
def app() -> App:
    return load(APP_FILE)


@pytest.fixture(scope="module")
def undisturbed(app: App, tmp_path_factory: pytest.TempPathFactory) -> Left:
    """In one process."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(folder / "redis"))
        store = stack.enter_context(contextlib.closing(open_store(redis.url)))
        local = stack.enter_context(LocalRun(app, folder, store, EVERY))
        for step in Schedule(DAYS, drain_ms=DRAIN_MS):
            local.step(step.start_ms, step.end_ms, step.queries, step.events)
        for operator in local.operators:
            operator.checkpoint()
        return left(app, local.log, store, folder)


@dataclass
class Killer:
    """Kills the roles in a random order, at random steps, each a random while after its step began."""

    supervisor: Supervisor
    roles: list[str]
    steps: int
    draw: random.Random = field(default_factory=lambda: random.Random(SEED))
    killed: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        order = [role for _ in range(ROUNDS) for role in self.draw.sample(self.roles, len(self.roles))]
        self.due = dict(zip(sorted(self.draw.sample(range(5, self.steps), len(order))), order))
        self._timer: threading.Timer | None = None

    def step(self, n: int) -> None:
        """Before step `n`."""
        self.wait()
        if (role := self.due.get(n)) is not None:
            until(lambda: self.supervisor.facts()[role]["alive"], f"{role} is alive")
            self._timer = threading.Timer(self.draw.uniform(0.0, LATEST_SECONDS), self._kill, (role,))
            self._timer.start()

    def wait(self) -> None:
        if self._timer is not None:
            self._timer.join()

    def _kill(self, role: str) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.supervisor.facts()[role]["pid"], signal.SIGKILL)
            self.killed[role] += 1


def until(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {SECONDS:.0f} s: {what}"
        time.sleep(0.02)


@dataclass(frozen=True)
class Disturbed:
    left: Left
    killed: Counter[str]
    restarts: dict[str, int]
    failed: int
    rows: int


@pytest.fixture(scope="module")
def disturbed(app: App, tmp_path_factory: pytest.TempPathFactory) -> Disturbed:
    folder = tmp_path_factory.mktemp("disturbed")
    given = settings(run_dir=folder, port=0, status_port=0, replay=True, snapshot_every=EVERY)
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(supervisor, "BACKOFF_SECONDS", (0.0,))
        patch.setattr(supervisor, "WATCH_SECONDS", 0.05)
        patch.setattr(runtime, "_preload", lambda app: [*IMPORTED_ONCE, *IMPORTED_BY_APP])
        running = stack.enter_context(Runtime(app, str(APP_FILE), given))
        model, schedule = app.models[0], Schedule(DAYS, drain_ms=DRAIN_MS)
        replayer = Replayer(app, running.log, milliseconds(EVERY))
        stack.callback(replayer.close)
        client = ScoringClient(running.address("serve"), model.name, model.on.events)
        stack.callback(client.close)
        killer = Killer(running.supervisor, role_names(app), len(schedule) - 40)
        for n, step in enumerate(schedule):
            events = published(app, step.events)
            asked = any(step.queries.values())
            ask = partial(client.ask, step.queries, step.start_ms) if asked else dict[str, int]
            killer.step(n)
            replayer.step(step.start_ms, step.end_ms, ask, events)
        killer.wait()
        restarts = {name: c["restarts"] for name, c in running.supervisor.facts().items()}
        store = stack.enter_context(contextlib.closing(open_store(running.settings.store)))
        found = left(app, running.log, store, folder)
        return Disturbed(found, killer.killed, restarts, client.failed, client.rows)


def test_every_role_was_killed_and_came_back(app: App, disturbed: Disturbed) -> None:
    assert sum(disturbed.killed.values()) >= 16
    assert disturbed.killed.keys() == set(role_names(app))
    assert disturbed.restarts == disturbed.killed


def test_no_request_failed_while_roles_were_killed(disturbed: Disturbed) -> None:
    assert disturbed.failed == 0
    assert disturbed.rows >= sum(len(s.queries["flight_id"]) for s in Schedule(DAYS))


def test_the_ledger_is_that_of_an_undisturbed_run(disturbed: Disturbed, undisturbed: Left) -> None:
    assert disturbed.left.ledgers == undisturbed.ledgers


def test_the_rows_in_the_store_are_those_of_an_undisturbed_run(disturbed: Disturbed, undisturbed: Left) -> None:
    assert disturbed.left.rows.keys() == undisturbed.rows.keys()
    for view, rows in undisturbed.rows.items():
        assert disturbed.left.rows[view] == rows, view


def test_the_examples_are_those_of_an_undisturbed_run(disturbed: Disturbed, undisturbed: Left) -> None:
    assert len(undisturbed.examples) > 3_000
    assert disturbed.left.examples == undisturbed.examples


def test_trainers_cut_the_snapshots_of_an_undisturbed_run(disturbed: Disturbed, undisturbed: Left) -> None:
    both = disturbed.left.digests.keys() & undisturbed.digests.keys()
    assert len(both) >= 30
    assert {k: disturbed.left.digests[k] for k in both} == {k: undisturbed.digests[k] for k in both}
