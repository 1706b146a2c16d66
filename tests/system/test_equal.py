"""The same slice of flights on SQLite, on real Kafka, with Redis and with Cassandra: equal fates,
ledgers, rows, examples.

Embedded is the reference. On Kafka with Redis every role is a process, and `intake` and `view` are
two each, which share the partitions through their groups. With Cassandra the roles are steps of one
process, to keep the machine's memory for the servers.
"""

from __future__ import annotations

import ast
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from freshet.app import App, load
from freshet.audit import kept as kept_by_run
from freshet.demo.flights import APP
from freshet.demo.flights.schedule import Schedule
from freshet.features.catalog import open_store
from freshet.features.stores.contract import VERSION_BYTES, RowKeys, Store
from freshet.processes.runtime import Runtime
from freshet.processes.supervisor import RoleSpec, Supervisor
from freshet.replay.client import ScoringClient
from freshet.replay.replayer import Replayer, published
from freshet.replay.report import outcomes_of, topic_report
from freshet.roles.process import run_role
from freshet.schemas.durations import milliseconds
from freshet.schemas.wire import blocks
from freshet.schemas.wire.messages import Message, Settled
from freshet.schemas.wire.outcomes import KINDS, TEXTS
from freshet.servers.redis_server import RedisServer
from freshet.settings import Settings
from freshet.streams.catalog import open_log
from freshet.streams.log.contract import Log
from freshet.testing import LocalRun
from tests.features.redis.groups import RedisCluster

HOUR_MS = 3_600_000
DAYS, EVERY, STEP_MS, DRAIN_MS = 2, "3h", HOUR_MS, 13 * HOUR_MS
SHARED_ROLES = ("intake", "view")
LIGHT = "[fr.Baseline(), fr.HashedLogistic()]"


def light_flights(directory: Path, name: str = "flights") -> Path:
    """The demo's app file under a name of its own, with the learners that cost least."""
    for schema in APP.parent.glob("*.avsc"):
        shutil.copy(schema, directory)
    text = APP.read_text()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.keyword) and node.arg == "learners":
            text = text.replace(ast.get_source_segment(text, node.value) or "", LIGHT)
    text = re.sub(r'fr\.App\(\s*"flights"', f'fr.App("{name}"', text)
    file = directory / "app.py"
    file.write_text(text)
    app = load(file)
    assert (app.name, len(app.models[0].learners)) == (name, 2)
    return file


@dataclass(frozen=True)
class Outcome:
    """What a run left behind, with what may differ between logs (versions, batches) taken out."""

    fates: dict[str, Any]
    ledgers: dict[str, dict[int, Any]]
    rows: dict[str, dict[bytes, bytes]]
    examples: list[tuple[Any, ...]]
    settled: list[tuple[int, str | None, int | None]]


def outcome(
    app: App, log: Log, store: Store, checkpoints_url: str, settled: list[Settled]
) -> Outcome:
    fates = {t.name: dict(topic_report(app, log, checkpoints_url, t.name)) for t in app.topics}
    ledgers = {}
    for t in app.topics:
        ledgers[t.name] = kept_by_run.ledger(log, checkpoints_url, t, app.log_of(t.name), 0)[1]
        assert fates[t.name]["ledger_agrees"], t.name
    told = [(m.tick, m.digest and m.lineage, m.number) for m in settled]
    return Outcome(fates, ledgers, _rows(app, log, store), sorted(_examples(app, log)), told)


def _rows(app: App, log: Log, store: Store) -> dict[str, dict[bytes, bytes]]:
    """Rows of every key that a view's clean log names, less their versions."""
    found = {}
    for view in app.views:
        keys: set[bytes] = set()
        for record in kept_by_run.records(log, app.clean_log_of(view), 0):
            block = blocks.decode(record.value)
            if block.rows is not None:
                keys |= {k.encode() for k in block.rows.column("key").to_pylist()}
        wanted = sorted(keys)
        (rows,) = store.read([RowKeys(app.stored_as(view), wanted)])
        assert rows.present.all(), f"view {view.name} lacks rows"
        found[view.name] = {k: r[VERSION_BYTES:] for k, r in zip(wanted, rows.packed)}
    return found


def _examples(app: App, log: Log) -> Iterator[tuple[Any, ...]]:
    """Each example row: kind, id, label, vector, and the answer with the snapshot that gave it."""
    for rows in outcomes_of(app, log, app.models[0]).rows:
        texts = {name: rows.texts[name].to_arrow().to_pylist() for name in TEXTS}
        for i in range(len(rows)):
            fixed = rows.fixed[i]
            yield (
                texts["id"][i],
                KINDS[rows.kind[i]],
                float(np.nan_to_num(rows.label[i], nan=-1.0)),
                int(rows.t[i]),
                fixed["categories"].tobytes(),
                fixed["numbers"].tobytes(),
                float(fixed["p"]),
                int(fixed["snapshot"]),
                texts["lineage"][i],
            )


def in_one_process(app: App, directory: Path, store: Store, log: Log | None = None) -> Outcome:
    with LocalRun(app, directory, store, EVERY, log) as local:
        for step in Schedule(DAYS, STEP_MS, drain_ms=DRAIN_MS):
            local.step(step.start_ms, step.end_ms, step.queries, step.events)
        for operator in local.operators:
            operator.checkpoint()
        settled = [m for m in local.messages if isinstance(m, Settled)]
        return outcome(app, local.log, store, str(directory / "checkpoints"), settled)


def in_processes(app: App, file: Path, given: Settings) -> tuple[Outcome, Replayer]:
    """Every role a process, and a second one of the roles that share partitions."""
    settled: list[Settled] = []

    def note(m: Message) -> None:
        if isinstance(m, Settled):
            settled.append(m)

    with ExitStack() as stack:
        runtime = stack.enter_context(Runtime(app, str(file), given))
        more = [
            RoleSpec(f"{r}.2", run_role, (str(file), r, runtime.settings, "2"))
            for r in SHARED_ROLES
        ]
        others = Supervisor(more)
        others.start()
        stack.callback(others.stop)
        replayer = Replayer(app, runtime.log, milliseconds(EVERY), note)
        stack.callback(replayer.close)
        client = ScoringClient(
            [runtime.address("serve")], app.models[0].name, app.models[0].on.events
        )
        stack.callback(client.close)
        for step in Schedule(DAYS, STEP_MS, drain_ms=DRAIN_MS):
            events = published(app, step.events)
            asked = any(step.queries.values())
            ask = partial(client.ask, step.queries, step.start_ms) if asked else dict[str, int]
            replayer.step(step.start_ms, step.end_ms, ask, events)
        assert client.failed == client.broken == 0
        restarts = {
            name: c["restarts"]
            for s in (runtime.supervisor, others)
            for name, c in s.facts().items()
        }
        assert not any(restarts.values()), restarts
        with closing(open_store(given.store)) as store:
            found = outcome(app, runtime.log, store, runtime.settings.checkpoints_url, settled)
        replayer.drained()
    return found, replayer


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    directory = tmp_path_factory.mktemp("embedded")
    with RedisServer(directory / "redis") as redis:
        store = open_store(redis.url)
        found = in_one_process(load(light_flights(directory)), directory, store)
        store.close()
    return found


def check_equal(found: Outcome, embedded: Outcome) -> None:
    assert found.fates == embedded.fates
    assert found.ledgers == embedded.ledgers
    assert found.rows.keys() == embedded.rows.keys()
    for view, rows in embedded.rows.items():
        assert found.rows[view] == rows, f"rows of {view}"
    assert [e[:6] for e in found.examples] == [e[:6] for e in embedded.examples], (
        "ids, labels, vectors"
    )
    assert found.examples == embedded.examples, "answers and the snapshots that gave them"
    assert found.settled == embedded.settled


def test_the_slice_has_snapshots_swaps_and_all_kinds_of_examples(embedded: Outcome) -> None:
    assert len({e[7] for e in embedded.examples}) >= 5
    assert {e[1] for e in embedded.examples} >= {"asked", "labelled", "expired"}
    assert len([number for _, _, number in embedded.settled if number is not None]) >= 5
    assert all(embedded.rows.values())


@pytest.mark.timeout(600)
def test_processes_on_kafka_and_redis_equal_the_embedded_run(
    embedded: Outcome, kafka: str, redis_address: str, tmp_path: Path
) -> None:
    name = f"flights_{uuid.uuid4().hex[:8]}"
    file = light_flights(tmp_path, name)
    given = Settings(
        run_dir=tmp_path / "run",
        log=f"kafka://{kafka}",
        store=f"redis://{redis_address}/0",
        port=0,
        status_port=0,
        replay=True,
        snapshot_every=EVERY,
    )
    found, replayer = in_processes(load(file), file, given)
    for role, tasks in (("intake", 4), ("view", 8)):
        shares = [_tasks(s.facts, role) for s in replayer.facts.status.values() if s.role == role]
        assert sum(shares) >= tasks
        assert sum(share > 0 for share in shares) == 2, f"{role} processes hold {shares} partitions"
    check_equal(found, embedded)


def _tasks(facts: dict[str, Any], role: str) -> int:
    return sum(name.startswith(f"{role}:") for name in facts)


@pytest.mark.timeout(600)
def test_kafka_and_cassandra_equal_the_embedded_run(
    embedded: Outcome, kafka: str, cassandra: str, tmp_path: Path
) -> None:
    name = f"flights_{uuid.uuid4().hex[:8]}"
    store = open_store(f"cassandra://{cassandra}/{name}")
    log = open_log(f"kafka://{kafka}", name)
    found = in_one_process(load(light_flights(tmp_path, name)), tmp_path, store, log)
    store.close()
    check_equal(found, embedded)


@pytest.mark.timeout(600)
def test_a_cluster_equals_the_embedded_run(embedded: Outcome, tmp_path: Path) -> None:
    with RedisCluster(tmp_path / "cluster") as cluster:
        store = open_store(cluster.url)
        found = in_one_process(load(light_flights(tmp_path)), tmp_path, store)
        store.close()
    check_equal(found, embedded)


@pytest.mark.timeout(600)
def test_copies_that_are_evicted_equal_the_embedded_run(
    embedded: Outcome, cassandra: str, tmp_path: Path
) -> None:
    name = f"flights_{uuid.uuid4().hex[:8]}"
    evicting = ("--maxmemory", "2mb", "--maxmemory-policy", "allkeys-lru")
    with RedisServer(tmp_path / "copies", *evicting) as redis:
        store = open_store(f"tiered({redis.url}, cassandra://{cassandra}/{name})")
        found = in_one_process(load(light_flights(tmp_path, name)), tmp_path, store)
        store.close()
    check_equal(found, embedded)
