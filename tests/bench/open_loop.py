"""Requests over HTTP at a fixed rate, whether or not those before were answered."""

from __future__ import annotations

import selectors
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

CONNECTIONS = 16
TIMEOUT_SECONDS = 5.0
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """By request: intended time of sending (monotonic seconds), latency in ms, and whether it was
    answered by 200."""

    at: F64
    ms: F64
    ok: npt.NDArray[np.bool_]


def ask(address: tuple[str, int], requests: Sequence[bytes], seconds: float, rate: float) -> Asked:
    """Requests at a fixed rate over connections taken in turn (more are opened while all are
    busy)."""
    n = int(rate * seconds)
    at, ms, ok = np.zeros(n), np.full(n, np.inf), np.zeros(n, np.bool_)
    poll, idle, busy = (
        selectors.DefaultSelector(),
        deque[socket.socket](),
        dict[socket.socket, tuple[int, bytes]](),
    )
    start, sent, done = time.monotonic() + 0.05, 0, 0

    def end(i: int, good: bool) -> None:
        nonlocal done
        ms[i], ok[i], done = 1000 * (time.monotonic() - at[i]), good, done + 1

    while done < n and time.monotonic() < start + seconds + TIMEOUT_SECONDS:
        while sent < n and start + sent / rate <= time.monotonic():
            at[sent] = start + sent / rate
            connection = (
                idle.popleft()
                if len(idle) + len(busy) >= CONNECTIONS and idle
                else connect(address, poll)
            )
            busy[connection] = sent, b""
            connection.sendall(requests[sent % len(requests)])
            sent += 1
        wait = start + sent / rate - time.monotonic() if sent < n else 0.05
        for chosen, _ in poll.select(max(0.0, wait)):
            connection: Any = chosen.fileobj
            i, before = busy.get(connection, (-1, b""))
            data = received(connection)
            if not data:
                poll.unregister(connection)
                connection.close()
                if connection in busy:
                    del busy[connection]
                    end(i, False)
                else:
                    idle.remove(connection)
                continue
            status = status_of(before + data)
            if status is None:
                busy[connection] = i, before + data
                continue
            del busy[connection]
            idle.append(connection)
            end(i, status == 200)
    for open_one in (*idle, *busy):
        open_one.close()
    return Asked(at, ms, ok)


def received(connection: socket.socket) -> bytes:
    """Nothing where the server has closed it, in whatever way."""
    try:
        return connection.recv(65_536)
    except ConnectionError:
        return b""


def post(path: str, body: bytes) -> bytes:
    """A request as its bytes."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def connect(address: tuple[str, int], poll: selectors.BaseSelector) -> socket.socket:
    made = socket.create_connection(address, TIMEOUT_SECONDS)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    poll.register(made, selectors.EVENT_READ)
    return made


def status_of(reply: bytes) -> int | None:
    """The status of a whole reply, None while some is missing."""
    head, separator, body = reply.partition(b"\r\n\r\n")
    if not separator:
        return None
    length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
    return int(reply[9:12]) if len(body) >= length else None
