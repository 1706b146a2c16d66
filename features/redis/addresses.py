"""Addresses of Redis, as one server, as one that Sentinels watch, or as a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel

from freshet.features.redis.link import CONNECT_SECONDS, Place
from freshet.schemas.addresses import authority, split
from freshet.schemas.errors import StoreError
from freshet.schemas.shown_text import address

USUAL_PORT = 6379
SENTINELS_PORT = 26379
_FORMS = {
    "redis": "redis://HOST:PORT/DB or unix:///PATH",
    "redis+sentinel": "redis+sentinel://HOST:PORT,HOST:PORT/NAME_OF_MASTER/DB",
    "redis+cluster": "redis+cluster://HOST:PORT,HOST:PORT",
}
# Of the Sentinels, whose users are not those of the server.
_SENTINELS_LOGIN = {"sentinel_username": "username", "sentinel_password": "password"}

Node = tuple[str, int]


@dataclass(frozen=True)
class Cluster:
    """A cluster is known by some of its nodes; `place_of` is where any of them is."""

    seeds: Sequence[Node]
    place_of: Callable[[Node], Place]
    address: str


def server_at(url: str, timeout_seconds: float) -> Place:
    """One server, at `redis://…`, `rediss://…` or `unix://…`. Raises `StoreError` for another
    address."""
    try:
        options = _options(url)
        parts = urlsplit(url)
        path = parts.path.strip("/")
        if "path" not in options and "@" in f"{path}{parts.query}{parts.fragment}":
            # A password with a / or a ? in it: what stands before would pass for the host.
            raise ValueError
        if "path" not in options and path and not path.isdecimal():
            raise ValueError  # Which parse_url takes for database 0.
        dial = _dialer(options, timeout_seconds)
    except (ValueError, TypeError):
        # Not the text of that error: it could hold the password.
        _refuse(url, "redis")
    place = options.get("path") or authority(
        options.get("host", "localhost"), options.get("port", USUAL_PORT)
    )
    return Place(dial, f"{place} db {options.get('db', 0)}")


def watched_at(url: str, timeout_seconds: float) -> Place:
    """The master of the name in `redis+sentinel://HOST,…/NAME/DB`, whoever it is when a connection
    is made. Raises `StoreError` for another address."""
    try:
        parts = urlsplit(url)
        name, _, database = parts.path.strip("/").partition("/")
        sentinels = _hosts(parts, SENTINELS_PORT)
        if not name or not (database or "0").isdecimal() or parts.fragment:
            raise ValueError
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        login = {
            known: query.pop(given) for given, known in _SENTINELS_LOGIN.items() if given in query
        }
        options = _options(_plain(parts, sentinels[0], database or "0", query))
        kept = {known: of for known, of in options.items() if known not in ("host", "port")}
        limits = _limits(timeout_seconds)
        sentinel: Callable[..., Any] = Sentinel
        ask = sentinel(sentinels, sentinel_kwargs=login | limits | _tls(options))
        _dialer(options, timeout_seconds)  # refuses options that no connection takes
    except (ValueError, TypeError):
        _refuse(url, "redis+sentinel")
    dial = partial(_dial_master, ask, name, kept, timeout_seconds)
    known = ",".join(authority(host, port) for host, port in sentinels)
    return Place(dial, f"{known} master {name} db {database or 0}", is_watched=True)


def cluster_at(url: str, timeout_seconds: float) -> Cluster:
    """A cluster, by some nodes of it: `redis+cluster://HOST,…`. Raises `StoreError` for another
    address."""
    try:
        parts = urlsplit(url)
        seeds = _hosts(parts, USUAL_PORT)
        # There is no database but 0 in a cluster.
        if parts.path.strip("/") not in ("", "0") or parts.fragment:
            raise ValueError
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        options = _options(_plain(parts, seeds[0], "0", query))
        _dialer(options, timeout_seconds)
    except (ValueError, TypeError):
        _refuse(url, "redis+cluster")

    def place_of(node: Node) -> Place:
        host, port = node
        dial = _dialer({**options, "host": host, "port": port}, timeout_seconds)
        return Place(dial, authority(host, port), is_clustered=True)

    return Cluster(seeds, place_of, ",".join(authority(host, port) for host, port in seeds))


def _options(url: str) -> dict[str, Any]:
    parse: Callable[[str], dict[str, Any]] = parse_url
    return parse(url)


def _dialer(
    options: dict[str, Any],
    timeout_seconds: float,
) -> Callable[[], Any]:
    """What makes connections, not yet connected. Raises `TypeError` for options that none takes."""
    known = dict(options)
    kind = known.pop("connection_class", redis.Connection)
    # A call is repeated by `RedisLink.ask`, once, and nowhere else.
    fixed = {"protocol": 2, "retry": Retry(NoBackoff(), 0)}
    dial = partial(kind, **_limits(timeout_seconds) | known | fixed)
    # Not connected by that; but options that no connection takes are refused.
    dial()
    return dial


def _dial_master(
    ask: Any,
    name: str,
    options: dict[str, Any],
    timeout_seconds: float,
) -> object:
    host, port = ask.discover_master(name)
    return _dialer({**options, "host": host, "port": port}, timeout_seconds)()


def _limits(timeout_seconds: float) -> dict[str, Any]:
    return {
        "socket_connect_timeout": min(CONNECT_SECONDS, timeout_seconds),
        "socket_timeout": timeout_seconds,
    }


def _tls(options: dict[str, Any]) -> dict[str, Any]:
    """What Sentinels are asked with where their master is asked by TLS."""
    found = {known: of for known, of in options.items() if known.startswith("ssl")}
    if options.get("connection_class") is redis.SSLConnection:
        found["ssl"] = True
    return found


def _hosts(parts: SplitResult, usual_port: int) -> list[Node]:
    """The hosts of an address. Raises `ValueError` where one is none."""
    found = []
    for text in parts.netloc.rpartition("@")[2].split(","):
        known = split(text)
        if known is None:
            raise ValueError
        host, port = known
        found.append((host, port or usual_port))
    return found


def _plain(
    parts: SplitResult,
    node: Node,
    database: str,
    query: dict[str, str],
) -> str:
    """The address as that of one server, whose options redis-py reads."""
    login, at, _ = parts.netloc.rpartition("@")
    scheme = parts.scheme.partition("+")[0]
    return f"{scheme}://{login}{at}{authority(*node)}/{database}?{urlencode(query)}"


def _refuse(url: str, kind: str) -> NoReturn:
    raise StoreError(address(url), "is not one of a Redis", f"Write {_FORMS[kind]}.") from None
