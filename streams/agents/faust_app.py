"""A Faust app over freshet's topics: what its agents read are events as intake believes them, what
they send is taken in as any producer's. `docs/faust.md` says what that guarantees.
"""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import faust

from freshet.schemas.errors import DefinitionError
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.topics.topic import Topic
from freshet.streams.agents.faust_topic import EventSchemas, EventTopic
from freshet.streams.agents.faust_transport import Transport
from freshet.streams.kafka.log import KafkaLog

Earlier = Callable[[Topic], Mapping[int, EventSchema]]
# as long as freshet's own writer gathers: a request for every event is most of what it costs
LINGER_SECONDS = 0.005
_TLS = {"ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.key.password"}
_LOGIN = {"sasl.mechanism", "sasl.mechanisms", "sasl.username", "sasl.password"}
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


class FaustApp(faust.App):  # type: ignore[misc]
    """A Faust app that knows the topics of a freshet app: `of("weather")` is one for agents to read
    from and send to.

    `topics` are the app's, by the full names of their logs. `ensure` makes them, and raises
    `LogError` if one is there with other partitions; it is called in a thread when a worker starts.
    All else is Faust's own.
    """

    def __init__(
        self,
        id: str,
        topics: Mapping[str, Topic],
        ensure: Callable[[], None],
        earlier: Earlier = lambda topic: {},
        **conf: Any,
    ) -> None:
        super().__init__(id, **conf)
        self.ensure = ensure
        self._earlier = earlier
        self._declared = {topic.name: (log, topic) for log, topic in topics.items()}
        self._made: dict[str, EventTopic] = {}

    def of(self, topic: Topic | str) -> EventTopic:
        """The Faust topic of one of the app's topics. Raises `DefinitionError` for one that the app
        does not list."""
        name = topic if isinstance(topic, str) else topic.name
        if name not in self._declared:
            known = ", ".join(self._declared)
            raise DefinitionError(
                f"topic {name!r}", "the app has no such topic", f"Its topics are {known}."
            )
        if name not in self._made:
            log, declared = self._declared[name]
            schemas = EventSchemas(declared, self._earlier(declared))
            self._made[name] = EventTopic(
                self, topics=[log], partitions=declared.partitions, schema=schemas
            )
        return self._made[name]

    async def on_first_start(self) -> None:
        await super().on_first_start()
        await asyncio.to_thread(self.ensure)

    def _new_transport(self) -> Transport:
        return Transport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> Transport:
        return Transport(self.conf.broker_producer, self)


def faust_app(
    id: str,
    topics: Mapping[str, Topic],
    log_url: str,
    ensure: Callable[[], None],
    earlier: Earlier,
    **conf: Any,
) -> FaustApp:
    """A `FaustApp` on the brokers of `log_url`, with their logins; `conf` are settings of Faust's,
    which win.

    Raises: DefinitionError: the log is not on Kafka, or its address has a setting that Faust has no
        counterpart of.
    """
    scheme, separator, address = log_url.partition("://")
    if not separator or scheme != "kafka":
        raise DefinitionError(
            f"log {log_url}",
            "is not on Kafka, which is the only log that Faust reads",
            "Set FRESHET_LOG=kafka://host:port "
            "(`freshet servers start kafka` gives you one on this machine).",
        )
    log = KafkaLog.of_address(address)
    given = {
        "broker": [f"aiokafka://{broker.strip()}" for broker in log.brokers.split(",")],
        **_access(log.client_settings()),
        "broker_session_timeout": log.session_seconds,
        # Two may be lost before a member counts as gone.
        "broker_heartbeat_interval": log.session_seconds / 3,
        "producer_linger": LINGER_SECONDS,
        "topic_partitions": max(topic.partitions for topic in topics.values()),
        "reply_to_prefix": f"{id}-reply-",
        "autodiscover": False,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # its own, of its own settings
        return FaustApp(id, topics, ensure, earlier, **{**given, **conf})


def _access(client: Mapping[str, Any]) -> dict[str, Any]:
    """How librdkafka would be let in, as Faust's settings."""
    protocol = str(client.get("security.protocol", "plaintext")).upper()
    mechanism = str(client.get("sasl.mechanism", client.get("sasl.mechanisms", "PLAIN"))).upper()
    security = [name for name in client if name.startswith(("ssl.", "sasl."))]
    refused = [name for name in security if name not in _TLS | _LOGIN]
    if mechanism not in _MECHANISMS:
        refused.append(f"sasl.mechanism={mechanism}")
    # Told, not passed over: it would connect less safely than freshet itself does.
    if refused:
        raise DefinitionError(
            f"log kafka://{client['bootstrap.servers']}",
            f"Faust cannot log in with {refused[0]}",
            f"Use {_or(_MECHANISMS)}, and of the settings of TLS only {_or(sorted(_TLS))}.",
        )
    tls = _context(client) if protocol.endswith("SSL") else None
    if not protocol.startswith("SASL"):
        return {"ssl_context": tls} if tls else {}
    login = faust.SASLCredentials(
        username=client.get("sasl.username"),
        password=client.get("sasl.password"),
        ssl_context=tls,
        mechanism=mechanism,
    )
    return {"broker_credentials": login}


def _context(client: Mapping[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=client.get("ssl.ca.location"))
    if "ssl.certificate.location" in client:
        context.load_cert_chain(
            client["ssl.certificate.location"],
            client.get("ssl.key.location"),
            client.get("ssl.key.password"),
        )
    return context


def _or(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
