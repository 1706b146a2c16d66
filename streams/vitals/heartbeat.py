"""Tells that a process lives while its loop is busy: with a first step of a learner, or a kernel
that is being compiled."""

from __future__ import annotations

import threading
from types import TracebackType

import msgspec
import structlog

from freshet.schemas.errors import LogError
from freshet.streams.clock import wall_now_ms
from freshet.streams.control.channels import Channels, send
from freshet.streams.log.contract import Log, Writer
from freshet.streams.vitals.vitals import Vitals

log = structlog.get_logger()
BEAT_SECONDS = 1.0
QUIET_SECONDS = 2.0  # a loop that has not told for so long is spoken for


class Heartbeat:
    """A context manager with a thread and a writer of its own. It tells the figures of the process,
    not those of its tasks, which may have gone to another one meanwhile; their `told_ms` says since
    when the loop is busy."""

    def __init__(self, log_: Log, channels: Channels, vitals: Vitals) -> None:
        self._log = log_
        self._channels = channels
        self._vitals = vitals
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._writer: Writer | None = None

    def _beat(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            if self._vitals.quiet_seconds() >= QUIET_SECONDS:
                self._tell()
        if self._writer is not None:
            self._writer.close()

    def _tell(self) -> None:
        status = self._vitals.status()
        facts = {name: value for name, value in status.facts.items() if not isinstance(value, dict)}
        try:
            self._writer = self._writer or self._log.writer()
            told = msgspec.structs.replace(status, facts=facts)
            send(self._writer, self._channels, [told], wall_now_ms())
        except LogError as error:
            log.warning("reports log is away; this heartbeat is dropped", error=str(error))
            self._writer = None

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(BEAT_SECONDS)  # not for as long as it may wait for a log that is away
