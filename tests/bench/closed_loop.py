"""Clients that ask again as soon as they are answered, over a fixed number of connections."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tests.bench.open_loop import received

ENDING_SECONDS = 5.0


@dataclass(frozen=True)
class Looped:
    """Latencies in ms of what was answered, answers a second, and how many requests were not
    answered by 200."""

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
    connected = [connect(poll) for _ in range(connections)]
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

    for one in connected:
        send(one)
    while sent_at and time.perf_counter() < end + ENDING_SECONDS:
        for key, _ in poll.select(ENDING_SECONDS):
            one = key.fileobj  # type: ignore[assignment]
            data = received(one)
            if not data:
                # A server that is asked too much breaks connections: that is its figure, and no
                # reason to have none.
                poll.unregister(one)
                one.close()
                if sent_at.pop(one, None) is not None:
                    failed += 1
                    if time.perf_counter() < end:
                        send(connect(poll))
                continue
            replies[one] += data
            status = status_of(replies[one])
            if status is None:
                continue
            now = time.perf_counter()
            took.append(now - sent_at.pop(one))
            failed += status != 200
            if now < end:
                send(one)
    lasted = time.perf_counter() - started
    for key in list(poll.get_map().values()):
        key.fileobj.close()  # type: ignore[union-attr]
    return Looped(1e3 * np.array(took), len(took) / lasted, failed + len(sent_at))
