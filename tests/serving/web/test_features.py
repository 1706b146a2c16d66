"""`POST /get-online-features` over HTTP: a real Redis, one that goes away, and one that is slow."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from redis import Redis as Client

import freshet as fr
from freshet.app import App
from freshet.features.catalog import open_store
from freshet.features.partition.events import More
from freshet.features.partition.rows import ViewRows
from freshet.features.stores.complete_store import CompleteStore
from freshet.features.stores.contract import NotAtOnce, RowKeys, Rows, Store
from freshet.features.stores.marks import PartitionMark
from freshet.features.stores.memory_store import MemoryStore
from freshet.roles.interface import interface
from freshet.schemas.text.columns import Texts
from freshet.servers.redis_server import RedisServer
from freshet.serving.scoring.reach import Reach
from freshet.serving.web.app import ScorerApp
from freshet.serving.web.features import ROWS_AT_ONCE
from freshet.streams.clock import ManualClock
from freshet.streams.sqlite.log import SqliteLog
from tests.consumers_app import APP, HOUR, put_rows
from tests.error_texts import documented
from tests.serving.scoring.toy_answering import ToyAnswering
from tests.serving.web.test_app import call

NOW = 100 * HOUR
ORDERS = {
    "type": "record",
    "name": "orders",
    "fields": [
        {"name": "parcel", "type": "string"},
        {"name": "at", "type": "long"},
        {"name": "courier", "type": "string"},
        {"name": "order", "type": "long"},
    ],
}
ASKED = {"features": ["by_courier:late"], "entities": {"courier": ["ann", "bob"]}}


def scorer_over(store: Store, tmp_path: Path, app: App = APP) -> ScorerApp:
    made = interface(app, Reach(store), SqliteLog(str(tmp_path / "log")), ManualClock(NOW))
    return ScorerApp(ToyAnswering(), routes=made.routes)


def ask(app: ScorerApp, body: Any = ASKED, **more: Any) -> httpx.Response:
    return call(app, "POST", "/get-online-features", json=body, **more)


def test_rows_of_a_real_store_are_answered_in_feasts_json_and_a_store_that_goes_away_is_named(
    tmp_path: Path,
) -> None:
    with RedisServer(tmp_path / "redis") as redis:
        store = open_store(redis.url)
        put_rows(APP, store, "by_courier", {"keys": ["ann"], "at": [NOW], "late": [12.5]})
        app = scorer_over(store, tmp_path)
        got = ask(app)
        assert (got.status_code, got.headers["content-type"]) == (200, "application/json")
        assert got.json() == {
            "metadata": {"feature_names": ["courier", "late"]},
            "results": [
                {
                    "values": ["ann", "bob"],
                    "statuses": ["PRESENT", "PRESENT"],
                    "event_timestamps": ["1970-01-01T00:00:00.000Z"] * 2,
                },
                {
                    "values": [12.5, None],
                    "statuses": ["PRESENT", "NOT_FOUND"],
                    "event_timestamps": ["1970-01-05T04:00:00.000Z", "1970-01-01T00:00:00.000Z"],
                },
            ],
        }
        redis.stop()
        got = ask(app)
        assert got.status_code == 503
        assert (
            got.json()["error"].startswith(f"store Redis at {redis.socket}")
            or str(redis.socket) in got.text
        )
        store.close()


def test_a_row_that_the_store_refuses_is_a_400_for_who_asks_for_it_and_no_outage(
    tmp_path: Path,
) -> None:
    with RedisServer(tmp_path / "redis") as redis:
        store = open_store(redis.url)
        put_rows(APP, store, "by_courier", {"keys": ["ann"], "at": [NOW], "late": [12.5]})
        app = scorer_over(store, tmp_path)
        name = f"{APP.stored_as(APP.view('by_courier'))}:bob"
        with Client.from_url(redis.url) as client:
            client.rpush(name, "of somebody else")
        for _ in range(2):
            got = ask(app)
            assert got.status_code == 400
            assert got.text == documented()["A row that the store refuses"]
            got = ask(app, {**ASKED, "entities": {"courier": ["ann", "cid"]}})
            assert got.status_code == 200
            assert got.json()["results"][1]["values"] == [12.5, None]
        with Client.from_url(redis.url) as client:
            client.delete(name)
        assert ask(app).json()["results"][1]["statuses"] == ["PRESENT", "NOT_FOUND"]
        store.close()


def test_a_whole_number_is_in_the_answer_digit_by_digit(tmp_path: Path) -> None:
    order = 2**63 - 1
    topic = replace(APP.topic("parcels"), name="orders", schema=ORDERS, drop={}, impute={})
    view = fr.View("by_courier", topic, key="courier", features={"order": fr.last("order")})
    app = fr.App("orders", topics=[topic], views=[view])
    rows = ViewRows(view.plan)
    exact = np.array([[order]])
    rows.fold(
        Texts.of(["ann"]), np.array([NOW]), exact.astype(float), 7, np.zeros(1, int), More(exact)
    )
    with RedisServer(tmp_path / "redis") as redis:
        store = open_store(redis.url)
        store.write(app.stored_as(view), *rows.hand_over())
        asked = {"features": ["by_courier:order"], "entities": {"courier": ["ann", "bob"]}}
        got = ask(scorer_over(store, tmp_path, app), asked)
        store.close()
    assert got.status_code == 200
    assert f'"values":[{order},null]' in got.text


def test_rows_that_are_being_written_again_are_not_said_to_be_unknown(tmp_path: Path) -> None:
    rows = MemoryStore()
    view = APP.stored_as(APP.view("by_courier"))
    store = CompleteStore(rows, {view: 1})
    put_rows(APP, rows, "by_courier", {"keys": ["ann"], "at": [NOW], "late": [12.5]})
    got = ask(scorer_over(store, tmp_path))
    assert got.status_code == 503
    assert "does not hold all rows of view depot:by_courier" in got.json()["error"]
    PartitionMark(rows, view, 0).put(rows.generation(), 8)
    assert ask(scorer_over(store, tmp_path)).json()["results"][1]["statuses"] == [
        "PRESENT",
        "NOT_FOUND",
    ]
    rows.lose()
    assert ask(scorer_over(store, tmp_path)).status_code == 503


def test_a_wrong_question_gets_400_and_a_large_one_413(tmp_path: Path) -> None:
    app = scorer_over(MemoryStore(), tmp_path)
    got = ask(app, {**ASKED, "features": ["by_courier:lat"]})
    expected = "request feature 'by_courier:lat': view by_courier has no feature 'lat'. It has n, late, last."
    assert (got.status_code, got.json()) == (400, {"error": expected})
    assert call(app, "GET", "/get-online-features").status_code == 405
    as_json = {"content-type": "application/json"}
    too_large = call(
        app, "POST", "/get-online-features", content=b" " * (4 << 20 | 1), headers=as_json
    )
    assert too_large.status_code == 413


class SlowStore(MemoryStore):
    """Answers when it is let to."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.go = threading.Event(), threading.Event()

    def read(self, wanted: Sequence[RowKeys]) -> list[Rows]:
        self.reached.set()
        assert self.go.wait(20)
        return super().read(wanted)

    def read_at_once(self, wanted: Sequence[RowKeys], within_seconds: float) -> list[Rows]:
        raise NotAtOnce("store", "does not answer at once", "Read it on a thread.")


class NearStore(MemoryStore):
    """Notes who asks it."""

    def __init__(self) -> None:
        super().__init__()
        self.at_once, self.on_threads = 0, 0

    def read(self, wanted: Sequence[RowKeys]) -> list[Rows]:
        self.on_threads += 1
        return super().read(wanted)

    def read_at_once(self, wanted: Sequence[RowKeys], within_seconds: float) -> list[Rows]:
        self.at_once += 1
        return super().read(wanted)


def test_few_rows_are_read_from_the_event_loop_and_many_on_a_thread(tmp_path: Path) -> None:
    store = NearStore()
    app = scorer_over(store, tmp_path)
    for rows, asked in ((1, (1, 0)), (ROWS_AT_ONCE, (2, 0)), (ROWS_AT_ONCE + 1, (2, 1))):
        entities = {name: values[:1] * rows for name, values in ASKED["entities"].items()}
        assert ask(app, {**ASKED, "entities": entities}).status_code == 200
        assert (store.at_once, store.on_threads) == asked


def test_a_slow_store_keeps_no_other_request_waiting(tmp_path: Path) -> None:
    store = SlowStore()
    app = scorer_over(store, tmp_path)

    async def both() -> tuple[httpx.Response, httpx.Response]:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://scorer"
        ) as client:
            slow = asyncio.create_task(client.post("/get-online-features", json=ASKED))
            while not store.reached.is_set():
                await asyncio.sleep(0.001)
            quick = await client.get("/v2/health/live")
            assert not slow.done()
            store.go.set()
            return quick, await slow

    quick, slow = asyncio.run(both())
    assert (quick.status_code, slow.status_code) == (200, 200)


@pytest.mark.parametrize("name", ["late", "plain"])
def test_feature_services_are_the_models(tmp_path: Path, name: str) -> None:
    got = ask(
        scorer_over(MemoryStore(), tmp_path),
        {"feature_service": name, "entities": {"courier": ["a"], "city": ["Lyon"]}},
    )
    assert got.status_code == (200 if name == "late" else 400)
