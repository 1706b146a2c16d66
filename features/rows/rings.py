"""How fine the tiles of windows are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from freshet.features.aggregates import Aggregate, Distribution, Window, windows_of
from freshet.schemas.durations import text_of
from freshet.schemas.errors import DefinitionError

# Of a window whose view declares no tile. At most so many, and at least half of them, whichever
# divide the window.
TILES_A_WINDOW = 32
# A bit each in every row that has tiles, and a question reads rows whole.
MAX_TILES = 1 << 16


@dataclass(frozen=True, slots=True)
class Ring:
    """The newest `tiles` tiles of `width_ms` each, which windows share whose tiles are as wide."""

    width_ms: int
    tiles: int

    def since(self, as_of_ms: int) -> int:
        """From when on events are in it as of a time: the tile of that time is one of its tiles."""
        return (as_of_ms // self.width_ms - self.tiles + 1) * self.width_ms


def tile_of(name: str, window: Window | Distribution, tile_ms: int | None) -> Ring:
    """The width of a window's tiles, and how many it is of.

    Raises `DefinitionError` for one that is not a whole number of the declared tiles, or of too
    many.
    """
    if tile_ms is None:
        return _own_tiles(window.over_ms)
    tiles, rest = divmod(window.over_ms, tile_ms)
    if rest:
        best = math.gcd(window.over_ms, tile_ms)
        raise DefinitionError(
            f"feature {name}: over={window.over!r}",
            f"is not a multiple of the tile of {text_of(tile_ms)}",
            f"Set tile={text_of(best)!r} or over={text_of((tiles + 1) * tile_ms)!r}.",
        )
    if tiles > MAX_TILES:
        raise DefinitionError(
            f"feature {name}: over={window.over!r}",
            f"is {tiles} tiles of {text_of(tile_ms)}, more than {MAX_TILES}",
            "Set a longer tile, or none, which gives each window tiles of its own.",
        )
    return Ring(tile_ms, tiles)


def rings_of(features: Mapping[str, Aggregate], tile_ms: int | None) -> tuple[Ring, ...]:
    """Of all windows, the longest of each width, the narrowest first."""
    longest: dict[int, int] = {}
    for name, feature in features.items():
        for window in windows_of(feature):
            own = tile_of(name, window, tile_ms)
            longest[own.width_ms] = max(own.tiles, longest.get(own.width_ms, 0))
    return tuple(Ring(width, tiles) for width, tiles in sorted(longest.items()))


def _own_tiles(over_ms: int) -> Ring:
    for tiles in range(TILES_A_WINDOW, TILES_A_WINDOW // 2 - 1, -1):
        if over_ms % tiles == 0:
            return Ring(over_ms // tiles, tiles)
    # Odd numbers of ms: what is left over is less than a tile, and the window shorter by that.
    width = max(1, over_ms // TILES_A_WINDOW)
    return Ring(width, over_ms // width)
