"""A Kafka cluster as a log needs it: its address, its clients' settings, topics, identities and
bounds.

Address: `host:port,host:port`, with `user:password@` before it (SASL PLAIN) and `?name=value&...`
after it for any setting of librdkafka, such as `security.protocol=SASL_SSL`. Needs Kafka 3.0 or
newer, for topic ids.
"""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Mapping
from typing import Any, Self

from freshet.schemas.addresses import split
from freshet.schemas.errors import LogError
from freshet.schemas.shown_text import address as named
from freshet.schemas.sizes import RECORD_BYTES
from freshet.streams.kafka.admin import REACH_SECONDS, KafkaAdmin
from freshet.streams.kafka.health import Health
from freshet.streams.log.contract import Bounds
from freshet.streams.log.errors import NoSuchTopic, frozen, no_partition, outside
from freshet.streams.outages import Outages

_TOPIC_CONFIG = {
    # a replay's records carry the replay's time: Kafka would delete those of 2013
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "cleanup.policy": "delete",
    "message.timestamp.type": "CreateTime",
    "message.timestamp.after.max.ms": str(2**63 - 1),
    "max.message.bytes": str(RECORD_BYTES),
}


class KafkaCluster:
    """The brokers of one log. `instance` names this process in its groups (static membership): if
    it comes back within `session_seconds` it gets its partitions back without a rebalance; if not,
    others get them.

    `fast` chooses the reader: True for librdkafka through ctypes, False for confluent-kafka's
    Consumer, None for the first of the two that works here.
    """

    def __init__(
        self,
        brokers: str,
        instance: str | None = None,
        settings: Mapping[str, str] | None = None,
        session_seconds: float = 10.0,
        fast: bool | None = None,
        outages: Outages | None = None,
    ) -> None:
        self.brokers = brokers
        self.instance = instance
        self.session_seconds = session_seconds
        self.fast = fast
        self.health = Health(brokers, outages or Outages(), lambda: self.admin.answers())
        self._settings = dict(settings or {})
        self._admin: KafkaAdmin | None = None

    @classmethod
    def of_address(
        cls, address: str, instance: str | None = None, outages: Outages | None = None
    ) -> Self:
        rest, _, query = address.partition("?")
        # A password with a question mark in it: what stands before would pass for the brokers. In
        # a value of the query an @ may well be.
        if "@" in query and "=" not in query.partition("@")[0]:
            raise LogError(
                named(f"kafka://{address}"),
                "has a question mark before its @, where login and broker would be",
                "Write those of a user or a password as %3F.",
            )
        login, _, brokers = rest.rpartition("@")
        settings = dict(urllib.parse.parse_qsl(query))
        if login:
            user, _, password = login.partition(":")
            settings = {
                "security.protocol": "SASL_PLAINTEXT",
                "sasl.mechanism": "PLAIN",
                "sasl.username": urllib.parse.unquote(user),
                "sasl.password": urllib.parse.unquote(password),
                **settings,
            }
        brokers = brokers.rstrip("/")
        for broker in brokers.split(","):
            if split(broker) is None:
                raise LogError(
                    f"kafka://{brokers}",
                    f"{broker!r} is no broker's address",
                    "Write kafka://host:port, and an IPv6 address in brackets: kafka://[::1]:9092.",
                )
        return cls(brokers, instance, settings, outages=outages)

    @property
    def trouble(self) -> LogError | None:
        """The outage that readers and writers are waiting out, if there is one."""
        return self.health.trouble

    def client_settings(self) -> dict[str, Any]:
        """What every client of this log is configured with."""
        return {
            "bootstrap.servers": self.brokers,
            "client.id": self.instance or "freshet",
            "reconnect.backoff.ms": 100,
            "reconnect.backoff.max.ms": 1000,
            # its lines about connections say what `error_cb` hears, again and again
            "log_level": 2,
            "allow.auto.create.topics": False,
            "error_cb": self.health.heard,
            **self._settings,
        }

    @property
    def admin(self) -> KafkaAdmin:
        """Made at first use: a log that is only configured starts no threads."""
        if self._admin is None:
            settings = self.client_settings()
            # Of consumers only: librdkafka warns of it elsewhere.
            del settings["allow.auto.create.topics"]
            self._admin = KafkaAdmin(self.brokers, settings, self.health)
        return self._admin

    def ensure(self, topic: str, partitions: int) -> None:
        """Topics are made with the brokers' replication factor, unlimited retention and 16 MB
        batches."""
        found = self._partitions(topic)
        if found is None:
            self.admin.create(topic, partitions, _TOPIC_CONFIG)
            found = self._settled(topic)
        if found != partitions:
            raise frozen(topic, found, partitions)

    def _partitions(self, topic: str) -> int | None:
        """The partition count of a topic, None if there is no such topic."""
        try:
            return len(self.admin.describe([topic])[topic].partitions)
        except NoSuchTopic:
            return None

    def _settled(self, topic: str) -> int:
        """The partition count of a new topic, once the brokers agree that it is there."""
        deadline = time.monotonic() + REACH_SECONDS
        while True:
            try:
                return len(self.bounds(topic).spans)
            except LogError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.01)

    def bounds(self, topic: str) -> Bounds:
        return self.admin.bounds([topic])[topic]

    def since(self, topic: str, time_ms: int) -> dict[int, int]:
        return self.admin.since(topic, time_ms)

    def retention_ms(self, topic: str) -> int | None:
        return self.admin.retention_ms(topic)

    def delete_before(self, topic: str, offsets: Mapping[int, int]) -> None:
        wanted = {}
        spans = self.bounds(topic).spans
        for partition, offset in offsets.items():
            if partition not in spans:
                raise no_partition(topic, partition, len(spans))
            first, after = spans[partition]
            if offset > after:
                raise outside(topic, partition, offset, first, after)
            if offset > first:
                wanted[partition] = offset
        if wanted:
            self.admin.delete_before(topic, wanted)

    def close(self) -> None:
        self._admin = None
