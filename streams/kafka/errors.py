"""Kafka's errors, translated once: most specific first, cause kept. Also what is known about the brokers'
health."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog
from confluent_kafka import KafkaError, KafkaException

from freshet.schemas.errors import LogError
from freshet.streams.log.errors import missing
from freshet.streams.outages import Outages

log = structlog.get_logger()
HOLD_SECONDS = 3.0
MEANWHILE = "reading and writing wait, in bounded memory, and go on by themselves"

_UNREACHABLE = {
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TRANSPORT,
    KafkaError._RESOLVE,
    KafkaError._TIMED_OUT,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.BROKER_NOT_AVAILABLE,
}
_REFUSED = {KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED}
_UNKNOWN = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}
_FENCED = {KafkaError.FENCED_INSTANCE_ID, KafkaError._FENCED}
_FORBIDDEN = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}


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
    code, text = error.code(), error.str()
    if code in _REFUSED:
        return LogError(where, f"refused the login: {text}", "Check user and password of the kafka:// address.")
    if code in _UNREACHABLE:
        return LogError(where, f"cannot be reached: {text}", "Check the address, and that the broker is running.")
    if code in _UNKNOWN and topic is not None:
        return missing(topic, where)
    if code in _FORBIDDEN:
        return LogError(resource, f"access was denied: {text}", "Give this user the rights that the app needs.")
    if code == KafkaError.MSG_SIZE_TOO_LARGE:
        return LogError(
            resource, f"a record is too large: {text}", "Raise max.message.bytes of the topic, or send less."
        )
    if code in _FENCED or (code == KafkaError._FATAL and "group.instance.id" in text):
        return LogError(
            resource,
            f"another process took this member's place: {text}",
            "Give each process an instance of its own.",
            fenced=True,
        )
    return LogError(resource, f"{error.name()}: {text}", "See the broker's log.")


class Health:
    """What the clients of one log last heard about its brokers. An outage is told to `outages` once it has held for
    `HOLD_SECONDS`: while brokers come and go, clients hear the one and the other. Clients that are idle do not hear that it
    is over, so `answers` asks the brokers meanwhile."""

    def __init__(self, brokers: str, outages: Outages, answers: Callable[[], bool]) -> None:
        self.brokers, self._outages, self._answers = brokers, outages, answers
        self.trouble: LogError | None = None  # None while the brokers answer
        self.refused: LogError | None = None  # a login that will never succeed
        self.back_at = -1e9  # monotonic: when an outage was last over
        self._last = ""  # what was last wrong with any one connection
        self._told = False  # whether the outage was told
        self._hint, self._lock = threading.Event(), threading.Lock()

    def heard(self, error: KafkaError) -> None:
        """librdkafka's error callback: told for information, the client goes on trying."""
        code, text = error.code(), error.str()
        if code in _REFUSED:
            self.refused = translated(error, self.brokers)
        elif code == KafkaError._ALL_BROKERS_DOWN:
            with self._lock:
                if self.trouble is None:
                    self.trouble = translated(KafkaError(code, self._last or text), self.brokers)
                    threading.Thread(target=self._watch, args=(self.trouble,), daemon=True).start()
        elif code in _UNREACHABLE:
            self._last = text
        else:
            log.warning("kafka", brokers=self.brokers, error=error.name(), text=text)

    def _watch(self, trouble: LogError) -> None:
        """On a thread of its own, until this trouble is over."""
        while True:
            self._hint.wait(HOLD_SECONDS)
            self._hint.clear()
            answered = self.trouble is trouble and self._answers()
            with self._lock:
                if self.trouble is trouble and answered:
                    self._end()
                if self.trouble is not trouble:
                    return
                self._outages.begin(trouble, MEANWHILE)
                self._told = True

    def well(self) -> None:
        """A broker answered. Once an outage was told that is asked again: what was on its way when it began says nothing."""
        with self._lock:
            if self._told:
                self._hint.set()
            else:
                self._end()

    def _end(self) -> None:
        if self.trouble is not None:
            self._outages.over(self.trouble.component)
            self.back_at = time.monotonic()
        self.trouble = self.refused = None
        self._told = False
