"""Times of every form are those that a slow reading of them finds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.audit import moments
from freshet.schemas.durations import EARLIEST_MS, LATEST_MS
from freshet.schemas.errors import DefinitionError
from freshet.schemas.events.decode import EventCodec, encode
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.events.times import (
    NO_TIME,
    EventTime,
    declared_as,
    event_times,
    in_utc,
    likely_unit,
    moment_ms,
    resolved,
    time,
)
from tests.schemas.events.strategies import columns_of

NOON = 1_359_633_600_000  # 31 January 2013, 12:00 UTC
APPENDED = np.array([NOON])
ZONES = ("UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu")
zones = st.sampled_from(ZONES)
quick = settings(deadline=None, max_examples=300)


def declared(kind: Any, given_: EventTime | None = None) -> tuple[EventSchema, EventTime]:
    """A schema whose field `at` is of a type, and how it says the time."""
    fields = [{"name": "at", "type": kind}]
    schema = EventSchema.parse({"type": "record", "name": "r", "fields": fields}, "r")
    return schema, resolved(given_ or time("at"), schema["at"], "topic r")


def read(kind: Any, values: Sequence[Any], given_: EventTime | None = None) -> list[int]:
    """The times of events, which are those that each has by itself and by the slow reading."""
    schema, how = declared(kind, given_)
    columns = columns_of(encode(schema, [{"at": value} for value in values]), EventCodec(schema))
    found: list[int] = event_times(columns, how, np.full(len(values), NOON)).tolist()
    slow = [moments.moment({"at": value}, how, NOON) for value in values]
    assert [believed(ms) for ms in found] == [believed(ms) for ms in slow]
    alone = [moment_ms(value, how) for value in values]
    assert [believed(ms) for ms in alone] == [believed(ms) for ms in slow]
    return found


def believed(ms: int | None) -> int | str:
    """A time, or where it is none on which side of all of them it lies: there no digit counts."""
    if ms is None or ms < EARLIEST_MS:
        return "before"
    return "after" if ms > LATEST_MS else ms


# ------------------------------------------------------------ numbers
@pytest.mark.parametrize(
    ("kind", "unit", "value", "ms"),
    [
        ("long", None, NOON, NOON),
        ("long", "s", 1_359_633_600, NOON),
        ("int", "s", 1_359_633_600, NOON),
        ("long", "us", NOON * 1_000 + 999, NOON),
        ("long", "us", -1, -1),
        ("long", "ns", NOON * 1_000_000 + 999_999, NOON),
        ("int", "d", 15_736, NOON - 43_200_000),
        ("double", "s", 1_359_633_600.25, NOON + 250),
        ("double", "s", 1_359_633_600.123, NOON + 123),
        ("double", "ms", float(NOON), NOON),
        ("double", "us", NOON * 1e3, NOON),
        ({"type": "long", "logicalType": "timestamp-millis"}, None, NOON, NOON),
        ({"type": "long", "logicalType": "timestamp-micros"}, None, NOON * 1_000, NOON),
        ({"type": "long", "logicalType": "timestamp-nanos"}, None, NOON * 1_000_000, NOON),
        ({"type": "int", "logicalType": "date"}, None, 15_736, NOON - 43_200_000),
    ],
)
def test_numbers_are_what_their_unit_counts(
    kind: Any, unit: str | None, value: float, ms: int
) -> None:
    assert read(kind, [value], time("at", unit=unit)) == [ms]


WHOLES = st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-(10**13), 10**13)
REALS = st.floats(allow_nan=False, allow_infinity=False) | st.floats(-1e13, 1e13)


@quick
@given(st.sampled_from(["d", "s", "ms", "us", "ns"]), st.lists(WHOLES, min_size=1))
def test_any_whole_numbers_are_read_as_slowly(unit: str, values: list[int]) -> None:
    read("long", values, time("at", unit=unit))


@quick
@given(st.sampled_from(["d", "s", "ms", "us", "ns"]), st.lists(REALS, min_size=1))
def test_any_doubles_are_read_as_slowly(unit: str, values: list[float]) -> None:
    read("double", values, time("at", unit=unit))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_stops_nothing(value: float) -> None:
    schema, how = declared("double", time("at", unit="s"))
    columns = columns_of(encode(schema, [{"at": value}, {"at": 1.0}]), EventCodec(schema))
    assert event_times(columns, how, np.zeros(2, np.int64))[1] == 1_000


# ------------------------------------------------------------ texts
@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2013-01-31T12:00:00Z", NOON),
        ("2013-01-31t12:00:00z", NOON),
        ("2013-01-31 12:00", NOON),
        ("2013-01-31T12:00:00.25", NOON + 250),
        ("2013-01-31T12:00:00,2507", NOON + 250),
        ("2013-01-31T12:00:00.123456789+00", NOON + 123),
        ("2013-01-31T07:00:00-05:00", NOON),
        ("2013-01-31T17:45:00+0545", NOON),
        ("2013-01-31", NOON - 43_200_000),
        ("1900-01-01", EARLIEST_MS),
        ("9999-12-31T23:59:59.999Z", LATEST_MS),
        ("2012-02-29", 1_330_473_600_000),
        ("2000-02-29", 951_782_400_000),
    ],
)
def test_texts_are_dates_and_times_of_iso_8601(text: str, ms: int) -> None:
    assert read("string", [text]) == [ms]


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "31.01.2013", "2013-1-31", "2013-02-29", "1900-02-29", "2013-13-01"),
        *("2013-00-01", "2013-01-31T", "2013-01-31T12", "2013-01-31T24:00", "2013-01-31T12:60"),
        *("2013-01-31T12:00:60", "2013-01-31T12:00:00.", "2013-01-31T12:00+24:00"),
        *("2013-01-31T12:00+5", "2013-01-31T12:00 Z", "2013-01-31T12:00:00+05:0"),
        *("2013-01-31T12:00:00+05:60", " 2013-01-31", "2013-01-31 ", "1359633600", "0000-01-01"),
        *("２013-01-31", "2013-01-31T12:00Zz", "2013-01-31X12:00", "2013-01-31T12:00:00+05:30:00"),
    ],
)
def test_other_texts_are_no_times(text: str) -> None:
    assert read("string", [text]) == [NO_TIME]


CHARACTERS = "0123456789-:T .,Zz+tU"
WRITTEN = st.builds(
    "{:04d}-{:02d}-{:02d}{}{:02d}:{:02d}{}{}".format,
    st.integers(0, 9999), st.integers(0, 13), st.integers(0, 32), st.sampled_from("Tt x"),
    st.integers(0, 25), st.integers(0, 61), st.sampled_from(["", ":07", ":59.9", ":60", ":1", ":30,0004"]),
    st.sampled_from(["", "Z", "z", "+01:00", "-0330", "+14", "-24", "+1:00", "+00:60"]),
)  # fmt: skip


@quick
@given(st.lists(WRITTEN | st.text(CHARACTERS, max_size=24), min_size=1), zones)
def test_any_texts_are_read_as_slowly(texts: list[str], zone: str) -> None:
    # What years before zones had names were like is each table's own affair, and after 2099 the
    # table of polars knows no summer.
    since = [text for text in texts if not ("0000" <= text[:4] < "1970" or text[:4] > "2099")]
    if since:
        read("string", since, time("at", zone=zone))


# ------------------------------------------------------------ zones
def test_an_hour_that_comes_twice_is_the_first() -> None:
    # 3 November 2013 in New York: 01:00 to 02:00 came twice.
    assert read("string", ["2013-11-03T01:30"], time("at", zone="America/New_York")) == [
        1_383_456_600_000  # 05:30 UTC
    ]


def test_an_hour_that_never_came_is_as_if_the_clocks_had_stayed() -> None:
    # 10 March 2013 in New York: 02:00 was 03:00.
    assert read("string", ["2013-03-10T02:30"], time("at", zone="America/New_York")) == [
        1_362_900_600_000  # 07:30 UTC
    ]


def test_a_day_that_never_came_is_one_like_the_others() -> None:
    # Samoa had no 30 December 2011.
    assert read("string", ["2011-12-30T12:00"], time("at", zone="Pacific/Apia")) == [
        1_325_282_400_000  # 22:00 UTC
    ]


@quick
@given(st.lists(st.integers(0, 2_145_916_800_000), min_size=1), st.sampled_from(ZONES[1:]))
def test_local_clocks_are_those_of_the_zone(local: list[int], zone: str) -> None:
    """From 1970 to 2037."""
    found = in_utc(np.array(local), zone).tolist()
    assert found == [moments.in_utc(moments.EPOCH + ms * moments.MILLISECOND, zone) for ms in local]


@quick
@given(st.integers(0, 2_145_916_800), st.sampled_from(ZONES[1:]))
def test_what_clocks_showed_is_when_it_was_but_for_hours_that_came_twice(
    seconds: int, zone: str
) -> None:
    then = datetime.fromtimestamp(seconds, ZoneInfo(zone))
    (found,) = in_utc(
        np.array([(then.replace(tzinfo=None) - moments.EPOCH) // moments.MILLISECOND]), zone
    )
    assert found == (
        1_000 * seconds if not then.fold else 1_000 * int(then.replace(fold=0).timestamp())
    )


def test_local_timestamps_and_dates_are_of_their_zone() -> None:
    local = {"type": "long", "logicalType": "local-timestamp-micros"}
    berlin = time("at", zone="Europe/Berlin")
    assert read(local, [NOON * 1_000], berlin) == [NOON - 3_600_000]
    date = {"type": "int", "logicalType": "date"}
    assert read(date, [15_736], berlin) == [NOON - 43_200_000 - 3_600_000]


def test_times_beyond_all_zones_stay_beyond() -> None:
    far = np.array([LATEST_MS + 1, EARLIEST_MS - 10 * 86_400_000])
    assert in_utc(far, "America/New_York").tolist() == far.tolist()


# ------------------------------------------------------------ declared
@pytest.mark.parametrize(
    ("kind", "given_", "text"),
    [
        ("long", time("at", unit="h"), "has unit 'h'. Use one of d, s, ms, us, ns"),
        ("long", time("at", zone="Mars/Base"), "has zone 'Mars/Base', which is none. Write one such"),
        ("long", time("at", zone="Europe/Berlin"), "counts from 1970 in UTC. Leave the zone out"),
        ("string", time("at", zone="+05:00"), "has zone '+05:00', which is none"),
        ("string", time("at", zone=""), "has zone '', which is none"),
        ("string", time("at", zone=5), "has zone 5, which is none"),
        ("int", None, "is an int, which holds no ms since 1970. Make it a long"),
        ("boolean", None, "is of type boolean. It must be of type long, int, double or string"),
        ("float", time("at", unit="s"), "is of type float"),
        ("string", time("at", unit="s"), "is a text, which counts nothing. Leave the unit out"),
        ({"type": "string", "logicalType": "uuid"}, None, "is of type string"),
        ({"type": "int", "logicalType": "time-millis"}, None, "A time of day says not which day"),
        (
            {"type": "long", "logicalType": "timestamp-micros"},
            time("at", unit="ms"),
            "counts µs, as its logicalType says. Leave the unit out",
        ),
        ({"type": "long", "logicalType": "local-timestamp-millis"}, None, "is local. Say where"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(kind: Any, given_: EventTime, text: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        declared(kind, given_)
    assert text in str(refused.value)


@pytest.mark.parametrize(
    ("value", "unit", "likely"),
    [
        (NOON * 1_000, "ms", "us"),
        (NOON * 1_000_000, "ms", "ns"),
        (NOON // 1_000, "ms", "s"),
        (NOON, "s", "ms"),
        (NOON / 1_000, "ms", "s"),
        (NOON, "ms", None),
        (7, "ms", None),
        (math.nan, "s", None),
        (10**400, "ms", None),
        ("2013", "ms", None),
        (True, "ms", None),
    ],
)
def test_the_unit_that_was_meant_is_told_by_years(
    value: object, unit: str, likely: str | None
) -> None:
    assert likely_unit(value, EventTime("at", unit), NOON) == likely


@pytest.mark.parametrize(
    ("kind", "unit", "text"),
    [
        ("long", "us", 'event_time=fr.time("at", unit="us")'),
        ({"type": "long", "logicalType": "timestamp-millis"}, "us", '"logicalType": "timestamp-micros"'),
        ({"type": "long", "logicalType": "timestamp-millis"}, "s", 'no logicalType, and event_time=fr.time("at", unit="s")'),
        ({"type": "long", "logicalType": "local-timestamp-millis"}, "ns", '"logicalType": "local-timestamp-nanos"'),
    ],
)  # fmt: skip
def test_what_is_proposed_goes_with_the_field(kind: Any, unit: str, text: str) -> None:
    fields = [{"name": "at", "type": kind}]
    schema = EventSchema.parse({"type": "record", "name": "r", "fields": fields}, "r")
    assert declared_as(schema["at"], unit) == text


def test_a_topic_without_a_field_for_it_goes_by_its_records() -> None:
    schema, _ = declared("long")
    columns = columns_of(encode(schema, [{"at": 7}]), EventCodec(schema))
    assert event_times(columns, None, APPENDED).tolist() == [NOON]
