"""The logs there are, by the scheme of their address. Clients are imported only when their log is
opened.

runs/log, sqlite:///var/freshet/log     a directory (all that follows `sqlite://` is its path)
kafka://host:port,host:port             brokers
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from freshet.schemas.errors import LogError
from freshet.schemas.shown_text import address as named
from freshet.streams.log.contract import Log
from freshet.streams.outages import Outages

if TYPE_CHECKING:
    from freshet.streams.kafka.log import Brokers


def _sqlite(address: str, instance: str | None, outages: Outages) -> Log:
    from freshet.streams.sqlite.log import SqliteLog

    return SqliteLog(address, outages)


def _kafka(address: str, instance: str | None, outages: Outages) -> Log:
    # Not before such a log is opened: a run without Kafka needs no client of it.
    from freshet.streams.kafka.log import KafkaLog

    return KafkaLog.of_address(address, instance, outages)


LOGS: dict[str, Callable[[str, str | None, Outages], Log]] = {"sqlite": _sqlite, "kafka": _kafka}


def open_brokers(url: str) -> Brokers | None:
    """By whom topics are listed and removed; None where the log at `url` is a folder of files."""
    scheme, separator, address = url.partition("://")
    if not separator or scheme != "kafka":
        return None
    from freshet.streams.kafka.log import Brokers, KafkaLog

    return Brokers(KafkaLog.of_address(address, None, Outages()))


def open_log(url: str, instance: str | None = None, outages: Outages | None = None) -> Log:
    """The log at `url`. `instance` names this member of its groups: one that soon comes back under
    the same name gets its partitions back without a rebalance (Kafka's static membership).
    `outages` is told when its servers are away.

    Raises: LogError: no such scheme, or no directory can be made there. Brokers are first asked
        when the log is used.
    """
    scheme, separator, address = url.partition("://")
    if not separator:
        scheme = "sqlite"
        address = url
        # A folder whose name has a colon is written with ./ before it: more likely an address lacks
        # its slashes.
        if ":" in url.split("/", 1)[0]:
            raise LogError(
                named(url),
                "is neither kafka://host:port nor the path of a directory",
                f"Write kafka://…, or ./{named(url)} for a directory.",
            )
    if scheme not in LOGS:
        known = " or ".join(f"{name}://" for name in LOGS)
        raise LogError(
            named(url),
            f"{named(scheme)}:// is no log",
            f"Write {known}, or the path of a directory.",
        )
    return LOGS[scheme](address, instance, outages or Outages())
