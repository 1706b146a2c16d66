"""Rows of files as records of a topic: values in the types of its schema, where that is beyond
doubt, and each row's time.

What is doubtful is left as it is, and intake says what is wrong with it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Container, Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pyarrow as pa

from freshet.datafiles.files import DataError, DataFile, Lines, Rows, Table
from freshet.replay.nesting import Top, leaves_of, tops
from freshet.schemas.avro.json_values import value_at
from freshet.schemas.durations import EARLIEST_MS
from freshet.schemas.errors import DefinitionError
from freshet.schemas.events.field import FLOATS, INTEGERS, TEXTS, Field
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.events.times import NANOSECONDS, EventTime, is_local, moment_ms, unit_of
from freshet.schemas.events.writer import EventWriter, Misfit
from freshet.schemas.text import keys
from freshet.schemas.topics.reader import partition_of, place_of
from freshet.schemas.topics.topic import Topic

Convert = Callable[[Any], Any]
_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
# How programs write into CSV that there is no number, R and Excel among them.
MISSING = frozenset({b"NA", b"N/A", b"n/a", b"NaN", b"nan", b"NULL", b"null", b"None", b"#N/A"})
_TRUTHS = {"true": True, "false": False, "1": True, "0": False}


class Event(NamedTuple):
    """A record for a partition of its topic. `time_ms` is None where its row has none that a replay
    could stand at."""

    time_ms: int | None
    partition: int
    record: bytes


class Clock(NamedTuple):
    """A field's: what it counts since 1970, and in which zone (None: nobody said)."""

    unit: str
    zone: tzinfo | None


class EventMaker:
    """Makes events of the rows of one topic. Times later than `latest_ms` are none that a replay
    would go to: intake calls them far in the future."""

    def __init__(self, topic: Topic, latest_ms: int) -> None:
        self._topic = topic
        self._latest_ms = latest_ms
        self._writer = EventWriter(topic.records)
        self._tops = [(top, leaves_of(topic.records, top)) for top in tops(topic.records)]
        if topic.time is None:
            raise DefinitionError(
                f"topic {topic.name}",
                "goes by the times of its records, and rows of files have none",
                "Declare the field with their times as event_time.",
            )
        if topic.record_time is None:
            raise DefinitionError(
                f"topic {topic.name}",
                f"goes by {topic.time.field}, of which a row of a file has as many as elements",
                "Give its records a time of their own, and declare that as event_time.",
            )
        self._when = topic.record_time
        self._converts = converters(topic.records, topic.record_time)

    def events(self, file: DataFile, rows: Rows) -> Iterator[Event]:
        """In the order of the rows.

        Raises:
            DataError: the file lacks a column that the topic must have.
        """
        match rows:
            case Table():
                found: Iterator[dict[str, Any] | bytes] = self._of_table(file, rows)
            case Lines():
                found = (self._of_line(row) for row in rows.rows)
        return map(self._event, found)

    def _of_table(self, file: DataFile, table: Table) -> Iterator[dict[str, Any]]:
        names = []
        columns = []
        for field, column in self._found(table.columns):
            if column is not None:
                convert = self._converts.get(field.name, _as_it_is)
                names.append(field.name)
                columns.append([convert(v) for v in _values(table.columns[column])])
            elif not field.has_default and not field.nullable:
                raise DataError(
                    f"file {file.path}",
                    f"has no column {field.name!r}, which every event of {self._topic.name} has",
                    f"Its columns are {', '.join(table.columns)}.",
                )
            elif not field.has_default:
                names.append(field.name)
                # The writer fills in defaults alone: a null has to be said.
                columns.append([None] * table.rows)
        return (dict(zip(names, row)) for row in zip(*columns))

    def _of_line(self, row: dict[str, Any] | bytes) -> dict[str, Any] | bytes:
        if isinstance(row, bytes):
            return row
        event: dict[str, Any] = {}
        for field, name in self._found(row):
            if name is not None:
                convert = self._converts.get(field.name, _as_it_is)
                event[field.name] = convert(row[name])
            elif field.nullable and not field.has_default:
                event[field.name] = None
        return event

    def _found(self, names: Container[str]) -> Iterator[tuple[Top, str | None]]:
        """What an event is made of, and by which name each is there: what is nested as it is, or
        its values by their paths."""
        for top, leaves in self._tops:
            name = top.found_in(names)
            if name is None and any(leaf.found_in(names) for leaf in leaves):
                yield from ((leaf, leaf.found_in(names)) for leaf in leaves)
            else:
                yield top, name

    def _event(self, row: dict[str, Any] | bytes) -> Event:
        if isinstance(row, bytes):
            # It has no id that could choose a partition.
            return Event(None, 0, row)
        try:
            record = self._writer.encode(row)
        except Misfit:
            record = _as_text(row)
        return Event(self._time(row), self._partition(row, record), record)

    def _time(self, row: dict[str, Any]) -> int | None:
        time = moment_ms(value_at(row, self._when.field), self._when)
        if time is None or not EARLIEST_MS <= time <= self._latest_ms:
            return None
        return time

    def _partition(self, row: dict[str, Any], record: bytes) -> int:
        if self._topic.partitions == 1:
            return 0
        name = self._topic.record_id
        if name is None:
            return place_of(record, self._topic.partitions)
        kind = self._topic.records[name].key_kind or keys.TEXT
        try:
            text = keys.canonical(value_at(row, name), kind)
        except ValueError:
            text = None
        return partition_of(text or "", self._topic.partitions)


def converters(schema: EventSchema, when: EventTime | None) -> dict[str, Convert]:
    """By field, what makes values of files those of its type, where that is beyond doubt."""
    return {field.name: _convert(field, _clock(field, when)) for field in schema.fields}


def _clock(field: Field, when: EventTime | None) -> Clock | None:
    """By what clock a field counts moments, where it does."""
    # The event time is a moment whether or not its type says so.
    if when is not None and field.name == when.field:
        return Clock(when.unit or "ms", ZoneInfo(when.zone or "UTC"))
    unit = unit_of(field)
    if unit is None:
        return None
    if is_local(field):
        return Clock(unit, None)
    return Clock(unit, UTC)


def _values(column: Any) -> list[Any]:
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        # Python's own moments have no nanoseconds.
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    return list(column.to_pylist())


def _as_text(row: dict[str, Any]) -> bytes:
    """An event that its schema refuses, as JSON: intake refuses it, too, and says why."""
    text = json.dumps(row, ensure_ascii=False, default=str)
    return text.encode("utf-8", "surrogateescape")


def _as_it_is(value: Any) -> Any:
    return value


def _convert(field: Field, clock: Clock | None) -> Convert:
    if field.type in TEXTS:
        return _text
    # Bytes have no other form in a file; of the others CSV has a text.
    if field.type == "bytes":
        return _as_it_is
    if field.type not in (*INTEGERS, *FLOATS, "boolean"):
        return _written
    return partial(_unless_missing, _convert_number(field, clock))


def _unless_missing(convert: Convert, value: Any) -> Any:
    """CSV alone has no null, so programs write a word in its place. Where it holds texts, nobody
    can tell the two apart, and what is written stays."""
    if isinstance(value, bytes) and value.strip() in MISSING:
        return None
    return convert(value)


def _convert_number(field: Field, clock: Clock | None) -> Convert:
    if field.type in INTEGERS and clock is not None:
        return partial(_moment, clock)
    if field.type in INTEGERS:
        return _whole
    if field.type in FLOATS and clock is not None:
        return partial(_real_moment, clock)
    if field.type in FLOATS:
        return _real
    return _truth


def _written(value: Any) -> Any:
    """CSV gives bytes; those that are no UTF-8 stay so, and make their record undecodable."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return value


def _moment(clock: Clock, value: Any) -> Any:
    """What a clock counts since 1970: of a number just that, and of dates and ISO 8601. What names
    no zone is by that clock."""
    value = _written(value)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return _whole(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if isinstance(value, datetime):
        if value.tzinfo is not None:
            # What a clock of nobody knows where would show, nobody can say.
            if clock.zone is None:
                return value
            value = value.astimezone(clock.zone).replace(tzinfo=None)
        # In whole numbers: a float of seconds would round.
        return (value - _EPOCH) // _MICROSECOND * 1_000 // NANOSECONDS[clock.unit]
    return _whole(value)


def _real_moment(clock: Clock, value: Any) -> Any:
    found = _real(value)
    if not isinstance(found, str | date):
        return found
    gone = _moment(clock._replace(unit="ns"), found)
    if not isinstance(gone, int):
        return gone
    return gone / NANOSECONDS[clock.unit]


def _whole(value: Any) -> Any:
    """Also of a number with a fraction of nothing, as whole numbers become beside missing ones."""
    value = _written(value)
    if isinstance(value, str):
        text = value.strip()
        try:
            # No long has so many digits, and thousands of them are a long computation.
            return int(text) if len(text) <= 25 else value
        except ValueError:
            value = _real(value)
    if isinstance(value, float):
        if math.isnan(value):
            return None
        # Beyond, a float may stand for several whole numbers.
        return int(value) if value.is_integer() and abs(value) <= 2**53 else value
    return value


def _real(value: Any) -> Any:
    """NaN is how tables of numbers say that there is none."""
    value = _written(value)
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return value
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def _truth(value: Any) -> Any:
    value = _written(value)
    if isinstance(value, str):
        return _TRUTHS.get(value.strip().lower(), value)
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    return value


def _text(value: Any) -> Any:
    """A whole number has one text, and so has a date or time; of others there are several."""
    value = _written(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value


def no_time(topic: Topic, file: DataFile, rows: int) -> DataError:
    """None of a file's first rows has a time."""
    assert topic.time is not None  # else nothing was made of its rows
    return DataError(
        f"file {file.path}",
        f"has no time between 1900 and now in {topic.time.field!r}, "
        f"in any of its first {rows} rows",
        f"It holds {topic.time.counted}; dates and times of ISO 8601 are made that.",
    )
