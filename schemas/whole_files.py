"""Files that other processes read: written beside their place and put there at once, so that nobody
sees half of one.

A process that ends meanwhile, or a disk that takes no more, leaves the file as it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

MODE = 0o666  # of a new file, before the umask
PRIVATE = 0o600  # its owner's alone
SUFFIX = ".part"
Part = bytes | memoryview


class DigestFirst:
    """Parts behind the SHA-256 of all of them, to be gone through once. It is known when the last
    one was made, and until then there are zeros in its place."""

    def __init__(self, parts: Iterable[Part]) -> None:
        self._parts = parts
        self._digest = hashlib.sha256()

    def __iter__(self) -> Iterator[Part]:
        yield bytes(self._digest.digest_size)
        for part in self._parts:
            self._digest.update(part)
            yield part

    def digest(self) -> bytes:
        """Of the parts that were gone through."""
        return self._digest.digest()


def write_whole(path: Path, *parts: Part, mode: int = MODE, durable: bool = False) -> None:
    """Put `parts`, one after the other, at `path`. With `durable` they are on the disk before they
    are in place, so that also a power failure leaves one of the two whole; without, such a failure
    may leave a torn file, which its reader must be able to tell.

    Raises:
        OSError: the disk is full, the folder is gone, or may not be written.
    """
    put_whole(str(path), draft_of(path), parts, mode, durable)


def draft_of(path: Path) -> str:
    """Where a file is written that is to come to `path`. Threads and processes may write the same
    one: each has a draft of its own, and the last one in place stays."""
    return f"{path}.{os.getpid()}-{threading.get_native_id()}{SUFFIX}"


def put_whole(
    name: str,
    temporary: str,
    parts: Iterable[Part],
    mode: int = MODE,
    durable: bool = False,
    folder: int | None = None,
) -> None:
    """As `write_whole`, through the file `temporary`, which nobody else writes; both below the open
    `folder`, if there is one."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        # One that was left is another's, or a link. Made with its mode: a private file is at no
        # moment anybody else's to read.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
        with open(os.open(temporary, flags, mode, dir_fd=folder), "wb") as file:
            file.writelines(parts)
            if isinstance(parts, DigestFirst):
                file.seek(0)
                file.write(parts.digest())
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise
