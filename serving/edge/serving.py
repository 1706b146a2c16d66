"""How uvicorn runs the apps of both servers: on httptools, with the limits of `Limits`, and
quietly."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from freshet.serving.edge.connections import BoundedProtocol, Connections
from freshet.serving.edge.limits import Limits, limits_of_process

GRACE_SECONDS = 10  # on the way out, for requests that are being answered


def configured(
    app: ASGIApp, limits: Limits | None = None, turned_away: Callable[[], None] = lambda: None
) -> uvicorn.Config:
    """Of one server: its connections are counted together. `limits` default to what the process can
    bear; `turned_away` is called for each request that is refused before the app hears of it."""
    held_to = limits or limits_of_process()
    protocol: Any = partial(BoundedProtocol, Connections(held_to, turned_away))
    return uvicorn.Config(
        app,
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        http=protocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        timeout_keep_alive=round(held_to.idle_seconds),
        timeout_graceful_shutdown=GRACE_SECONDS,
        backlog=held_to.backlog,
    )


def end_with(stop: threading.Event, end: Callable[[], None]) -> None:
    """Call `end` once `stop` is set. A server's loop waits for sockets, and for no event of another
    thread."""

    def wait() -> None:
        stop.wait()
        end()

    threading.Thread(target=wait, name="end", daemon=True).start()
