"""Derived fields: what may be declared, of which type they are, and that a row's value is its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import freshet as fr
from freshet.schemas.errors import DefinitionError
from freshet.schemas.topics.derivations import DERIVED_BYTES, needed, roots

FIELDS: list[dict[str, Any]] = [
    {"name": "id", "type": "string"},
    {"name": "at", "type": "long"},
    {"name": "word", "type": ["null", "string"]},
    {"name": "x", "type": ["null", "double"]},
    {
        "name": "place",
        "type": {
            "type": "record",
            "name": "place",
            "fields": [{"name": "city", "type": "string"}],
        },
    },
    {"name": "tags", "type": {"type": "array", "items": "string"}},
]
SCHEMA = {"type": "record", "name": "seen", "fields": FIELDS}


def topic(derive: Any, **declared: Any) -> fr.Topic:
    return fr.Topic("seen", SCHEMA, "id", "at", derive=derive, **declared)


def test_each_has_a_type_and_may_be_missing() -> None:
    made = topic(
        {
            "text": pl.col("word").str.strip_chars(),
            "whole": pl.col("text").str.len_chars(),
            "number": pl.col("x") / pl.col("whole"),
            "truth": pl.col("number") > 1,
            "city": pl.col("place.city").str.to_lowercase(),
            "tagged": pl.col("tags").list.contains("new"),
            "hour": fr.hour("at"),
        }
    )
    found = {field.name: field.type for field in made.all_fields.fields[-7:]}
    assert found == {
        "text": "string",
        "whole": "long",
        "number": "double",
        "truth": "boolean",
        "city": "string",
        "tagged": "boolean",
        "hour": "long",
    }
    assert all(made.all_fields[name].nullable for name in found)
    assert made["truth"].categorical
    assert not made["hour"].categorical
    assert len(made.events.fields) == 6
    assert roots(made.derivations)["truth"] == ("word", "x")
    read = [derivation.field.name for derivation in needed(made.derivations, ["truth", "id"])]
    assert read == ["text", "whole", "number", "truth"]


@pytest.mark.parametrize(
    ("derive", "why"),
    [
        ({"x": pl.col("word")}, "derive['x']: is a field already"),
        ({"place": pl.col("word")}, "derive['place']: is a record already"),
        ({"a b": pl.col("word")}, "derive['a b']: is no name of a field"),
        ({"a": pl.col("wrd")}, "derive['a']: reads unknown field 'wrd'"),
        ({"a": pl.col("b"), "b": pl.col("x")}, "derive['a']: reads unknown field 'b'"),
        ({"a": pl.col("place")}, "reads 'place', which is made of fields. Read one of them: plac"),
        ({"a": "word"}, "derive['a']: 'word' is no expression over fields"),
        ({"a": pl.lit(1)}, "derive['a']: reads no field"),
        ({"a": pl.col("tags")}, "gives List(String). Let it be a text, a number, or true or false"),
        ({"a": pl.from_epoch("at")}, "Take a part of it, such as fr.hour"),
        ({"a": pl.col("x").str.to_lowercase()}, "Check its types against the schema"),
        ([pl.col("x")], "is of type list"),
    ],
)
def test_what_cannot_be_is_refused_by_name(derive: Any, why: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        topic(derive)
    assert why in str(refused.value)


@pytest.mark.parametrize(
    "declared",
    [{"source": "a"}, {"impute": {"a": fr.impute.constant("?")}}],
)
def test_what_comes_before_names_no_derived_field(declared: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match="'a' is derived, which is done after"):
        topic({"a": pl.col("word").str.to_lowercase()}, **declared)


@pytest.mark.parametrize(
    "expression",
    [
        pl.col("x").mean(),
        pl.col("x") > pl.col("x").mean(),
        pl.col("word").hash(),
        pl.col("x").shift(),
    ],
)
def test_what_looks_around_is_refused_with_the_app(expression: pl.Expr) -> None:
    made = topic({"a": expression})
    with pytest.raises(DefinitionError, match=r"topic seen: derive\['a'\].* not row-wise"):
        fr.App("app", topics=[made])


def test_another_definition_is_another_topic_and_none_is_as_it_was() -> None:
    plain = topic({})
    lower = topic({"a": pl.col("word").str.to_lowercase()})
    upper = topic({"a": pl.col("word").str.to_uppercase()})
    assert plain.digest == fr.Topic("seen", SCHEMA, "id", "at").digest
    assert len({made.digest for made in (plain, lower, upper)}) == 3
    assert lower.facts["derive a"].startswith('col("word").str.to_lowercase()')
    assert replace(lower, owner="me").digest == lower.digest


def test_what_is_no_number_and_a_text_without_end_are_missing() -> None:
    made = topic({"log": pl.col("x").log(), "word2": pl.col("word") + "x"})
    log, word = made.derivations
    assert log.compute(pl.DataFrame({"x": [1.0, 0.0, -1.0, None]})).to_list() == [0.0] + [None] * 3
    longest = "x" * (DERIVED_BYTES - 1)
    found = word.compute(pl.DataFrame({"word": [longest, longest + "x", "ä", None]})).to_list()
    assert found == [longest + "x", None, "äx", None]


@settings(deadline=None)
@given(st.lists(st.sampled_from(["1", "2.5", "x", "", None])), st.integers(0, 9))
def test_a_row_that_fails_is_missing_and_its_neighbours_are_what_they_are(
    words: list[str | None], at: int
) -> None:
    (derivation,) = topic({"n": pl.col("word").cast(pl.Float64)}).derivations
    expected = [{"1": 1.0, "2.5": 2.5}.get(word or "") for word in words]
    frame = pl.DataFrame({"word": words}, {"word": pl.String})
    assert derivation.compute(frame).to_list() == expected
    parts = [derivation.compute(frame[:at]), derivation.compute(frame[at:])]
    assert pl.concat(parts).to_list() == expected
