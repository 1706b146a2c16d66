"""Listening sockets, and how their addresses are written: IPv4, IPv6, or a socket of this
machine."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from freshet.schemas.addresses import authority
from freshet.schemas.errors import ComponentError

BACKLOG = 2048  # connections that wait to be accepted


def bind(
    host: str = "127.0.0.1",
    port: int = 0,
    unix: Path | None = None,
    shared: bool = False,
) -> socket.socket:
    """A listening socket: TCP (0 picks a free port), or a Unix socket at `unix`. With `shared`,
    several scorers of one user may bind the same port, and the kernel spreads connections over them
    (`SO_REUSEPORT`).

    Raises:
        ComponentError: the address is in use or not ours.
    """
    if unix is not None:
        return _bind_unix(unix)
    where = authority(host, port)
    try:
        family, address = resolved(host, port)
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise _refused(where, error) from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
        # only now is the port taken: two that do not listen yet may both be bound to it
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise _refused(where, error) from error
    return sock


def bound(host: str, port: int) -> socket.socket:
    """A TCP socket that is bound and does not listen yet: whoever holds it hands it to those who
    are to, several of them one after the other or at once.

    Raises:
        ComponentError: the address is in use or not ours.
    """
    where = authority(host, port)
    try:
        family, address = resolved(host, port)
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError as error:
        raise _refused(where, error) from error
    return sock


def _bind_unix(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        sock.bind(str(path))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise _refused(str(path), error) from error
    return sock


def resolved(host: str, port: int) -> tuple[int, Any]:
    """The family of a host's first address and that address, as `bind` takes them. Raises `OSError`
    for none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = found[0]
    return family, address


def _refused(where: str, error: OSError) -> ComponentError:
    return ComponentError(
        f"address {where}",
        f"cannot be bound: {error.strerror}",
        next_step_of(error),
    )


def next_step_of(error: OSError) -> str:
    """What to do about an address that cannot be used: a name that means nothing is no matter of
    its port."""
    if isinstance(error, socket.gaierror):
        return "Name an address of this machine, such as 127.0.0.1 or ::1."
    return "Choose another, or port 0."


def address_of(sock: socket.socket) -> str:
    """`http://127.0.0.1:8080`, `http://[::1]:8080`, or `unix:/path`."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{name}"
    return f"http://{authority(name[0], name[1])}"
