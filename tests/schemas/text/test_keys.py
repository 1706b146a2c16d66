"""The encoding of keys: from each text its values can be told, and the kernels write what the plain
way writes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.schemas.text import keys
from freshet.schemas.text.columns import Texts

untimed = settings(deadline=None)
AWKWARD = [
    "",
    "|",
    "\\",
    "\\N",
    "\\\\N",
    "N",
    "a|b",
    "b|c",
    "|\\",
    "\x1f",
    "\0",
    "ü|日本\\",
    "x" * 90,
]
PART = (
    st.none()
    | st.sampled_from(AWKWARD)
    | st.text(alphabet="|\\Na\n", max_size=6)
    | st.text(max_size=12)
)


@untimed
@given(st.lists(PART, min_size=1, max_size=4))
def test_the_values_of_a_key_can_be_told_from_its_text(parts: list[str | None]) -> None:
    assert keys.parts_of(keys.key_of(parts)) == parts


@untimed
@given(
    st.integers(1, 4).flatmap(lambda n: st.tuples(*[st.lists(PART, min_size=n, max_size=n)] * 2))
)
def test_keys_share_a_text_only_if_they_are_the_same(
    two: tuple[list[str | None], list[str | None]],
) -> None:
    assert (keys.key_of(two[0]) == keys.key_of(two[1])) == (two[0] == two[1])


@untimed
@given(
    st.integers(1, 4).flatmap(lambda n: st.lists(st.tuples(*[PART] * n), min_size=1, max_size=20))
)
def test_columns_are_joined_as_rows_are_one_by_one(rows: list[tuple[str | None, ...]]) -> None:
    made = keys.joined([Texts.of(list(column)) for column in zip(*rows)])
    assert made.valid.all()
    assert made.to_arrow().to_pylist() == [keys.key_of(row) for row in rows]
    columns = [keys.escaped(list(column)) for column in zip(*rows)]
    assert list(keys.keys_of(columns)) == [keys.key_of(row) for row in rows]


@untimed
@given(st.lists(PART, max_size=9), st.lists(st.integers(0, 8), max_size=12))
def test_rows_taken_from_a_wider_column_are_joined_alike(
    words: list[str | None], places: list[int]
) -> None:
    rows = np.array([p % len(words) for p in places] if words else [], np.int64)
    made = keys.joined([Texts.of(words).take(rows)] * 2)
    assert made.to_arrow().to_pylist() == [keys.key_of([words[i], words[i]]) for i in rows]


@untimed
@given(
    st.integers(1, 4).flatmap(
        lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[PART] * n), max_size=20))
    )
)
def test_keys_are_taken_apart_as_they_are_one_by_one(
    case: tuple[int, list[tuple[str | None, ...]]],
) -> None:
    values, rows = case
    written = [keys.key_of(row) for row in rows]
    found = keys.taken_apart(Texts.of(written), values)
    columns = [column.to_arrow().to_pylist() for column in found]
    assert [list(row) for row in zip(*columns)] == [keys.parts_of(text) for text in written]


def test_one_column_without_anything_to_escape_is_not_copied() -> None:
    column = Texts.of(["JFK", "", "日本"])
    assert keys.joined([column]).data is column.data


def test_the_cases_that_once_shared_a_row_do_not() -> None:
    assert keys.key_of(["a|b", "c"]) != keys.key_of(["a", "b|c"])
    assert keys.key_of([None]) != keys.key_of([""])
    assert keys.key_of(["\\N"]) != keys.key_of([None])


def test_encoded_keys_are_what_they_have_always_been() -> None:
    """Stores and logs hold them: they change only with `ENCODING`."""
    assert keys.ENCODING == 2
    assert keys.key_of(["a|b", "c", None, "\\", ""]) == "a\\|b|c|\\N|\\\\|"


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        ("Ab |", keys.TEXT, "Ab |"),
        ("", keys.TEXT, ""),
        (0, keys.WHOLE, "0"),
        (-(1 << 63), keys.WHOLE, "-9223372036854775808"),
        ((1 << 63) - 1, keys.WHOLE, "9223372036854775807"),
        ("9007199254740993", keys.WHOLE, "9007199254740993"),
        ("+007", keys.WHOLE, "7"),
        ("-0", keys.WHOLE, "0"),
        (True, keys.BOOLEAN, "true"),
        ("false", keys.BOOLEAN, "false"),
        ("00112233-4455-6677-8899-AABBCCDDEEFF", keys.UUID, "00112233-4455-6677-8899-aabbccddeeff"),
        (None, keys.WHOLE, None),
        (None, keys.TEXT, None),
    ],
)
def test_a_value_has_one_text_however_it_came(value: Any, kind: str, text: str | None) -> None:
    assert keys.canonical(value, kind) == text


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (7, keys.TEXT),
        (True, keys.WHOLE),
        (7.0, keys.WHOLE),
        ("7.0", keys.WHOLE),
        (" 7", keys.WHOLE),
        ("7\n", keys.WHOLE),
        ("٧", keys.WHOLE),
        ("", keys.WHOLE),
        (1 << 63, keys.WHOLE),
        ("9" * 5000, keys.WHOLE),
        (1, keys.BOOLEAN),
        ("True", keys.BOOLEAN),
        ("00112233445566778899aabbccddeeff", keys.UUID),
        ("00112233-4455-6677-8899-aabbccddeeff\n", keys.UUID),
        (b"a", keys.TEXT),
    ],
)
def test_what_is_no_value_of_the_kind_is_refused(value: Any, kind: str) -> None:
    with pytest.raises(ValueError, match=f"is no {kind}"):
        keys.canonical(value, kind)
