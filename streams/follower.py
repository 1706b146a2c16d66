"""Following the control log: every message from its start, in order, to whoever wants to know."""

from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec
import structlog

from schemas import messages
from schemas.errors import LogError
from streams.log import Log

log = structlog.get_logger()
RETRY_SECONDS = 1.0


class Follower:
    """Reads the control topic from its first record. Not thread-safe."""

    def __init__(self, log_: Log, control: str) -> None:
        self._reader = log_.reader([control], None)
        self.position = 0  # the offset after the last record taken

    def poll(self, max_wait_seconds: float) -> list[messages.Message]:
        """What was said since the last call, as soon as there is anything. A record that is no message is skipped."""
        found: list[messages.Message] = []
        for batch in self._reader.poll(10_000, max_wait_seconds):
            self.position = int(batch.offsets[-1]) + 1
            for i in range(len(batch)):
                try:
                    found.append(messages.decode(batch.value(i)))
                except msgspec.ValidationError as error:
                    log.warning("control record is no message", offset=int(batch.offsets[i]), error=str(error))
        return found

    def run(self, handle: Callable[[messages.Message], None], stop: threading.Event) -> None:
        """Hand every message to `handle` until stopped; an unreachable log is waited for."""
        while not stop.is_set():
            try:
                found = self.poll(0.2)
            except LogError as error:
                log.warning("control log is away; what it would say is not known meanwhile", error=str(error))
                stop.wait(RETRY_SECONDS)
                continue
            for message in found:
                handle(message)

    def close(self) -> None:
        self._reader.close()
