"""Which expressions are row-wise: every kind that looks at other rows, or at the process, is
refused in words that help."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable

import numpy as np
import polars as pl
import polars.selectors as cs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import freshet as fr
from freshet.schemas.errors import DefinitionError
from freshet.schemas.events.schema import EventSchema
from freshet.streams.intake import expressions
from freshet.streams.intake.expressions import check_row_wise, fields_of, tried_before

SCHEMA = EventSchema.parse(
    {
        "type": "record",
        "name": "event",
        "fields": [
            {"name": "a", "type": ["null", "double"]},
            {"name": "b", "type": "double"},
            {"name": "n", "type": ["null", "int"]},
            {"name": "at", "type": "long"},
            {"name": "when", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            {"name": "s", "type": ["null", "string"]},
            {"name": "t", "type": "string"},
            {"name": "late", "type": "boolean"},
            {
                "name": "gate",
                "type": ["null", {"type": "enum", "name": "Gate", "symbols": ["A", "B"]}],
            },
            {"name": "tags", "type": {"type": "array", "items": ["null", "string"]}},
            {"name": "more", "type": ["null", {"type": "map", "values": "double"}]},
            {
                "name": "price",
                "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
            },
            {"name": "raw", "type": {"type": "fixed", "name": "Four", "size": 4}},
            {
                "name": "place",
                "type": [
                    "null",
                    {
                        "type": "record",
                        "name": "Place",
                        "fields": [{"name": "city", "type": "string"}],
                    },
                ],
            },
        ],
    },
    "event",
)
a, b, n, at, when, s, t, late = map(pl.col, ("a", "b", "n", "at", "when", "s", "t", "late"))
tags = pl.col("tags")
values_of_more = pl.col("more").list.eval(pl.element().struct.field("value"))
WHERE = "topic landings: drop['odd']"


def _odd(x: float) -> bool:
    return f"{x}".endswith("1")


REFUSED: dict[str, Callable[[], pl.Expr]] = {
    "above the mean": lambda: a > a.mean(),
    "sum": lambda: a > a.sum(),
    "min": lambda: a > a.min(),
    "median": lambda: a > a.median(),
    "quantile": lambda: a > a.quantile(0.5),
    "product": lambda: a > a.product(),
    "first": lambda: a > a.first(),
    "last": lambda: a == a.last(),
    "count": lambda: a.count() > a,
    "len": lambda: pl.len() > a,
    "n_unique": lambda: s.n_unique() > a,
    "any": lambda: late & late.any(),
    "corr": lambda: a > pl.corr("a", "b"),
    "has_nulls": lambda: late & a.has_nulls(),
    "an aggregate in a branch": lambda: pl.when(late).then(a.max()).otherwise(b) > 1,
    "an aggregate as a bound": lambda: a.is_between(b.min(), b.max()),
    "an aggregate for gaps": lambda: a.fill_null(a.mean()) > 1,
    "over": lambda: a > a.mean().over("s"),
    "rank over": lambda: a.rank().over("s") > 1,
    "shift": lambda: a > a.shift(1),
    "diff": lambda: a.diff() > 0,
    "pct_change": lambda: a.pct_change() > 0,
    "cum_sum": lambda: a.cum_sum() > 1,
    "cum_count": lambda: a.cum_count() > 1,
    "cumulative_eval": lambda: a.cumulative_eval(pl.element().sum()) > 1,
    "rank": lambda: a.rank() > 3,
    "sort": lambda: a.sort() > 1,
    "sort_by": lambda: a.sort_by("b") > 1,
    "arg_sort": lambda: a.arg_sort() > 1,
    "reverse": lambda: a.reverse() > 1,
    "shuffle": lambda: a.shuffle(seed=1) > 1,
    "sample": lambda: a.sample(fraction=1.0, seed=1) > 1,
    "gather": lambda: a > a.get(0),
    "head": lambda: a.head(3) > 1,
    "filter": lambda: a.filter(b > 1) > 1,
    "unique": lambda: s.unique() == "a",
    "is_unique": lambda: s.is_unique(),
    "is_duplicated": lambda: s.is_duplicated(),
    "is_first_distinct": lambda: s.is_first_distinct(),
    "forward_fill": lambda: a.forward_fill() > 1,
    "fill_null by strategy": lambda: a.fill_null(strategy="mean") > 1,
    "interpolate": lambda: a.interpolate() > 1,
    "rolling": lambda: a.rolling_mean(3) > 1,
    "rolling by time": lambda: a.rolling_mean_by("at", "5i") > 1,
    "ewm": lambda: a.ewm_mean(alpha=0.5) > 1,
    "rle": lambda: s.rle_id() > 1,
    "peaks": lambda: b.peak_max(),
    "is_in of itself": lambda: a.is_in(b.implode()),
    "int_range": lambda: pl.int_range(pl.len()) > a,
    "value_counts": lambda: s.value_counts(),
    "hash": lambda: s.hash() % 2 == 0,
    "python, a row at a time": lambda: a.map_elements(_odd, return_dtype=pl.Boolean),
    "python, a batch at a time": lambda: a.map_batches(lambda x: x > 1, return_dtype=pl.Boolean),
    "python over columns": lambda: pl.map_batches(
        [a, b], lambda x: x[0] > x[1], return_dtype=pl.Boolean
    ),
    "codes of categories": lambda: s.cast(pl.Categorical).to_physical() > 1,
    "order of categories": lambda: s.cast(pl.Categorical) > "JFK",
    "texts joined": lambda: s == s.str.join(),
    "a guessed time format": lambda: s.str.to_datetime(strict=False).is_null(),
    "a guessed date format": lambda: s.str.to_date(strict=False).is_null(),
    "the lists themselves, counted": lambda: tags.len() > 2,
    "an event for each item": lambda: tags.explode() == "a",
    "an item at random": lambda: tags.list.sample(1).list.len() > 0,
    "hashes of items": lambda: tags.list.eval(pl.element().hash()).list.len() > 1,
    "python over items": lambda: tags.list.eval(pl.element().map_elements(len)).list.sum() > 1,
    "one value for all": lambda: pl.lit(True),
    "a series": lambda: pl.lit(pl.Series([True] * 97)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_looks_at_other_rows_or_the_process_is_refused(name: str) -> None:
    with pytest.raises(DefinitionError, match="is not row-wise") as caught:
        check_row_wise(REFUSED[name](), SCHEMA, WHERE, true_or_false=True)
    assert caught.value.resource == WHERE
    assert "each row's value depend on that row alone" in caught.value.next_step


ACCEPTED: dict[str, pl.Expr] = {
    "a field by its path": (pl.col("place.city") == "Bonn") | pl.col("place.city").is_null(),
    "how many items": (tags.list.len() > 2) | (pl.col("more").list.len() == 0),
    "whether there is an item": tags.list.contains("a") | tags.list.first().is_null(),
    "items together": (values_of_more.list.sum() > 1) | (tags.list.n_unique() > 1),
    "items in order": (tags.list.sort().list.get(0, null_on_oob=True) == "a")
    | (tags.list.reverse().list.join("") == "aa"),
    "items by items": tags.list.eval(pl.element().rank()).list.len() > 1,
    "items that pass": tags.list.filter(pl.element() == "a").list.len() > 0,
    "decimals": (pl.col("price") > 10) | (pl.col("price") * 2 < 1),
    "bytes": (pl.col("raw").bin.size() > 3) | (pl.col("raw") == b"abcd"),
    "comparison": a > 15,
    "arithmetic": (a * 2 - b / 3) ** 2 > n % 7,
    "logic": (a > 1) & (b < 2) | ~late ^ (n == 1),
    "gaps": a.is_null() | s.is_not_null() | (a.fill_null(b) > 1) | (pl.coalesce("a", "b") > 1),
    "between": a.is_between(0, 10) | s.is_in(["JFK", "a"]),
    "branches": pl.when(a > 0).then(b).otherwise(1.0) > 0,
    "across columns": (pl.max_horizontal("a", "b") > 1)
    & (pl.sum_horizontal("a", "b") > 1)
    & (pl.mean_horizontal("a", "b") > 1),
    "any and all across columns": pl.any_horizontal(a > 1, b > 1) | pl.all_horizontal(a > 1, b > 1),
    "rounding": (a.round(1) > 1) | (a.floor() > a.ceil()) | (a.clip(0, 10).abs().sqrt() > 1),
    "functions": (a.log() > 1) | (b.exp() > 1) | b.is_nan() | b.is_finite() | (b.sign() > 0),
    "casts": n.cast(pl.Float64) > a.cast(pl.Float32),
    "text tests": s.str.starts_with("J")
    | s.str.contains("F")
    | s.str.contains_any(["K"])
    | (s.str.len_chars() > 2),
    "text changes": (s.str.to_lowercase() == "jfk")
    | (s.str.replace("J", "j") == "x")
    | (s.str.strip_chars() == "a"),
    "parts of texts": (s.str.slice(0, 2) == "JF")
    | (s.str.head(1) == "J")
    | (s.str.reverse() == "KFJ"),
    "texts together": pl.concat_str(["t", "t"]) == "aa",
    "lists in a row": (s.str.split("F").list.len() > 1) | (pl.concat_list("a", "b").list.max() > 1),
    "times": (when.cast(pl.Datetime("ms")).dt.hour() > 6)
    | (pl.from_epoch("when", "ms").dt.weekday() > 5),
    "times as texts": when.cast(pl.Datetime("ms")).dt.strftime("%H") == "07",
    "a given time format": s.str.to_date("%Y-%m-%d", strict=False).is_not_null(),
    "a table": s.replace_strict({"JFK": 1.0}, default=0.0, return_dtype=pl.Float64) > 0,
    "an enum's symbol": pl.col("gate") == "A",
    "names that mean nothing here": ((s == "Hash") | (t == "Rank")).alias("Shift"),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_depends_on_its_own_row_is_accepted(name: str) -> None:
    check_row_wise(ACCEPTED[name], SCHEMA, WHERE, true_or_false=True)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(list(ACCEPTED)), st.lists(st.integers(1, 96), max_size=9), st.integers(0, 1000)
)
def test_what_is_accepted_gives_the_same_in_any_cuts(name: str, cuts: list[int], seed: int) -> None:
    frame = expressions._made_up(
        SCHEMA, [f.name for f in SCHEMA.fields], np.random.default_rng(seed)
    )
    whole = frame.select(ACCEPTED[name].alias("x"))["x"]
    edges = sorted({0, *cuts, len(frame)})
    parts = [
        frame.slice(i, j - i).select(ACCEPTED[name].alias("x"))["x"]
        for i, j in itertools.pairwise(edges)
    ]
    assert pl.concat(parts).equals(whole, null_equal=True)


def test_the_refusal_names_place_expression_and_next_step() -> None:
    with pytest.raises(DefinitionError) as caught:
        check_row_wise(a > a.mean(), SCHEMA, WHERE)
    assert str(caught.value) == (
        "definition topic landings: drop['odd']: "
        '[(col("a")) > (col("a").mean())] is not row-wise: it uses an aggregate. '
        "Let each row's value depend on that row alone; compare with a constant, or declare a view feature."
    )


def test_polars_own_answer_would_not_do() -> None:
    """The trap that this file exists for; if Polars mends it, the file may become shorter."""
    frame = pl.DataFrame({"a": [1.0, 2.0, 9.0]})
    above = a > a.mean()
    assert frame.select(above)["a"].to_list() != [
        x for i in range(3) for x in frame.slice(i, 1).select(above)["a"]
    ]


@pytest.mark.parametrize(
    "rule",
    [pl.all() > 1, cs.numeric() > 1, pl.col("^a.*$") > 1, pl.first() > 1, cs.string() == "a"],
)
def test_fields_chosen_by_a_rule_are_refused(rule: pl.Expr) -> None:
    with pytest.raises(DefinitionError, match="chooses fields by a rule") as caught:
        check_row_wise(pl.any_horizontal(rule), SCHEMA, WHERE)
    assert "Name each of them" in caught.value.next_step


def test_an_unknown_field_is_named_beside_the_known_ones() -> None:
    with pytest.raises(
        DefinitionError,
        match=r"reads unknown field 'zzz'. The fields are a, b, n, at, when, s, t, late, gate",
    ):
        check_row_wise(pl.col("zzz") > 1, SCHEMA, WHERE)


def test_what_does_not_fit_the_types_is_refused_with_polars_reason() -> None:
    with pytest.raises(DefinitionError, match=r"(?s)fails: .*Check its types against the schema"):
        check_row_wise(s.str.to_integer() > 1, SCHEMA, WHERE)
    with pytest.raises(DefinitionError, match="fails"):
        check_row_wise(s > 1, SCHEMA, WHERE)


def test_what_fails_only_on_rare_values_is_refused_unless_validation_keeps_them_away() -> None:
    small = EventSchema.parse(
        {
            "type": "record",
            "name": "event",
            "fields": [
                {"name": "n", "type": "int", "range": [0, 900]},
                {"name": "x", "type": "float", "range": [-1.5, 1]},
                {"name": "code", "type": "string", "domain": ["7", "12"]},
            ],
        },
        "event",
    )
    for narrow in (n.cast(pl.Int16) > 1, at.cast(pl.Int32) > 1, b.cast(pl.Int64) > 1):
        with pytest.raises(DefinitionError, match="fails"):
            check_row_wise(narrow, SCHEMA, WHERE)
    check_row_wise((n.cast(pl.Int16) > 1) | (pl.col("x").cast(pl.Int8) > 0), small, WHERE)
    check_row_wise(pl.col("code").str.to_integer() > 9, small, WHERE)


def test_where_they_were_tried_before_rows_are_not_made_up_again_and_all_else_is_checked() -> None:
    fails = at.cast(pl.Int32) > 1
    with tried_before():
        check_row_wise(fails, SCHEMA, WHERE)
        with pytest.raises(DefinitionError, match="unknown field"):
            check_row_wise(pl.col("zzz") > 1, SCHEMA, WHERE)
        with pytest.raises(DefinitionError, match="aggregate"):
            check_row_wise(a > a.mean(), SCHEMA, WHERE)
    with pytest.raises(DefinitionError, match="fails"):
        check_row_wise(fails, SCHEMA, WHERE)


def test_a_label_is_true_or_false_or_1_or_0() -> None:
    fields = [
        {"name": "n", "type": ["null", "int"], "range": [0, 1]},
        {"name": "m", "type": "int", "range": [0, 2]},
        {"name": "x", "type": "double", "range": [0, 1]},
        {"name": "s", "type": "string", "domain": ["yes", "no"]},
    ]
    schema = EventSchema.parse({"type": "record", "name": "event", "fields": fields}, "event")
    n, m, x, text = (pl.col(name) for name in "nmxs")
    for sound in (
        n,
        n == 1,
        x > 0.5,
        (x > 0.5).cast(pl.Int8),
        (m > 1).cast(pl.Float64),
        text == "yes",
    ):
        check_row_wise(sound, schema, WHERE, label=fr.Binary())
    for wrong, gives in (
        (m, "Int32"),
        (x, "Float64"),
        (n * 2, "Int32"),
        (n - 1, "Int32"),
        (text, "String"),
    ):
        with pytest.raises(
            DefinitionError,
            match=f"gives {gives}, and a label is true or false. Ask for one outcome",
        ):
            check_row_wise(wrong, schema, WHERE, label=fr.Binary())


def test_a_filter_is_true_or_false_and_another_expression_that_or_a_number() -> None:
    check_row_wise(a * 2, SCHEMA, WHERE)
    with pytest.raises(DefinitionError, match=r"gives Float64. Let it be true or false, as"):
        check_row_wise(a * 2, SCHEMA, WHERE, true_or_false=True)
    with pytest.raises(
        DefinitionError, match=r"gives String. Let it be true or false, or a number"
    ):
        check_row_wise(s, SCHEMA, WHERE)


def test_fields_are_named_once_and_in_order() -> None:
    assert fields_of((b > a) | (a > 1) | (s == "x")) == ["a", "b", "s"]


def test_a_label_is_what_its_task_says_and_a_refusal_names_the_next_step() -> None:
    classes = fr.Classes(["A", "B"])
    sound = [
        (pl.col("t"), classes),
        (pl.col("gate"), classes),
        (pl.col("n"), classes),
        (pl.col("late"), classes),
        (pl.col("a"), fr.Regression()),
        (pl.col("n"), fr.Regression()),
    ]
    for expression, task in sound:
        check_row_wise(expression, SCHEMA, WHERE, label=task)
    wrong = [
        (pl.col("a"), classes, "an amount is task=fr.Regression()"),
        (pl.col("late"), fr.Regression(), "a number. Declare task=fr.Binary()"),
        (pl.col("t"), fr.Regression(), "a number. Declare task=fr.Classes"),
        (pl.col("a"), fr.Binary(), "true or false. .*an amount is task=fr.Regression()"),
        (pl.col("t"), fr.Binary(), "one of several values task=fr.Classes"),
    ]
    for expression, task, told in wrong:
        with pytest.raises(DefinitionError, match=re.escape(told).replace(r"\.\*", ".*")):
            check_row_wise(expression, SCHEMA, WHERE, label=task)
