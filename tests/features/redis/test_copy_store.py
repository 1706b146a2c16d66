"""Copies in Redis of what another store has: evicted, lost, overtaken, away. (That it is a store is
shown by `tests/contracts/test_store.py`, over Cassandra.)"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from freshet.features.catalog import open_store
from freshet.features.packed import Packed
from freshet.features.redis import link
from freshet.features.redis.addresses import server_at
from freshet.features.redis.copy_store import CopyStore
from freshet.features.stores.contract import NotAtOnce, RowKeys, Rows, RowsRefused
from freshet.features.stores.memory_store import MemoryStore
from freshet.schemas.errors import StoreError
from freshet.servers.redis_server import RedisServer
from tests.contracts.store_battery import EXAMPLES, get, pack, put, row, view_name

EVICTING = ("--maxmemory-policy", "allkeys-lru")


class Behind(MemoryStore):
    """A store that does something whenever it is read, and counts that."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.before_reply: Callable[[], object] = int

    def read(self, wanted: Sequence[RowKeys]) -> list[Rows]:
        self.reads += 1
        found = super().read(wanted)
        # What was read is on its way, and something else is quicker.
        self.before_reply()
        return found


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path, *EVICTING) as started:
        yield started


@pytest.fixture
def behind() -> Behind:
    return Behind()


@pytest.fixture
def store(server: RedisServer, behind: Behind) -> Iterator[CopyStore]:
    opened = CopyStore(server_at(server.url, 5.0), behind)
    yield opened
    opened.close()


def client(server: RedisServer) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(server.socket))


def test_what_was_read_once_is_read_without_the_store(store: CopyStore, behind: Behind) -> None:
    view = view_name()
    put(store, view, [(b"a", (1, 0)), (b"b", (1, 1))])
    for offset in (1, 2, 3):
        expected = [row(b"b", (offset, 1)), row(b"a", (offset, 0))]
        put(store, view, [(b"a", (offset, 0)), (b"b", (offset, 1))])
        assert get(store, view, [b"b", b"a"]) == expected
    # The first time, since what nobody reads has no copy.
    assert behind.reads == 1
    (rows,) = store.read_at_once([RowKeys(view, [b"a"])], 5.0)
    assert rows.packed.row(0) == row(b"a", (3, 0))
    assert rows.generation == behind.generation()


def test_a_copy_that_is_too_large_for_its_server_is_none_and_the_row_comes_from_the_store(
    tmp_path: Path, behind: Behind
) -> None:
    limited = (*EVICTING, "--proto-max-bulk-len", str(1 << 20))
    view = view_name()
    with RedisServer(tmp_path, *limited) as server:
        store = CopyStore(server_at(server.url, 5.0), behind)
        put(store, view, [(b"a", (1, 0)), (b"b", (1, 1))])
        assert get(store, view, [b"a", b"b"]) == [row(b"a", (1, 0)), row(b"b", (1, 1))]
        large = row(b"a", (2, 0), 2 << 20)
        assert store.write(view, [b"a", b"b"], Packed.of([large, row(b"b", (2, 1))])) == 2
        # Not what was copied before.
        assert get(store, view, [b"a", b"b"]) == [large, row(b"b", (2, 1))]
        store.close()


def test_what_was_erased_beside_a_row_that_is_refused_has_no_copy(server: RedisServer) -> None:
    class Stubborn(MemoryStore):
        def erase(self, view: str, keys: Sequence[bytes], version: bytes) -> int:
            erased = super().erase(view, [key for key in keys if key != b"b"], version)
            if b"b" in keys:
                why = {keys.index(b"b"): "no"}
                raise RowsRefused("in memory", "refuses rows", "Mend it.", rows=why)
            return erased

    store = CopyStore(server_at(server.url, 5.0), Stubborn())
    view = view_name()
    put(store, view, [(b"a", (1, 0)), (b"b", (1, 1)), (b"c", (1, 2))])
    # So that there are copies.
    get(store, view, [b"a", b"b", b"c"])
    with pytest.raises(RowsRefused):
        store.erase(view, [b"a", b"b", b"c"], pack((2, 0)))
    assert get(store, view, [b"a", b"b", b"c"]) == [None, row(b"b", (1, 1)), None]
    store.close()


def test_what_was_evicted_comes_from_the_store_once(
    server: RedisServer, store: CopyStore, behind: Behind
) -> None:
    view = view_name()
    put(store, view, [(b"a", (1, 0)), (b"b", (1, 1)), (b"c", (1, 2))])
    store.erase(view, [b"c"], pack((2, 0)))
    client(server).flushall()
    store.generation()
    wanted = [RowKeys(view, [b"a", b"none", b"c"]), RowKeys(view, [b"b"])]
    with pytest.raises(NotAtOnce, match="lacks copies"):
        store.read_at_once(wanted, 5.0)
    for _ in range(2):
        first, second = store.read(wanted)
        assert list(first.packed) == [row(b"a", (1, 0)), b"", b""]
        assert list(second.packed) == [row(b"b", (1, 1))]
        assert {first.generation, second.generation} == {behind.generation()}
    # The second time for what there is none of, which has no copy.
    assert behind.reads == 2
    assert get(store, view, [b"a", b"b"]) == [row(b"a", (1, 0)), row(b"b", (1, 1))]
    assert behind.reads == 2


def test_a_row_that_was_overtaken_while_it_was_fetched_is_not_filled_in(
    server: RedisServer, store: CopyStore, behind: Behind
) -> None:
    """Not even where the newer one has been evicted, or the server emptied, by then."""
    view = view_name()
    second = CopyStore(server_at(server.url, 5.0), behind)

    def overtake() -> None:
        behind.before_reply = int
        put(second, view, [(b"k", (2, 0))])

    def overtake_and_lose() -> None:
        overtake()
        client(server).flushall()

    for quicker in (overtake, overtake_and_lose):
        put(store, view, [(b"k", (1, 0))])
        client(server).flushall()
        behind.before_reply = quicker
        get(store, view, [b"k"])
        assert get(store, view, [b"k"]) == [row(b"k", (2, 0))]
        behind.erase(view, [b"k"], pack((2, 0)))
        client(server).flushall()
        behind.lose()
    second.close()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["write", "erase", "read", "evict", "overtaken"]),
            st.integers(0, 3),
            st.integers(0, 40),
        ),
        max_size=25,
    )
)
@EXAMPLES
def test_whatever_is_evicted_reads_are_those_of_the_store(
    server: RedisServer, store: CopyStore, behind: Behind, steps: list[tuple[str, int, int]]
) -> None:
    view = view_name()
    for step, which, offset in steps:
        key = b"%d" % which
        if step == "write":
            put(store, view, [(key, (offset, 0))])
        elif step == "erase":
            store.erase(view, [key], pack((offset, 0)))
        elif step == "evict":
            _evict(server, view, key)
        elif step == "overtaken":
            _evict(server, view, key)
            behind.before_reply = lambda key=key, offset=offset: _write_once(
                store, behind, view, key, offset
            )
            get(store, view, [key])
            behind.before_reply = int
        keys = [b"0", b"1", b"2", b"3"]
        assert get(store, view, keys) == get(behind, view, keys)


def _evict(server: RedisServer, view: str, key: bytes) -> None:
    with client(server) as one:
        for name in one.scan_iter(b"*:%b:%b" % (view.encode(), key)):
            one.delete(name)


def _write_once(store: CopyStore, behind: Behind, view: str, key: bytes, offset: int) -> None:
    behind.before_reply = int
    put(store, view, [(key, (offset, 0))])


def test_while_redis_is_away_reads_go_on_and_writers_wait(
    server: RedisServer, store: CopyStore, behind: Behind
) -> None:
    view = view_name()
    put(store, view, [(b"k", (1, 0))])
    server.kill()
    assert get(store, view, [b"k"]) == [row(b"k", (1, 0))]
    with pytest.raises(StoreError, match="cannot be reached"):
        put(store, view, [(b"k", (2, 0))])
    with pytest.raises(StoreError, match="cannot be reached"):
        store.erase(view, [b"k"], pack((1, 5)))
    server.start()
    put(store, view, [(b"k", (2, 0))])
    assert get(store, view, [b"k"]) == [row(b"k", (2, 0))]


def test_what_a_redis_brings_back_from_its_disk_is_not_believed(tmp_path: Path) -> None:
    """Copies that were overtaken, or erased, since it last saved them."""
    behind = Behind()
    with RedisServer(tmp_path, *EVICTING, "--dbfilename", "kept.rdb") as server:
        store = CopyStore(server_at(server.url, 5.0), behind)
        view = view_name()
        put(store, view, [(b"a", (1, 0)), (b"b", (1, 1))])
        get(store, view, [b"a", b"b"])
        with client(server) as one:
            one.save()
        put(store, view, [(b"a", (2, 0))])
        store.erase(view, [b"b"], pack((2, 1)))
        server.kill()
        server.start()
        with client(server) as one:
            assert one.dbsize() == 2
        assert get(store, view, [b"a", b"b"]) == [row(b"a", (2, 0)), None]
        store.close()


def test_a_redis_that_was_demoted_and_came_back_has_no_copies(
    server: RedisServer, store: CopyStore, behind: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile another took the writes."""
    monkeypatch.setattr(link, "HISTORY_SECONDS", 0.0)
    view = view_name()
    put(store, view, [(b"k", (1, 0))])
    get(store, view, [b"k"])
    with client(server) as one:
        one.replicaof("127.0.0.1", 1)
        put(behind, view, [(b"k", (2, 0))])
        one.replicaof("NO", "ONE")
    assert get(store, view, [b"k"]) == [row(b"k", (2, 0))]


def test_a_store_that_lost_its_rows_is_noticed(store: CopyStore, behind: Behind) -> None:
    before = store.generation()
    behind.lose()
    assert store.generation() == behind.generation() != before


def test_a_redis_that_would_refuse_rows_is_refused(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server, pytest.raises(StoreError) as told:
        CopyStore(server_at(server.url, 5.0), MemoryStore())
    assert "takes no more rows when memory is short (maxmemory-policy is noeviction)" in str(
        told.value
    )
    assert "allkeys-lru" in told.value.next_step


def test_a_full_redis_evicts_and_goes_on(
    server: RedisServer, store: CopyStore, behind: Behind
) -> None:
    view = view_name()
    with client(server) as one:
        one.config_set("maxmemory", one.info("memory")["used_memory"] + (1 << 20))
    keys = [b"%d" % i for i in range(20_000)]
    put(store, view, [(key, (1, 0)) for key in keys])
    for _ in range(2):
        assert get(store, view, keys) == [row(key, (1, 0)) for key in keys]
    with client(server) as one:
        assert one.dbsize() < len(keys)
        assert one.info("stats")["evicted_keys"] > 0


@pytest.mark.parametrize(
    "address",
    [
        "tiered(",
        "tiered()",
        "tiered(redis://one)",
        "tiered(cassandra://one/rows, redis://two)",
        "tiered(redis+cluster://one, cassandra://two/rows)",
    ],
)
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(StoreError, match=r"does not name a Redis.*Write tiered\(redis://"):
        open_store(address)


def test_passwords_of_neither_are_told() -> None:
    with pytest.raises(StoreError) as told:
        open_store("tiered(redis://a:s3cret@one, nowhere://b:s4cret@two)")
    assert "s3cret" not in str(told.value)
    assert "s4cret" not in str(told.value)
