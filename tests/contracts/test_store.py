"""Every store in the catalog, and the one in memory, keeps the promises of `store_battery`."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
import redis
from cassandra.cluster import Cluster

from freshet.features.catalog import STORES, open_store
from freshet.features.redis.buckets import bucket_of, tags
from freshet.features.stores.contract import Store
from freshet.features.stores.memory_store import MemoryStore
from freshet.servers.redis_server import RedisServer
from tests.contracts.store_battery import Rig, StoreBattery, row, store, view, writers
from tests.features.redis.groups import RedisCluster, WatchedRedis

__all__ = ["TestStore", "store", "view", "writers"]


class RedisRig:
    counts = True

    def __init__(self, url: str, server: str) -> None:
        self.url = url
        self._server = server

    def open(self) -> Store:
        return open_store(self.url)

    def empty(self) -> None:
        with redis.Redis.from_url(self._server) as client:
            client.flushall()

    def spoil(self, view: str) -> tuple[bytes, bytes]:
        """Something else's key has the row's name."""
        with redis.Redis.from_url(self._server) as client:
            client.rpush(f"{view}:spoiled", "x")
        return b"spoiled", row(b"spoiled", (1, 0))

    def hide(self, view: str) -> bytes:
        key, _ = self.spoil(view)
        return key


class ClusterRig:
    counts = True

    def __init__(self, cluster: RedisCluster) -> None:
        self._cluster = cluster

    def open(self) -> Store:
        return open_store(self._cluster.url)

    def empty(self) -> None:
        self._cluster.empty()

    def spoil(self, view: str) -> tuple[bytes, bytes]:
        tag = tags()[bucket_of(b"spoiled")].decode()
        name = f"{{{tag}}}{view}:spoiled"
        host, _, port = self._cluster.servers[0].address.rpartition(":")
        with redis.RedisCluster(host, int(port)) as client:
            client.rpush(name, "x")
        return b"spoiled", row(b"spoiled", (1, 0))

    def hide(self, view: str) -> bytes:
        key, _ = self.spoil(view)
        return key


class CassandraRig:
    counts = False

    def __init__(self, address: str) -> None:
        self._keyspace = f"battery_{uuid.uuid4().hex}"
        self.url = f"cassandra://{address}/{self._keyspace}"
        host, _, port = address.partition(":")
        self._cluster = Cluster([host], port=int(port), protocol_version=5)
        self._session = self._cluster.connect()

    def open(self) -> Store:
        return open_store(self.url, 30.0)

    def empty(self) -> None:
        self._session.execute(f"TRUNCATE {self._keyspace}.rows", timeout=60)

    def spoil(self, view: str) -> tuple[bytes, bytes]:
        """Larger than the server takes."""
        return b"spoiled", row(b"spoiled", (1, 0), 3 << 20)

    def hide(self, view: str) -> bytes:
        """Longer than any key of a partition."""
        return b"k" * (1 << 16)

    def close(self) -> None:
        self._session.execute(f"DROP KEYSPACE IF EXISTS {self._keyspace}", timeout=60)
        self._cluster.shutdown()


class TieredRig:
    counts = False

    def __init__(self, copies: RedisServer, store: CassandraRig) -> None:
        self._copies = copies
        self._store = store
        self._url = f"tiered({copies.url}, {store.url})"

    def open(self) -> Store:
        return open_store(self._url, 30.0)

    def empty(self) -> None:
        """The store first: what is read in between is not kept for a row."""
        self._store.empty()
        with redis.Redis.from_url(self._copies.url) as client:
            client.flushall()

    def spoil(self, view: str) -> tuple[bytes, bytes]:
        return self._store.spoil(view)

    def hide(self, view: str) -> bytes:
        return self._store.hide(view)


class MemoryRig:
    """All that open it share its rows."""

    counts = True

    def __init__(self) -> None:
        self._store = MemoryStore()

    def open(self) -> Store:
        return self._store

    def empty(self) -> None:
        self._store.lose()

    def spoil(self, view: str) -> None:
        return None

    def hide(self, view: str) -> None:
        return None


@pytest.fixture(scope="module")
def memory_rig() -> MemoryRig:
    return MemoryRig()


@pytest.fixture(scope="module")
def redis_rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisRig]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield RedisRig(server.url, server.url)


@pytest.fixture(scope="module")
def sentinel_rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisRig]:
    with WatchedRedis(tmp_path_factory.mktemp("sentinel")) as servers:
        yield RedisRig(servers.url, f"redis://{servers.master.address}")


@pytest.fixture(scope="module")
def cluster_rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterRig]:
    with RedisCluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield ClusterRig(cluster)


@pytest.fixture(scope="module")
def cassandra_rig(cassandra: str) -> Iterator[CassandraRig]:
    made = CassandraRig(cassandra)
    yield made
    made.close()


@pytest.fixture(scope="module")
def tiered_rig(
    tmp_path_factory: pytest.TempPathFactory, cassandra_rig: CassandraRig
) -> Iterator[TieredRig]:
    evicting = ("--maxmemory-policy", "allkeys-lru")
    with RedisServer(tmp_path_factory.mktemp("copies"), *evicting) as server:
        yield TieredRig(server, cassandra_rig)


RIGS = {
    MemoryStore: "memory_rig",
    STORES["redis"]: "redis_rig",
    STORES["redis+sentinel"]: "sentinel_rig",
    STORES["redis+cluster"]: "cluster_rig",
    STORES["cassandra"]: "cassandra_rig",
    STORES["tiered("]: "tiered_rig",
}


@pytest.fixture(
    params=[MemoryStore, *dict.fromkeys(STORES.values())],
    ids=lambda opener: opener.__name__.strip("_"),
)
def rig(request: pytest.FixtureRequest) -> Rig:
    """One for each implementation."""
    made: Rig = request.getfixturevalue(RIGS[request.param])
    return made


class TestStore(StoreBattery):
    pass
