"""Tells alerts to a URL: one POST of JSON each, in a thread of its own that neither blocks nor ends
whoever calls."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from typing import NamedTuple

import httpx
import msgspec
import structlog

from freshet.schemas.shown_text import HIDDEN, origin, redacted
from freshet.serving.status.status import Alert

log = structlog.get_logger()
WAITING = 100  # alerts that may wait to be told
TIMEOUT_SECONDS = 5.0
# Alerts are told in order, so one that nobody takes must not hold up those that come after it.
RETRY_SECONDS = 300.0
PAUSES_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
# The answers below 500 that speak of the moment (too slow, too early, too many), not of the call.
TRY_AGAIN = frozenset((408, 425, 429))


def body(app: str, alert: Alert) -> bytes:
    """The JSON of an alert, with the app it is of.

    >>> told = Alert(
    ...     policy="outage", subject="store", light="amber", reason="r", meaning="m", next_step="n"
    ... )
    >>> body("flights", told)[:35]
    b'{"app":"flights","policy":"outage",'
    """
    return msgspec.json.encode({"app": app} | msgspec.structs.asdict(alert))


class _Fault(NamedTuple):
    """Why an alert was not told, and whether that may pass."""

    cause: str
    passing: bool


class Webhook:
    """Alerts are told in order, each until the URL answers 2xx: what may pass (no answer, 5xx, 429)
    is tried again, with pauses that grow, for `retry_seconds`; other answers are final. One that
    failed halfway may be told twice.

    What goes wrong is logged once until a call succeeds again; then how many alerts were lost. The
    URL may hold a secret: logs name its host only."""

    def __init__(
        self,
        url: str,
        app: str,
        retry_seconds: float = RETRY_SECONDS,
        pauses_seconds: tuple[float, ...] = PAUSES_SECONDS,
        waiting: int = WAITING,
    ) -> None:
        self._url = url
        self._app = app
        self._retry_seconds = retry_seconds
        self._pauses = pauses_seconds
        self._named = {"setting": "alert_webhook", "resource": origin(url)}
        self._queue: queue.Queue[bytes | None] = queue.Queue(waiting)
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._failing = False
        self._lost = 0
        self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)
        self._thread.start()

    def tell(self, alert: Alert) -> None:
        """Returns at once; an alert that finds too many waiting is lost, and counted."""
        try:
            self._queue.put_nowait(body(self._app, alert))
        except queue.Full:
            self._fails(f"{self._queue.maxsize} alerts wait already", lost=1)

    def close(self, seconds: float = 2.0) -> None:
        """What waits is tried once more, for at most this long."""
        self._closed.set()
        # Wakes the thread if it waits for an alert; a full queue needs no waking.
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)
        self._thread.join(seconds)

    def _run(self) -> None:
        with httpx.Client(timeout=TIMEOUT_SECONDS) as http:
            while not (self._closed.is_set() and self._queue.empty()):
                told = self._queue.get()
                if told is not None:
                    self._deliver(http, told)

    def _deliver(self, http: httpx.Client, told: bytes) -> None:
        deadline = time.monotonic() + self._retry_seconds
        tries = 0
        while fault := self._post(http, told):
            pause = self._pauses[min(tries, len(self._pauses) - 1)]
            tries += 1
            self._fails(fault.cause)
            too_late = time.monotonic() + pause > deadline
            # Waiting for the end is what the pause is, so it comes last.
            if not fault.passing or too_late or self._closed.wait(pause):
                self._fails(fault.cause, lost=1)
                return
        self._works()

    def _post(self, http: httpx.Client, told: bytes) -> _Fault | None:
        """None if it was told. The answer's body is not read."""
        try:
            with http.stream(
                "POST", self._url, content=told, headers={"content-type": "application/json"}
            ) as answer:
                if answer.is_success:
                    return None
                passing = answer.status_code >= 500 or answer.status_code in TRY_AGAIN
                cause = f"it answers {answer.status_code} {answer.reason_phrase}".rstrip()
                return _Fault(cause, passing)
        except httpx.InvalidURL:
            return _Fault("it is no URL", passing=False)
        except Exception as error:  # a webhook never ends its thread
            # Its text may quote the URL, of which the path is a secret, too.
            cause = redacted(str(error).replace(self._url, HIDDEN)) or type(error).__name__
            return _Fault(cause, passing=True)

    def _fails(self, cause: str, lost: int = 0) -> None:
        with self._lock:
            first = not self._failing
            self._failing = True
            self._lost += lost
        if first:
            log.error(
                "webhook fails",
                **self._named,
                cause=cause,
                meanwhile=f"alerts are tried for {self._retry_seconds:.0f} s; all of them are here "
                "and on the status page",
                next_step="See that alert_webhook is the right URL, and that it takes a POST of "
                "JSON from this machine.",
            )

    def _works(self) -> None:
        with self._lock:
            failed = self._failing
            lost = self._lost
            self._failing = False
            self._lost = 0
        if failed:
            log.warning("webhook works again", **self._named, alerts_lost=lost)
