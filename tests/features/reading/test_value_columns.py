"""Finished rows as columns, against the slow way: one value after the other, and numpy's times."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

import freshet as fr
from freshet.features.reading.value_columns import STATUSES, ValueColumns, texts_of
from freshet.features.rows.finish import (
    NOT_FOUND,
    NULL_VALUE,
    OUTSIDE_MAX_AGE,
    PRESENT,
    Finished,
    Several,
)
from freshet.features.views.event_columns import codes
from freshet.schemas.durations import EARLIEST_MS, LATEST_MS
from tests.consumers_app import APP, HOUR

NOW = 100 * HOUR
any_time = st.integers(EARLIEST_MS, LATEST_MS)
TOPIC = fr.Topic(
    "sales",
    {
        "type": "record",
        "name": "sales",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "at", "type": "long"},
            {"name": "buyer", "type": "long"},
            {"name": "price", "type": "double"},
            {"name": "size", "type": {"type": "enum", "name": "size", "symbols": ["S", "L"]}},
        ],
    },
    event_id="id",
    event_time="at",
    owner="sales@example.com",
    freshness=APP.topics[0].freshness,
)
VIEW = fr.View(
    "by_buyer",
    TOPIC,
    key="buyer",
    features={
        "price": fr.mean("price", over="1h"),
        "at": fr.last("at"),
        "size": fr.last("size"),
        "sizes": fr.last_distinct("size", n=2),
    },
)
NAMES = VIEW.plan.names
# Of the text L, as rows keep it.
CODE = int(codes(pa.array(["L"]), True)[0])


@given(st.lists(any_time, max_size=20))
def test_times_are_written_as_numpy_writes_them(times: list[int]) -> None:
    array = np.array(times, np.int64)
    slow = np.datetime_as_string(array.astype("datetime64[ms]"), unit="ms", timezone="UTC")
    assert texts_of(array) == slow.tolist()


def test_the_first_and_last_moments_of_months_and_leap_days_are_written_right() -> None:
    months = np.arange("1900-01", "2500-01", dtype="datetime64[M]").astype("datetime64[ms]")
    times = np.concatenate([months, months - 1])
    slow = np.datetime_as_string(times, unit="ms", timezone="UTC")
    assert texts_of(times.astype(np.int64)) == slow.tolist()


statuses = st.sampled_from([PRESENT, NOT_FOUND, OUTSIDE_MAX_AGE])
numbers = st.floats(allow_subnormal=True)
rows_of_values = st.tuples(statuses, st.integers(0, NOW - EARLIEST_MS), numbers)


@given(st.lists(rows_of_values, min_size=1, max_size=6), st.data())
def test_columns_are_what_a_loop_over_rows_says(
    found: list[tuple[int, int, float]], data: st.DataObject
) -> None:
    n = len(found)
    place = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=8))
    asked = data.draw(st.permutations(range(len(NAMES))))[: data.draw(st.integers(1, len(NAMES)))]
    whole = data.draw(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=n, max_size=n))
    done = finished(found, whole)
    columns = ValueColumns(VIEW, {}).of(done, np.array(place), NOW, asked)
    assert len(columns) == len(asked)
    for column, at in zip(columns, asked):
        for q, row in enumerate(place):
            value, status, time = slow(NAMES[at], found[row], whole[row])
            assert column.statuses[q] == status
            assert column.times[q] == time
            assert type(column.values[q]) is type(value)
            assert column.values[q] == value


@given(st.lists(rows_of_values, min_size=1, max_size=6), st.integers(-1, 1))
def test_a_feature_of_which_too_little_is_known_is_a_null_value_until_then(
    found: list[tuple[int, int, float]], off: int
) -> None:
    done = finished(found, [7] * len(found))
    every = range(len(NAMES))
    place = np.arange(len(found))
    plain = ValueColumns(VIEW, {}).of(done, place, NOW, every)
    held = {"by_buyer.price": NOW + off, "another.at": NOW + 1}
    columns = ValueColumns(VIEW, held).of(done, place, NOW, every)
    for name, column, usual in zip(NAMES, columns, plain):
        if name != "price" or off < 1:
            assert column == usual
            continue
        assert column.values == [None] * len(found)
        assert column.times == usual.times
        told = [status if status != "PRESENT" else "NULL_VALUE" for status in usual.statuses]
        assert column.statuses == told


def finished(found: list[tuple[int, int, float]], whole: list[int]) -> Finished:
    """Of each row the number as every feature's value, and `whole` as its time of `last`; all sizes
    are L."""
    status = np.array([status for status, _, _ in found], np.uint8)
    ages = np.array([age for _, age, _ in found])
    values = np.array([[value] * len(NAMES) for _, _, value in found])
    large = np.full(len(found), CODE)
    lists = {"sizes": Several(np.full((len(found), 2), CODE), np.ones(len(found), np.int64))}
    return Finished(values, ages, status, {"at": np.array(whole), "size": large}, {}, lists)


def slow(name: str, row: tuple[int, int, float], whole: int) -> tuple[Any, str, str]:
    status, age, number = row
    time = 0
    if status != NOT_FOUND:
        time = NOW - age
    told = np.datetime_as_string(np.datetime64(time, "ms"), unit="ms", timezone="UTC")
    shown: Any = {"price": number, "at": whole, "size": "L", "sizes": ["L"]}[name]
    # A list is told by what is in it.
    if name != "sizes" and status == PRESENT and not math.isfinite(number):
        status = NULL_VALUE
    if status != PRESENT:
        shown = None
    return shown, STATUSES[status], str(told)
