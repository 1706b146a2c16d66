"""How fine sketches are: what is declared, and no finer than that needs."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freshet.features.sketches.scales import bits_of, edges_of, middles_of, parts_of


@given(st.floats(0.001, 0.25))
def test_parts_are_as_few_as_the_error_allows(error: float) -> None:
    parts = parts_of(error)
    for cut, holds in ((parts, True), (parts - 1, False)):
        if cut > 0:
            ratio = 2.0 ** (1 / cut)
            assert ((ratio - 1) / (ratio + 1) <= error * (1 + 1e-12)) is holds


@pytest.mark.parametrize("parts", [2, 35, 347])
def test_values_are_as_far_from_one_edge_as_from_the_other(parts: int) -> None:
    edges = edges_of(parts)
    middles = middles_of(parts)
    assert (edges[0], edges[-1]) == (0.5, 1.0)
    for at in range(parts):
        low, middle, high = float(edges[at]), float(middles[at]), float(edges[at + 1])
        assert low < middle < high
        assert (middle - low) / low == pytest.approx((high - middle) / high, rel=1e-9)


@pytest.mark.parametrize(("error", "bits"), [(0.25, 5), (0.05, 9), (0.02, 12), (0.01, 14)])
def test_registers_are_as_few_as_the_standard_error_allows(error: float, bits: int) -> None:
    assert bits_of(error) == bits
    assert 1.04 / math.sqrt(1 << bits) <= error
