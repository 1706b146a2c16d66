"""The process that all roles are forked from.

Multiprocessing starts it as an interpreter of its own, which imports what roles need: as much as
the command itself has imported by then. So a command that will start roles forks it from itself,
as soon as it has imported that, and before it runs anything: one import serves both, which is a
third of what a start costs. It is multiprocessing's own server all the same, in another process
than it would have been; where this cannot be, multiprocessing starts it in its own way.

Source: CPython 3.11 to 3.13, `Lib/multiprocessing/forkserver.py`, `ForkServer.ensure_running`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Sequence
from importlib import import_module
from multiprocessing import forkserver, resource_tracker, util
from typing import Any, NamedTuple

PRELOADED = "freshet.processes.preloaded"
# Roles are many, and each is one thread's work.
SINGLE_THREADED = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"), "1"
)
# Has a pool of threads of its own once it is used.
POOLED = "polars"
# It has another inside from then on.
NEXT_INSIDE = (3, 14)
# multiprocessing keeps one a process, and has no name for it that is meant for others.
_server: Any = getattr(forkserver, "_forkserver")  # noqa: B009


class _Early(NamedTuple):
    """A server that waits to be told what else to import: its process, where it will listen, the
    end of the pipe by which it is told, and the one by which it sees that this process is gone."""

    pid: int
    address: str
    modules: int
    alive: int


_early: _Early | None = None


def single_threaded() -> None:
    """Have libraries that are loaded from now on start no threads, but where the user says so."""
    os.environ.update({k: v for k, v in SINGLE_THREADED.items() if k not in os.environ})


def fork_early() -> None:
    """Import what roles need, and fork the server; to be called before anything else is done."""
    global _early
    # Another command was run in this process before.
    if _early is not None or _server._forkserver_pid is not None:
        return
    # What has been used by now may have threads that are none of Python's: a pool of them that was
    # forked has none, and whoever gives it work waits for ever.
    was_used = POOLED in sys.modules
    polars = "POLARS_MAX_THREADS"
    before = os.environ.get(polars)
    # numpy's own library starts threads when it is loaded.
    single_threaded()
    import_module(PRELOADED)
    # Threads would not be forked, and what one of them holds would be held for ever. Libraries have
    # some from their import on, as they have in a server that imports them.
    is_alone = threading.active_count() == 1 and not was_used
    if sys.version_info < NEXT_INSIDE and is_alone:
        _early = _forked()
    # This process may read large files.
    if before is None:
        del os.environ[polars]


def _forked() -> _Early:
    resource_tracker.ensure_running()
    alive, alive_here = os.pipe()
    modules, modules_here = os.pipe()
    with socket.socket(socket.AF_UNIX) as listener:
        # This process's own folder, which it removes when it ends.
        folder = tempfile.mkdtemp(dir=util.get_temp_dir())
        address = os.path.join(folder, "fork-server")
        listener.bind(address)
        os.chmod(address, 0o600)
        listener.listen()
        pid = os.fork()
        if not pid:
            try:
                os.close(alive_here)
                os.close(modules_here)
                _serve(listener.detach(), alive, modules)
            finally:
                # Nothing of what the command would do at its end.
                os._exit(0)
    os.close(alive)
    os.close(modules)
    return _Early(pid, address, modules_here, alive_here)


def _serve(listener: int, alive: int, modules: int) -> None:
    # Ctrl-C is the supervisor's to act on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with os.fdopen(modules, "rb") as told:
        found = told.read()
    # Nothing comes of a command that ends before it starts a role.
    if found:
        forkserver.main(listener, alive, json.loads(found))


def serve_with(modules: Sequence[str]) -> None:
    """Let the server of this process import these modules, and serve, however it is started."""
    global _early
    single_threaded()
    # Also of the one that multiprocessing starts where an early one was killed.
    forkserver.set_forkserver_preload(list(modules))
    early = _early
    if early is None:
        return
    _early = None
    with os.fdopen(early.modules, "wb") as to:
        to.write(json.dumps(list(modules)).encode())
    _server._forkserver_address = early.address
    _server._forkserver_alive_fd = early.alive
    _server._forkserver_pid = early.pid
