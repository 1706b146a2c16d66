"""The sidecar: a process beside the scorer that reads and verifies snapshots, so that the scorer
need not.

    python -m freshet.serving.loading.sidecar FD SNAPSHOTS TRAINER_KEYS QUALIFIER_KEYS

It gets orders (a snapshot's name and digest) over the socket FD, one JSON line each. For every
order it finds the snapshot below the folder SNAPSHOTS, copies its arrays into a sealed memory file,
checks both signatures, size and digest, and sends the manifest and the memory file's descriptor; or
the reason why not. Nothing of the snapshot's arrays is parsed before all that holds. It runs at
nice 10, and ends when the scorer does."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec

from freshet.learners.snapshots import files as snapshots
from freshet.learners.snapshots.folder import Root
from freshet.learners.snapshots.signing import Verifier
from freshet.schemas.errors import ComponentError, ObjectStoreError, SnapshotError
from freshet.schemas.models.manifest import Identity, Manifest
from freshet.serving.loading import sealed

NICE = 10
LINE_BYTES = 1 << 24  # a manifest is kilobytes; what is longer is no line of ours
_CLOSE_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


class Away(msgspec.Struct, frozen=True):
    """The store of objects that did not answer, as its error says it."""

    resource: str
    cause: str
    next_step: str


class Reply(msgspec.Struct, frozen=True):
    """`manifest` if all holds (the descriptor comes with it, unless the system has no sealed
    memory) and the ids of the keys that signed, else `refused`; or, for now, what is `away`."""

    manifest: Manifest | None = None
    signers: tuple[str, ...] = ()
    refused: str = ""
    away: Away | None = None


class Channel:
    """One end of the socket: JSON lines, each with at most one descriptor."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._rest = b""

    def send(self, value: msgspec.Struct, descriptor: int | None = None) -> None:
        data = memoryview(msgspec.json.encode(value) + b"\n")
        descriptors = []
        if descriptor is not None:
            descriptors.append(descriptor)
        # The descriptor goes with the first bytes, of which fewer may be taken than there are.
        sent = socket.send_fds(self.sock, [data], descriptors)
        self.sock.sendall(data[sent:])

    def receive(self) -> tuple[bytes, int | None]:
        """A line, and the descriptor that came with it (the receiver closes it). Raises `EOFError`
        at the end."""
        descriptors: list[int] = []
        while b"\n" not in self._rest:
            data, found, _, _ = socket.recv_fds(self.sock, 65536, 4, _CLOSE_ON_EXEC)
            descriptors += found
            if not data or len(self._rest) > LINE_BYTES:
                _close_all(descriptors)
                raise EOFError
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        if not descriptors:
            return line, None
        # A line has one at most: of more, none is lost sight of and left open.
        _close_all(descriptors[1:])
        return line, descriptors[0]


@dataclass(frozen=True, slots=True)
class Archive:
    """Where snapshots are, and by whose keys they are to be signed."""

    root: Root
    trainer: Verifier
    qualifier: Verifier


def verified(which: Identity, archive: Archive) -> tuple[snapshots.Signed, int | None]:
    """The signed manifest and a sealed memory file of the arrays of a snapshot that may be served;
    None where there are no such files: then whoever reads the snapshot must check its size and
    digest once more.

    Raises: SnapshotError: unsigned, not approved, altered, another one, or not readable; the text
        says which.
    """
    root = archive.root
    if not sealed.SEALABLE:
        signed = snapshots.read_this(root, which, archive.trainer, archive.qualifier)
        snapshots.read_arrays(root, signed.manifest)
        return signed, None
    path = snapshots.place_of(root, which)
    signed = snapshots.read_this(root, which, archive.trainer, archive.qualifier)
    manifest = signed.manifest
    # Before it is copied: memory is what a huge one would cost.
    snapshots.check_size(manifest, snapshots.MOST_BYTES, path)
    source = snapshots.open_arrays(root, which)
    try:
        descriptor = sealed.sealed_copy(source, manifest.size)
    except OSError as error:
        raise SnapshotError(
            path, error.strerror or str(error), "Keep the snapshot that is served."
        ) from error
    finally:
        os.close(source)
    try:
        snapshots.check_digest(
            sealed.hashable(descriptor, manifest.size), manifest.size, manifest, path
        )
    except BaseException:
        os.close(descriptor)
        raise
    return signed, descriptor


def archive_of(root: Root, trainer_keys: Root, qualifier_keys: Root) -> Archive:
    """Raises `ComponentError` where a folder has no public key, or a torn one."""
    return Archive(root, Verifier.load(trainer_keys), Verifier.load(qualifier_keys))


def answer(which: Identity, opened: Callable[[], Archive]) -> tuple[Reply, int | None]:
    """A refusal is a value, whatever its cause."""
    try:
        signed, descriptor = verified(which, opened())
    except ObjectStoreError as error:
        # Nothing is known of the snapshot.
        return Reply(away=Away(error.resource, error.cause, error.next_step)), None
    except (SnapshotError, ComponentError) as error:
        return Reply(refused=str(error)), None
    except Exception as error:
        return Reply(refused=f"snapshot {which}: {type(error).__name__}: {error}"), None
    return Reply(signed.manifest, signed.signers), descriptor


def main(arguments: Sequence[str]) -> None:
    number, root, trainer_keys, qualifier_keys = arguments
    # Ctrl-C reaches the whole group; the scorer says when to end
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Each time: keys may come after the scorer, and a signer may have a new one.
    opened = partial(archive_of, root, trainer_keys, qualifier_keys)
    channel = Channel(socket.socket(fileno=int(number)))
    while True:
        try:
            line, _ = channel.receive()
            reply, descriptor = answer(msgspec.json.decode(line, type=Identity), opened)
            channel.send(reply, descriptor)
        except (EOFError, ConnectionError):
            return
        # The scorer has its own copy of it by now, and the memory lives as long as that one.
        if descriptor is not None:
            os.close(descriptor)


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


if __name__ == "__main__":
    main(sys.argv[1:])
