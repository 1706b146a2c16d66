"""Every store in the catalog keeps the promises of `store_battery`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from features.catalog import STORES, open_store
from features.redis_server import RedisServer
from features.store import Store
from tests.contracts.store_battery import Rig, StoreBattery, store, view

__all__ = ["TestStore", "store", "view"]


class RedisRig:
    counts = True

    def __init__(self, url: str) -> None:
        self.url = url

    def open(self) -> Store:
        return open_store(self.url)

    def empty(self) -> None:
        with redis.Redis.from_url(self.url) as client:
            client.flushall()


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=sorted({opener: scheme for scheme, opener in STORES.items()}.values()))
def rig(request: pytest.FixtureRequest) -> Rig:
    """One scheme of each implementation."""
    if request.param == "unix":
        return RedisRig(request.getfixturevalue("redis_server").url)
    pytest.skip("soon")


class TestStore(StoreBattery):
    pass
