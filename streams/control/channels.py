"""The app's control and reports logs: sending messages to the right one, and following them from
their start."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import msgspec
import structlog

from freshet.schemas.sizes import RECORD_BYTES
from freshet.schemas.wire import messages
from freshet.streams.clock import WallClock
from freshet.streams.control.extent import Extent, Mark
from freshet.streams.log.contract import Batch, Log, TopicPartition, Writer

log = structlog.get_logger()
MOST_AT_ONCE = 10_000
# Of reports, which are about a kilobyte: what a live run of some ten roles says in an hour. Of a
# replay it is ten minutes, and whoever follows one is seconds behind.
KEPT_REPORTS = 50_000
# And at most so many bytes of them: what an app says of itself may be large.
KEPT_REPORT_BYTES = 64 << 20
MESSAGE_BYTES = RECORD_BYTES - 1_024  # the rest is a record's own


class Channels(NamedTuple):
    """Full names of an app's two logs of messages; see `freshet.schemas.wire.messages`. Without one
    of reports (empty) what goes there is told to nobody."""

    control: str
    reports: str


def send(writer: Writer, channels: Channels, told: Sequence[messages.Message], now_ms: int) -> None:
    """Append messages, each to its log, and flush."""
    for topic, chosen in (
        (channels.control, [m for m in told if isinstance(m, messages.CONTROL)]),
        (channels.reports, [m for m in told if not isinstance(m, messages.CONTROL)]),
    ):
        values = [value for m in chosen if (value := _encoded(m)) is not None]
        if values and topic:
            writer.append(topic, 0, values, now_ms)
    writer.flush()


def _encoded(message: messages.Message) -> bytes | None:
    """None for a message that no log takes: whoever tells it must not die of it, start anew, and
    tell it again. Of a role's own figures as little is told as fits."""
    value = messages.encode(message)
    if len(value) <= MESSAGE_BYTES:
        return value
    kind = type(message).__name__
    log.error("a message is too large and is left out", type=kind, size=len(value))
    if isinstance(message, messages.Status):
        return messages.encode(msgspec.structs.replace(message, facts={}))
    return None


def messages_of(batch: Batch, now_ms: int) -> list[messages.Message]:
    """The messages of a batch. What is none, or speaks of a time that is still far ahead of
    `now_ms` (wall), is set aside with one line; nothing that it says is acted on."""
    found: list[messages.Message] = []
    for i in range(len(batch)):
        try:
            message = messages.decode(batch.value(i))
            tick = messages.newest_tick(message)
            if tick is not None and tick > now_ms + messages.AHEAD_MS:
                raise msgspec.ValidationError(
                    f"its tick {tick} is {tick - now_ms} ms ahead of this machine's clock"
                )
        except msgspec.DecodeError as error:
            offset = int(batch.offsets[i])
            log.warning(
                "record is no message; it is set aside",
                topic=batch.topic,
                offset=offset,
                error=str(error),
            )
            continue
        found.append(message)
    return found


def shorten(log_: Log, reports: str, identity: str, gathered: int, held: Sequence[Mark]) -> None:
    """Forget reports before the offset up to which they were `gathered` and saved, but for the
    newest `KEPT_REPORTS`, and of those, by the marks of what was `held`, all that do not fit into
    `KEPT_REPORT_BYTES`. Whoever ends before it, or does it twice, forgets nothing else.

    Raises:
        LogError: the log cannot be reached, or does not let this process delete.
    """
    found = log_.bounds(reports)
    first, after = found.spans[0]
    kept_from = max(after - KEPT_REPORTS, Extent(held).first_within(KEPT_REPORT_BYTES))
    until = min(gathered, kept_from)
    if found.identity == identity and until > first:
        log_.delete_before(reports, {0: until})


class Follower:
    """Reads logs of messages from their first record, or from where `starts` says, by log. Not
    thread-safe. `now_ms` is the wall. Of logs that have one of the `extents` it is told what they
    hold."""

    def __init__(
        self,
        log_: Log,
        *topics: str,
        now_ms: Callable[[], int] | None = None,
        starts: Mapping[str, int] = MappingProxyType({}),
        extents: Mapping[str, Extent] = MappingProxyType({}),
    ) -> None:
        def begin(gained: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
            return {part: starts[part[0]] for part in gained if part[0] in starts}

        self._reader = log_.reader(list(topics), None, begin)
        self._now_ms = now_ms or WallClock().now_ms
        self._extents = extents
        self.position = 0  # the offset after the last record taken
        self.positions = dict(starts)  # the same, by log

    def poll(self, max_wait_seconds: float) -> list[messages.Message]:
        """What was said since the last call, as soon as there is anything. A record that is no
        message is passed over."""
        found: list[messages.Message] = []
        for batch in self._reader.poll(MOST_AT_ONCE, max_wait_seconds):
            self.position = int(batch.offsets[-1]) + 1
            self.positions[batch.topic] = self.position
            if batch.topic in self._extents:
                self._extents[batch.topic].note(batch)
            found += messages_of(batch, self._now_ms())
        return found

    def close(self) -> None:
        self._reader.close()
