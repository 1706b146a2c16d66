"""A replay of some flights that is disturbed while it goes on, and what it must leave all the
same."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from freshet.app import App, load
from freshet.audit import kept as kept_by_run
from freshet.demo.flights.schedule import Schedule, Step
from freshet.features.catalog import open_store
from freshet.features.stores.contract import VERSION_BYTES, RowKeys, Store
from freshet.learners.snapshots import files as snapshots
from freshet.learners.snapshots.signing import Verifier
from freshet.processes.runtime import Runtime
from freshet.replay.client import ScoringClient
from freshet.replay.replayer import Replayer, published
from freshet.replay.report import outcomes_of, topic_report
from freshet.schemas.durations import milliseconds
from freshet.schemas.wire import blocks
from freshet.schemas.wire.outcomes import KINDS
from freshet.servers.redis_server import RedisServer
from freshet.settings import settings
from freshet.streams.log.contract import Log
from freshet.testing import LocalRun
from tests.snapshot_files import identity_of

Queries = dict[str, list[Any]]
HOUR_MS = 3_600_000
DAYS, EVERY, DRAIN_MS = 2, "3h", 13 * HOUR_MS
# A step costs a dozen processes about the same however much is in it: by the quarter of an hour, as
# demos go, two days would take four times as long and show nothing more.
STEP_MS = HOUR_MS
FIRST_MS = 2 * HOUR_MS
LAST_MS = 10 * HOUR_MS
APP = """\
from dataclasses import replace

from tests.faults import light_flights
from tests.snapshot_files import identity_of

app = replace(light_flights.app, name={name!r})
"""


@dataclass(frozen=True)
class Left:
    """What a run leaves: ledgers by topic, rows without versions by view and key, examples, digests
    of snapshots."""

    ledgers: dict[str, dict[int, Any]]
    rows: dict[str, dict[str, bytes]]
    examples: list[tuple[Any, ...]]
    digests: dict[str, str]


def left(app: App, log: Log, store: Store, folder: Path) -> Left:
    checkpoints = str(folder / "checkpoints")
    for t in app.topics:
        assert topic_report(app, log, checkpoints, t.name)["ledger_agrees"], t.name
    ledgers = {
        t.name: kept_by_run.ledger(log, checkpoints, t, app.log_of(t.name), 0)[1]
        for t in app.topics
    }
    return Left(
        ledgers, rows_of(app, log, store), sorted(examples_of(app, log)), digests_of(folder)
    )


def rows_of(app: App, log: Log, store: Store) -> dict[str, dict[str, bytes]]:
    out = {}
    for view in app.views:
        found = (
            blocks.decode(r.value).rows for r in kept_by_run.records(log, app.clean_log_of(view), 0)
        )
        keys = sorted(
            {k for rows in found if rows is not None for k in rows.column("key").to_pylist()}
        )
        (rows,) = store.read([RowKeys(app.stored_as(view), [k.encode() for k in keys])])
        assert rows.present.all(), view.name
        out[view.name] = {k: row[VERSION_BYTES:] for k, row in zip(keys, rows.packed)}
    return out


def examples_of(app: App, log: Log) -> list[tuple[Any, ...]]:
    """Id, kind, label, time, categories and numbers of every example."""
    out = []
    for rows in outcomes_of(app, log, app.models[0]).rows:
        ids = rows.texts["id"].to_arrow().to_pylist()
        labels = np.nan_to_num(rows.label, nan=-1.0).tolist()
        for i, (flight, label) in enumerate(zip(ids, labels)):
            vector = rows.fixed["categories"][i].tobytes(), rows.fixed["numbers"][i].tobytes()
            out.append((flight, KINDS[rows.kind[i]], label, int(rows.t[i]), *vector))
    return out


def differing(app: App, found: Left, expected: Left) -> dict[str, list[str]]:
    """What examples differ in, by id: their row but for the vector, or the names of the numbers."""
    names = app.models[0].vectors.numbers
    rows = {e[:3]: e for e in expected.examples}
    out: dict[str, list[str]] = {}
    for e in found.examples:
        other = rows.pop(e[:3], None)
        if other is None or e[:5] != other[:5]:
            out[e[0]] = [f"{e[:4]} is {other and other[:4]}"]
        elif e != other:
            a, b = (np.frombuffer(x[5], np.float32) for x in (e, other))
            out[e[0]] = [
                f"{n}: {u} is {v}"
                for n, u, v in zip(names, a, b)
                if u != v and not (u != u and v != v)
            ]
    return out | {e[0]: ["is missing"] for e in rows.values()}


def digests_of(folder: Path) -> dict[str, str]:
    trainer, qualifier = (Verifier.load(folder / "keys" / n) for n in ("trainer", "qualifier"))
    there = [identity_of(path) for path in folder.glob("snapshots/*/*/*.json")]
    root = folder / "snapshots"
    found = [snapshots.read_verified(root, which, trainer, qualifier).manifest for which in there]
    return {f"{m.lineage}/{m.number}": m.sha256 for m in found}


def app_file(folder: Path) -> Path:
    """The light app under a name of its own, so that several may share a Kafka."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "flights_app.py"
    file.write_text(APP.format(name=f"flights_{uuid.uuid4().hex[:8]}"))
    return file


def flights(step_ms: int = STEP_MS) -> Schedule:
    """What is replayed."""
    return Schedule(DAYS, step_ms, drain_ms=DRAIN_MS)


def undisturbed(folder: Path, step_ms: int = STEP_MS) -> Left:
    """In one process."""
    app = load(app_file(folder))
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(folder / "redis"))
        store = stack.enter_context(contextlib.closing(open_store(redis.url)))
        local = stack.enter_context(LocalRun(app, folder, store, EVERY))
        for step in flights(step_ms):
            local.step(step.start_ms, step.end_ms, step.queries, step.events)
        for operator in local.operators:
            operator.checkpoint()
        return left(app, local.log, store, folder)


@dataclass
class Disturbed:
    """A run with every role a process, replayed in steps of `step_ms`; `steps` is how many there
    are."""

    app: App
    folder: Path
    runtime: Runtime
    client: ScoringClient
    replayer: Replayer
    step_ms: int
    steps: int
    _answered: int = 0

    @property
    def killable(self) -> range:
        """The steps that roles are killed in: not those of the first models, nor of the end that
        waits for labels."""
        return range(FIRST_MS // self.step_ms, self.steps - LAST_MS // self.step_ms)

    def play(
        self,
        before: Callable[[int], None],
        answered: Callable[[int, Queries], None] = lambda n, q: None,
    ) -> None:
        """Replay all. `before` is called with the number of each step that comes, `answered` once
        its questions are."""
        for n, step in enumerate(flights(self.step_ms)):
            before(n)
            ask = (
                partial(self._ask, n, step, answered)
                if any(step.queries.values())
                else dict[str, int]
            )
            self.replayer.step(step.start_ms, step.end_ms, ask, published(self.app, step.events))

    def _ask(self, n: int, step: Step, answered: Callable[[int, Queries], None]) -> dict[str, int]:
        found = self.client.ask(step.queries, step.start_ms)
        if n >= self._answered:  # a step may be asked again
            self._answered = n + 1
            answered(n, step.queries)
        return found

    def left(self) -> Left:
        with contextlib.closing(open_store(self.runtime.settings.store)) as store:
            return left(self.app, self.runtime.log, store, self.folder)


@contextmanager
def running(
    folder: Path, log: str = "", store: str = "", step_ms: int = STEP_MS
) -> Iterator[Disturbed]:
    file = app_file(folder)
    app = load(file)
    given = settings(
        run_dir=folder,
        port=0,
        status_port=0,
        replay=True,
        snapshot_every=EVERY,
        log=log or None,
        store=store or None,
    )
    with ExitStack() as stack:
        runtime = stack.enter_context(Runtime(app, str(file), given))
        replayer = Replayer(app, runtime.log, milliseconds(EVERY), outages=runtime.outages)
        stack.callback(replayer.close)
        client = ScoringClient(
            [runtime.address("serve")], app.models[0].name, app.models[0].on.events
        )
        stack.callback(client.close)
        yield Disturbed(app, folder, runtime, client, replayer, step_ms, len(flights(step_ms)))
