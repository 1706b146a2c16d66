"""A master that Sentinels watch: found by its name, and followed when another takes its place."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from freshet.features.catalog import open_store
from freshet.features.redis import link
from freshet.features.stores.contract import RowKeys, Store
from freshet.schemas.errors import StoreError
from tests.contracts.store_battery import get, put, row, view_name
from tests.features.redis.groups import WatchedRedis, client, until


def test_the_master_is_found_and_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "HISTORY_SECONDS", 0.0)
    with WatchedRedis(tmp_path) as servers, closing(open_store(servers.url)) as store:
        view = view_name()
        put(store, view, [(b"k", (1, 0))])
        before = store.generation()
        _demote(servers)
        # It is alive and answers, and is the wrong one: readers and writers leave it.
        until(lambda: _took(store, view))
        assert store.generation() != before
        (rows,) = store.read([RowKeys(view, [b"k"])])
        assert rows.generation == store.generation()
        assert get(store, view, [b"k"]) == [row(b"k", (2, 0))]
        second = store.generation()
        servers.replica.kill()
        until(lambda: _took(store, view))
        assert store.generation() not in (before, second)


def test_a_name_that_no_sentinel_knows(tmp_path: Path) -> None:
    with WatchedRedis(tmp_path) as servers:
        wrong = servers.url.replace("/rows/", "/strangers/")
        with pytest.raises(StoreError, match="has no master that a Sentinel knows") as told:
            open_store(wrong)
        assert "master strangers db 0" in told.value.resource


def test_nobody_there() -> None:
    with pytest.raises(StoreError, match="has no master that a Sentinel knows"):
        open_store("redis+sentinel://me:s3cret@127.0.0.1:1/rows", 0.5)


@pytest.mark.parametrize("address", ["", "one:1", "one:1/", "one:1/rows/x", "one:p/rows", "/rows"])
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(StoreError, match=r"is not one of a Redis.*redis\+sentinel"):
        open_store(f"redis+sentinel://{address}")


def _demote(servers: WatchedRedis) -> None:
    """By hand, as for maintenance."""
    with client(servers.sentinels[0].port) as one:
        one.execute_command("SENTINEL", "FAILOVER", "rows")
    until(lambda: servers.state()["port"] == servers.replica.port)
    with client(servers.master.port) as old:
        until(lambda: old.info("replication")["role"] == "slave")


def _took(store: Store, view: str) -> bool:
    try:
        put(store, view, [(b"k", (2, 0))])
    except StoreError:
        return False
    return True
