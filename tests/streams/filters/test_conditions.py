"""Which filters are plain conditions, and what is left to Polars."""

from __future__ import annotations

import polars as pl
import pytest

from freshet.schemas.events.schema import EventSchema
from freshet.streams.filters.conditions import (
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

FIELDS = {
    "text": "string",
    "kind": {"type": "enum", "name": "Kind", "symbols": ["L", "R"]},
    "whole": "int",
    "long": "long",
    "single": "float",
    "double": "double",
    "flag": "boolean",
    "raw": "bytes",
    "list": {"type": "array", "items": "int"},
}
SCHEMA = EventSchema.parse(
    {
        "type": "record",
        "name": "rows",
        "fields": [{"name": name, "type": ["null", kind]} for name, kind in FIELDS.items()],
    },
    "rows",
)
col = pl.col


@pytest.mark.parametrize(
    ("expression", "condition"),
    [
        (col("text") == "", Compared("text", "Eq", "")),
        (col("kind") != "L", Compared("kind", "NotEq", "L")),
        (col("whole") > 3, Compared("whole", "Gt", 3)),
        (col("long") <= -(2**63), Compared("long", "LtEq", -(2**63))),
        (col("double") >= 2, Compared("double", "GtEq", 2)),
        (col("double") < 2.5, Compared("double", "Lt", 2.5)),
        (col("flag"), Flag("flag")),
        (col("single").is_null(), Missing("single")),
        (~col("flag"), Negated(Flag("flag"))),
        (
            col("flag") & col("text").is_null() | (col("whole") == 1),
            Either(Both(Flag("flag"), Missing("text")), Compared("whole", "Eq", 1)),
        ),
    ],
    ids=str,
)
def test_plain_conditions_are_read(expression: pl.Expr, condition: Condition) -> None:
    assert condition_of(expression, SCHEMA) == condition
    assert expression_of(condition).meta.eq(expression)


@pytest.mark.parametrize(
    "expression",
    [
        col("text") > "a",
        col("whole") > 2.5,
        col("whole") > 2**31,
        col("long") < 2**63,
        col("double") > 2**53 + 1,
        col("double") == float("nan"),
        col("double") < float("inf"),
        col("single") > 2.5,
        col("whole") == pl.lit(3, pl.Int8),
        pl.lit(3) < col("whole"),
        col("whole") == col("long"),
        col("whole").eq_missing(3),
        col("whole").is_in([1, 2]),
        col("text").str.len_bytes() == 3,
        col("raw").is_null(),
        col("list").is_null(),
        col("flag") ^ col("flag"),
        col("flag") & (col("text").str.len_bytes() == 3),
        col("whole"),
        col("unknown") == 3,
        (col("whole") > 3).alias("more"),
        pl.lit(True),
    ],
    ids=str,
)
def test_others_are_left_to_polars(expression: pl.Expr) -> None:
    assert condition_of(expression, SCHEMA) is None


def test_one_that_polars_writes_otherwise_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As another version might: with words that mean something else here, or none at all."""
    expression = col("whole") > 3
    other = col("whole") >= 3
    for told in (other.meta.serialize(format="json"), "{}", "[1]", "no JSON"):
        monkeypatch.setattr(
            "polars.expr.meta.ExprMetaNameSpace.serialize", lambda *_, told=told, **__: told
        )
        assert condition_of(expression, SCHEMA) is None


def test_one_that_is_nested_deep_is_read_or_left_to_polars() -> None:
    expression = col("flag")
    for _ in range(200):
        expression = ~expression & col("flag")
    found = condition_of(expression, SCHEMA)
    assert found is None or expression_of(found).meta.eq(expression)
