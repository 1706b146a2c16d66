"""The app's control and reports logs: sending messages to the right one, and following them from their start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import structlog

from freshet.schemas.wire import messages
from freshet.streams.log.contract import Log, Writer

log = structlog.get_logger()


class Channels(NamedTuple):
    """Full names of an app's two logs of messages; see `freshet.schemas.wire.messages`."""

    control: str
    reports: str


def send(writer: Writer, channels: Channels, told: Sequence[messages.Message], now_ms: int) -> None:
    """Append messages, each to its log, and flush."""
    for topic, chosen in (
        (channels.control, [m for m in told if isinstance(m, messages.CONTROL)]),
        (channels.reports, [m for m in told if not isinstance(m, messages.CONTROL)]),
    ):
        if chosen:
            writer.append(topic, 0, [messages.encode(m) for m in chosen], now_ms)
    writer.flush()


class Follower:
    """Reads logs of messages from their first record. Not thread-safe."""

    def __init__(self, log_: Log, *topics: str) -> None:
        self._reader = log_.reader(list(topics), None)
        self.position = 0  # the offset after the last record taken
        self.positions: dict[str, int] = {}  # the same, by log

    def poll(self, max_wait_seconds: float) -> list[messages.Message]:
        """What was said since the last call, as soon as there is anything. A record that is no message is skipped."""
        found: list[messages.Message] = []
        for batch in self._reader.poll(10_000, max_wait_seconds):
            self.position = int(batch.offsets[-1]) + 1
            self.positions[batch.topic] = self.position
            for i in range(len(batch)):
                try:
                    found.append(messages.decode(batch.value(i)))
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    log.warning(
                        "record is no message", topic=batch.topic, offset=int(batch.offsets[i]), error=str(error)
                    )
        return found

    def close(self) -> None:
        self._reader.close()
