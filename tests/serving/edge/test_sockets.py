"""Addresses of both families, as they are bound and as they are written."""

from __future__ import annotations

import httpx
import pytest

from freshet.schemas.errors import ComponentError
from freshet.serving.edge.hosts import hosts_of
from freshet.serving.edge.sockets import address_of, bind
from freshet.streams.vitals.metrics_server import MetricsServer
from tests.serving.edge.served import Operated, Scored, served


@pytest.mark.parametrize("made", [Scored, Operated])
def test_ipv6_serves_as_well(made: type[Scored] | type[Operated]) -> None:
    path = "/v2" if made is Scored else "/v1/topics"
    with served(made(hosts_of("::1")).app, host="::1") as address:
        assert address.startswith("http://[::1]:")
        assert httpx.get(address + path).status_code == 200


def test_metrics_are_served_there_too() -> None:
    with MetricsServer("::1", 0, lambda: b"a 1\n") as server:
        assert server.address.startswith("http://[::1]:")
        assert httpx.get(f"{server.address}/metrics").content == b"a 1\n"


def test_a_name_is_bound_where_it_leads() -> None:
    with bind("localhost") as sock:
        assert address_of(sock).rpartition(":")[0] in ("http://127.0.0.1", "http://[::1]")


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("no-such-host.invalid", "Name an address of this machine, such as 127.0.0.1 or ::1."),
        ("192.0.2.1", "cannot be bound: Cannot assign requested address"),
    ],
)
def test_an_address_that_is_not_here_is_told(host: str, told: str) -> None:
    with pytest.raises(ComponentError, match="cannot be bound") as caught:
        bind(host)
    assert told in str(caught.value)
