"""Starts every role as a process of its own, watches them, starts again what died, and stops all of
them cleanly."""

from __future__ import annotations

import contextlib
import multiprocessing as mp
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from typing import Any

import psutil
import structlog

from freshet.processes.fork_server import PRELOADED, serve_with
from freshet.schemas.errors import FreshetError
from freshet.schemas.shown_text import shown

log = structlog.get_logger()
WATCH_SECONDS = 0.2
MEMORY_SECONDS = 5.0
STOP_SECONDS = 15.0
APART_SECONDS = 0.5  # between two starts beside what goes on: what each takes to come up
# By early ends in a row: none after a steady run; the last one for all that follow.
BACKOFF_SECONDS = (0.0, 0.2, 1.0, 5.0)
STEADY_SECONDS = 30.0
FAILING_FROM = 3  # early ends in a row that are no accident any more
REASON_CHARACTERS = 500
# Roles are many on one machine: each with a thread a core would crowd out the others.
SAFE_PATH = "PYTHONSAFEPATH"


@dataclass(frozen=True, slots=True)
class RoleSpec:
    """A process to keep alive: `target(*args)` runs in it. `name` is unique, such as
    `train:late.river-1a2b3c4d`. One that `ends` has done its work when it ends without an error,
    and is not started again then. One that ends with status `anew` is to go on in another process,
    which is no failure. The further one is `behind` (niceness, 0 to 19), the more of the processor
    is left to others who want it; but it goes on all the same."""

    name: str
    target: Callable[..., None]
    args: tuple[Any, ...]
    ends: bool = False
    behind: int = 0
    anew: int | None = None


@dataclass(slots=True, eq=False)
class _Child:
    spec: RoleSpec
    process: ForkServerProcess | None = None
    started_at: float = 0.0
    failures: int = 0
    restarts: int = 0
    start_again_at: float = 0.0
    peak_bytes: int = 0
    last_words: Connection | None = None
    last_exit: str = ""
    is_done: bool = False
    may_end: bool = False

    @property
    def failing(self) -> bool:
        """Whether it ends again and again soon after it was started."""
        if self.failures < FAILING_FROM:
            return False
        return self.process is None or time.monotonic() - self.started_at <= STEADY_SECONDS


@dataclass
class Supervisor:
    """Keeps processes alive in a thread of its own, from `start` to `stop`.

    Processes are forked from a server that has imported the heavy libraries once (the names in
    `preload`), so a role starts, and comes back after a crash, in a fraction of a second.
    """

    specs: Sequence[RoleSpec]
    preload: Sequence[str] = (PRELOADED,)
    tell: Callable[[Mapping[str, Mapping[str, Any]]], None] = lambda facts: None
    _children: list[_Child] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)
    # Of who is watched; and one process is started at a time.
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _watcher: threading.Thread | None = None

    def start(self) -> None:
        self._context = mp.get_context("forkserver")
        serve_with(self.preload)
        self._children = [_Child(spec) for spec in self.specs]
        for child in self._children:
            self._spawn(child)
        self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._watcher.start()

    def change(self, specs: Sequence[RoleSpec]) -> None:
        """Have these processes, and no others: those that are there as they should be, or have done
        their work, are left alone. One after the other, so that what goes on has a processor
        meanwhile; none is started before whoever had its work has ended."""
        wanted = {spec.name: spec for spec in specs}
        with self._lock:
            there = {child.spec.name: child for child in self._children}
        self._stop_some([child for name, child in there.items() if name not in wanted])
        replaced = [spec for name, spec in wanted.items() if name in there]
        # Of these a new one may take over some work: they are first.
        for spec in replaced:
            if there[spec.name].spec != spec:
                self._stop_some([there[spec.name]])
                self.add(spec)
        for name, spec in wanted.items():
            if name not in there:
                self.add(spec)

    def _stop_some(self, gone: Sequence[_Child]) -> None:
        with self._lock:
            self._children = [child for child in self._children if child not in gone]
        self._end(gone)

    def add(self, spec: RoleSpec) -> None:
        """One more process to keep alive."""
        with self._lock:
            if self._stopping.is_set():
                return
            child = _Child(spec)
            self._spawn(child)
            self._children = [*self._children, child]
        self._stopping.wait(APART_SECONDS)

    def let_end(self, name: str) -> None:
        """Once it ends by itself it is not started again."""
        with self._lock:
            for child in self._children:
                if child.spec.name == name:
                    child.may_end = True

    def _spawn(self, child: _Child) -> None:
        last_words, of_the_child = self._context.Pipe(duplex=False)
        spec = child.spec
        process = self._context.Process(
            target=_run_apart,
            args=(of_the_child, STOP_SECONDS, spec.behind, spec.target, *spec.args),
            name=spec.name,
            daemon=True,
        )
        with _signals_ignored(), _safe_path():
            process.start()
        # The child's alone: its end of the pipe closes when it ends.
        of_the_child.close()
        child.process = process
        child.started_at = time.monotonic()
        child.last_words = last_words

    def _watch(self) -> None:
        measured_at = 0.0
        told: list[tuple[Any, ...]] = []
        while not self._stopping.wait(WATCH_SECONDS):
            with self._lock:
                for child in self._children:
                    self._mend(child)
            now = [
                (c.spec.name, c.restarts, c.process is None, c.failing, c.is_done)
                for c in self._children
            ]
            if now != told:
                told = now
                self.tell(self.facts())
            # It walks all mappings of a process, which is dear: not in each turn.
            if time.monotonic() - measured_at > MEMORY_SECONDS:
                measured_at = time.monotonic()
                self._measure()

    def _mend(self, child: _Child) -> None:
        """Start a dead process again, after a pause that grows while it keeps failing early."""
        process = child.process
        if child.is_done:
            return
        if process is not None and not process.is_alive():
            if self._stopping.is_set():
                return
            if (child.spec.ends and process.exitcode == 0) or child.may_end:
                child.is_done = True
                return
            if process.exitcode == child.spec.anew:
                log.info("role goes on in another process", child=child.spec.name)
                self._spawn(child)
                return
            steady = time.monotonic() - child.started_at > STEADY_SECONDS
            child.failures = 0 if steady else child.failures + 1
            pause = BACKOFF_SECONDS[min(child.failures, len(BACKOFF_SECONDS) - 1)]
            child.last_exit = _last_exit(child.last_words, process.exitcode)
            log.warning(
                "role died and is started again",
                child=child.spec.name,
                exit_code=process.exitcode,
                reason=child.last_exit,
                restart_in_seconds=pause,
            )
            child.process = None
            child.start_again_at = time.monotonic() + pause
        if child.process is None and time.monotonic() >= child.start_again_at:
            child.restarts += 1
            self._spawn(child)

    def _measure(self) -> None:
        for child in self._children:
            if child.process is not None and child.process.pid is not None:
                child.peak_bytes = max(child.peak_bytes, _memory(child.process.pid))

    def facts(self) -> dict[str, dict[str, Any]]:
        """By role, but for those that have done their work: pid, whether it is alive, restarts, why
        it ended last, whether it keeps failing, peak resident bytes."""
        return {
            c.spec.name: {
                "pid": c.process.pid if c.process else None,
                "alive": bool(c.process and c.process.is_alive()),
                "restarts": c.restarts,
                "last_exit": c.last_exit,
                "failing": c.failing,
                "peak_bytes": c.peak_bytes,
            }
            for c in self._children
            if not c.is_done
        }

    def stop(self) -> dict[str, int | None]:
        """SIGTERM to all, wait, SIGKILL to what is left; exit codes by role."""
        self._stopping.set()
        if self._watcher is not None:
            # First the watcher: it would start again what ends here.
            self._watcher.join()
        self._measure()
        with self._lock:
            children = self._children
        self._end(children)
        return {c.spec.name: c.process.exitcode if c.process else None for c in children}

    def _end(self, children: Sequence[_Child]) -> None:
        alive = [c.process for c in children if c.process is not None]
        for process in alive:
            if process.is_alive():
                process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in alive:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                log.error("role did not stop in time and is killed", child=process.name)
                process.kill()
                process.join()


def _last_exit(last_words: Connection | None, exit_code: int | None) -> str:
    """Why a process ended: in its own words, or how."""
    if last_words is not None:
        # One that was killed left no words: its end of the pipe is closed.
        with contextlib.suppress(EOFError, OSError), last_words:
            if last_words.poll():
                return str(last_words.recv_bytes(), "utf-8", "replace")
    if exit_code is not None and exit_code < 0:
        return f"killed by signal {-exit_code}"
    return f"ended with status {exit_code}"


def _run_apart(
    last_words: Connection,
    stop_seconds: float,
    behind: int,
    target: Callable[..., None],
    *args: Any,
) -> None:
    """In the new process: out of reach of the terminal's Ctrl-C, which is the supervisor's to act
    on, and with an end when the supervisor ends, however that does."""
    os.environ.pop(SAFE_PATH, None)  # was meant for the fork server, not for what the app may start
    os.setpgid(0, 0)
    os.nice(behind)
    threading.Thread(
        target=_end_with_parent, args=(stop_seconds,), name="parent", daemon=True
    ).start()
    try:
        target(*args)
    # Also SystemExit, by which a role says that it cannot go on.
    except BaseException as end:
        reason = end.__cause__ if isinstance(end, SystemExit) else end
        if reason is not None:
            text = str(reason) if isinstance(reason, FreshetError) else repr(reason)
            with contextlib.suppress(OSError):
                last_words.send_bytes(shown(text)[:REASON_CHARACTERS].encode(errors="replace"))
        raise


def _end_with_parent(stop_seconds: float) -> None:
    """As the supervisor would have it end."""
    parent = mp.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
        # A daemon's sleep keeps nobody: what ends in order is gone before this is over.
        time.sleep(stop_seconds)
        os.kill(os.getpid(), signal.SIGKILL)


def _memory(pid: int) -> int:
    """Bytes that a process holds, its share of what is shared among forks included; 0 if it is
    gone."""
    try:
        full = psutil.Process(pid).memory_full_info()
    except psutil.Error:
        return 0
    # Where the system tells no shares, what is its own alone.
    return int(getattr(full, "pss", full.uss))


class _signals_ignored:
    """The fork server is started with the first process: it must not take the terminal's Ctrl-C as
    its own."""

    def __enter__(self) -> None:
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._before = signal.signal(signal.SIGINT, signal.SIG_IGN)

    def __exit__(self, *_: object) -> None:
        if self._main:
            signal.signal(signal.SIGINT, self._before)


@contextmanager
def _safe_path() -> Iterator[None]:
    """Nor must it look for modules in the working directory before it looks among the libraries, as
    `python -c` does: the app may lie elsewhere, and what lies here need not be Python for us."""
    before = os.environ.get(SAFE_PATH)
    os.environ[SAFE_PATH] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[SAFE_PATH]
        else:
            os.environ[SAFE_PATH] = before
