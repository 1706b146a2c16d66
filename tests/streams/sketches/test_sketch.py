"""Sketches of values: those of a plain loop, the same however they are cut and merged, in bounded
memory."""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.schemas.text.columns import Texts
from freshet.schemas.text.kernels import SEED_HIGH, hash_spans
from freshet.streams.sketches.sketch import (
    Sketch,
    edges,
    merged,
    packed,
    quantile,
    top,
    unpacked,
)
from freshet.streams.sketches.sketch_kernels import BOUND, DROPPED_BITS, HASH_BITS

untimed = settings(deadline=None, max_examples=100)
NUMBERS = st.one_of(
    st.integers(-50, 50).map(float),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.sampled_from([0.0, -0.0, 1e-300, -1e300, 5e-324]),
)
PARTS = st.lists(st.lists(NUMBERS, max_size=90), min_size=1, max_size=5)
WORDS = st.lists(st.lists(st.integers(0, 300).map(str), max_size=90), min_size=1, max_size=5)


def ordered(value: float) -> int:
    (bits,) = struct.unpack("<q", struct.pack("<d", value + 0.0))
    return int(bits) if bits >= 0 else int(bits) ^ 0x7FFFFFFFFFFFFFFF


def of_numbers(values: Sequence[float], rows: int | None = None, bound: int = BOUND) -> Sketch:
    """By the slow way: the finest level at which all values fit."""
    count = len(values)
    rows = count if rows is None else rows
    if not values:
        return Sketch(rows)
    level = 0
    while True:
        found = Counter(ordered(value) >> (DROPPED_BITS + level) for value in values)
        if len(found) <= bound:
            break
        level += 1
    mean = math.fsum(value / count for value in values)
    # By products: a power that is beyond a float64 is an error, a product infinite.
    squares = sum((value - mean) * (value - mean) for value in values)
    keys = sorted(found)
    return Sketch(
        rows,
        count,
        min(values) + 0.0,
        max(values) + 0.0,
        mean,
        squares,
        level,
        keys,
        [found[key] for key in keys],
    )


def hashed(word: str) -> int:
    texts = Texts.of([word])
    # The lowest bit is set there, and left out here.
    found = np.empty(1, np.uint64)
    hash_spans(texts.data, texts.start, texts.end, SEED_HIGH, found)
    return int(found[0] >> 1)


def of_words(words: Sequence[str], bound: int = BOUND) -> Sketch:
    counts = Counter(words)
    level = 0
    while True:
        kept = {hashed(w): w for w in counts if not hashed(w) >> (HASH_BITS - level)}
        if len(kept) <= bound:
            break
        level += 1
    keys = sorted(kept)
    names = [kept[key] for key in keys]
    return Sketch(
        len(words),
        len(words),
        level=level,
        keys=keys,
        counts=[counts[name] for name in names],
        names=names,
    )


def exact(sketch: Sketch) -> tuple[object, ...]:
    """All but what is summed in floats."""
    return (
        sketch.rows,
        sketch.present,
        sketch.lowest,
        sketch.highest,
        sketch.level,
        sketch.keys,
        sketch.counts,
        sketch.names,
    )


@untimed
@given(PARTS, st.randoms())
def test_numbers_merged_in_any_order_are_those_of_all_at_once(parts, order) -> None:  # type: ignore[no-untyped-def]
    whole = of_numbers([value for part in parts for value in part])
    sketches = [of_numbers(part) for part in parts]
    order.shuffle(sketches)
    one_by_one = Sketch()
    for sketch in sketches:
        one_by_one = merged([one_by_one, sketch])
    assert exact(merged(sketches)) == exact(one_by_one) == exact(whole)


@untimed
@given(WORDS, st.randoms())
def test_texts_merged_in_any_order_are_those_of_all_at_once(parts, order) -> None:  # type: ignore[no-untyped-def]
    whole = of_words([word for part in parts for word in part])
    sketches = [of_words(part) for part in parts if part]
    order.shuffle(sketches)
    one_by_one = Sketch()
    for sketch in sketches:
        one_by_one = merged([one_by_one, sketch])
    if whole.rows:
        assert exact(merged(sketches)) == exact(one_by_one) == exact(whole)


@untimed
@given(st.lists(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), min_size=2, max_size=4))
def test_mean_and_deviation_of_parts_are_those_of_all(parts: list[list[float]]) -> None:
    together = merged([of_numbers(part) for part in parts])
    whole = of_numbers([value for part in parts for value in part])
    assert together.mean == pytest.approx(whole.mean, rel=1e-9, abs=1e-6)
    assert together.deviation == pytest.approx(whole.deviation, rel=1e-6, abs=1e-4)


@untimed
@given(st.lists(NUMBERS, min_size=1, max_size=200), st.floats(0, 1))
def test_a_quantile_lies_in_the_bucket_of_the_exact_one(values: list[float], share: float) -> None:
    sketch = of_numbers(values)
    found = quantile(sketch, share)
    rank = max(1, math.ceil(share * len(values)))
    exact_one = sorted(values)[rank - 1]
    key = ordered(exact_one) >> (DROPPED_BITS + sketch.level)
    low, high = edges(sketch, key)
    assert found is not None
    assert low <= found <= high


def test_quantiles_of_near_numbers_are_near() -> None:
    values = [1_000 + i / 100 for i in range(5_000)]
    sketch = of_numbers(values)
    assert len(sketch.keys) <= BOUND
    middle = quantile(sketch, 0.5)
    assert middle == pytest.approx(1_025, abs=1)


@untimed
@given(PARTS, WORDS)
def test_a_sketch_is_the_same_once_packed(parts: list[list[float]], words: list[list[str]]) -> None:
    for sketch in (of_numbers(parts[0], 100), of_words(words[0])):
        assert unpacked(packed(sketch)) == sketch


def test_few_texts_are_counted_exactly_and_many_are_estimated() -> None:
    few = of_words(["a", "b", "a"])
    assert top(few, 5) == [("a", 2), ("b", 1)]
    assert few.distinct == 2.0
    many = of_words([str(i) for i in range(10_000)], bound=1_024)
    assert len(many.keys) <= 1_024
    assert many.distinct == pytest.approx(10_000, rel=0.15)


def test_numbers_that_are_told_apart_are_counted_and_others_are_not() -> None:
    assert of_numbers([1.0, 2.0, 2.0]).distinct == 2.0
    assert of_numbers([i * 1.37 for i in range(500)]).distinct is None


def test_of_no_values_nothing_is_said() -> None:
    none = Sketch(rows=3)
    assert none.missing == 3
    assert none.deviation is None
    assert quantile(none, 0.5) is None
    assert merged([]) == Sketch()


def test_numbers_without_an_end_have_quantiles() -> None:
    values = [-math.inf, 1.0, math.inf]
    keys = sorted(ordered(value) >> DROPPED_BITS for value in values)
    sketch = Sketch(3, 3, -math.inf, math.inf, math.nan, 0.0, 0, keys, [1, 1, 1])
    assert quantile(sketch, 0.1) == -math.inf
    assert quantile(sketch, 0.5) == pytest.approx(1.0, rel=1e-3)
    assert quantile(sketch, 1.0) == math.inf


def test_a_field_that_was_declared_otherwise_goes_on_as_it_is_now() -> None:
    both = merged([of_numbers([1.0, 2.0]), of_words(["a"])])
    assert (both.rows, both.present, both.names, both.counts) == (3, 3, ["a"], [1])
    back = merged([of_words(["a"]), of_numbers([1.0, 2.0])])
    assert (back.rows, back.names, back.counts) == (3, None, [1, 1])
