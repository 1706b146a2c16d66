"""Kafka's errors, translated once: most specific first, cause kept."""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException

from freshet.schemas.errors import LogError
from freshet.streams.log.errors import RecordTooLarge, missing

# Names that begin with an underscore are what the client found, the others brokers' answers.
UNREACHABLE = {
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TRANSPORT,
    KafkaError._SSL,
    KafkaError._RESOLVE,
    KafkaError._TIMED_OUT,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.BROKER_NOT_AVAILABLE,
}
REFUSED = {KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED}
_UNKNOWN = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
}
_FENCED = {KafkaError.FENCED_INSTANCE_ID, KafkaError._FENCED}
_FORBIDDEN = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}


class Fenced(LogError):
    """Another member joined the group as the same instance, and goes on in this one's place."""


def error_of(exception: Exception) -> KafkaError:
    """The KafkaError inside a KafkaException (or one that says what else happened)."""
    if isinstance(exception, KafkaException) and isinstance(exception.args[0], KafkaError):
        return exception.args[0]
    return KafkaError(KafkaError._FAIL, str(exception))


def is_unknown_topic(error: KafkaError) -> bool:
    return error.code() in _UNKNOWN


def translated(error: KafkaError, brokers: str, topic: str | None = None) -> LogError:
    """Our error for Kafka's, about a topic if one is named, else about the brokers."""
    where = f"kafka://{brokers}"
    resource = where if topic is None else f"topic {topic}"
    code = error.code()
    text = error.str()
    if code in REFUSED:
        return LogError(
            where, f"refused the login: {text}", "Check user and password of the kafka:// address."
        )
    # An alert of the broker's comes as a connection that ended, and says so in its text alone.
    if code == KafkaError._SSL or (code in UNREACHABLE and "SSL routines" in text):
        return LogError(
            where,
            f"no connection by TLS: {text}",
            "Check security.protocol and the certificates (ssl.…) of the kafka:// address.",
        )
    if code in UNREACHABLE:
        return LogError(
            where,
            f"cannot be reached: {text}",
            "Check the address, and that the broker is running.",
        )
    if code in _UNKNOWN and topic is not None:
        return missing(topic, where)
    if code in _FORBIDDEN:
        return LogError(
            resource, f"access was denied: {text}", "Give this user the rights that the app needs."
        )
    if code == KafkaError.MSG_SIZE_TOO_LARGE:
        return RecordTooLarge(
            resource,
            f"a record is too large: {text}",
            "Raise max.message.bytes of the topic, or send less.",
        )
    # A fatal error tells its cause in the text alone.
    if code in _FENCED or (code == KafkaError._FATAL and "group.instance.id" in text):
        return Fenced(
            resource,
            f"another process took this member's place: {text}",
            "Give each process an instance of its own.",
        )
    return LogError(resource, f"{error.name()}: {text}", "See the broker's log.")
