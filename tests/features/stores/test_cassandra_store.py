"""What is particular to Cassandra: versions as timestamps, schemas that come and go, a server that
stops."""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import Cluster
from hypothesis import given
from hypothesis import strategies as st

from freshet.features.catalog import open_store
from freshet.features.stores.cassandra_store import (
    INDEX_BITS,
    OFFSET_BITS,
    REQUESTS_IN_FLIGHT,
    ROWS_A_BATCH,
    CassandraStore,
)
from freshet.schemas.errors import ComponentError, StoreError
from freshet.servers.cassandra_server import CassandraServer
from freshet.servers.server import free_ports
from tests.certificates import of_localhost
from tests.contracts.store_battery import EXAMPLES, get, pack, put, row, view_name

SECRET = "s3cret-words"
DEADLINE_SECONDS = 120.0


def refused(action: Callable[[], object], place: str, cause: str, next_step: str) -> StoreError:
    """The error that `action` ends in: with its place, cause and next step, and without any
    password."""
    with pytest.raises(StoreError) as caught:
        action()
    error = caught.value
    assert place in error.resource
    assert cause in error.cause
    assert next_step in error.next_step
    chain: BaseException | None = error
    while chain is not None:
        assert SECRET not in str(chain) + repr(chain)
        chain = chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__)
    return error


def eventually(action: Callable[[], object]) -> None:
    """Until `action` ends without a `StoreError`."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            action()
        except StoreError:
            assert time.monotonic() < deadline
        else:
            return


@pytest.fixture(scope="module")
def url(cassandra: str) -> Iterator[str]:
    keyspace = f"test_{uuid.uuid4().hex}"
    yield f"cassandra://{cassandra}/{keyspace}"
    execute(cassandra, f"DROP KEYSPACE IF EXISTS {keyspace}")


@pytest.fixture(scope="module")
def store(url: str) -> Iterator[CassandraStore]:
    opened = CassandraStore(url, 30.0)
    yield opened
    opened.close()


def execute(address: str, *statements: str, login: tuple[str, str] | None = None) -> None:
    host, _, port = address.partition(":")
    auth = PlainTextAuthProvider(*login) if login else None
    with Cluster([host], port=int(port), protocol_version=5, auth_provider=auth) as cluster:
        session = cluster.connect()
        for statement in statements:
            session.execute(statement, timeout=60)


class TestVersions:
    @given(
        st.lists(
            st.tuples(
                st.integers(0, (1 << OFFSET_BITS) - 1), st.integers(0, (1 << INDEX_BITS) - 1)
            ),
            min_size=1,
            max_size=4,
        )
    )
    @EXAMPLES
    def test_all_bits_count(self, store: CassandraStore, versions: list[tuple[int, int]]) -> None:
        view = view_name()
        for version in versions:
            put(store, view, [(b"k", version)])
        assert get(store, view, [b"k"]) == [row(b"k", max(versions))]

    @pytest.mark.parametrize("version", [(1 << OFFSET_BITS, 0), (0, 1 << INDEX_BITS)])
    def test_a_version_beyond_a_timestamp_is_refused(
        self, store: CassandraStore, version: tuple[int, int]
    ) -> None:
        view = view_name()
        put(store, view, [(b"k", (1, 1))])
        refused(
            lambda: put(store, view, [(b"k", version)]),
            store.address,
            str(max(version)),
            "below 2^43",
        )
        refused(
            lambda: store.erase(view, [b"k"], pack(version)), store.address, "cannot order", "Redis"
        )
        assert get(store, view, [b"k"]) == [row(b"k", (1, 1))]

    @pytest.mark.parametrize("width", [24, 2_000, 60_000])
    def test_rows_of_any_length_fit_their_batches(self, store: CassandraStore, width: int) -> None:
        """A server refuses batches of 50 KiB."""
        view, keys = view_name(), [b"%d" % i for i in range(25)]
        put(store, view, [(key, (1, 0)) for key in keys], width)
        assert get(store, view, keys) == [row(key, (1, 0), width) for key in keys]

    def test_more_requests_than_may_wait_are_all_answered(self, store: CassandraStore) -> None:
        view, count = view_name(), ROWS_A_BATCH * (REQUESTS_IN_FLIGHT + 2) + 1
        keys = [b"%d" % i for i in range(count)]
        put(store, view, [(key, (1, 0)) for key in keys], 24)
        assert get(store, view, keys) == [row(key, (1, 0), 24) for key in keys]


class TestSchema:
    def test_a_dropped_keyspace_is_made_again_and_counts_as_another(self, cassandra: str) -> None:
        keyspace, view = f"test_{uuid.uuid4().hex}", view_name()
        store = open_store(f"cassandra://{cassandra}/{keyspace}", 30.0)
        put(store, view, [(b"k", (1, 0))])
        before = store.generation()
        execute(cassandra, f"DROP KEYSPACE {keyspace}")
        put(store, view, [(b"j", (2, 0))])
        assert get(store, view, [b"k", b"j"]) == [None, row(b"j", (2, 0))]
        assert store.generation() != before
        execute(cassandra, f"DROP TABLE {keyspace}.rows")
        assert get(store, view, [b"j"]) == [None]
        store.erase(view, [b"j"], pack((3, 0)))
        store.close()
        execute(cassandra, f"DROP KEYSPACE {keyspace}")

    def test_a_keyspace_that_is_there_is_left_as_it_is(self, cassandra: str) -> None:
        keyspace = f"test_{uuid.uuid4().hex}"
        replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        execute(cassandra, f"CREATE KEYSPACE {keyspace} WITH replication = {replication}")
        open_store(f"cassandra://{cassandra}/{keyspace}", 30.0).close()
        execute(cassandra, f"SELECT key FROM {keyspace}.rows", f"DROP KEYSPACE {keyspace}")


class TestErrors:
    def test_nobody_there(self) -> None:
        (port,) = free_ports(1)
        url = f"cassandra://me:{SECRET}@127.0.0.1:{port}/flights"
        place = f"127.0.0.1:{port}/flights"
        refused(lambda: open_store(url), place, "cannot be reached", "Start it")

    def test_a_host_without_an_address(self) -> None:
        url = f"cassandra://me:{SECRET}@no-such-host.invalid/flights"
        refused(
            lambda: open_store(url),
            "no-such-host.invalid:9042/flights",
            "cannot be reached",
            "address",
        )

    @pytest.mark.parametrize(
        "url",
        [
            f"cassandra://me:{SECRET}@localhost",
            f"cassandra://me:{SECRET}@localhost:port/flights",
            f"cassandra://me:{SECRET}@localhost/Flights-2013",
            f"cassandra://me:{SECRET}@/flights",
        ],
    )
    def test_an_address_that_is_none(self, url: str) -> None:
        refused(
            lambda: open_store(url),
            "cassandra://***@",
            "is not one of a Cassandra",
            "cassandra://HOST:PORT",
        )

    @pytest.mark.parametrize(
        ("options", "cause", "next_step"),
        [
            ("consistency=any", "consistency=ANY", "LOCAL_QUORUM"),
            ("consistency=", "says nothing by consistency", "leave it out"),
            ("replicas=3", "has an option 'replicas'", "local_dc"),
            ("consistency", "not NAME=VALUE", "?consistency="),
            ("ssl=yes", "has ssl=yes", "true or false"),
            ("ssl_keyfile=a", "no ssl_certfile", "certificate of that key"),
            ("ssl_ca_certs=/no/such", "cannot be read", "PEM"),
        ],
    )
    def test_an_option_that_is_none(self, options: str, cause: str, next_step: str) -> None:
        url = f"cassandra://me:{SECRET}@localhost/flights?{options}"
        refused(lambda: open_store(url), "cassandra://***@localhost", cause, next_step)

    def test_a_missing_driver(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "freshet.features.stores.cassandra_store", None)
        refused(
            lambda: open_store("cassandra://localhost/flights"),
            "Cassandra",
            "driver",
            "pip install",
        )


class GuardedServer(CassandraServer):
    """One that asks for passwords and permissions, and speaks TLS with whoever wants it."""

    @property
    def certificate(self) -> Path:
        return self.directory / "server.crt"

    def command(self) -> Sequence[str]:
        line = list(super().command())
        keys = self.directory / "server.p12"
        if not keys.exists():
            of_localhost(self.certificate, self.directory / "server.key", keys, KEYS_SECRET)
        with (self.directory / "cassandra.yaml").open("a") as yaml:
            yaml.write("authenticator: PasswordAuthenticator\nauthorizer: CassandraAuthorizer\n")
            yaml.write(TLS.format(keys=keys, secret=KEYS_SECRET))
        return [line[0], "-Dcassandra.superuser_setup_delay_ms=0", *line[1:]]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedServer]:
    server = GuardedServer(tmp_path_factory.mktemp("guarded"))
    try:
        server.start()
    except ComponentError as error:
        if "cassandra" in os.environ.get("FRESHET_REQUIRE", "").split(","):
            raise
        pytest.skip(str(error))
    yield server
    server.stop()


ROOT = ("cassandra", "cassandra")
KEYS_SECRET = "keys-words"
TLS = """\
client_encryption_options:
  enabled: true
  optional: true
  keystore: {keys}
  keystore_password: {secret}
  store_type: PKCS12
"""


class TestOwnServer:
    def test_passwords_permissions_and_a_stop(self, guarded: GuardedServer) -> None:
        """One test, since each server takes ten seconds and a gigabyte."""
        address = guarded.address
        eventually(
            lambda: open_store(f"cassandra://cassandra:cassandra@{address}/flights", 30.0).close()
        )
        self._passwords(address)
        self._permissions(address)
        self._tls(guarded)
        self._data_centres(address)
        self._stop(guarded)

    def _passwords(self, address: str) -> None:
        for login in (f"cassandra:{SECRET}@", f"me:{SECRET}@", ""):
            refused(
                lambda login=login: open_store(f"cassandra://{login}{address}/flights"),
                address,
                "p",
                "C",
            )

    def _permissions(self, address: str) -> None:
        execute(address, f"CREATE ROLE me WITH PASSWORD = '{SECRET}' AND LOGIN = true", login=ROOT)
        url = f"cassandra://me:{SECRET}@{address}"
        refused(lambda: open_store(f"{url}/others"), address, "does not let", "Grant it CREATE")
        execute(address, "GRANT SELECT ON KEYSPACE flights TO me", login=ROOT)
        refused(
            lambda: put(open_store(f"{url}/flights"), "v", [(b"k", (1, 0))]),
            address,
            "not let",
            "MODIFY",
        )

    def _tls(self, server: GuardedServer) -> None:
        url = f"cassandra://cassandra:cassandra@{server.address}/flights"
        known = f"{url}?ssl_ca_certs={server.certificate}"
        for options in ("", "&consistency=quorum", "&ssl_check_hostname=false"):
            with closing(open_store(known + options, 10.0)) as store:
                view = view_name()
                put(store, view, [(b"k", (1, 0))])
                assert get(store, view, [b"k"]) == [row(b"k", (1, 0))]
        with Cluster(
            ["127.0.0.1"],
            port=server.port,
            protocol_version=5,
            auth_provider=PlainTextAuthProvider(*ROOT),
        ) as cluster:
            encrypted = "SELECT ssl_enabled FROM system_views.clients"
            with closing(open_store(known, 10.0)):
                assert True in {one for (one,) in cluster.connect().execute(encrypted)}
        refused(
            lambda: open_store(f"{url}?ssl=true"), server.address, "CERTIFICATE_VERIFY", "address"
        )

    def _data_centres(self, address: str) -> None:
        url = f"cassandra://cassandra:cassandra@{address}/flights"
        open_store(f"{url}?local_dc=datacenter1", 10.0).close()
        refused(
            lambda: open_store(f"{url}?local_dc=elsewhere", 10.0),
            address,
            "has no server in data centre 'elsewhere'",
            "datacenter1",
        )

    def _stop(self, server: GuardedServer) -> None:
        store = open_store(f"cassandra://cassandra:cassandra@{server.address}/flights", 10.0)
        put(store, "v", [(b"k", (1, 0))])
        before = store.generation()
        server.kill()
        refused(lambda: put(store, "v", [(b"k", (2, 0))]), server.address, "", "")
        refused(
            lambda: open_store(f"cassandra://{server.address}/flights"),
            server.address,
            "reached",
            "Start",
        )
        server.start()
        eventually(lambda: put(store, "v", [(b"j", (1, 0))]))
        # A killed server loses what its commit log had not yet written: here, up to a second.
        assert get(store, "v", [b"k", b"j"]) in (
            [None, row(b"j", (1, 0))],
            [row(key, (1, 0)) for key in (b"k", b"j")],
        )
        assert store.generation() != before
        store.close()


def test_addresses_of_ipv6_are_taken_and_shown_in_brackets() -> None:
    (port,) = free_ports(1)
    with pytest.raises(StoreError) as caught:
        open_store(f"cassandra://[::1]:{port}/app", timeout_seconds=2.0)
    assert caught.value.resource == f"Cassandra at [::1]:{port}/app"
    assert "cannot be reached" in caught.value.cause
