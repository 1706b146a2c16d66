"""How far values have moved: measures by their formulas, in bins that both are put into."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.streams.sketches.comparison import MISSING, REST, compared
from freshet.streams.sketches.sketch import Sketch
from tests.streams.sketches.test_sketch import of_numbers, of_words

untimed = settings(deadline=None, max_examples=60)
VALUES = st.lists(st.integers(-30, 30).map(float), min_size=1, max_size=80)


@untimed
@given(VALUES, VALUES)
def test_every_event_is_in_one_bin(now: list[float], reference: list[float]) -> None:
    found = compared(of_numbers(now, len(now) + 2), of_numbers(reference, len(reference) + 3))
    assert found is not None
    assert found.now == len(now) + 2
    assert found.reference == len(reference) + 3
    assert len(found.bins) <= 13  # ten of the reference, those outside of it, and what is missing
    assert 0.0 <= found.jensen_shannon <= 1.0
    assert 0.0 <= found.largest <= 1.0
    assert found.psi >= 0.0


@untimed
@given(VALUES)
def test_the_same_has_not_moved(values: list[float]) -> None:
    found = compared(of_numbers(values), of_numbers(values))
    assert found is not None
    assert found.jensen_shannon == found.largest == found.psi == 0.0


def test_what_lies_elsewhere_has_moved_as_far_as_can_be() -> None:
    found = compared(of_numbers([100.0] * 50), of_numbers([1.0] * 50))
    assert found is not None
    assert found.jensen_shannon == found.largest == 1.0
    assert found.psi > 5
    assert found.most_moved in found.bins


def test_measures_are_those_of_the_formulas() -> None:
    found = compared(of_words(["a"] * 30 + ["b"] * 10), of_words(["a"] * 10 + ["b"] * 10))
    assert found is not None
    p = (0.75, 0.25)
    q = (0.5, 0.5)
    middle = [(a + b) / 2 for a, b in zip(p, q)]
    divergence = sum((x * math.log2(x / m)) / 2 for side in (p, q) for x, m in zip(side, middle))
    assert found.jensen_shannon == pytest.approx(math.sqrt(divergence))
    assert found.largest == pytest.approx(0.25)
    smooth = ((30.5 / 41, 10.5 / 21), (10.5 / 41, 10.5 / 21))
    assert found.psi == pytest.approx(sum((a - b) * math.log(a / b) for a, b in smooth))


def test_what_is_missing_more_often_has_moved() -> None:
    found = compared(of_numbers([1.0] * 10, rows=40), of_numbers([1.0] * 40))
    assert found is not None
    assert {each.now for each in found.bins if each.name == MISSING} == {30}
    assert found.largest == 0.75


def test_a_new_text_has_a_bin_of_its_own() -> None:
    usual = [str(i) for i in range(40)]
    found = compared(of_words(["new"] * 50), of_words(usual))
    assert found is not None
    assert found.most_moved.name == "new"


def test_texts_that_are_few_share_a_bin() -> None:
    found = compared(of_words([str(i) for i in range(30)]), of_words([str(i) for i in range(30)]))
    assert found is not None
    assert [each.now for each in found.bins if each.name == REST] == [21]


def test_a_source_without_events_is_compared_with_nothing() -> None:
    assert compared(Sketch(), of_numbers([1.0])) is None
    assert compared(of_numbers([1.0]), Sketch()) is None


def test_what_is_only_counted_is_compared_by_presence() -> None:
    found = compared(Sketch(10, 5), Sketch(10, 10))
    assert found is not None
    assert found.largest == 0.5


def test_texts_are_compared_with_numbers_by_presence() -> None:
    found = compared(of_words(["a"] * 5), of_numbers([1.0] * 5, rows=10))
    assert found is not None
    assert found.largest == 0.5
