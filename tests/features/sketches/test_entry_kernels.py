"""Entries of a tile: in any order where that must not show, and what Space-Saving promises."""

from __future__ import annotations

from collections import Counter
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.features.sketches.entry_kernels import (
    merge,
    with_bucket,
    with_distinct,
    with_frequent,
)
from freshet.features.sketches.layout import AMOUNT_BITS, AMOUNT_MASK, DISTINCT, FREQUENT, HISTOGRAM
from tests.features.rows.sketch_reference import collapsed

untimed = settings(deadline=None)
CODES = st.lists(st.integers(-30, 30), max_size=120)


def histogram(codes: list[int], most: int) -> dict[int, int]:
    words = np.zeros(200, np.int64)
    count = 0
    for code in codes:
        count = with_bucket(words, 3, count, most, code)
    kept = words[3 : 3 + count].tolist()
    assert kept == sorted(kept)
    assert not words[:3].any()
    return {word >> AMOUNT_BITS: word & AMOUNT_MASK for word in kept}


@untimed
@given(CODES, st.integers(1, 8), st.randoms())
def test_the_farthest_buckets_of_each_sign_are_kept_in_whatever_order(
    codes: list[int], half: int, random: Random
) -> None:
    found = histogram(codes, 2 * half)
    above = Counter(code for code in codes if code >= 0)
    below = Counter(-code for code in codes if code < 0)
    expected = collapsed(above, half)
    expected |= {-code: n for code, n in collapsed(below, half).items()}
    assert found == expected
    shuffled = list(codes)
    random.shuffle(shuffled)
    assert histogram(shuffled, 2 * half) == found


@untimed
@given(CODES)
def test_distinct_codes_are_sorted_and_each_is_there_once(codes: list[int]) -> None:
    words = np.zeros(200, np.int64)
    count = 0
    for code in codes:
        count = with_distinct(words, 3, count, code)
    assert words[3 : 3 + count].tolist() == sorted(set(codes))


@untimed
@given(CODES, st.integers(1, 12))
def test_no_count_is_too_low_nor_too_high_by_more_than_its_share(
    codes: list[int], most: int
) -> None:
    words = np.zeros(200, np.int64)
    count = 0
    for code in codes:
        count = with_frequent(words, 3, count, most, code)
    pairs = words[3 : 3 + 2 * count].reshape(-1, 2).tolist()
    kept = dict(pairs)
    true = Counter(codes)
    assert [code for code, _ in pairs] == sorted(kept)
    assert sum(kept.values()) == len(codes)
    for code, amount in kept.items():
        assert true[code] <= amount <= true[code] + len(codes) / most
    for code, amount in true.items():
        assert code in kept or amount <= len(codes) / most
    if len(true) <= most:
        assert kept == true


@untimed
@given(CODES, CODES)
def test_tiles_are_merged_code_by_code(left: list[int], right: list[int]) -> None:
    pairs = np.zeros(1_000, np.int64)
    words = np.zeros(300, np.int64)
    for kind in (HISTOGRAM, DISTINCT, FREQUENT):
        had = 0
        old = 10
        for codes in (left, right):
            count = 0
            for code in codes:
                if kind == HISTOGRAM:
                    count = with_bucket(words, 0, count, 200, code)
                elif kind == DISTINCT:
                    count = with_distinct(words, 0, count, code)
                else:
                    count = with_frequent(words, 0, count, 100, code)
            new = 510 if old == 10 else 10
            had = merge(kind, words, 0, count, pairs, old, had, new)
            old = new
        found = pairs[old : old + 2 * had].reshape(-1, 2).tolist()
        both = Counter(left) + Counter(right)
        assert [code for code, _ in found] == sorted(both)
        if kind != DISTINCT:
            assert dict(found) == both
