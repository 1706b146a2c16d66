"""Clients that ask again as soon as they are answered, over a fixed number of connections."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

ENDING_SECONDS = 5.0


@dataclass(frozen=True)
class Looped:
    """Latencies in ms, requests a second, and how many were not answered by 200."""

    ms: npt.NDArray[np.float64]
    rate: float
    failed: int


def ask_in_loops(
    connect: Callable[[selectors.BaseSelector], socket.socket],
    status_of: Callable[[bytes], int | None],
    requests: Sequence[bytes],
    connections: int,
    seconds: float,
) -> Looped:
    poll = selectors.DefaultSelector()
    sockets = [connect(poll) for _ in range(connections)]
    sent_at: dict[socket.socket, float] = {}
    replies: dict[socket.socket, bytes] = {}
    took: list[float] = []
    failed = 0
    number = 0
    started = time.perf_counter()
    end = started + seconds

    def send(one: socket.socket) -> None:
        nonlocal number
        replies[one] = b""
        sent_at[one] = time.perf_counter()
        one.sendall(requests[number % len(requests)])
        number += 1

    for one in sockets:
        send(one)
    while sent_at and time.perf_counter() < end + ENDING_SECONDS:
        for key, _ in poll.select(ENDING_SECONDS):
            one = key.fileobj  # type: ignore[assignment]
            received = _received(one)
            if not received:
                # A drowned server breaks connections off: that is an answer less, and no end.
                failed += 1
                poll.unregister(one)
                sockets.remove(one)
                one.close()
                del sent_at[one]
                if time.perf_counter() < end:
                    sockets.append(connect(poll))
                    send(sockets[-1])
                continue
            replies[one] += received
            status = status_of(replies[one])
            if status is None:
                continue
            now = time.perf_counter()
            took.append(now - sent_at.pop(one))
            failed += status != 200
            if now < end:
                send(one)
    lasted = time.perf_counter() - started
    for one in sockets:
        one.close()
    return Looped(1e3 * np.array(took), len(took) / lasted, failed + len(sent_at))


def _received(one: socket.socket) -> bytes:
    """Nothing, where the other side has broken the connection off."""
    try:
        return one.recv(65536)
    except ConnectionError:
        return b""
