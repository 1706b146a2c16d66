"""Which names a server goes by: a table."""

from __future__ import annotations

import socket

import pytest

from freshet.serving.edge.hosts import hosts_of


@pytest.mark.parametrize(
    ("listening", "allowed", "asked", "may"),
    [
        ("127.0.0.1", "", "localhost", True),
        ("127.0.0.1", "", "127.0.0.1", True),
        ("127.0.0.1", "", "127.0.0.2", True),
        ("127.0.0.1", "", "::1", True),
        ("::1", "", "::1", True),
        ("0.0.0.0", "", "0.0.0.0", True),
        ("127.0.0.1", "", "0.0.0.0", False),
        ("127.0.0.1", "", "elsewhere.example", False),
        ("127.0.0.1", "", "10.1.2.3", False),
        ("scorer.internal", "", "scorer.internal", True),
        ("127.0.0.1", "a.example, B.example", "b.example", True),
        ("127.0.0.1", "a.example", "x.a.example", False),
        ("127.0.0.1", "*", "elsewhere.example", True),
    ],
)
def test_a_name_is_allowed_if_it_is_one_of_ours(
    listening: str, allowed: str, asked: str, may: bool
) -> None:
    assert hosts_of(listening, allowed).allows(asked, "127.0.0.1") is may


def test_the_machine_s_own_name_is_where_others_are_told_to_ask() -> None:
    assert hosts_of("0.0.0.0").allows(socket.gethostname().lower(), "10.1.2.3")


@pytest.mark.parametrize(
    ("origin", "host", "may"),
    [
        ("http://localhost:8080", ("localhost", 8080), True),
        ("http://localhost:8081", ("localhost", 8080), False),
        ("http://localhost", ("localhost", None), True),
        ("https://localhost", ("localhost", 443), True),
        ("http://127.0.0.1:8080", ("localhost", 8080), False),
        ("https://proxy.example", ("localhost", 8080), True),
        ("null", ("null", None), False),
        ("file://localhost:8080", ("localhost", 8080), False),
        ("http://user@localhost:8080", ("localhost", 8080), False),
        ("", ("localhost", None), False),
    ],
)
def test_a_page_is_ours_if_it_came_from_here_or_from_a_listed_name(
    origin: str, host: tuple[str, int | None], may: bool
) -> None:
    assert hosts_of("127.0.0.1", "proxy.example").trusts(origin, host) is may
