"""A sketch as a value: what some values of one field were like, in bounded memory.

Sketches are merged in any order and come to the same: counts, extremes and keys to the bit, mean
and deviation within what sums of floats differ by. See `sketch_kernels` for keys and levels.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise

import msgspec

from freshet.streams.sketches.sketch_kernels import BOUND, DROPPED_BITS, HASH_BITS

_MAGNITUDE = 0x7FFFFFFFFFFFFFFF
_INFINITY_BITS = 0x7FF0000000000000


class Sketch(msgspec.Struct, frozen=True, array_like=True):
    """`rows` events, of which `present` have a value. Of numbers there are `lowest` to `squares`
    (the sum of squared distances from the mean), of texts `names` beside the keys. `keys` rise, and
    each has its count; neither of both: it is only known how many are there."""

    rows: int = 0
    present: int = 0
    lowest: float | None = None
    highest: float | None = None
    mean: float = 0.0
    squares: float = 0.0
    level: int = 0
    keys: list[int] = []
    counts: list[int] = []
    names: list[str] | None = None

    @property
    def missing(self) -> int:
        return self.rows - self.present

    @property
    def deviation(self) -> float | None:
        """Of all values, not of a sample."""
        if not self.present or self.lowest is None:
            return None
        found = math.sqrt(self.squares / self.present)
        return found if math.isfinite(found) else None

    @property
    def distinct(self) -> float | None:
        """How many different texts: exact at level 0, else about 1.2 / √keys off. None for numbers
        that are too many to be told apart."""
        if self.names is None and (self.level or not self.keys):
            return None
        return float(len(self.keys) << self.level)


def of_level(sketch: Sketch, level: int) -> dict[int, int]:
    """Counts by key, as they are at a level that is no finer."""
    up = level - sketch.level
    counted = zip(sketch.keys, sketch.counts)
    if not up:
        return dict(counted)
    if sketch.names is not None:
        # Those that begin with as many zero bits.
        return {key: n for key, n in counted if not key >> (HASH_BITS - level)}
    found: dict[int, int] = {}
    for key, n in counted:
        found[key >> up] = found.get(key >> up, 0) + n
    return found


def merged(parts: Iterable[Sketch], bound: int = BOUND) -> Sketch:
    """One sketch of all values, of at most `bound` keys.

    >>> one = Sketch(rows=1, present=1, lowest=1.0, highest=1.0, mean=1.0, keys=[7], counts=[1])
    >>> both = merged([one, one])
    >>> both.rows, both.keys, both.counts
    (2, [7], [2])
    """
    given = [part for part in parts if part.rows]
    if len(given) == 1 and len(given[0].keys) <= bound:
        return given[0]
    with_values = _of_one_kind([part for part in given if part.present])
    level = max((part.level for part in with_values), default=0)
    found = _summed(of_level(part, level) for part in with_values)
    is_text = any(part.names is not None for part in with_values or given)
    while len(found) > bound:
        level += 1
        flat = _flat(found, level - 1, is_text)
        found = of_level(flat, level)
    keys = sorted(found)
    mean, squares = _moments(with_values)
    names = None
    if is_text:
        known = {
            key: name for part in with_values for key, name in zip(part.keys, part.names or ())
        }
        names = [known[key] for key in keys]
    lowest = [part.lowest for part in with_values if part.lowest is not None]
    highest = [part.highest for part in with_values if part.highest is not None]
    return Sketch(
        sum(part.rows for part in given),
        sum(part.present for part in given),
        min(lowest, default=None),
        max(highest, default=None),
        mean,
        squares,
        level,
        keys,
        [found[key] for key in keys],
        names,
    )


def _of_one_kind(parts: list[Sketch]) -> list[Sketch]:
    """Those that are as the last one: a field may have been declared otherwise before, and its
    numbers are no texts."""
    if not parts:
        return parts
    is_text = parts[-1].names is not None
    return [part for part in parts if (part.names is not None) == is_text]


def _flat(found: dict[int, int], level: int, is_text: bool) -> Sketch:
    names = [""] * len(found) if is_text else None
    return Sketch(level=level, keys=list(found), counts=list(found.values()), names=names)


def _summed(parts: Iterable[dict[int, int]]) -> dict[int, int]:
    found: dict[int, int] = {}
    for part in parts:
        for key, n in part.items():
            found[key] = found.get(key, 0) + n
    return found


def _moments(parts: Sequence[Sketch]) -> tuple[float, float]:
    """Mean and sum of squared distances of all (Chan, Golub and LeVeque, 1979)."""
    count = 0
    mean = 0.0
    squares = 0.0
    for part in parts:
        both = count + part.present
        apart = part.mean - mean
        mean += apart * (part.present / both)
        squares += part.squares + apart * apart * (count * part.present / both)
        count = both
    return mean, squares


def quantile(sketch: Sketch, share: float) -> float | None:
    """The number below which a share of all lies, at most a bucket's width off; None of no
    numbers."""
    if sketch.lowest is None or sketch.highest is None or not sketch.keys:
        return None
    wanted = share * sketch.present
    before = 0
    for key, n in zip(sketch.keys, sketch.counts):
        if before + n >= wanted:
            low, high = edges(sketch, key)
            # Of that one almost all are zeros; infinite ones have nothing between them.
            if low == 0.0 or not math.isfinite(high - low):
                return low
            return low + (high - low) * max(0.0, wanted - before) / n
        before += n
    return sketch.highest


def edges(sketch: Sketch, key: int) -> tuple[float, float]:
    """From where to where the numbers of a bucket are."""
    assert sketch.lowest is not None
    assert sketch.highest is not None
    shift = DROPPED_BITS + sketch.level
    low = _number(key << shift)
    high = _number((key + 1) << shift)
    return max(low, sketch.lowest), min(high, sketch.highest)


def _number(ordered: int) -> float:
    """The number of bits that were brought to the order of whole numbers; the last bucket's end is
    beyond all."""
    if ordered >= _INFINITY_BITS:
        return math.inf
    bits = ordered if ordered >= 0 else ordered ^ _MAGNITUDE
    if ordered <= -(_INFINITY_BITS + 1):
        return -math.inf
    found: float = struct.unpack("<d", struct.pack("<q", bits))[0]
    return found


def ordered_number(ordered: int) -> float:
    """The number whose bits, brought to the order of whole numbers, these are.

    >>> ordered_number(0), ordered_number(-1)
    (0.0, -0.0)
    """
    return _number(ordered)


def top(sketch: Sketch, most: int) -> list[tuple[str, int]]:
    """The texts that occur most, with their counts; ties by the text."""
    found = sorted(zip(sketch.names or (), sketch.counts), key=lambda each: (-each[1], each[0]))
    return found[:most]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Sketch)


def packed(sketch: Sketch) -> bytes:
    """As bytes: keys by their distances, which take few."""
    apart = [after - before for before, after in pairwise([0, *sketch.keys])]
    return _encoder.encode(msgspec.structs.replace(sketch, keys=apart))


def unpacked(value: bytes) -> Sketch:
    """Raises `msgspec.DecodeError` for bytes that are none."""
    found = _decoder.decode(value)
    return msgspec.structs.replace(found, keys=list(accumulate(found.keys)))
