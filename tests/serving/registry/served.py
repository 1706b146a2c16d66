"""An embedded registry on a port of a test's own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from freshet.serving.edge.hosts import hosts_of
from freshet.serving.registry.registry import Registry
from freshet.serving.registry.server import serve


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Its address."""
    kept = Registry(folder)
    stop = threading.Event()
    address: queue.Queue[str] = queue.Queue()
    thread = threading.Thread(
        target=serve,
        args=(kept, hosts_of("127.0.0.1"), ("127.0.0.1", 0), stop, address.put),
    )
    thread.start()
    try:
        yield address.get(timeout=10.0)
    finally:
        stop.set()
        thread.join()
        kept.close()
