"""The stores there are, by the scheme of their address. Clients are imported only when their store
is opened.

redis://[user:password@]host:port/db                        rediss:// is the same over TLS
unix:///path/of/redis.sock                                  a Redis of this machine
redis+sentinel://[user:password@]host:port,…/master/db      rediss+sentinel:// over TLS
redis+cluster://[user:password@]host:port,…                 rediss+cluster:// over TLS
cassandra://[user:password@]host:port/keyspace?option=…      see `stores/cassandra_address.py`
tiered(REDIS, STORE)                                        copies in Redis of what STORE has
"""

from __future__ import annotations

import re
from collections.abc import Callable

from freshet.features.stores.contract import Store
from freshet.features.stores.late_store import LateStore
from freshet.schemas.errors import StoreError
from freshet.schemas.shown_text import address


def _redis(url: str, timeout_seconds: float) -> Store:
    from freshet.features.redis.addresses import server_at
    from freshet.features.redis.redis_store import RedisStore

    return RedisStore(server_at(url, timeout_seconds), timeout_seconds)


def _sentinel(url: str, timeout_seconds: float) -> Store:
    from freshet.features.redis.addresses import watched_at
    from freshet.features.redis.redis_store import RedisStore

    return RedisStore(watched_at(url, timeout_seconds), timeout_seconds)


def _cluster(url: str, timeout_seconds: float) -> Store:
    from freshet.features.redis.addresses import cluster_at
    from freshet.features.redis.cluster_store import RedisClusterStore

    return RedisClusterStore(cluster_at(url, timeout_seconds), timeout_seconds)


def _cassandra(url: str, timeout_seconds: float) -> Store:
    try:
        from freshet.features.stores.cassandra_store import CassandraStore
    except ImportError as error:
        raise StoreError(
            "Cassandra",
            f"its driver cannot be used ({error})",
            "Install freshet with the extra `cassandra`: pip install 'freshet[cassandra]'.",
        ) from error

    return CassandraStore(url, timeout_seconds)


def _tiered(url: str, timeout_seconds: float) -> Store:
    from freshet.features.redis.addresses import server_at, watched_at
    from freshet.features.redis.copy_store import CopyStore

    tiers = _TIERED.fullmatch(url)
    if tiers is None or tiers["copy"].partition("://")[0] not in _COPIES:
        raise StoreError(
            address(url),
            "does not name a Redis for copies and a store",
            "Write tiered(redis://HOST:PORT/DB, cassandra://HOST:PORT/KEYSPACE).",
        )
    place_of = server_at
    if "+sentinel" in tiers["copy"]:
        place_of = watched_at
    place = place_of(tiers["copy"], timeout_seconds)
    store = open_store(tiers["store"], timeout_seconds)
    try:
        return CopyStore(place, store, timeout_seconds)
    except BaseException:
        store.close()
        raise


# The comma before the second address: hosts are separated by commas, too.
_TIERED = re.compile(r"tiered\(\s*(?P<copy>\S+?)\s*,\s*(?P<store>[a-z+]+://\S+?)\s*\)")
_COPIES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")
STORES: dict[str, Callable[[str, float], Store]] = {
    "redis": _redis,
    "rediss": _redis,
    "unix": _redis,
    "redis+sentinel": _sentinel,
    "rediss+sentinel": _sentinel,
    "redis+cluster": _cluster,
    "rediss+cluster": _cluster,
    "cassandra": _cassandra,
    "tiered(": _tiered,
}


def open_store(url: str, timeout_seconds: float = 5.0) -> Store:
    """The store at `url`. A call that is not answered within `timeout_seconds` fails.

    Raises:
        StoreError: no such scheme, or the store cannot be reached or must not be used.
    """
    return _opener(url)(url, timeout_seconds)


def late_store(url: str, timeout_seconds: float = 5.0) -> Store:
    """The store at `url`, also while it cannot be reached: each call tries to open it, until one
    has.

    Raises:
        StoreError: no such scheme.
    """
    opener = _opener(url)
    return LateStore(lambda: opener(url, timeout_seconds))


def _opener(url: str) -> Callable[[str, float], Store]:
    if url.startswith("tiered("):
        return _tiered
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in STORES:
        known = ", ".join(f"{name}://" for name in STORES if name != "tiered(")
        raise StoreError(address(url) or "address ''", "is no store", f"Write one of {known}.")
    return STORES[scheme]
