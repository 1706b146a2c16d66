"""Parts of times, hash buckets and distances, against the slow reference: Python's own zones, one
value at a time."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import freshet as fr
from freshet.audit.ledger import identity
from freshet.schemas.errors import DefinitionError
from freshet.schemas.text.columns import Texts

ZONES = ("UTC", "America/New_York", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe")
PARTS = (fr.hour, fr.minute_of_day, fr.weekday, fr.day, fr.month)
TIMES: dict[str, tuple[Any, fr.schemas.events.times.EventTime | str]] = {
    "ms": ("long", "t"),
    "us": ({"type": "long", "logicalType": "timestamp-micros"}, "t"),
    "s": ("double", fr.time("t", unit="s")),
    "text": ("string", "t"),
}
SPRING = datetime(2013, 3, 10, 6, 59, 59, tzinfo=UTC)  # New York puts its clocks forward at 7
untimed = settings(deadline=None, max_examples=60)


def computed(type_: Any, declared: object, values: list[Any]) -> list[Any]:
    """A derived field of values of the field `t`."""
    fields = [
        {"name": "id", "type": "string"},
        {"name": "at", "type": "long"},
        {"name": "t", "type": ["null", type_]},
    ]
    schema = {"type": "record", "name": "r", "fields": fields}
    topic = fr.Topic("seen", schema, "id", "at", derive={"d": declared})  # type: ignore[dict-item]
    (derivation,) = topic.derivations
    dtype = pl.String if type_ == "string" else pl.Float64 if type_ == "double" else pl.Int64
    return derivation.compute(pl.DataFrame({"t": pl.Series(values, dtype=dtype)})).to_list()


def expected(part: str, moment: datetime, zone: str) -> int:
    clocks = moment.astimezone(ZoneInfo(zone))
    if part == "minute_of_day":
        return clocks.hour * 60 + clocks.minute
    if part == "weekday":
        return clocks.isoweekday()
    return int(getattr(clocks, part))


def written(moment: datetime, unit: str) -> Any:
    if unit == "text":
        return moment.isoformat()
    us = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return {"ms": us // 1000, "us": us, "s": us / 1_000_000}[unit]


@untimed
@given(
    st.lists(
        st.one_of(
            st.none(),
            st.datetimes(datetime(1902, 1, 1), datetime(2037, 1, 1)),
        ),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from(ZONES),
    st.sampled_from(sorted(TIMES)),
    st.sampled_from(PARTS),
)
@example([SPRING.replace(tzinfo=None), datetime(2013, 3, 10, 7)], ZONES[1], "ms", fr.hour)
def test_a_part_is_what_the_zone_s_clocks_show(
    moments: list[datetime | None], zone: str, unit: str, part: Any
) -> None:
    # Of whole seconds: a double has no more of them.
    times = [m if m is None else m.replace(microsecond=0, tzinfo=UTC) for m in moments]
    type_, time = TIMES[unit]
    found = computed(
        type_, part(time, zone=zone), [t if t is None else written(t, unit) for t in times]
    )
    name = part.__name__
    assert found == [t if t is None else expected(name, t, zone) for t in times]


def test_its_zone_is_that_of_the_time_where_none_is_named() -> None:
    time = fr.time("t", zone="Europe/Berlin")
    assert computed("string", fr.hour(time), ["2013-07-01T05:15", "2013-07-01T05:15Z"]) == [5, 7]
    assert computed("string", fr.hour("t"), ["2013-07-01T05:15"]) == [5]
    assert computed("string", fr.hour(time, zone="UTC"), ["2013-07-01T05:15"]) == [3]


def test_the_topic_s_own_time_is_read_as_it_is_declared() -> None:
    fields = [{"name": "id", "type": "string"}, {"name": "at", "type": "long"}]
    schema = {"type": "record", "name": "r", "fields": fields}
    by_seconds = fr.time("at", unit="s")
    topic = fr.Topic("seen", schema, "id", by_seconds, derive={"h": fr.hour("at")})
    (derivation,) = topic.derivations
    assert derivation.compute(pl.DataFrame({"at": [7_200]})).to_list() == [2]


def test_what_is_no_time_has_no_parts() -> None:
    assert computed("string", fr.hour("t"), ["noon", "", None, "1850-01-01"]) == [None] * 4
    assert computed("long", fr.hour("t"), [-(1 << 63), (1 << 63) - 1]) == [None] * 2
    assert computed("double", fr.day(fr.time("t", unit="s")), [1e300, 0.0]) == [None, 1]


@untimed
@given(st.lists(st.one_of(st.none(), st.text(max_size=5)), min_size=1), st.integers(1, 1 << 31))
def test_a_bucket_is_a_text_s_own_hash_whatever_stands_beside_it(
    values: list[str | None], count: int
) -> None:
    found = computed("string", fr.bucket("t", count), values)
    for value, bucket in zip(values, found, strict=True):
        if value is None:
            assert bucket is None
            continue
        assert bucket == int(Texts.of([value]).hashes()[0]) % count
        assert bucket == computed("string", fr.bucket("t", count), [value])[0]


def test_buckets_stay_what_they_are() -> None:
    # By an implementation of its own, in Python.
    low = [identity(text) & ((1 << 64) - 1) for text in ("JFK", "7")]
    assert computed("string", fr.bucket("t", 1 << 20), ["JFK"]) == [low[0] % (1 << 20)]
    assert computed("long", fr.bucket("t", 1 << 20), [7]) == [low[1] % (1 << 20)]


@pytest.mark.parametrize(
    ("type_", "declared", "why"),
    [
        ("double", fr.bucket("t", 8), "hashes 't', which is of type double"),
        ("long", fr.bucket("t", 0), "has 0 buckets"),
        ("long", fr.bucket([], 8), "reads no field"),
        ("long", fr.hour("t", zone="Mars"), "has zone 'Mars', which is none"),
        ("boolean", fr.hour("t"), "the time 't' is of type boolean"),
        ("string", fr.hour(fr.time("t", unit="s")), "the time 't' is a text"),
        ("string", fr.haversine("t", 1, 2, 3), "reads 't', which is of type string"),
        ("long", fr.haversine("t", True, 2, 3), "has True for degrees"),
        ("long", fr.haversine("t", math.nan, 2, 3), "has nan for degrees"),
        ("long", fr.haversine(0, 1, 2, 3), "reads no field"),
        ("long", fr.hour("u"), "reads unknown field 'u'"),
        ("long", fr.hour(pl.col("t")), "names a field by"),  # type: ignore[arg-type]
    ],
)
def test_what_fits_not_is_refused_by_name(type_: str, declared: object, why: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        computed(type_, declared, [])
    assert "topic seen: derive['d']" in str(refused.value)
    assert why in str(refused.value)


def test_buckets_of_what_is_no_list_of_fields_are_refused() -> None:
    with pytest.raises(DefinitionError, match="fields=7 is no list"):
        fr.bucket(7, 8)  # type: ignore[arg-type]


@untimed
@given(*(st.floats(-bound, bound) for bound in (90, 180, 90, 180)))
@example(0.0, 0.0, 0.0, 180.0)
def test_a_distance_is_that_of_the_haversine(
    lat1: float, lon1: float, lat2: float, lon2: float
) -> None:
    fields = [{"name": name, "type": "double"} for name in "abcd"]
    schema = {"type": "record", "name": "r", "fields": [*fields, {"name": "id", "type": "long"}]}
    derive = {"km": fr.haversine("a", "b", "c", "d"), "to": fr.haversine("a", "b", lat2, lon2)}
    between, to = fr.Topic("seen", schema, "id", None, derive=derive).derivations
    row = pl.DataFrame({"a": [lat1], "b": [lon1], "c": [lat2], "d": [lon2]})
    (found,) = between.compute(row).to_list()
    assert to.compute(row).to_list() == [found]
    phi1, phi2 = math.radians(lat1), math.radians(lat2)
    half_north = math.sin((phi2 - phi1) / 2)
    half_east = math.sin(math.radians(lon2 - lon1) / 2)
    haversin = half_north**2 + math.cos(phi1) * math.cos(phi2) * half_east**2
    assert found == pytest.approx(2 * 6371.0088 * math.asin(math.sqrt(min(haversin, 1))), abs=1e-3)
