"""Bytes that nobody can change any more: sealed memory files, made in one process and mapped in
another.

A file on disk could be altered after it was verified. A sealed memory file (`man 2 memfd_create`,
Linux) cannot, not even by the process that made it, so the bytes that were verified are the bytes
that are served.
"""

from __future__ import annotations

import ctypes
import fcntl
import functools
import mmap
import os
import sys
import weakref

SEALABLE = sys.platform.startswith("linux") and hasattr(os, "memfd_create")
SEALS = 0x2 | 0x4 | 0x8 | 0x1  # F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE, F_SEAL_SEAL
# From the kernel's fcntl.h and mman.h: Python 3.11 does not name them.
_ADD_SEALS = 1033
_GET_SEALS = 1034
_MAP_SHARED = 1
_MAP_POPULATE = 0x8000
_FAILED = ctypes.c_void_p(-1).value


def sealed_copy(source: int, size: int) -> int:
    """A sealed memory file with the first `size` bytes of the open file `source`; returns its
    descriptor.

    Raises `OSError`; a file that is shorter or longer than `size` is an `OSError` as well.
    """
    if (found := os.fstat(source).st_size) != size:
        raise OSError(0, f"its arrays have {found} bytes, its manifest says {size}")
    target = os.memfd_create("snapshot", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        done = 0
        while done < size:
            # The kernel copies, at most some 2 GB at once; no byte passes through this process.
            sent = os.sendfile(target, source, done, size - done)
            if not sent:
                raise OSError(0, "became shorter while it was read")
            done += sent
        # Before anything is verified: what is checked is what can change no more.
        fcntl.fcntl(target, _ADD_SEALS, SEALS)
    except BaseException:
        os.close(target)
        raise
    return target


def is_sealed(descriptor: int) -> bool:
    """Whether this is a memory file with all four seals on."""
    try:
        return bool(fcntl.fcntl(descriptor, _GET_SEALS) & SEALS == SEALS)
    except OSError:  # no memory file
        return False


Readable = mmap.mmap | bytes


def hashable(descriptor: int, size: int) -> Readable:
    """The bytes, mapped for reading once."""
    if not size:
        return b""  # nothing cannot be mapped
    return mmap.mmap(descriptor, size, mmap.MAP_SHARED, mmap.PROT_READ)


def map_populated(descriptor: int, size: int) -> memoryview:
    """The sealed bytes as a read-only view, all pages present. Unmapped when the last view of it is
    gone.

    Mapping and unmapping go through libc, since Python's own `mmap` keeps the interpreter locked
    meanwhile (0.6 ms for 18 MB). Raises `OSError`."""
    libc = _libc()
    at = libc.mmap(None, size, mmap.PROT_READ, _MAP_SHARED | _MAP_POPULATE, descriptor, 0)
    if at == _FAILED:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    mapping = (ctypes.c_ubyte * size).from_address(at)
    # at exit a thread may still be reading
    weakref.finalize(mapping, libc.munmap, at, size).atexit = False
    return memoryview(mapping).cast("B").toreadonly()


@functools.cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (
        ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long
    )  # fmt: skip
    libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    return libc
