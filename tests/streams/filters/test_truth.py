"""Plain conditions hold where Polars says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.schemas.evaluated import evaluated
from freshet.schemas.events.decode import EventCodec, decode, encode
from freshet.streams.filters.conditions import (
    OPERATORS,
    Both,
    Compared,
    Condition,
    Either,
    Flag,
    Missing,
    Negated,
    condition_of,
    expression_of,
)
from freshet.streams.filters.truth import truth
from tests.streams.filters.test_conditions import FIELDS, SCHEMA

untimed = settings(deadline=None, max_examples=300)
TEXTS = st.sampled_from(["", "a", "??", "Zürich", "a" * 30, "a" * 29 + "b", "\0"])
WHOLES = st.sampled_from([-(2**31), -1, 0, 1, 3, 2**31 - 1])
LONGS = st.sampled_from([-(2**63), -(2**53) - 1, -1, 0, 3, 2**53, 2**53 + 1, 2**63 - 1])
NUMBERS = st.sampled_from([0.0, -0.0, 1.0, 2.5, -1e300, 5e-324, 0.1])
SPECIAL = st.sampled_from([float("nan"), float("inf"), float("-inf"), 0.1, 2.5])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "text": TEXTS,
    "kind": st.sampled_from(["L", "R"]),
    "whole": WHOLES,
    "long": LONGS,
    "single": SPECIAL,
    "double": NUMBERS | SPECIAL,
    "flag": st.booleans(),
    "raw": st.just(b"x"),
    "list": st.just([1]),
}
EVENTS = st.fixed_dictionaries({name: st.none() | made for name, made in VALUES.items()})
ASKED = {
    "text": TEXTS,
    "kind": TEXTS,
    "whole": WHOLES,
    "long": LONGS,
    "double": NUMBERS | st.integers(-(2**53), 2**53),
}


def compared(field: str) -> st.SearchStrategy[Condition]:
    of_texts = field in ("text", "kind")
    operators = ["Eq", "NotEq"] if of_texts else list(OPERATORS)
    return st.builds(Compared, st.just(field), st.sampled_from(operators), ASKED[field])


LEAVES: st.SearchStrategy[Condition] = st.one_of(
    *(compared(field) for field in ASKED),
    st.sampled_from([name for name in FIELDS if name not in ("raw", "list")]).map(Missing),
    st.just(Flag("flag")),
)
CONDITIONS: st.SearchStrategy[Condition] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(Negated, inner), st.builds(Both, inner, inner), st.builds(Either, inner, inner)
    ),
    max_leaves=6,
)


@untimed
@given(st.lists(EVENTS, min_size=1, max_size=12), CONDITIONS)
def test_a_condition_is_true_false_and_null_where_polars_says_so(
    events: list[dict[str, Any]], condition: Condition
) -> None:
    expression = expression_of(condition)
    assert condition_of(expression, SCHEMA) == condition
    records = encode(SCHEMA, events)
    edges = np.cumsum([0, *map(len, records)])
    data = np.frombuffer(b"".join(records), np.uint8)
    columns = decode(data, edges[:-1], edges[1:], EventCodec(SCHEMA))
    rows = np.flatnonzero(columns.reason == 0)
    names = sorted(set(expression.meta.root_names()))
    asked = evaluated(columns.frame(names, rows), [expression.alias("x")])["x"].to_list()
    true, false = truth(condition, columns)
    found = [
        None if is_true == is_false else is_true
        for is_true, is_false in zip(true[rows].tolist(), false[rows].tolist())
    ]
    assert found == asked
    assert not (true & false).any()


def test_no_rows_have_no_truth() -> None:
    none = np.zeros(0, np.int64)
    columns = decode(np.zeros(0, np.uint8), none, none, EventCodec(SCHEMA))
    for expression in (pl.col("text") == "a", pl.col("whole") > 3, pl.col("flag")):
        condition = condition_of(expression, SCHEMA)
        assert condition is not None
        assert len(truth(condition, columns).true) == 0
