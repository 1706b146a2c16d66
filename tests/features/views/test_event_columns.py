"""Codes of values: one a value, in the order of numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import freshet as fr
from freshet.features.reading.symbols import Symbols
from freshet.features.rows.finish import Finished, finish
from freshet.features.sketches.layout import MISSING
from freshet.features.stores.memory_store import MemoryStore
from freshet.features.views.event_columns import codes, numbers
from freshet.features.views.task import ViewTask
from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import Block
from tests.streams.toy_events import batch_of

untimed = settings(deadline=None)
FIXED = [-7046029254386353131, 868648427864312413, 5905907068588807613]


@untimed
@given(st.lists(st.none() | st.floats()))
def test_codes_of_numbers_are_in_their_order_and_missing_where_no_number_is(
    values: list[float | None],
) -> None:
    found = codes(pa.array(values, pa.float64()), True).tolist()
    there = [(v, code) for v, code in zip(values, found) if v is not None and math.isfinite(v)]
    for value, code in there:
        for other, of_other in there:
            assert (value < other) == (code < of_other)
    missing = [v for v, code in zip(values, found) if code == MISSING]
    assert len(missing) == len(values) - len(there)


@untimed
@given(st.lists(st.none() | st.text()))
def test_equal_texts_have_equal_codes_and_others_have_others(values: list[str | None]) -> None:
    found = codes(pa.array(values, pa.string()), True).tolist()
    by_text = dict(zip(values, found))
    assert [by_text[value] for value in values] == found
    assert len(set(by_text.values())) == len(by_text)
    assert by_text.get(None, MISSING) == MISSING


def test_whole_numbers_are_their_own_codes_and_truths_are_numbers() -> None:
    whole = [5, None, (1 << 63) - 1, -(1 << 63) + 1]
    assert codes(pa.array(whole, pa.int64()), True).tolist() == [5, MISSING, *whole[2:]]
    assert codes(pa.array([3, None], pa.int32()), True).tolist() == [3, MISSING]
    # Where another topic's are no whole numbers.
    in_doubles = codes(pa.array([3, None], pa.int32()), False)
    assert in_doubles.tolist() == codes(pa.array([3.0, None]), True).tolist()
    truths = pa.array([True, False, None])
    assert codes(truths, True).tolist() == codes(pa.array([1.0, 0.0, None]), True).tolist()
    assert numbers(truths).tolist()[:2] == [1.0, 0.0]
    assert numbers(pa.array(["7", None])).tolist()[:1] == [1.0], "it is there"
    assert np.isnan(numbers(pa.array(["7", None]))[1])
    assert codes(pa.nulls(2), True).tolist() == [MISSING, MISSING]


def test_a_text_has_the_code_that_rows_were_made_with() -> None:
    """It stands in rows and checkpoints: another one would count every text twice."""
    assert codes(pa.array(["", "ann", "кафе"]), True).tolist() == FIXED


def topic(name: str, type_: Any) -> fr.Topic:
    fields = [(name, "string") for name in ("id", "user")] + [("at", "long"), ("x", type_)]
    return fr.Topic(
        name,
        {
            "type": "record",
            "name": name,
            "fields": [{"name": field, "type": of_field} for field, of_field in fields],
        },
        event_id="id",
        event_time="at",
    )


def finished(view: fr.View, *columns: tuple[str, pa.Array]) -> Finished:
    """The row that is made of an event for each value; a block of a topic's for each column."""
    task = ViewTask(view, "v", 0, MemoryStore())
    values = []
    for name, column in columns:
        count = len(column)
        rows = {
            "key": pa.array(["ann"] * count),
            "t": pa.array(range(count), pa.int64()),
            blocks.FIELD + "x": column,
            "_offset": pa.array(range(count), pa.int64()),
            "_index": pa.array([0] * count, pa.int32()),
        }
        made = pa.RecordBatch.from_pydict(rows)
        values.append(blocks.encode(Block(blocks.CLEAN, name, 0, made, blocks.NO_TICK, 1)))
    task.apply(batch_of(values, range(len(values)), [0] * len(values)))
    return finish(view.plan, task._rows.hand_over()[1], np.array([1_000]))


VALUES: dict[str, Any] = {
    "first": fr.first("x"),
    "last": fr.last("x"),
    "often": fr.most_frequent("x", over="1m"),
    "newest": fr.last_distinct("x", 1),
}


@pytest.mark.parametrize("name", VALUES)
def test_each_feature_that_is_a_text_is_one_by_itself(name: str) -> None:
    """None of them relies on what another one has kept."""
    gates = topic("gates", {"type": "enum", "name": "gate", "symbols": ["A", "B"]})
    view = fr.View("v", gates, key="user", features={name: VALUES[name]})
    found = finished(view, ("gates", pa.array(["A", "A", "B"])))
    texts, known = Symbols.of(view.texts[name]).texts_of(found.wholes[name])
    assert known.tolist() == [True]
    assert texts.tolist() == [{"first": "A", "often": "A"}.get(name, "B")]


@pytest.mark.parametrize("other", ["double", "boolean"])
def test_whole_numbers_of_one_topic_are_those_of_another_that_has_no_whole_numbers(
    other: str,
) -> None:
    column = pa.array([1, 0], {"double": pa.float64(), "boolean": pa.int64()}[other])
    if other == "boolean":
        column = column.cast(pa.bool_())
    features = {**VALUES, "values": fr.distinct("x", over="1m"), "second": fr.last_distinct("x", 2)}
    view = fr.View(
        "v", [topic("whole", "long"), topic("other", other)], key="user", features=features
    )
    found = finished(view, ("whole", pa.array([1, 1, 0])), ("other", column))
    assert dict(zip(view.plan.names, found.values[0].tolist())) == {
        "first": 1.0,
        "last": 0.0,
        "newest": 0.0,
        "often": 1.0,
        "second": 1.0,
        "values": 2.0,
    }
    assert found.wholes == {}
