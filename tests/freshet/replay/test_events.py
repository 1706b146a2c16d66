"""Rows become the events that they stand for, and intake says what is wrong with those that do
not."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

import freshet as fr
from freshet.datafiles.files import DataError, DataFile, Lines, Table
from freshet.replay.events import Event, EventMaker
from freshet.schemas.errors import DefinitionError
from freshet.schemas.events.writer import Misfit
from freshet.schemas.topics.reader import EventReader, partition_of, place_of

FIELDS = [
    {"name": "id", "type": "string"},
    {"name": "at", "type": "long"},
    {"name": "whole", "type": ["null", "long"]},
    {"name": "real", "type": ["null", "double"]},
    {"name": "truth", "type": ["null", "boolean"]},
    {"name": "text", "type": ["null", "string"]},
    {"name": "seen", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
    {"name": "given", "type": "int", "default": 7, "aliases": ["old_given"]},
]
TOPIC = fr.Topic(
    "things", {"type": "record", "name": "thing", "fields": FIELDS}, "id", "at", partitions=3
)
FILE = DataFile("things", Path("things.csv"), "CSV")
NOW = 1_795_890_000_000
MAY_1996 = 831_427_200_000


def made(**columns: Any) -> list[Event]:
    arrays = {name: pa.chunked_array([values]) for name, values in columns.items()}
    table = Table(arrays, len(next(iter(columns.values()))))
    return list(EventMaker(TOPIC, NOW).events(FILE, table))


def read(event: Event) -> dict[str, Any]:
    return EventReader(TOPIC).read(event.record, NOW)


PLACE = {
    "type": "record",
    "name": "Place",
    "fields": [{"name": "city", "type": "string"}, {"name": "at", "type": "long"}],
}
NESTED = fr.Topic(
    "visits",
    {
        "type": "record",
        "name": "visit",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "place", "type": PLACE},
            {"name": "paid", "type": ["null", "string", "double"]},
            {"name": "tags", "type": {"type": "array", "items": "string"}, "default": []},
        ],
    },
    event_id="id",
    event_time="place.at",
)
VISIT = {"id": "a", "place": {"city": "Bonn", "at": MAY_1996}, "paid": 2.5, "tags": ["x"]}


@pytest.mark.parametrize(
    "rows",
    [
        Lines([VISIT]),
        Lines(
            [{"id": "a", "place.city": "Bonn", "place.at": MAY_1996, "paid": 2.5, "tags": ["x"]}]
        ),
        Table({name: pa.chunked_array([[value]]) for name, value in VISIT.items()}, 1),
    ],
    ids=["objects", "paths", "columns"],
)
def test_rows_of_nested_records_are_taken_as_they_are(rows: Any) -> None:
    (event,) = EventMaker(NESTED, NOW).events(FILE, rows)
    assert event.time_ms == MAY_1996
    assert EventReader(NESTED).read(event.record, NOW) == {
        "id": "a",
        "place.city": "Bonn",
        "place.at": MAY_1996,
        "paid.string": None,
        "paid.double": 2.5,
        "tags": ["x"],
    }


@pytest.mark.parametrize(
    ("value", "ms"),
    [
        (b"831427200000", MAY_1996),
        (b"1996-05-07", MAY_1996),
        (b" 1996-05-07T00:00:00Z ", MAY_1996),
        (b"1996-05-07 02:00:00.5+02:00", MAY_1996 + 500),
        (MAY_1996, MAY_1996),
        (date(1996, 5, 7), MAY_1996),
        (datetime(1996, 5, 7, 0, 0, 0, 999), MAY_1996),
        (datetime(1905, 1, 1), -2_051_222_400_000),
        (datetime(1904, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), -2_051_222_400_001),
    ],
)
def test_a_time_is_iso_8601_or_milliseconds_or_a_date_of_the_file(value: Any, ms: int) -> None:
    (event,) = made(id=["a"], at=[value], seen=[value])
    assert event.time_ms == ms
    assert (read(event)["at"], read(event)["seen"]) == (ms, ms)


def test_nanoseconds_of_pandas_are_times_too() -> None:
    at = pl.Series([datetime(1996, 5, 7)]).dt.cast_time_unit("ns") + timedelta(microseconds=1)
    (event,) = made(id=["a"], at=at.to_arrow())
    assert event.time_ms == MAY_1996


def moments_of(field: Any, event_time: Any, *values: Any) -> list[tuple[int | None, Any]]:
    """When rows of a topic with such a time were, and what their events hold."""
    schema = {"type": "record", "name": "thing", "fields": [FIELDS[0], field]}
    topic = fr.Topic("things", schema, "id", event_time)
    arrays = {
        "id": pa.chunked_array([["a"] * len(values)]),
        "at": pa.chunked_array([list(values)]),
    }
    events = EventMaker(topic, NOW).events(FILE, Table(arrays, len(values)))
    reader = EventReader(topic)
    return [(e.time_ms, reader.read(e.record, NOW)["at"]) for e in events]


@pytest.mark.parametrize(
    ("field", "event_time", "value", "held"),
    [
        ({"name": "at", "type": "long"}, fr.time("at", unit="s"), b"831427200", 831_427_200),
        ({"name": "at", "type": "long"}, fr.time("at", unit="s"), b"1996-05-07", 831_427_200),
        ({"name": "at", "type": "int"}, fr.time("at", unit="d"), date(1996, 5, 7), 9_623),
        ({"name": "at", "type": "long"}, fr.time("at", unit="ns"), date(1996, 5, 7), MAY_1996 * 10**6),
        ({"name": "at", "type": "double"}, fr.time("at", unit="s"), b"831427200.0", 831_427_200.0),
        ({"name": "at", "type": "double"}, fr.time("at", unit="s"), date(1996, 5, 7), 831_427_200.0),
        ({"name": "at", "type": "string"}, "at", b"1996-05-07 00:00", "1996-05-07 00:00"),
        ({"name": "at", "type": {"type": "long", "logicalType": "local-timestamp-millis"}},
         fr.time("at", zone="America/New_York"), b"1996-05-07T02:00:00+02:00", MAY_1996 - 14_400_000),
        ({"name": "at", "type": {"type": "long", "logicalType": "local-timestamp-millis"}},
         fr.time("at", zone="America/New_York"), datetime(1996, 5, 6, 20), MAY_1996 - 14_400_000),
        ({"name": "at", "type": {"type": "long", "logicalType": "local-timestamp-micros"}},
         fr.time("at", zone="Europe/Berlin"), datetime(1996, 5, 7, tzinfo=UTC), (MAY_1996 + 7_200_000) * 1_000),
        ({"name": "at", "type": "string"}, "at", date(1996, 5, 7), "1996-05-07"),
        ({"name": "at", "type": "string"}, fr.time("at", zone="Europe/Berlin"),
         datetime(1996, 5, 7, 2), "1996-05-07T02:00:00"),
    ],
)  # fmt: skip
def test_a_time_is_written_as_its_field_has_it(
    field: Any, event_time: Any, value: Any, held: Any
) -> None:
    assert moments_of(field, event_time, value) == [(MAY_1996, held)]


def test_what_a_clock_of_nobody_knows_where_showed_is_left_to_intake() -> None:
    local = {"type": ["null", {"type": "long", "logicalType": "local-timestamp-millis"}]}
    fields = [*FIELDS[:2], {"name": "shown", **local}]
    topic = fr.Topic("things", {"type": "record", "name": "thing", "fields": fields}, "id", "at")
    shown = [datetime(1996, 5, 7), datetime(1996, 5, 7, tzinfo=UTC)]
    records = []
    for value in shown:
        arrays = {
            "id": pa.chunked_array([["a"]]),
            "at": pa.chunked_array([[MAY_1996]]),
            "shown": pa.chunked_array([[value]]),
        }
        (event,) = EventMaker(topic, NOW).events(FILE, Table(arrays, 1))
        records.append(event.record)
    assert EventReader(topic).read(records[0], NOW)["shown"] == MAY_1996
    with pytest.raises(Misfit, match="wrong_type"):
        EventReader(topic).read(records[1], NOW)


def test_rows_of_files_have_no_times_of_records() -> None:
    schema = {"type": "record", "name": "thing", "fields": FIELDS}
    with pytest.raises(
        DefinitionError, match="goes by the times of its records, and rows of files"
    ):
        EventMaker(fr.Topic("things", schema, "id", None), NOW)


def test_rows_of_files_have_no_times_of_elements() -> None:
    lines = {"type": "map", "values": "long"}
    fields = [{"name": "id", "type": "string"}, {"name": "lines", "type": lines}]
    schema = {"type": "record", "name": "thing", "fields": fields}
    topic = fr.Topic("things", schema, "id", "lines.value", explode="lines")
    with pytest.raises(
        DefinitionError, match=r"goes by lines\.value, of which a row of a file has"
    ):
        EventMaker(topic, NOW)


@pytest.mark.parametrize(
    ("field", "value", "meant"),
    [
        ("whole", b"9007199254740993", 9007199254740993),
        ("whole", b"-3", -3),
        ("whole", 3.0, 3),
        ("whole", float("nan"), None),
        ("real", b"1e-3", 0.001),
        ("real", 2, 2.0),
        ("real", float("nan"), None),
        ("truth", b"TRUE", True),
        ("truth", b"0", False),
        ("truth", 1, True),
        ("text", b"007", "007"),
        ("text", 2**60 + 1, str(2**60 + 1)),
        ("text", b"", ""),
        ("text", None, None),
    ],
)
def test_a_value_is_what_the_schema_says_where_that_is_beyond_doubt(
    field: str, value: Any, meant: Any
) -> None:
    (event,) = made(id=["a"], at=[MAY_1996], **{field: [value]})
    assert read(event)[field] == meant


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("whole", b"3.5", "wrong_type"),
        ("whole", b"9223372036854775808", "wrong_type"),
        ("real", b"much", "wrong_type"),
        ("truth", b"perhaps", "wrong_type"),
        ("text", 0.5, "wrong_type"),
        ("at", None, "missing_required"),
        ("at", b"yesterday", "wrong_type"),
        ("text", b"\xff", "undecodable"),
    ],
)
def test_what_is_doubtful_is_left_to_intake_and_its_reason(
    field: str, value: Any, reason: str
) -> None:
    (event,) = made(**{"id": ["a"], "at": [MAY_1996], field: [value]})
    with pytest.raises(Misfit, match=reason):
        read(event)


def test_a_time_that_no_clock_of_the_data_stood_at_is_none() -> None:
    times = [NOW, NOW + 1, -2_208_988_800_000, -2_208_988_800_001]
    assert [e.time_ms for e in made(id=["a"] * 4, at=times)] == [NOW, None, times[2], None]


def test_columns_have_aliases_and_defaults_and_others_are_passed_over() -> None:
    (event,) = made(id=["a"], at=[MAY_1996], old_given=[3], weight=[1.0])
    assert read(event)["given"] == 3
    (event,) = made(id=["a"], at=[MAY_1996])
    assert (read(event)["given"], read(event)["real"]) == (7, None)


def test_a_file_without_a_column_that_must_be_there_is_refused_whole() -> None:
    with pytest.raises(DataError, match=r"things.csv: has no column 'at'.*columns are id, when"):
        made(id=["a"], when=[1])


def test_events_go_to_the_partitions_of_their_ids() -> None:
    ids = [str(i) for i in range(50)]
    found = [e.partition for e in made(id=ids, at=[MAY_1996] * 50)]
    assert found == [partition_of(i, 3) for i in ids]
    assert len(set(found)) == 3


def test_events_without_ids_go_where_their_records_say() -> None:
    schema = {"type": "record", "name": "thing", "fields": FIELDS}
    topic = fr.Topic("things", schema, None, "at", partitions=3)
    arrays = {"id": pa.chunked_array([["a"] * 50]), "at": pa.chunked_array([range(50)])}
    found = list(EventMaker(topic, NOW).events(FILE, Table(arrays, 50)))
    assert [e.partition for e in found] == [place_of(e.record, 3) for e in found]
    assert {e.partition for e in found} == {0, 1, 2}


def test_lines_are_events_as_columns_are() -> None:
    rows = [
        {"id": 5, "at": "1996-05-07", "seen": None, "old_given": 1, "other": []},
        {"id": "b", "at": MAY_1996, "real": "x"},
        b"[1]",
    ]
    taken, refused, none = EventMaker(TOPIC, NOW).events(FILE, Lines(rows))
    assert (read(taken)["id"], read(taken)["at"], read(taken)["given"]) == ("5", MAY_1996, 1)
    assert json.loads(refused.record)["real"] == "x"
    assert (none.time_ms, none.record) == (None, b"[1]")


@pytest.mark.parametrize("word", [b"NA", b" N/A ", b"NULL", b"None"])
def test_a_word_for_nothing_is_missing_where_csv_has_numbers(word: bytes) -> None:
    """In a text nobody can tell it from one that says so, and JSON has a null of its own."""
    (event,) = made(
        id=[b"1"], at=[b"1996-05-07"], whole=[word], real=[word], truth=[word], text=[word]
    )
    found = read(event)
    assert (found["whole"], found["real"], found["truth"]) == (None, None, None)
    assert found["text"] == word.decode()
    (event,) = made(id=["1"], at=["1996-05-07"], whole=[word.decode()])
    with pytest.raises(Misfit):
        read(event)
