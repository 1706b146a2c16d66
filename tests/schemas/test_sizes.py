"""Batches are cut by bytes as well as by rows, and nothing is lost at the cuts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from freshet.schemas.sizes import cuts


@given(st.lists(st.integers(0, 20), max_size=40), st.integers(1, 7), st.integers(1, 30))
def test_spans_follow_each_other_and_are_as_long_as_they_may_be(
    sizes: list[int], most: int, most_bytes: int
) -> None:
    spans = cuts(sizes, most, most_bytes)
    assert [i for first, after in spans for i in range(first, after)] == list(range(len(sizes)))
    for first, after in spans:
        assert 1 <= after - first <= most
        assert sum(sizes[first:after]) <= most_bytes or after - first == 1
        full = after - first == most or sum(sizes[first : after + 1]) > most_bytes
        assert full or after == len(sizes)
