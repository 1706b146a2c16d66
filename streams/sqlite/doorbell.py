"""Doorbells: how a process that appended tells the processes that read, in about 30 µs.

A bell is a small file beside a topic. Ringing writes one byte into it; listeners wait on inotify.
The bell is rung after the commit. (Watching SQLite's WAL file itself does not work: it changes
before the commit can be seen, so a reader wakes, finds nothing, and sleeps through the news.) Where
there is no inotify, a listener naps and then says that every bell rang.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import struct
import sys
import time
from collections.abc import Sequence
from pathlib import Path

NAP_SECONDS = 0.002
# ATTRIB: the bell was unlinked, so its topic was removed or made anew
_IN_MODIFY = 0x2
_IN_ATTRIB = 0x4
_EVENT = struct.Struct("iIII")  # watch, mask, cookie, length of the name (0 for a watched file)


class Bell:
    """The ringing end of one bell."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def ring(self) -> None:
        """Wake every listener. Costs 2 µs, and never blocks."""
        # Always the same byte: the file does not grow, and to write it at all is the message.
        os.pwrite(self._fd, b"!", 0)

    def close(self) -> None:
        os.close(self._fd)


class Listener:
    """The hearing end of several bells, known by their index in `paths`. The files must exist."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._all = frozenset(range(len(paths)))
        self._index: dict[int, int] = {}
        self._fd = _inotify(paths, self._index)
        self._poll = select.poll() if self._fd is not None else None
        if self._poll is not None and self._fd is not None:
            self._poll.register(self._fd, select.POLLIN)

    def wait(self, seconds: float) -> frozenset[int]:
        """The bells that rang since the last call; empty if none did within `seconds` (0: do not
        wait)."""
        if self._poll is None or self._fd is None:
            time.sleep(min(seconds, NAP_SECONDS))
            return self._all
        if not self._poll.poll(seconds * 1000):
            return frozenset()
        events = os.read(self._fd, 65536)
        heard = {self._index.get(watch, -1) for watch, *_ in _EVENT.iter_unpack(events)}
        return self._all if -1 in heard else frozenset(heard)  # -1: the kernel's queue overflowed

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = self._poll = None


def _inotify(paths: Sequence[Path], index: dict[int, int]) -> int | None:
    """An inotify descriptor that watches `paths`, filling `index` (watch to bell); None if there is
    none."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    fd: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:  # too many instances of this user, or a sandbox without inotify
        return None
    for i, path in enumerate(paths):
        watch = libc.inotify_add_watch(fd, os.fsencode(path), _IN_MODIFY | _IN_ATTRIB)
        if watch < 0:
            code = ctypes.get_errno()
            os.close(fd)
            if code == errno.ENOSPC:  # too many watches of this user
                return None
            raise OSError(code, os.strerror(code), str(path))
        index[watch] = i
    return fd
