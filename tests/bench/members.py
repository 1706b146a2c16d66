"""Roles of an app of these benchmarks as processes of their own, as `freshet run --role` starts them
on a cluster, and what CPU they take."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path

import psutil
from confluent_kafka.admin import AdminClient

from freshet.app import App
from freshet.processes.fork_server import SINGLE_THREADED
from freshet.roles import plans
from freshet.schemas.errors import LogError
from freshet.streams.catalog import open_log

FLIGHTS = "tests.bench.flight_features"
# As it is installed: what a start compiles is kept.
WITH_BYTECODE = {"PYTHONDONTWRITEBYTECODE": ""}
STOP_SECONDS = 30.0
READY_SECONDS = 120.0


class Member:
    """A process of a role. `environment` is beside what this process has."""

    def __init__(self, command: list[str], environment: Mapping[str, str], said: Path) -> None:
        self._said = said
        with said.open("ab") as out:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **SINGLE_THREADED, **WITH_BYTECODE, **environment},
                stdout=out,
                stderr=out,
            )
        self.pid = self._process.pid

    def check(self) -> None:
        """That it still runs."""
        if self._process.poll() is not None:
            raise RuntimeError(f"a process ended: {self._said.read_text()[-2_000:]}")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        self._process.wait(STOP_SECONDS)


class Place:
    """An app under a name of its own, so that nothing of another run is met: its log, its store,
    its folder. `module` has it as `app`, with one topic and one view."""

    def __init__(self, brokers: str, address: str, folder: Path, module: str = FLIGHTS) -> None:
        self.brokers = brokers
        self.address = address
        self.folder = folder
        self._module = import_module(module)
        self.name = f"bench{uuid.uuid4().hex[:8]}"
        self.environment = {"FRESHET_BENCH_APP": self.name}
        self._has_members = False

    def make(self, partitions: int = 1, **declared: str) -> None:
        """Make the topic; further members declare so many partitions of it, and what else is
        said."""
        with closing(open_log(f"kafka://{self.brokers}")) as log:
            log.ensure(self.source, partitions)
        self._wait_until_shown([self.source])
        named = {"partitions": str(partitions), **declared}
        self.environment |= {f"FRESHET_BENCH_{name.upper()}": told for name, told in named.items()}

    def _wait_until_shown(self, names: Iterable[str]) -> None:
        """Return once these topics are there: a broker may not show one that was made a moment
        ago."""
        deadline = time.monotonic() + READY_SECONDS
        with closing(open_log(f"kafka://{self.brokers}")) as log:
            for name in names:
                while True:
                    try:
                        log.bounds(name)
                        break
                    except LogError:
                        if time.monotonic() > deadline:
                            raise
                    time.sleep(0.1)

    def wait_until_shared(self, members: int) -> None:
        """Return once each of so many members of both roles has a partition."""
        deadline = time.monotonic() + READY_SECONDS
        admin = AdminClient({"bootstrap.servers": self.brokers})
        groups = [f"{self.name}.{role}" for role in ("intake", "view")]
        while True:
            found = [future.result() for future in admin.describe_consumer_groups(groups).values()]
            having = [
                sum(bool(member.assignment.topic_partitions) for member in group.members)
                for group in found
            ]
            if min(having) >= members:
                return
            assert time.monotonic() < deadline, f"members that have partitions: {having}"
            time.sleep(0.1)

    @property
    def source(self) -> str:
        """The log of the app's topic."""
        (topic,) = self._module.app.topics
        return f"{self.name}.{topic.name}"

    @property
    def rows(self) -> str:
        """What names of rows in the store begin with."""
        (view,) = self._module.app.views
        stored_as: str = self._module.app.stored_as(view)
        return stored_as.replace(self._module.app.name, self.name, 1)

    def member(self, role: str, name: str = "1") -> Member:
        # The first one makes the app's topics; another that starts meanwhile may not find them.
        if self._has_members:
            app = App(self.name, self._module.app.topics, self._module.app.views)
            self._wait_until_shown(plans.topics(app))
        self._has_members = True
        where = [
            *("--log", f"kafka://{self.brokers}", "--store", f"redis://{self.address}/0"),
            *("--run-dir", str(self.folder)),
        ]
        command = [
            sys.executable,
            "-m",
            "freshet",
            "run",
            self._module.__file__ or "",
            "--role",
            role,
        ]
        said = self.folder / f"{role}.{name}.out"
        return Member([*command, "--member", name, *where], self.environment, said)


@contextmanager
def running(*members: Member) -> Iterator[None]:
    try:
        yield
    finally:
        for member in members:
            member.stop()


class Usage:
    """CPU of some processes, all their threads, since it was started."""

    def __init__(self, *pids: int) -> None:
        self._processes = [psutil.Process(pid) for pid in pids]
        self.start()

    def start(self) -> None:
        self._before = self._taken()
        self._at = time.monotonic()

    def _taken(self) -> float:
        times = [process.cpu_times() for process in self._processes]
        return float(sum(each.user + each.system for each in times))

    @property
    def cpu_seconds(self) -> float:
        return self._taken() - self._before

    @property
    def since_its_start(self) -> float:
        """CPU seconds of all of them since each was started."""
        return self._taken()

    @property
    def core(self) -> float:
        """The share of one core."""
        return self.cpu_seconds / (time.monotonic() - self._at)
