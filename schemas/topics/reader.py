"""Events one at a time, for code that handles single events: read as intake reads columns of them,
by the same kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from freshet.schemas.avro.json_values import value_at
from freshet.schemas.errors import RequestError
from freshet.schemas.events.codec import EventCodec
from freshet.schemas.events.columns import MISSING_REQUIRED, UNDECODABLE, WRONG_TYPE, Columns
from freshet.schemas.events.decode import decode
from freshet.schemas.events.field import FLOATS
from freshet.schemas.events.lists import WHOLE_VALUES
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.events.validation import timed
from freshet.schemas.events.writer import Misfit
from freshet.schemas.text import keys
from freshet.schemas.text.columns import Texts
from freshet.schemas.topics.exploding import explode
from freshet.schemas.topics.headers import fill
from freshet.schemas.topics.topic import NO_ID, Topic

_FIRST = np.zeros(1, np.int64)


class EventReader:
    """Reads records of a topic: in the Confluent wire format or in JSON, of its schema or of
    `earlier` ones by wire id."""

    def __init__(self, topic: Topic, earlier: Mapping[int, EventSchema] | None = None) -> None:
        self.topic = topic
        self._codec = EventCodec(topic.records, {**topic.written, **(earlier or {})})
        self._max_future_ms = topic.freshness.ms("max_future")

    def read(
        self, record: bytes, append_time_ms: int, headers: Sequence[Texts] = ()
    ) -> dict[str, Any]:
        """The event: a value for every field of the schema, None where it is missing; enums are
        texts. `headers` are those that the topic declares, each a column of one row. Of a topic
        whose records are several events it is the record, with its array as a list.

        Raises:
            Misfit: intake would dead-letter the record, with the same reason and field.
        """
        columns = self._columns(record)
        fill(columns, list(self.topic.headers), headers)
        appended = np.array([append_time_ms], np.int64)
        timed(columns, self.topic.record_time, appended, self._max_future_ms)
        return _event(columns, 0)

    def read_one(
        self, record: bytes, append_time_ms: int, headers: Sequence[Texts], place: int
    ) -> dict[str, Any]:
        """The event at a place of its record: what `read` gives, where each record is one.

        Raises:
            Misfit: intake would dead-letter it, with the same reason and field; also where there is
            no such event.
        """
        if self.topic.exploding is None:
            return self.read(record, append_time_ms, headers)
        records = self._columns(record)
        fill(records, list(self.topic.headers), headers)
        events = explode(records, self.topic.exploding)
        if place >= events.n or len(events.empty):
            raise Misfit(UNDECODABLE)
        appended = np.full(events.n, append_time_ms, np.int64)
        timed(events, self.topic.time, appended, self._max_future_ms)
        return _event(events, place)

    def event_id(self, record: bytes) -> str:
        """The canonical text of a record's id, whatever else is wrong with it.

        Raises `Misfit` where it has none.
        """
        return self.id_of(_event(self._columns(record), 0))

    def id_of(self, event: Mapping[str, Any]) -> str:
        """The canonical text of a record's id. Raises `Misfit` where it has none, or none of its
        type."""
        events = self.topic.records
        name = self.topic.record_id
        assert name is not None  # where records are told apart by their places, nobody asks
        try:
            text = keys.canonical(value_at(event, name), events[name].key_kind or keys.TEXT)
        except ValueError as error:
            raise Misfit(WRONG_TYPE, events.position(name)) from error
        if text is None:
            raise Misfit(MISSING_REQUIRED, events.position(name))
        return text

    def _columns(self, record: bytes) -> Columns:
        if not record:
            raise Misfit(UNDECODABLE)
        return decode(
            np.frombuffer(record, np.uint8), _FIRST, np.array([len(record)], np.int64), self._codec
        )


def _event(columns: Columns, row: int) -> dict[str, Any]:
    if columns.reason[row]:
        raise Misfit(int(columns.reason[row]), int(columns.detail_field[row]))
    # Of each field its two words: a text's start and end, or a value and nothing.
    words, ends = columns.words[:, :, row].T
    reals = words.view(np.float64).tolist()
    valid = columns.valid[:, row].tolist()
    event: dict[str, Any] = {}
    for field, word, end, real, there in zip(
        columns.schema.fields, words.tolist(), ends.tolist(), reals, valid
    ):
        if not there:
            event[field.name] = None
        elif field.type in WHOLE_VALUES:
            event[field.name] = columns.arrow(field.name, np.array([row])).to_pylist()[0]
        elif field.type in FLOATS:
            event[field.name] = real
        elif field.type == "string":
            text = columns.data[word:end].tobytes().decode()
            event[field.name] = text.lower() if field.logical == "uuid" else text
        elif field.type == "enum":
            event[field.name] = field.symbols[word]
        else:
            event[field.name] = word != 0 if field.type == "boolean" else word
    return event


def require_id(topic: Topic, what: str) -> None:
    """Raises `RequestError`, about `what`, where a registry gives a topic's ids and none says what
    would be written: who reads it later, by another schema, could not."""
    if topic.registry is None:
        return
    if topic.headers:
        # They are written by the schema with the fields of headers, which is in no registry.
        raise RequestError(
            what,
            f"is refused: its events have fields of headers ({', '.join(topic.headers)}), and no "
            f"schema of the registry (subject {topic.registry}), which records have to name, has "
            "those",
            "Have its own producers send the events, with headers; or declare those fields in the "
            "schema, register it, and leave headers out.",
        )
    if topic.declared.schema_id == NO_ID:
        raise RequestError(
            what,
            f"is refused: its schema has no schema_id of the registry (subject {topic.registry}), "
            "which records have to name",
            "Have its own producers send the events, or name a registered schema: freshet registry "
            "pull.",
        )


def partition_of(event_id: str, partitions: int) -> int:
    """The partition of an event under freshet's own partitioner, by its id's canonical text."""
    return place_of(event_id.encode(), partitions)


def place_of(text: bytes, partitions: int) -> int:
    """The same by what stands for an id: of an event that has none its whole record."""
    # Most topics of a laptop: nothing to be hashed.
    if partitions == 1:
        return 0
    data = np.frombuffer(text or b"\0", np.uint8)  # never empty, as kernels want it
    end = np.array([len(text)], np.int64)
    return int(
        Texts(data, np.zeros(1, np.int64), end, np.ones(1, np.bool_)).partitions(partitions)[0]
    )
