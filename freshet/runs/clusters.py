"""Other clusters of Kafka, which topics of an app are read from: one log that asks each for what it
has.

Everything that freshet writes is in the app's own log. A reader reads of one cluster only, so each
has consumers of its own, and is away by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from freshet.app import App
from freshet.schemas.errors import DefinitionError, LogError
from freshet.streams.catalog import open_log
from freshet.streams.log.contract import (
    Bounds,
    Headers,
    Log,
    OnAssign,
    OnGone,
    Reader,
    Writer,
)
from freshet.streams.outages import Outages


def routed(
    app: App,
    log: Log,
    logins: Mapping[str, str],
    instance: str | None = None,
    outages: Outages | None = None,
) -> Log:
    """The app's own `log`, which answers for topics of other clusters, too. `logins` are their
    whole addresses, by those that topics name; `instance` and `outages` are those of `open_log`.

    On the embedded log, which holds nothing of others, all topics are the app's own.
    """
    named = {topic.cluster for topic in app.topics if topic.cluster is not None}
    if not named or not log.is_shared:
        return log
    opened = {}
    for cluster in sorted(named):
        opened[cluster] = open_log(logins.get(cluster, cluster), instance, outages)
    others = {}
    for topic in app.topics:
        if topic.cluster is not None:
            others[app.log_of(topic.name)] = opened[topic.cluster]
    return RoutedLog(log, others)


def refuse_embedded(app: App, log: Log) -> None:
    """Raises `DefinitionError` where a run would wait for another cluster's records in a log that
    has none of them."""
    for topic in app.topics:
        if topic.cluster is not None and not log.is_shared:
            raise DefinitionError(
                f"topic {topic.name}",
                f"is read from {topic.cluster}, and this run has a log of its own folder",
                "Name a Kafka with --log, for what the app writes.",
            )


class RoutedLog:
    """A `Log`: `others` by the names of their topics, and the app's `own` for all else."""

    is_shared = True

    def __init__(self, own: Log, others: Mapping[str, Log]) -> None:
        self._own = own
        self._others = others

    def _of(self, topic: str) -> Log:
        return self._others.get(topic, self._own)

    def ensure(self, topic: str, partitions: int) -> None:
        """In the app's own log: nothing is made in another."""
        self._own.ensure(topic, partitions)

    def reader(
        self,
        topics: Sequence[str],
        group: str | None,
        on_assign: OnAssign | None = None,
        on_revoke: OnGone | None = None,
        on_lost: OnGone | None = None,
        headers: Headers | None = None,
    ) -> Reader:
        (log,) = {id(found): found for found in map(self._of, topics)}.values()
        return log.reader(topics, group, on_assign, on_revoke, on_lost, headers)

    def writer(self) -> Writer:
        return self._own.writer()

    def bounds(self, topic: str) -> Bounds:
        return self._of(topic).bounds(topic)

    def since(self, topic: str, time_ms: int) -> Mapping[int, int]:
        return self._of(topic).since(topic, time_ms)

    def retention_ms(self, topic: str) -> int | None:
        return self._of(topic).retention_ms(topic)

    def delete_before(self, topic: str, offsets: Mapping[int, int]) -> None:
        """Raises `LogError` for a topic of another cluster: what others wrote is theirs."""
        if topic in self._others:
            raise LogError(
                f"topic {topic}",
                "is of another cluster, and freshet deletes nothing there",
                "Set its retention there.",
                topic=topic,
            )
        self._own.delete_before(topic, offsets)

    def close(self) -> None:
        for log in self._others.values():
            log.close()
        self._own.close()
