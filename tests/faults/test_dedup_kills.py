"""Events that are sent twice, into two partitions, while the roles that find them are killed, over
both logs: each counts once, and the ledger holds."""

from __future__ import annotations

import json
import random
import uuid
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from freshet.app import App, load
from freshet.features.catalog import open_store
from freshet.features.reading.api import FeaturesRequest
from freshet.features.stores.contract import Store
from freshet.processes.runtime import Runtime
from freshet.replay.report import topic_report
from freshet.roles.interface import feature_reader
from freshet.runs.page_client import PageClient
from freshet.schemas.errors import FreshetError
from freshet.settings import settings
from freshet.streams.clock import wall_now_ms
from tests.faults.killer import Killer, started_again_at_once, until

pytestmark = pytest.mark.timeout(300)
PARTITIONS = 3
USERS = 5
STEPS = 120  # of ten events each
EVENTS = STEPS * 10
KILLS = 9
KILLABLE = range(5, STEPS - 40)
KILLED = ("intake", "dedup", "view")
APP = """\
import freshet as fr

orders = fr.Topic(
    "orders",
    {{
        "type": "record",
        "name": "order",
        "fields": [
            {{"name": "id", "type": "long"}},
            {{"name": "at", "type": "long"}},
            {{"name": "user", "type": "long"}},
            {{"name": "amount", "type": ["null", "double"]}},
        ],
    }},
    event_id="id",
    event_time="at",
    partitions={partitions},
    dedup_by="topic",
)
by_user = fr.View(
    "by_user", orders, key="user", features={{"n": fr.count(over="1h"), "sum": fr.sum("amount", over="1h")}}
)
app = fr.App("{name}", topics=[orders], views=[by_user])
"""


@pytest.mark.parametrize("on", ["sqlite", "kafka"])
def test_what_is_sent_twice_counts_once_whoever_is_killed(
    on: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    log = f"kafka://{request.getfixturevalue('kafka')}" if on == "kafka" else ""
    file = tmp_path / "orders_app.py"
    name = f"shop_{uuid.uuid4().hex[:8]}"
    file.write_text(APP.format(partitions=PARTITIONS, name=name))
    app = load(file)
    given = settings(run_dir=tmp_path / "run", log=log, port=0, status_port=0)
    with started_again_at_once(), Runtime(app, str(file), given) as run:
        run.address("serve")
        keepers = dict.fromkeys(KILLED, run.supervisor)
        killer = Killer(keepers, KILLABLE, KILLS, 0.1)
        produce(run, app, killer)
        until(lambda: read_by_now(run) == 2 * EVENTS, "all is read")
        with closing(open_store(run.settings.store)) as store:
            until(lambda: counted(app, store)[0] >= EVENTS, "rows hold all")
            assert counted(app, store) == (EVENTS, float(EVENTS))
        url = run.settings.checkpoints_url
        # It waits for checkpoints of all that was read.
        report = topic_report(app, run.log, url, "orders")
        assert killer.restarts() == killer.killed
    assert report["ledger_agrees"]
    assert report["records"] == 2 * EVENTS
    assert report["applied"] == EVENTS
    assert report["deduplicated"] == EVENTS


def produce(run: Runtime, app: App, killer: Killer) -> None:
    """Each event into one partition, and later into another one."""
    draw = random.Random(7)
    writer = run.log.writer()
    again: list[tuple[int, bytes]] = []
    before: dict[str, int] = {}
    read = 0
    for step in range(STEPS):
        killer.wait()
        until(lambda: Counter(killer.restarts()) == killer.killed, "who was killed is back")
        # Whoever is killed next has done something since the last one was.
        if before != dict(killer.killed):
            before = dict(killer.killed)
            until(lambda read=read: read_by_now(run) > read, "more is read")
            read = read_by_now(run)
        killer.step(step)
        for number in range(10 * step, 10 * step + 10):
            event = {"id": number, "at": wall_now_ms(), "user": number % USERS, "amount": 1.0}
            value = json.dumps(event).encode()
            first, second = draw.sample(range(PARTITIONS), 2)
            writer.append(app.log_of("orders"), first, [value], wall_now_ms())
            again.append((second, value))
        draw.shuffle(again)
        for _ in range(10 if step > 5 else 0):
            where, value = again.pop()
            writer.append(app.log_of("orders"), where, [value], wall_now_ms())
        writer.flush()
    for where, value in again:
        writer.append(app.log_of("orders"), where, [value], wall_now_ms())
    writer.flush()
    killer.wait()
    writer.close()


def read_by_now(run: Runtime) -> int:
    try:
        with PageClient(run.settings.local_path) as page:
            (topic,) = page.status().topics
            return topic.records
    except FreshetError:
        return 0


def counted(app: App, store: Store) -> tuple[int, float]:
    """Events, and the sum of their amounts, over all rows."""
    asked = FeaturesRequest({"user": list(range(USERS))}, ["by_user:n", "by_user:sum"])
    answer = feature_reader(app).answer(asked, store, wall_now_ms())
    numbers, sums = (answer.results[i].values for i in (1, 2))
    return sum(n or 0 for n in numbers), sum(x or 0.0 for x in sums)
