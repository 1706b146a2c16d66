"""What is particular to a Redis Cluster: buckets, slots that move, masters that fail, and errors
with places. (That it is a store at all is shown by `tests/contracts/test_store.py`.)"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from freshet.features.catalog import open_store
from freshet.features.redis.buckets import bucket_of, slot_of, tags
from freshet.features.stores.contract import RowKeys, Store
from freshet.schemas.errors import StoreError
from freshet.servers.redis_server import RedisServer
from freshet.servers.server import free_ports
from tests.contracts.store_battery import get, pack, put, row, view_name
from tests.features.redis.groups import RedisCluster, client, cluster_ports, until

KEYS = [b"%d" % i for i in range(600)]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    with RedisCluster(tmp_path) as started:
        yield started


@pytest.fixture
def store(cluster: RedisCluster) -> Iterator[Store]:
    with closing(open_store(cluster.url)) as opened:
        yield opened


def rows_at(store: Store, view: str, offset: int) -> None:
    """Every key has the row of that offset."""
    assert get(store, view, KEYS) == [row(key, (offset, 0)) for key in KEYS]


def put_all(store: Store, view: str, offset: int) -> int:
    return put(store, view, [(key, (offset, 0)) for key in KEYS])


def test_every_server_has_its_share_and_one_entity_is_read_by_one_command(
    cluster: RedisCluster, store: Store
) -> None:
    view = view_name()
    assert put_all(store, view, 1) == len(KEYS)
    shares = []
    for server in cluster.servers:
        with client(server.port) as one:
            shares.append(one.dbsize())
    # Buckets lie evenly; keys do nearly.
    assert sum(shares) == len(KEYS)
    assert min(shares) > len(KEYS) / 4
    store.read([RowKeys(view, [b"7"])])
    with client(_server_of(cluster, b"7").port) as one:
        before = one.info("commandstats")["cmdstat_mget"]["calls"]
        other = view_name()
        store.read([RowKeys(view, [b"7"]), RowKeys(other, [b"7"])])
        assert one.info("commandstats")["cmdstat_mget"]["calls"] == before + 1


def test_slots_that_move_are_followed_while_rows_are_written(
    cluster: RedisCluster, store: Store
) -> None:
    """Whatever state a slot is in: not moving, moving with the row here, there or in neither, and
    moved."""
    view = view_name()
    put_all(store, view, 1)
    source = _server_of(cluster, b"7")
    target = next(server for server in cluster.servers if server is not source)
    slot = slot_of(tags()[bucket_of(b"7")])
    mine = [key for key in KEYS if bucket_of(key) == bucket_of(b"7")]
    assert len(mine) > 1
    with client(source.port) as giver, client(target.port) as taker:
        taker.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", cluster.id_of(source))
        giver.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", cluster.id_of(target))
        rows_at(store, view, 1)
        put_all(store, view, 2)
        rows_at(store, view, 2)
        # One row goes over; the others are still where they were.
        gone = giver.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 1)
        giver.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *gone)
        rows_at(store, view, 2)
        put_all(store, view, 3)
        rows_at(store, view, 3)
        assert store.erase(view, mine, pack((4, 0))) == len(mine)
        put(store, view, [(key, (5, 0)) for key in mine])
        assert get(store, view, mine) == [row(key, (5, 0)) for key in mine]
        new = b"new"
        while bucket_of(new) != bucket_of(b"7"):
            new += b"."
        put(store, view, [(new, (1, 0))])
        assert get(store, view, [new, *mine]) == [row(new, (1, 0)), *(row(k, (5, 0)) for k in mine)]
        rest = giver.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 1_000)
        giver.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *rest)
        for one in (taker, giver):
            one.execute_command("CLUSTER", "SETSLOT", slot, "NODE", cluster.id_of(target))
    put_all(store, view, 6)
    rows_at(store, view, 6)


def test_a_store_is_opened_while_a_slot_without_rows_moves(
    cluster: RedisCluster, store: Store
) -> None:
    source = _server_of(cluster, b"7")
    target = next(server for server in cluster.servers if server is not source)
    slot = slot_of(tags()[bucket_of(b"7")])
    with client(source.port) as giver, client(target.port) as taker:
        taker.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", cluster.id_of(source))
        giver.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", cluster.id_of(target))
    generation = store.generation()
    with closing(open_store(cluster.url)) as other:
        assert other.generation() == generation


def test_flushed_scripts_are_loaded_again(cluster: RedisCluster, store: Store) -> None:
    view = view_name()
    for offset in (1, 2):
        for server in cluster.servers:
            with client(server.port) as one:
                one.script_flush()
        assert put_all(store, view, offset) == len(KEYS)
    rows_at(store, view, 2)


def test_a_server_that_lost_its_rows_makes_another_generation(
    cluster: RedisCluster, store: Store
) -> None:
    view = view_name()
    put_all(store, view, 1)
    before = store.generation()
    with client(_server_of(cluster, b"7").port) as one:
        one.flushall()
    (rows,) = store.read([RowKeys(view, [b"7"])])
    assert (rows.present.any(), rows.generation) == (False, "")
    after = store.generation()
    assert after != before
    with closing(open_store(f"redis+cluster://{cluster.servers[2].address}")) as other:
        assert other.generation() == after


def test_a_master_that_dies_is_followed_by_its_replica(tmp_path: Path) -> None:
    with (
        RedisCluster(tmp_path, replicas=True) as cluster,
        closing(open_store(cluster.url)) as store,
    ):
        view = view_name()
        put_all(store, view, 1)
        before = store.generation()
        _server_of(cluster, b"7").kill()
        until(lambda: _took(store, view))
        # The new master may lack the last writes of the old one: owners write all rows again.
        assert store.generation() != before
        put_all(store, view, 2)
        rows_at(store, view, 2)


def test_a_killed_server_is_an_outage_and_then_another_generation(
    cluster: RedisCluster, store: Store
) -> None:
    view = view_name()
    put_all(store, view, 1)
    before = store.generation()
    server = _server_of(cluster, b"7")
    server.kill()
    for action in (
        lambda: open_store(cluster.url),
        lambda: put_all(store, view, 2),
        lambda: get(store, view, [b"7"]),
        store.generation,
    ):
        with pytest.raises(StoreError) as told:
            action()
        assert told.value.cause.startswith(("cannot be reached", "serves no rows"))
    server.start()
    until(lambda: _took(store, view))
    assert store.generation() != before
    put_all(store, view, 2)
    rows_at(store, view, 2)


def test_threads_and_writers_may_share_it(cluster: RedisCluster, store: Store) -> None:
    view = view_name()
    wrong: list[object] = []

    def write(offset: int) -> None:
        for step in range(5):
            put_all(store, view, offset + step)
            if None in get(store, view, KEYS):
                wrong.append((offset, step))

    threads = [threading.Thread(target=write, args=(100 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    rows_at(store, view, 304)


def test_what_is_no_cluster_says_so(tmp_path: Path, cluster: RedisCluster) -> None:
    (port,) = free_ports(1)
    url = f"redis+cluster://127.0.0.1:{port}"
    with (
        RedisServer(tmp_path / "single", port=port),
        pytest.raises(StoreError, match="is no Redis Cluster"),
    ):
        open_store(url)
    with pytest.raises(StoreError, match=r"is a Redis Cluster.*redis\+cluster"):
        open_store(f"redis://{cluster.servers[0].address}")


@pytest.mark.parametrize("address", ["", "a b", "one:1,:2", "one:1/3", "one:1?no_such_option=1"])
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(StoreError, match="is not one of a Redis"):
        open_store(f"redis+cluster://{address}")


def test_slots_without_a_server_are_told(tmp_path: Path) -> None:
    """A cluster that was never given its slots."""
    options = ("--cluster-enabled", "yes")
    (port,) = cluster_ports(1)
    with (
        RedisServer(tmp_path, *options, port=port),
        pytest.raises(StoreError, match="has no server for slot"),
    ):
        open_store(f"redis+cluster://127.0.0.1:{port}")


def _server_of(cluster: RedisCluster, key: bytes) -> RedisServer:
    slot = slot_of(tags()[bucket_of(key)])
    bounds = [16_384 * i // 3 for i in range(1, 4)]
    return next(server for server, bound in zip(cluster.servers, bounds) if slot < bound)


def _took(store: Store, view: str) -> bool:
    try:
        put(store, view, [(b"7", (1, 1))])
    except StoreError:
        return False
    return True
