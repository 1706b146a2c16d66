"""When a scorer answers: while its version is the active one.

One of a version that is built says when it could, and waits; one whose version is no longer active
leaves, once it has answered what has reached it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from freshet.schemas.errors import LogError, StoreError
from freshet.versions import progress
from freshet.versions.part import is_active

log = structlog.get_logger()
LOOK_SECONDS = 0.02  # for which no scorer may answer at a cut-over: connections wait that long
SAY_SECONDS = 0.5
LEAVE_LOOK_SECONDS = 0.1  # for which two may answer: each by its own version


@dataclass(frozen=True)
class Turn:
    """Of a scorer of this `version`, called so by its `role`."""

    run_dir: Path
    version: int
    role: str
    stop: threading.Event

    def _is_own(self) -> bool:
        return is_active(self.run_dir, self.version)

    def await_own(self, waits_for: Callable[[], str]) -> None:
        """Until the version is active, or the scorer is to stop. Meanwhile it says what it waits
        for (empty: it could answer)."""
        while not self._is_own() and not self.stop.is_set():
            try:
                why = waits_for()
            except (StoreError, LogError) as error:
                why = str(error)
            progress.say(self.run_dir, self.role, {"ready": not why, "waits_for": why})
            self._wait(SAY_SECONDS)

    def _wait(self, seconds: float) -> None:
        for _ in range(round(seconds / LOOK_SECONDS)):
            if self._is_own() or self.stop.wait(LOOK_SECONDS):
                return

    def end_with(self, leave: Callable[[], None]) -> None:
        """Call `leave` once another version is active."""
        while not self.stop.wait(LEAVE_LOOK_SECONDS):
            if not self._is_own():
                log.info("another version answers from now on", version=self.version)
                leave()
                return
