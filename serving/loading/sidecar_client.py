"""The scorer's end of the sidecar: starts it, gives it orders, and starts it again when it died."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

import freshet
from freshet.learners.snapshots import files as snapshots
from freshet.learners.snapshots.folder import Root
from freshet.schemas.errors import ObjectStoreError
from freshet.schemas.models.manifest import Identity, Manifest
from freshet.serving.loading import sealed
from freshet.serving.loading.sidecar import NICE, Channel, Reply

log = structlog.get_logger()
ANSWER_SECONDS = 60.0  # the largest snapshot from a slow disk; the live one answers meanwhile


@dataclass(frozen=True, slots=True)
class Verified:
    """A snapshot whose signatures and digest hold. `data` are its bytes, read-only; they cannot
    change any more."""

    manifest: Manifest
    data: memoryview


@dataclass(frozen=True, slots=True)
class Refused:
    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Whether a snapshot may be served cannot be said while what holds it is away."""

    error: ObjectStoreError


class Sidecar:
    """One child process. Used by one thread. Snapshots are below `root`; `trainer_keys` and
    `qualifier_keys` are where their public keys are."""

    def __init__(self, root: Root, trainer_keys: Root, qualifier_keys: Root) -> None:
        self._root = root
        self._arguments = [str(root), str(trainer_keys), str(qualifier_keys)]
        self._child: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self.starts = 0

    @property
    def pid(self) -> int | None:
        if self._child is None:
            return None
        return self._child.pid

    def start(self) -> None:
        """Start the child (half a second until it takes orders), so that the first order need not
        wait for it."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.settimeout(ANSWER_SECONDS)
        root = str(Path(freshet.__file__).parents[1])
        path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH")) if part)
        # -P: it loads nothing of the app, so nothing of the working directory, which -m would put
        # first on the path
        command = [
            sys.executable,
            "-P",
            "-m",
            "freshet.serving.loading.sidecar",
            str(theirs.fileno()),
        ]
        command += self._arguments
        self._child = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], env={**os.environ, "PYTHONPATH": path}
        )
        # At once, and not by itself: before it could, it has imported for half a second. It may
        # have ended already.
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, self._child.pid, NICE)
        # Ours of it: as long as it is open, the child's end would not be seen.
        theirs.close()
        self._channel = Channel(ours)
        self.starts += 1

    def verify(self, which: Identity) -> Verified | Refused | Unknown:
        """Have a snapshot verified. A child that dies over it is started again once, then the
        snapshot is refused."""
        for _ in range(2):
            if self._channel is None:
                self.start()
            assert self._channel is not None
            try:
                self._channel.send(which)
                line, descriptor = self._channel.receive()
            except (EOFError, OSError) as error:  # it died, or did not answer in time
                log.warning("the sidecar went away", snapshot=str(which), error=repr(error))
                self.close()
                continue
            return _taken(msgspec.json.decode(line, type=Reply), descriptor, self._root)
        return Refused(f"snapshot {which}: the sidecar died twice while it read it")

    def close(self) -> None:
        """End the child."""
        if self._channel is not None:
            self._channel.sock.close()
        if self._child is not None:
            self._child.terminate()
            try:
                self._child.wait(5)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        self._channel = self._child = None


def _taken(reply: Reply, descriptor: int | None, root: Root) -> Verified | Refused | Unknown:
    """Map the descriptor; or, without one, read the file and check it once more, now in memory that
    is ours alone."""
    if reply.away is not None:
        away = reply.away
        return Unknown(ObjectStoreError(away.resource, away.cause, away.next_step))
    if reply.manifest is None:
        return Refused(reply.refused)
    if descriptor is None:
        return Verified(reply.manifest, memoryview(snapshots.read_arrays(root, reply.manifest)))
    try:
        if not sealed.is_sealed(descriptor):
            return Refused(f"snapshot {reply.manifest.name}: what the sidecar sent is not sealed")
        return Verified(reply.manifest, sealed.map_populated(descriptor, reply.manifest.size))
    finally:
        os.close(descriptor)
