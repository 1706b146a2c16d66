"""What a process is waiting out: the servers that do not answer, what happens meanwhile, and what
to do about it.

An outage begins with the error of the first call that failed, and is over when a call succeeds.
Both are logged once; status, page and metrics show what is current.
"""

from __future__ import annotations

import threading
import time

import msgspec
import structlog

from freshet.schemas.errors import ComponentError
from freshet.streams.clock import wall_now_ms

log = structlog.get_logger()
WORDS = {"disk": "full"}  # what a component is in an outage; others are away


class Outage(msgspec.Struct, frozen=True, kw_only=True):
    """A server that is away since `since` (wall, ms): `component` is its kind (log, store),
    `resource` names it and its address."""

    component: str
    resource: str
    cause: str
    meanwhile: str
    next_step: str
    since: int


class Outages:
    """Of one process; used by all its threads. `ending` is set once the process is to end: who
    waits an outage out here waits no longer."""

    def __init__(self, ending: threading.Event | None = None) -> None:
        self.ending = ending or threading.Event()
        self._lock = threading.Lock()
        self._current: dict[tuple[str, str], Outage] = {}
        self.begun = 0  # since the process started

    def begin(self, error: ComponentError, meanwhile: str, which: str = "") -> None:
        """A call failed by `error`; `meanwhile` says what this process does until one succeeds,
        `which` of several such components it is."""
        key = (error.component, which)
        with self._lock:
            if key in self._current:
                return
            self.begun += 1
            outage = Outage(
                component=error.component,
                resource=error.resource,
                cause=error.cause,
                meanwhile=meanwhile,
                next_step=error.next_step,
                since=wall_now_ms(),
            )
            self._current[key] = outage
        told = {k: v for k, v in msgspec.structs.asdict(outage).items() if k != "since"}
        log.error(f"{error.component} is {WORDS.get(error.component, 'away')}", **told)

    def over(self, component: str, which: str = "") -> None:
        """A call to it succeeded. Cheap where there was no outage."""
        key = (component, which)
        if key not in self._current:
            return
        with self._lock:
            outage = self._current.pop(key, None)
        if outage is not None:
            seconds = round(time.time() - outage.since / 1000, 1)
            log.warning(f"{component} is back", resource=outage.resource, away_seconds=seconds)

    def current(self) -> list[Outage]:
        """What is away now, by component."""
        with self._lock:
            return [self._current[key] for key in sorted(self._current)]
