"""What a store that is quick, slow, silent or broken costs a request, and that nobody has to mend
it here."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from freshet.features.catalog import late_store
from freshet.features.stores.contract import NotAtOnce, RowKeys, RowReader, Rows
from freshet.features.stores.memory_store import MemoryStore
from freshet.roles.interface import feature_reader
from freshet.schemas.errors import StoreError
from freshet.servers.cassandra_server import CassandraServer
from freshet.servers.redis_server import RedisServer
from freshet.servers.server import Server
from freshet.serving.scoring import reach as module
from freshet.serving.scoring.reach import Reach
from freshet.serving.web import features as http_features
from freshet.serving.web.app import ScorerApp
from freshet.serving.web.metrics import metrics_route
from freshet.streams.outages import Outages
from tests.serving.edge.served import served
from tests.serving.scoring.test_scorer import Rig
from tests.toy_app import toy_app

WANTED = [RowKeys("app:v", [b"k"])]
PATIENCE_SECONDS = 20.0


class Moody(MemoryStore):
    """Not near when `far`; answers nobody while `hangs`."""

    def __init__(self) -> None:
        super().__init__()
        self.far = self.broken = False
        self.hangs = threading.Event()
        self.hangs.set()
        self.asked = self.asking = self.most = 0
        self._counting = threading.Lock()

    def read_at_once(self, wanted: Sequence[RowKeys], within_seconds: float) -> list[Rows]:
        if self.far or not self.hangs.is_set():
            raise NotAtOnce("toy", "is far", "Read it on a thread.")
        return self.read(wanted)

    def read(self, wanted: Sequence[RowKeys]) -> list[Rows]:
        with self._counting:
            self.asked += 1
            self.asking += 1
            self.most = max(self.most, self.asking)
        try:
            assert self.hangs.wait(PATIENCE_SECONDS)
            if self.broken:
                raise StoreError("toy", "is away", "Start it.")
            return super().read(wanted)
        finally:
            with self._counting:
                self.asking -= 1


def rows_of(store: RowReader) -> list[Rows]:
    return store.read(WANTED)


def near(reach: Reach) -> bool:
    try:
        return reach.at_once(rows_of) is not None
    except NotAtOnce:
        return False


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REST_SECONDS", 0.01)
    # a busy machine is no store that hangs
    monkeypatch.setattr(module, "FAR_SECONDS", PATIENCE_SECONDS)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FAR_SECONDS", 0.05)


def run(store: Moody, use: Callable[[Reach], Awaitable[None]]) -> Outages:
    outages = Outages()

    async def inside() -> None:
        reach = Reach(store, outages)
        try:
            await use(reach)
        finally:
            store.hangs.set()
            reach.close()

    asyncio.run(inside())
    return outages


async def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0)


def test_a_near_store_is_read_at_once() -> None:
    store = Moody()

    async def use(reach: Reach) -> None:
        assert reach.at_once(rows_of) is not None

    run(store, use)


def test_a_far_store_is_read_on_a_thread_until_it_is_near_again() -> None:
    store = Moody()
    store.far = True

    async def use(reach: Reach) -> None:
        for _ in range(2):
            with pytest.raises(NotAtOnce):
                reach.at_once(rows_of)
        store.far = False
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not near(reach):
            assert time.monotonic() < deadline
            assert await reach.later(rows_of) is not None

    run(store, use)


@pytest.mark.usefixtures("hasty")
def test_a_store_that_hangs_is_asked_by_one_probe_alone_and_found_again_by_itself() -> None:
    store = Moody()

    async def use(reach: Reach) -> None:
        store.hangs.clear()
        with pytest.raises(NotAtOnce):
            reach.at_once(rows_of)
        assert await reach.later(rows_of) is None
        await until(lambda: store.asked == 2)
        for _ in range(50):
            assert reach.at_once(rows_of) is None
            assert await reach.later(rows_of) is None
        assert (store.asked, store.most) == (2, 2), "the read that was given up, and the probe"
        assert "has not answered within 0.05 s" in str(reach.error)
        assert reach.error.facts == {"retry_seconds": 0}
        store.hangs.set()
        await until(lambda: not reach.is_away)

    outages = run(store, use)
    assert (outages.begun, outages.current()) == (1, [])


@pytest.mark.usefixtures("hasty")
def test_a_deadline_that_is_nearer_is_kept_and_hides_no_outage() -> None:
    store = Moody()

    async def use(reach: Reach) -> None:
        store.hangs.clear()
        assert await reach.later(rows_of, time.monotonic() - 1) is None
        while not reach.is_away:
            assert await reach.later(rows_of, time.monotonic() + 0.001) is None

    assert run(store, use).begun == 1


def test_a_store_that_says_what_is_wrong_is_left_alone_until_it_is_well() -> None:
    store = Moody()
    store.broken = True

    async def use(reach: Reach) -> None:
        assert reach.at_once(rows_of) is None
        assert (reach.is_away, reach.error.cause) == (True, "is away")
        store.broken = False
        await until(lambda: not reach.is_away)

    outages = run(store, use)
    assert (outages.begun, outages.current()) == (1, [])


@pytest.mark.usefixtures("hasty")
def test_a_redis_that_is_stopped_keeps_nobody_waiting_and_is_found_again(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as server:
        stop_and_go(server, server.url)


def test_a_cassandra_that_is_stopped_keeps_nobody_waiting_and_is_found_again(
    cassandra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server of its own, which may be stopped. (Asking for `cassandra` skips where none can
    be.)"""
    # It answers in milliseconds, on a busy machine in tens of them.
    monkeypatch.setattr(module, "FAR_SECONDS", 0.5)
    with CassandraServer(tmp_path / "cassandra") as server:
        stop_and_go(server, f"cassandra://{server.address}/reach")


def stop_and_go(server: Server, url: str) -> None:
    """Its own patience is ten minutes: whoever waited for it would not be answered here."""
    with ExitStack() as stack:
        rig = Rig(toy_app())
        stack.callback(rig.scorer.close)
        store = late_store(url, timeout_seconds=600.0)
        reach = rig.scorer.reach = Reach(store, rig.outages)
        stack.callback(store.close)
        rig.put_row("a", rig.clock.now_ms() - 1, 40.0, store)
        routes = http_features.routes(feature_reader(rig.app), reach, rig.clock)
        app = ScorerApp(rig.scorer, routes=[*routes, metrics_route(lambda: b"a 1\n")])
        address = stack.enter_context(served(app))
        client = stack.enter_context(httpx.Client(base_url=address, timeout=PATIENCE_SECONDS))
        stack.callback(reach.close)
        until_rung(client, "heuristic")
        stack.callback(os.kill, server._process.pid, signal.SIGCONT)
        os.kill(server._process.pid, signal.SIGSTOP)
        # Its threads stop one by one, and the last of them may still answer.
        os.waitid(os.P_PID, server._process.pid, os.WSTOPPED | os.WNOWAIT)
        for _ in range(5):
            assert rung(client) == "constant"
            assert client.get("/v2/health/live").status_code == 200
            assert client.get("/metrics").status_code == 200
            refused = client.post("/get-online-features", json=FEATURES)
            assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
        os.kill(server._process.pid, signal.SIGCONT)
        until_rung(client, "heuristic")
        assert app.latency.failed == 0


FEATURES = {"features": ["shops:n"], "entities": {"shop": ["a"]}}


def until_rung(client: httpx.Client, wanted: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while rung(client) != wanted:
        assert time.monotonic() < deadline


def rung(client: httpx.Client) -> str:
    names = {"order_id": "1", "shop": "a"}
    inputs = [{"name": k, "shape": [1], "datatype": "BYTES", "data": [v]} for k, v in names.items()]
    found: str = client.post("/v2/models/unpaid/infer", json={"inputs": inputs}).json()[
        "parameters"
    ]["rung"]
    return found
