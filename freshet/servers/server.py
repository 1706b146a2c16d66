"""Real servers from their published jars, on loopback, for tests and for trying out. No Docker:
Java and Maven.

    with KafkaServer(directory) as kafka:
        log = open_log(f"kafka://{kafka.address}")

The jars (43 MB for Kafka, 66 MB for Cassandra) are copied once by Maven, as `pom.xml` beside this
file says, into the user's cache: a checkout and an installed freshet share them there.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Self

import freshet
from freshet.schemas.errors import ComponentError

POM = Path(freshet.__file__).parent / "servers" / "pom.xml"
ARCHIVED = ("apicurio",)
START_SECONDS = 120.0  # Cassandra on a busy machine
STOP_SECONDS = 30.0  # Kafka writes its indices, Cassandra its memtables
# Below the range from which the kernel takes ports of outgoing connections: a client that keeps
# trying a stopped server on such a port ends up connected to itself, and the server finds its port
# taken.
_PORTS = range(12_000, 32_000)


class Server(ABC):
    """One server over one data directory. It may be stopped or killed, and started again where it
    was.

    It runs in a process group of its own, and ends with this process, however that ends.
    """

    name: str
    port: int

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory).absolute()
        self.directory.mkdir(parents=True, exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @abstractmethod
    def command(self) -> Sequence[str]:
        """The command line; called at each start, so it may prepare files."""

    @abstractmethod
    def answers(self, connection: socket.socket) -> bool:
        """Whether the server answers its own protocol's greeting."""

    def start(self) -> None:
        """Start and wait until the server answers.

        Raises: ComponentError: Java, Maven or the jars are missing, or the server ended; with the
            end of its log.
        """
        command = self.command()
        with self.log.open("ab") as out:
            self._process = _spawn(command, out)
        # The guard is for a kill of this process, which runs nothing at exit.
        self._guard = _guard(self._process.pid)
        atexit.register(self.kill)
        deadline = time.monotonic() + START_SECONDS
        while not self.ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])
                raise ComponentError(
                    f"{self.name} {self.address}",
                    f"did not start:\n{tail}\n",
                    f"Its whole log is {self.log}.",
                )
            time.sleep(0.05)

    @property
    def log(self) -> Path:
        return self.directory / "server.log"

    def ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1.0) as connection:
                connection.settimeout(2.0)
                return self.answers(connection)
        except OSError:
            return False

    @property
    def alive(self) -> bool:
        """Whether the process that was started is still there."""
        return self._process is not None and self._process.poll() is None

    @property
    def ending(self) -> str:
        """How the process that was started ended; empty while it lives."""
        if self._process is None:
            return ""
        status = self._process.poll()
        if status is None:
            return ""
        if status < 0:
            return f"killed by signal {-status}"
        return f"status {status}"

    def stop(self) -> None:
        """End it in good order; kill it if it does not end in time. Its data stay."""
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End it at once, as a crash would (SIGKILL). Its data stay."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
        self._process = self._guard = None
        atexit.unregister(self.kill)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


def _spawn(command: Sequence[str], out: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _guard(group: int) -> subprocess.Popen[bytes]:
    """A process that waits until this one ends (its end of a pipe closes), then kills the process
    group."""
    code = "import os, sys; sys.stdin.read(); os.killpg(int(sys.argv[1]), 9)"
    # -I -S: it starts in milliseconds, and nothing in the folder or the environment can stop it.
    command = [sys.executable, "-I", "-S", "-c", code, str(group)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nothing listens on now."""
    found: list[int] = []
    while len(found) < count:
        port = random.SystemRandom().choice(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in found:
                found.append(port)
    return found


def java() -> str:
    """Path of `java`."""
    return _tool("java", "Install a Java 17 runtime (for example openjdk-17-jre-headless).")


def jars(name: str) -> Path:
    """The directory of a server's jars, fetched by Maven the first time.

    Raises:
        ComponentError: Maven is missing, or fails.
    """
    # Versions of freshet whose servers differ have each their own.
    version = hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    target = _cache() / "jars" / f"{name}-{version}"
    stamp = target / ".complete"
    target.mkdir(parents=True, exist_ok=True)
    # Tests on several workers ask at once; a stamp tells a whole folder from a torn one.
    with (target / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists():
            _copy(name, target)
            stamp.touch()
    return target


def _cache() -> Path:
    """Where the user's caches are, by the XDG base directory specification."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "freshet"


def _copy(name: str, target: Path) -> None:
    maven = _tool(
        "mvn", f"Install Maven 3, or copy the jars that {POM} names into {target} yourself."
    )
    # The one that comes as an archive has its profile say so.
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={target}", "-DincludeScope=runtime"]
    if name in ARCHIVED:
        goal = ["dependency:unpack", f"-DoutputDirectory={target}"]
    done = subprocess.run(
        [maven, "-B", "-q", "-f", str(POM), "-P", name, *goal],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-10:])
        raise ComponentError(
            f"servers {name}",
            f"Maven failed:\n{tail}\n",
            "Check that Maven reaches its repository.",
        )


def _tool(name: str, next_step: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise ComponentError(f"servers {name}", "is not installed", next_step)
    return path
