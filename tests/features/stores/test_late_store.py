"""A store that is away when it is first needed: it is tried again at every call, by one thread at a
time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from freshet.features.catalog import late_store
from freshet.features.packed import Packed
from freshet.features.stores.contract import RowKeys, Store
from freshet.features.stores.late_store import LateStore
from freshet.features.stores.memory_store import MemoryStore
from freshet.schemas.errors import StoreError
from freshet.servers.server import free_ports

ROW = Packed.of([bytes(range(24))])


class Server:
    """A store that may be away; counts who tried to open it."""

    def __init__(self) -> None:
        self.away, self.tried, self.rows = True, 0, MemoryStore()

    def open(self) -> Store:
        self.tried += 1
        if self.away:
            raise StoreError("toy", "is away", "Wait.")
        return self.rows


def test_each_call_tries_again_until_the_store_is_there_and_then_no_more() -> None:
    server = Server()
    store = LateStore(server.open)
    store.close()
    for _ in range(2):
        with pytest.raises(StoreError, match="is away"):
            store.generation()
    server.away = False
    assert store.write("app:v", [b"JFK"], ROW) == 1
    assert store.read([RowKeys("app:v", [b"JFK"])])[0].present.all()
    assert store.erase("app:v", [b"JFK"], b"\xff" * 16) == 1
    assert server.tried == 3


class Watched:
    """A lock that tells who has come to it."""

    def __init__(self) -> None:
        self.lock, self.come = threading.Lock(), threading.Semaphore(0)

    def __enter__(self) -> None:
        self.come.release()
        self.lock.acquire()

    def __exit__(self, *exc: object) -> None:
        self.lock.release()


def test_threads_that_come_meanwhile_share_the_end_of_one_attempt() -> None:
    may_end, tried = threading.Event(), list[int]()

    def slow() -> Store:
        tried.append(1)
        assert may_end.wait(10.0)
        raise StoreError("toy", "is away", "Wait.")

    store, lock = LateStore(slow), Watched()
    store._lock = lock  # type: ignore[assignment]

    def ask() -> str:
        try:
            return store.generation()
        except StoreError as error:
            return error.cause

    with ThreadPoolExecutor(5) as threads:
        asked = [threads.submit(ask) for _ in range(5)]
        for _ in asked:
            assert lock.come.acquire(timeout=10.0)
        may_end.set()
        assert {f.result(10.0) for f in asked} == {"is away"}
    assert len(tried) == 1


def test_an_address_of_no_store_is_refused_at_once_and_one_that_does_not_answer_is_named_at_use() -> (
    None
):
    with pytest.raises(StoreError, match="is no store"):
        late_store("mysql://x")
    store = late_store(f"redis://127.0.0.1:{free_ports(1)[0]}/0")
    with pytest.raises(StoreError, match="cannot be reached"):
        store.generation()
