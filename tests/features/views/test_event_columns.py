"""Codes of values: one a value, in the order of numbers."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.features.sketches.layout import MISSING
from freshet.features.views.event_columns import codes, numbers

untimed = settings(deadline=None)
FIXED = [-7046029254386353131, 868648427864312413, 5905907068588807613]


@untimed
@given(st.lists(st.none() | st.floats()))
def test_codes_of_numbers_are_in_their_order_and_missing_where_no_number_is(
    values: list[float | None],
) -> None:
    found = codes(pa.array(values, pa.float64())).tolist()
    there = [(v, code) for v, code in zip(values, found) if v is not None and math.isfinite(v)]
    for value, code in there:
        for other, of_other in there:
            assert (value < other) == (code < of_other)
    missing = [v for v, code in zip(values, found) if code == MISSING]
    assert len(missing) == len(values) - len(there)


@untimed
@given(st.lists(st.none() | st.text()))
def test_equal_texts_have_equal_codes_and_others_have_others(values: list[str | None]) -> None:
    found = codes(pa.array(values, pa.string())).tolist()
    by_text = dict(zip(values, found))
    assert [by_text[value] for value in values] == found
    assert len(set(by_text.values())) == len(by_text)
    assert by_text.get(None, MISSING) == MISSING


def test_whole_numbers_are_their_own_codes_and_truths_are_numbers() -> None:
    whole = [5, None, (1 << 63) - 1, -(1 << 63) + 1]
    assert codes(pa.array(whole, pa.int64())).tolist() == [5, MISSING, *whole[2:]]
    assert codes(pa.array([3, None], pa.int32())).tolist() == [3, MISSING]
    truths = pa.array([True, False, None])
    assert codes(truths).tolist() == codes(pa.array([1.0, 0.0, None])).tolist()
    assert numbers(truths).tolist()[:2] == [1.0, 0.0]
    assert numbers(pa.array(["7", None])).tolist()[:1] == [1.0], "it is there"
    assert np.isnan(numbers(pa.array(["7", None]))[1])
    assert codes(pa.nulls(2)).tolist() == [MISSING, MISSING]


def test_a_text_has_the_code_that_rows_were_made_with() -> None:
    """It stands in rows and checkpoints: another one would count every text twice."""
    assert codes(pa.array(["", "ann", "кафе"])).tolist() == FIXED
