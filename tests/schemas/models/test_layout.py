"""A row's columns by name and meaning: a reader gets its own of whatever was written, and is told
which it lacks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freshet.schemas.errors import SchemaError
from freshet.schemas.models.layout import STAMPS, Layout
from freshet.schemas.models.tasks import Classes, Regression
from freshet.schemas.models.vectors import VectorSchema

OWN = Layout.of(VectorSchema(("shop", "hour"), ("price", "shops.n", "shops.late")))
NAMES = st.sampled_from([f"f{i}" for i in range(6)])


def rows_of(layout: Layout, count: int = 4) -> npt.NDArray[np.void]:
    """Of which each value follows from its column's name and its row."""
    rows = np.zeros(count, layout.dtype)
    for field, names in (("categories", layout.categories), ("numbers", layout.numbers)):
        for i, name in enumerate(names):
            rows[field][:, i] = [_value(field, name, row) for row in range(count)]
    for name, _, size in layout.stamps:
        for row in range(count):
            rows[name][row] = (
                np.full(size, _value("stamp", name, row))
                if size > 1
                else _value("stamp", name, row)
            )
    return rows


def _value(field: str, name: str, row: int) -> int:
    return sum(map(ord, field + name)) * 100 + row


@st.composite
def layouts(draw: st.DrawFn) -> tuple[Layout, Layout]:
    """One, and another that has at least its columns, in any order."""
    categories = draw(st.lists(NAMES, unique=True))
    numbers = draw(st.lists(NAMES, unique=True))
    more = [f"g{i}" for i in range(draw(st.integers(0, 3)))]
    wide = Layout(
        tuple(draw(st.permutations([*categories, *more]))),
        tuple(draw(st.permutations([*numbers, *more]))),
        tuple(draw(st.permutations([*STAMPS, ("arm", "<i4", 1)]))),
    )
    return Layout(tuple(categories), tuple(numbers)), wide


@given(layouts())
def test_a_reader_gets_its_columns_of_rows_that_hold_more_in_any_order(
    both: tuple[Layout, Layout],
) -> None:
    narrow, wide = both
    assert narrow.taken(rows_of(wide), Layout.parse(wide.text)).tobytes() == (
        rows_of(narrow).tobytes()
    )
    assert wide.lacking(narrow)[-1] == "arm"


def test_rows_of_the_readers_own_layout_are_not_copied() -> None:
    rows = rows_of(OWN)
    assert OWN.taken(rows, Layout.parse(OWN.text)) is rows


@pytest.mark.parametrize(
    ("written", "lacks"),
    [
        (replace(OWN, stamps=STAMPS[1:]), "request"),
        (replace(OWN, stamps=(("request", "<u8", 1), *STAMPS[1:])), "request"),
    ],
)
def test_rows_that_lack_a_stamp_are_refused_and_nothing_stands_in_for_it(
    written: Layout, lacks: str
) -> None:
    with pytest.raises(SchemaError, match=f"lack {lacks}"):
        OWN.taken(rows_of(written), written)


def meaning(*meanings: str) -> Layout:
    return replace(OWN, meanings=meanings)


@pytest.mark.parametrize(
    ("written", "lacks"),
    [
        (replace(OWN, categories=("shop",)), ["hour"]),
        (replace(OWN, numbers=("shops.n", "price")), ["shops.late"]),
        (replace(OWN, categories=("shop",), numbers=(*OWN.numbers, "hour")), ["hour"]),
        (meaning("", "", "", "another", ""), ["shops.n"]),
        (meaning("", "another", "", "", "another"), ["hour", "shops.late"]),
        (Layout((), ()), ["shop", "hour", "price", "shops.n", "shops.late"]),
    ],
)
def test_a_column_that_was_not_logged_or_meant_something_else_is_missing(
    written: Layout, lacks: list[str]
) -> None:
    """And no column that stands there is taken for it."""
    assert OWN.lacking(written) == tuple(lacks)
    found = OWN.taken(rows_of(written), written)
    whole = rows_of(OWN)
    for i, name in enumerate(OWN.categories):
        expected = np.zeros(4) if name in lacks else whole["categories"][:, i]
        assert found["categories"][:, i].tolist() == expected.tolist()
    for i, name in enumerate(OWN.numbers):
        if name in lacks:
            assert np.isnan(found["numbers"][:, i]).all()
        else:
            assert found["numbers"][:, i].tolist() == whole["numbers"][:, i].tolist()
    assert all((found[stamp] == whole[stamp]).all() for stamp, _, _ in STAMPS)


def test_a_layout_is_named_by_its_content() -> None:
    others = [
        replace(OWN, categories=("hour", "shop")),
        replace(OWN, numbers=OWN.numbers[:2]),
        replace(OWN, stamps=STAMPS[:-1]),
        meaning("", "", "", "another", ""),
    ]
    assert len({layout.id for layout in [OWN, *others]}) == 5
    assert all(Layout.parse(layout.text) == layout for layout in others)
    assert Layout.parse(OWN.text) == OWN
    assert Layout.parse(OWN.text).id == OWN.id


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b'{"categories": [], "numbers": []}',
        b'{"categories": [1], "numbers": [], "stamps": []}',
        b'{"categories": [], "numbers": [], "stamps": [["p", "<f8", 0]]}',
        b'{"categories": [], "numbers": [], "stamps": [["p", "O", 1]]}',
        b'{"categories": [], "numbers": [], "stamps": [["p", "<f8", 1000000000]]}',
        b'{"categories": [], "numbers": [], "stamps": [["p", "<f8", 1], ["p", "<i8", 1]]}',
        b'{"categories": [], "numbers": [], "stamps": [["numbers", "<f8", 1]]}',
        b'{"categories": ["a"], "numbers": [], "stamps": [], "meanings": ["b", "c"]}',
    ],
)
def test_what_is_no_layout_is_a_schema_error(text: bytes) -> None:
    with pytest.raises(SchemaError, match="layout of a block"):
        Layout.parse(text)


def test_an_answer_of_classes_has_a_probability_of_each_and_of_others_one() -> None:
    schema = VectorSchema(("shop",), ("price",))
    of_three = Layout.of(replace(schema, task=Classes(["a", "b", "c"])))
    of_two = Layout.of(replace(schema, task=Classes(["a", "b"])))
    number = Layout.of(replace(schema, task=Regression()))
    binary = Layout.of(schema)
    assert of_three.dtype["p"].shape == (3,)
    assert number == binary == Layout(("shop",), ("price",))
    # Of another width nothing can be read: nothing stands in for a probability.
    assert of_three.lacking(of_two) == of_two.lacking(binary) == ("p",)
    assert Layout.parse(of_three.text) == of_three
    rows = rows_of(of_three)
    assert of_three.taken(rows, of_three)["p"].tolist() == rows["p"].tolist()
