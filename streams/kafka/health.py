"""What is known of the brokers' health, and when an outage of theirs begins and ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog
from confluent_kafka import KafkaError

from freshet.schemas.errors import LogError
from freshet.streams.kafka.errors import REFUSED, UNREACHABLE, translated
from freshet.streams.outages import Outages

log = structlog.get_logger()
# While brokers come and go, clients hear the one and the other: such moments are not told.
HOLD_SECONDS = 3.0
MEANWHILE = "reading and writing wait, in bounded memory, and go on by themselves"


class Health:
    """What the clients of one log last heard about its brokers. An outage is told to `outages` once
    it has held for `HOLD_SECONDS`: while brokers come and go, clients hear the one and the other.
    Clients that are idle do not hear that it is over, so `answers` asks the brokers meanwhile."""

    def __init__(self, brokers: str, outages: Outages, answers: Callable[[], bool]) -> None:
        self.brokers = brokers
        self._outages = outages
        self._answers = answers
        self.trouble: LogError | None = None  # None while the brokers answer
        self.refused: LogError | None = None  # a login that will never succeed
        self.back_at = -1e9  # monotonic: when an outage was last over
        self._last = ""  # what was last wrong with any one connection
        self._told = False  # whether the outage was told
        self._hint = threading.Event()
        self._lock = threading.Lock()

    @property
    def given_up(self) -> LogError | None:
        """Why who waits for the brokers waits no longer: they refuse us for good, or are away while
        this process is to end."""
        if self.refused is None and self._outages.ending.is_set():
            return self.trouble
        return self.refused

    def heard(self, error: KafkaError) -> None:
        """librdkafka's error callback: told for information, the client goes on trying."""
        code = error.code()
        text = error.str()
        if code in REFUSED:
            self.refused = translated(error, self.brokers)
        # That no broker is there is said without a reason: it is that of the last connection.
        elif code == KafkaError._ALL_BROKERS_DOWN:
            with self._lock:
                if self.trouble is None:
                    self.trouble = translated(KafkaError(code, self._last or text), self.brokers)
                    threading.Thread(target=self._watch, args=(self.trouble,), daemon=True).start()
        elif code in UNREACHABLE:
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
                # Over, or over and begun anew: the new one has a thread of its own.
                if self.trouble is not trouble:
                    return
                self._outages.begin(trouble, MEANWHILE, self.brokers)
                self._told = True

    def well(self) -> None:
        """A broker answered. Once an outage was told that is asked again: what was on its way when
        it began says nothing."""
        with self._lock:
            if self._told:
                self._hint.set()
            else:
                self._end()

    def _end(self) -> None:
        if self.trouble is not None:
            self._outages.over(self.trouble.component, self.brokers)
            self.back_at = time.monotonic()
        self.trouble = self.refused = None
        self._told = False
