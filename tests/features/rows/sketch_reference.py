"""Sketches the slow and obvious way: plain Python, all events of a key, each put into its tile when
the row is finished; the kernels are held to this bit for bit."""

from __future__ import annotations

import math
import struct
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache

from freshet.features.aggregates import Aggregate, Distinct, Distribution, MostFrequent, Quantile
from freshet.features.inputs import Input
from tests.features.rows.reference import own_width

Value = float | int | str | None
NAN = math.nan
BITS64 = (1 << 64) - 1


# Cached, as powers of decimals are slow and the same few are asked for at every event.
@cache
def parts_of(error: float) -> int:
    """Into how many parts of one ratio a power of two is cut."""
    exact = Decimal(repr(error))
    return math.ceil(Decimal(2).ln() / ((1 + exact) / (1 - exact)).ln())


@cache
def edges_of(parts: int) -> tuple[float, ...]:
    return tuple(float(Decimal(2) ** (Decimal(at) / parts - 1)) for at in range(parts + 1))


def bucket_of(x: float, parts: int) -> int:
    if x == 0:
        return 0
    share, exponent = math.frexp(abs(x))
    part = bisect_right(edges_of(parts)[:-1], share) - 1
    code = (exponent + 1073) * parts + part + 1
    return code if x > 0 else -code


def middle_of(code: int, parts: int) -> float:
    if code == 0:
        return 0.0
    exponent, part = divmod(abs(code) - 1, parts)
    low, high = edges_of(parts)[part : part + 2]
    middle = math.ldexp(2.0 * low * high / (low + high), exponent - 1073)
    return middle if code > 0 else -middle


def merged(tiles: Sequence[Mapping[int, int]]) -> dict[int, int]:
    out: dict[int, int] = {}
    for tile in tiles:
        for code, amount in tile.items():
            out[code] = out.get(code, 0) + amount
    return out


def collapsed(tile: Mapping[int, int], most: int) -> dict[int, int]:
    """The farthest of one sign, and all others in the nearest of them."""
    if not tile:
        return {}
    nearest = sorted(tile)[max(0, len(tile) - most)]
    kept = {code: n for code, n in tile.items() if code >= nearest}
    kept[nearest] += sum(n for code, n in tile.items() if code < nearest)
    return kept


def quantile(feature: Quantile, tiles: Sequence[Sequence[float]]) -> float:
    parts = parts_of(feature.error)
    counted = []
    for values in tiles:
        tile: dict[int, int] = {}
        for x in values:
            code = bucket_of(x, parts)
            tile[code] = tile.get(code, 0) + 1
        above = {code: n for code, n in tile.items() if code >= 0}
        below = {-code: n for code, n in tile.items() if code < 0}
        kept = collapsed(above, 20 * parts)
        kept |= {-code: n for code, n in collapsed(below, 20 * parts).items()}
        counted.append(kept)
    counts = merged(counted)
    rank = int(feature.share * (sum(counts.values()) - 1))
    ordered = [code for code in sorted(counts) for _ in range(counts[code])]
    return middle_of(ordered[rank], parts)


def code_of(x: float | int) -> int:
    """A whole number itself, or the bits of a float64 in the order of numbers."""
    if isinstance(x, int):
        return x
    [bits] = struct.unpack("<q", struct.pack("<d", x + 0.0))
    return int(bits if bits >= 0 else bits ^ ((1 << 63) - 1))


def mixed(code: int) -> int:
    bits = code & BITS64
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        bits = (bits ^ (bits >> 33)) * factor & BITS64
    return bits ^ (bits >> 33)


def registers_of(codes: Sequence[int], bits: int) -> list[int]:
    registers = [0] * (1 << bits)
    for code in codes:
        text = f"{mixed(code):064b}"
        rest = text[bits:] + "1"
        register = int(text[:bits], 2)
        registers[register] = max(registers[register], rest.index("1") + 1)
    return registers


def estimate(registers: Sequence[int], bits: int) -> float:
    """Algorithm 6 of Ertl (2017)."""
    m, q = 1 << bits, 64 - bits
    counts = [0] * (q + 2)
    for rank in registers:
        counts[rank] += 1
    z = m * tau(1.0 - counts[q + 1] / m)
    for k in range(q, 0, -1):
        z = 0.5 * (z + counts[k])
    z += m * sigma(counts[0] / m)
    return math.floor(float(1 / (2 * Decimal(2).ln())) * m * m / z + 0.5)


def sigma(x: float) -> float:
    if x == 1.0:
        return math.inf
    y, z, before = 1.0, x, -1.0
    while z != before:
        x *= x
        before = z
        z += x * y
        y += y
    return z


def tau(x: float) -> float:
    if x in (0.0, 1.0):
        return 0.0
    y, z, before = 1.0, 1.0 - x, -1.0
    while z != before:
        x = math.sqrt(x)
        before = z
        y *= 0.5
        z -= (1.0 - x) * (1.0 - x) * y
    return z / 3.0


def bits_of(error: float) -> int:
    return next(bits for bits in range(4, 15) if 1.0390 / math.sqrt(1 << bits) <= error)


def distinct(feature: Distinct, tiles: Sequence[Sequence[int]]) -> float:
    codes = sorted({code for tile in tiles for code in tile})
    if all(len(set(tile)) <= feature.exact for tile in tiles):
        return float(len(codes))
    bits = bits_of(feature.error)
    return float(estimate(registers_of(codes, bits), bits))


def most_frequent_code(feature: MostFrequent, tiles: Sequence[Sequence[int]]) -> int:
    counted = []
    for values in tiles:
        tile: dict[int, int] = {}
        for code in values:
            if code not in tile and len(tile) == feature.exact:
                rarest = min(sorted(tile), key=tile.__getitem__)
                tile[code] = tile.pop(rarest)
            tile[code] = tile.get(code, 0) + 1
        counted.append(tile)
    counts = merged(counted)
    most = max(counts.values())
    return min(code for code, n in counts.items() if n == most)


class SketchRow:
    """All that was ever seen of one key; an event is what there is of it by input."""

    def __init__(self, features: Mapping[str, Aggregate], tile_ms: int | None) -> None:
        self.features, self.tile_ms = features, tile_ms
        self.events: list[tuple[int, Mapping[str, float | int]]] = []
        # Of windows alone, for as long as the longest; all else is kept for ever.
        lengths = [getattr(own, "over_ms", 0) for own in features.values()]
        self.keep_ms = max(lengths) if all(lengths) else None

    def is_over(self, t: int) -> bool:
        if self.keep_ms is None or not self.events:
            return False
        return t - max(own for own, _ in self.events) > self.keep_ms

    def fold(self, t: int, event: Mapping[str, float | int]) -> None:
        if self.is_over(t):
            self.events = []
        self.events.append((t, event))

    def sketch(self, feature: Distribution) -> tuple[int, Input, object]:
        """What features that share one have in common."""
        width = self.tile_ms or own_width(feature.over_ms)
        if isinstance(feature, Quantile):
            return width, feature.input, ("quantile", parts_of(feature.error))
        if isinstance(feature, Distinct):
            return width, feature.input, ("distinct", feature.exact, bits_of(feature.error))
        return width, feature.input, ("frequent", feature.exact)

    def value(self, name: str, as_of: int) -> float | int:
        """NaN where there is none."""
        if self.is_over(as_of):
            return NAN
        feature = self.features[name]
        assert isinstance(feature, Distribution)
        sketch = self.sketch(feature)
        width = sketch[0]
        sharing = [
            one.over_ms // width
            for one in self.features.values()
            if isinstance(one, Distribution) and self.sketch(one) == sketch
        ]
        newest = max(t for t, _ in self.events) // width
        now = as_of // width
        oldest = max(now - feature.over_ms // width + 1, newest - max(sharing) + 1)
        tiles: dict[int, list[float | int]] = {}
        for t, event in self.events:
            x = event[feature.input.name]
            if oldest <= t // width <= now and (isinstance(x, int) or math.isfinite(x)):
                tiles.setdefault(t // width, []).append(x)
        values = [tiles[q] for q in sorted(tiles)]
        if isinstance(feature, Quantile):
            return quantile(feature, values) if values else NAN
        codes = [[code_of(x) for x in tile] for tile in values]
        if isinstance(feature, Distinct):
            return distinct(feature, codes)
        if not values:
            return NAN
        code = most_frequent_code(feature, codes)
        # Of both zeros the one that is above.
        return next(x + 0 for tile in values for x in tile if code_of(x) == code)
