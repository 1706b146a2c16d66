"""How fine the tiles of windows are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freshet.features import aggregates as fr
from freshet.features.rows.rings import Ring, rings_of, tile_of


@pytest.mark.parametrize(
    ("over", "width_ms", "tiles"),
    [
        ("10m", 18_750, 32),
        ("1h", 112_500, 32),
        ("30d", 81_000_000, 32),
        ("1s", 40, 25),
        ("7ms", 1, 7),
        ("1ms", 1, 1),
        ("1009ms", 31, 32),
    ],
)
def test_a_window_has_as_many_of_32_tiles_as_divide_it(
    over: str, width_ms: int, tiles: int
) -> None:
    assert tile_of("n", fr.count(over=over), None) == Ring(width_ms, tiles)


@given(st.integers(1, 10**11))
def test_tiles_of_its_own_cover_a_window_but_for_less_than_one_of_them(over_ms: int) -> None:
    ring = tile_of("n", fr.count(over=f"{over_ms}ms"), None)
    assert 0 <= over_ms - ring.tiles * ring.width_ms < ring.width_ms
    assert ring.tiles >= min(over_ms, 16)
    assert ring.tiles < 64, "a bitmap of one word"


def test_windows_of_one_width_share_a_ring_and_others_have_their_own() -> None:
    windows: dict[str, fr.Aggregate] = {
        "short": fr.count(over="1h"),
        "long": fr.sum("x", over="6h"),
        "last": fr.last("x"),
    }
    assert rings_of(windows, 600_000) == (Ring(600_000, 36),)
    assert rings_of(windows, None) == (Ring(112_500, 32), Ring(675_000, 32))
    assert rings_of({"last": fr.last("x")}, None) == ()


def test_a_ring_reaches_back_from_the_tile_of_the_question() -> None:
    ring = Ring(1_000, 3)
    assert [ring.since(at) for at in (0, 999, 1_000, -1)] == [-2_000, -2_000, -1_000, -3_000]
