"""`POST /push` over HTTP: to a real log, to one whose brokers are away, and to one that hangs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from freshet.features.stores.memory_store import MemoryStore
from freshet.roles.interface import interface
from freshet.servers.server import free_ports
from freshet.serving.scoring.reach import Reach
from freshet.serving.web import push as http_push
from freshet.serving.web.app import ScorerApp
from freshet.streams.catalog import open_log
from freshet.streams.clock import ManualClock
from freshet.streams.intake.push import Pusher
from freshet.streams.kafka import admin as kafka_admin
from freshet.streams.kafka import cluster as kafka_cluster
from freshet.streams.log.contract import Log
from freshet.streams.log.errors import too_large
from freshet.streams.sqlite.log import SqliteLog
from tests.consumers_app import APP, HOUR
from tests.serving.edge.served import served
from tests.serving.scoring.toy_answering import ToyAnswering
from tests.serving.web.test_app import call

LOG = APP.log_of("parcels")
NOW = 100 * HOUR
FRAME = {
    "parcel": ["a", "b"],
    "at": [NOW, NOW],
    "courier": ["ann", "bob"],
    "city": ["Lyon", "Porto"],
}
PUSH = {"push_source_name": "parcels", "df": FRAME, "to": "online", "allow_registry_cache": True}


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    made = SqliteLog(str(tmp_path))
    made.ensure(LOG, 4)
    yield made
    made.close()


def scorer_over(log: Log) -> tuple[ScorerApp, Pusher]:
    made = interface(APP, Reach(MemoryStore()), log, ManualClock(NOW))
    return ScorerApp(ToyAnswering(), routes=made.routes), made.pusher


def push(app: ScorerApp, body: Any = PUSH) -> httpx.Response:
    return call(app, "POST", "/push", json=body)


def held(log: Log) -> int:
    return sum(after for _, after in log.bounds(LOG).spans.values())


def test_an_answered_push_is_in_the_log(log: SqliteLog) -> None:
    app, pusher = scorer_over(log)
    got = push(app)
    assert (got.status_code, got.json()) == (200, {"topic": "parcels", "accepted": 2})
    assert held(log) == 2
    pusher.close()


def test_a_refused_push_lists_its_bad_events_and_appends_none(log: SqliteLog) -> None:
    app, _ = scorer_over(log)
    got = push(app, {**PUSH, "df": {**FRAME, "city": ["Lyon", "Paris"]}})
    assert got.status_code == 400
    assert got.json() == {
        "error": "request push to parcels: 1 of 2 events are refused, so none was appended; event 1, field 'city': "
        "out_of_domain. Send one of Berlin, Lyon, Porto.",
        "refused": [
            {
                "index": 1,
                "reason": "out_of_domain",
                "field": "city",
                "expected": "one of Berlin, Lyon, Porto",
            },
        ],
    }
    got = push(app, {**PUSH, "push_source_name": "parcel"})
    assert (got.status_code, got.json()["error"]) == (
        400,
        "request topic 'parcel': is unknown. The topics are parcels.",
    )
    assert held(log) == 0


def test_brokers_that_are_away_are_named_with_503(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (kafka_admin, kafka_cluster):
        monkeypatch.setattr(module, "REACH_SECONDS", 0.5)
    (port,) = free_ports(1)
    away = open_log(f"kafka://127.0.0.1:{port}")
    app, pusher = scorer_over(away)
    got = push(app)
    assert got.status_code == 503
    assert f"127.0.0.1:{port}" in got.json()["error"], got.text
    pusher.close()
    away.close()


class Hangs:
    """A writer whose flush returns when it is closed, as Kafka's does."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def append(self, topic: str, partition: int, values: Sequence[bytes], time_ms: int) -> None: ...

    def flush(self) -> None:
        assert self.closed.wait(20)

    def close(self) -> None:
        self.closed.set()


def test_a_log_that_does_not_answer_is_503_and_keeps_no_other_request_waiting() -> None:
    writer = Hangs()
    topics = [(t, APP.log_of(t.name)) for t in APP.topics]
    pusher = Pusher(topics, lambda: writer, ManualClock(NOW))
    app = ScorerApp(ToyAnswering(), routes=http_push.routes(pusher, wait_seconds=0.2))

    async def all_of_them() -> list[httpx.Response]:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://scorer"
        ) as client:
            pushes = [asyncio.create_task(client.post("/push", json=PUSH)) for _ in range(3)]
            await asyncio.sleep(0)
            live = await client.get("/v2/health/live")
            assert not any(p.done() for p in pushes)
            return [live, *[await p for p in pushes]]

    live, *pushes = asyncio.run(all_of_them())
    assert live.status_code == 200
    text = "log topic parcels: has not taken the push within 0.2 s. Send it again: events that did get in are then"
    assert [p.status_code for p in pushes] == [503] * 3
    assert all(p.json()["error"].startswith(text) for p in pushes)
    pusher.close()


def test_pushes_at_the_same_time_all_get_in(log: SqliteLog) -> None:
    app, pusher = scorer_over(log)

    async def many() -> list[httpx.Response]:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://scorer"
        ) as client:
            bodies = [{**PUSH, "df": {**FRAME, "parcel": [f"{i}a", f"{i}b"]}} for i in range(30)]
            return await asyncio.gather(*(client.post("/push", json=b) for b in bodies))

    assert {r.status_code for r in asyncio.run(many())} == {200}
    assert held(log) == 60
    pusher.close()


class Narrow(Hangs):
    """A topic that takes no more than ten bytes a record."""

    def append(self, topic: str, partition: int, values: Sequence[bytes], time_ms: int) -> None:
        raise too_large(topic, max(map(len, values)), 10)


def test_a_push_that_can_never_fit_is_not_told_to_try_again() -> None:
    pusher = Pusher([(t, APP.log_of(t.name)) for t in APP.topics], Narrow, ManualClock(NOW))
    with served(ScorerApp(ToyAnswering(), routes=http_push.routes(pusher))) as address:
        got = httpx.post(f"{address}/push", json=PUSH)
    assert got.status_code == 400
    assert "too_large" in got.json()["error"]
    assert "Send events of at most 10 bytes." in got.json()["error"]


@pytest.mark.parametrize(
    "value",
    [
        b"9" * 5000,
        b'"\\ud800"',
        b"[" * 5000,
        b'{"a":' * 4000 + b"1" + b"}" * 4000,
        b'"\xff"',
        b"1e999",
        b"[[1]]",
    ],
)
def test_whatever_cannot_be_parsed_is_400(log: SqliteLog, value: bytes) -> None:
    app, pusher = scorer_over(log)
    columns = b'"at": [%d], "courier": ["a"], "city": ["b"]' % NOW
    with served(app) as address:
        for column in (
            b'"parcel": [' + value + b"], " + columns,
            columns.replace(b"%d" % NOW, value) + b', "parcel": ["x"]',
        ):
            body = b'{"push_source_name": "parcels", "df": {' + column + b"}}"
            got = httpx.post(
                f"{address}/push", content=body, headers={"content-type": "application/json"}
            )
            assert got.status_code == 400, got.text
    assert held(log) == 0
    pusher.close()
