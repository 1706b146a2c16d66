"""A freshet topic as a Faust topic: events come in as dicts and go out in the wire format, to the
partition of their id.

Faust asks a `Schema` to read and write values and a `Topic` to send; nothing else of it is changed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import faust
from faust.exceptions import ValueDecodeError

from freshet.schemas.errors import RequestError
from freshet.schemas.events.columns import REASONS
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.events.writer import EventWriter, Misfit
from freshet.schemas.topics.reader import EventReader, partition_of, place_of, require_id
from freshet.schemas.topics.topic import Topic


class EventSchemas(faust.Schema):  # type: ignore[misc]
    """Reads and writes the events of one topic. `skipped` counts, by reason, the records that no
    agent was given."""

    def __init__(self, topic: Topic, earlier: Mapping[int, EventSchema]) -> None:
        self.topic = topic
        self.skipped: Counter[str] = Counter()
        self._reader = EventReader(topic, earlier)
        self._writer = EventWriter(topic.records)
        super().__init__()

    def loads_key(self, app: Any, message: Any, **_: Any) -> bytes | None:
        """Keys mean nothing to freshet: they are given as they are."""
        key: bytes | None = message.key
        return key

    def loads_value(self, app: Any, message: Any, **_: Any) -> dict[str, Any]:
        """Raises `ValueDecodeError` for what intake would dead-letter; `EventTopic` skips those."""
        record = message.value or b""
        try:
            return self._reader.read(record, round(message.timestamp * 1000))
        except Misfit as misfit:
            self._skip(app, message, misfit)
            raise ValueDecodeError(REASONS[misfit.reason]) from misfit

    def _skip(self, app: Any, message: Any, misfit: Misfit) -> None:
        """Count, and tell the first of its reason, the second, the fourth, the eighth: a flood
        shall not fill the disk."""
        reason = REASONS[misfit.reason]
        self.skipped[reason] += 1
        count = self.skipped[reason]
        if count & (count - 1):  # no power of two
            return
        field = ""
        if misfit.field >= 0:
            field = f", field {self.topic.records.fields[misfit.field].name!r}"
        app.log.warning(
            "topic %s, partition %d, offset %d: skipped, %s%s (%d so far); "
            "intake sets it among the dead letters",
            message.topic,
            message.partition,
            message.offset,
            reason,
            field,
            count,
        )

    def dumps_value(
        self, app: Any, value: Any, *, serializer: Any = None, headers: dict[str, Any] | None = None
    ) -> tuple[bytes, dict[str, Any] | None]:
        """An event, or a record that is one already. Raises `RequestError` for what is no event of
        the topic."""
        return (value if isinstance(value, bytes) else self.record(value)), headers

    def record(self, event: Any) -> bytes:
        """The event's record. Raises `RequestError`, naming the field."""
        if not isinstance(event, Mapping):
            raise RequestError(
                f"topic {self.topic.name}",
                f"a {type(event).__name__} was sent, which is no event",
                "Send a dict of the topic's fields.",
            )
        require_id(self.topic, f"an event for topic {self.topic.name}")
        try:
            return self._writer.encode(event)
        except Misfit as misfit:
            raise self._writer.refusal(0, misfit) from misfit

    def partition(self, value: Any, record: bytes) -> int:
        """Where an event, or a record, belongs. Raises `RequestError` where it has no id."""
        if self.topic.record_id is None:
            return place_of(record, self.topic.partitions)
        try:
            if isinstance(value, bytes):
                found = self._reader.event_id(value)
            else:
                found = self._reader.id_of(value)
        except Misfit as misfit:
            raise self._writer.refusal(0, misfit) from misfit
        return partition_of(found, self.topic.partitions)


class EventTopic(faust.Topic):  # type: ignore[misc]
    """Sends by freshet's own hash of the event's id, stamped with the wall clock; gives agents no
    tick and no bad record."""

    schema: EventSchemas

    @property
    def skipped(self) -> Mapping[str, int]:
        """How many records were skipped since this process started, by reason."""
        return self.schema.skipped

    async def on_value_decode_error(self, exc: Exception, message: Any) -> None:
        """Faust has acknowledged the record by now, so it is passed over; its own answer would stop
        the agent."""

    async def declare(self) -> None:
        """The app's topics are made with the partitions that the app declares, by freshet: see
        `FaustApp.ensure`. Those that Faust derives of them (`group_by`) are its own, here and in
        how they are sent to."""
        if self.internal:
            await super().declare()

    def as_future_message(
        self,
        key: Any = None,
        value: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        *args: Any,
        **more: Any,
    ) -> Any:
        """What all ways of sending go through: an event, or a record as it came in
        (`event.forward`).

        Raises `RequestError` for what is no event of the topic.
        """
        if self.internal:
            return super().as_future_message(key, value, partition, timestamp, *args, **more)
        topic = self.schema.topic
        if topic.log is not None:
            raise RequestError(
                f"topic {topic.name}",
                f"is read from {topic.log}, which others write",
                "Send to a topic of the app's own.",
            )
        record = value if isinstance(value, bytes) else self.schema.record(value)
        where = self.schema.partition(value, record) if partition is None else partition
        when = time.time() if timestamp is None else timestamp
        return super().as_future_message(key, record, where, when, *args, **more)
