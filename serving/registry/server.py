"""Serves an embedded registry until it is told to end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import uvicorn

from freshet.serving.edge.hosts import Hosts
from freshet.serving.edge.serving import configured, end_with
from freshet.serving.edge.sockets import address_of, bind
from freshet.serving.registry.app import app
from freshet.serving.registry.registry import Registry


def serve(
    registry: Registry,
    hosts: Hosts,
    where: tuple[str, int],
    stop: threading.Event,
    say: Callable[[str], None],
) -> None:
    """Serve a registry at `where` (host, port) until `stop` is set. `say` is told its address once
    it listens.

    Raises:
        ComponentError: the address is another process's, or none of this machine.
    """
    sock = bind(*where)
    server = uvicorn.Server(configured(app(registry, hosts)))

    def end() -> None:
        server.should_exit = True

    end_with(stop, end)
    say(address_of(sock))
    asyncio.run(server._serve([sock]))
