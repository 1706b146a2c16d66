"""A row's value is its own, be it alone or among others."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import freshet as fr
from freshet.schemas.evaluated import evaluated

FRAME = pl.DataFrame(
    {
        "x": np.random.default_rng(7).normal(0, 100, 97),
        "n": np.random.default_rng(8).integers(-1000, 1000, 97),
    }
)
DIVIDED = [
    pl.col("x") / 3,
    pl.col("n") / 60,
    (pl.col("x") / 7 + pl.col("n") / 11) / 13,
    pl.col("n") / 60 > 10,
]


@pytest.mark.parametrize("expression", DIVIDED)
@given(st.data())
def test_a_division_by_a_constant_is_the_same_for_one_row_and_for_many(
    expression: pl.Expr, data: st.DataObject
) -> None:
    asked = [expression.alias("y")]
    whole = evaluated(FRAME, asked)["y"].to_list()
    cuts = sorted(data.draw(st.sets(st.integers(1, 96), max_size=8)))
    pieces = [FRAME[a:b] for a, b in zip([0, *cuts], [*cuts, 97])]
    assert [v for piece in pieces for v in evaluated(piece, asked)["y"].to_list()] == whole
    assert [evaluated(FRAME[i : i + 1], asked)["y"].item() for i in range(97)] == whole


def test_an_app_may_divide_by_a_constant() -> None:
    """Which looks as if it depended on other rows, where one row is evaluated as one."""
    fields = [
        {"name": "id", "type": "string"},
        {"name": "at", "type": "long"},
        {"name": "late", "type": ["null", "double"]},
    ]
    topic = fr.Topic(
        "trips",
        {"type": "record", "name": "trip", "fields": fields},
        "id",
        "at",
        derive={"hours": pl.col("late") / 60},
    )
    assert fr.App("trips", topics=[topic]).topics == [topic]
