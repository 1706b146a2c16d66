"""Skew: how far the vectors that are asked on are from those that were learned from."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.schemas.models.layout import Layout
from freshet.schemas.models.vectors import VectorSchema
from freshet.serving.values.skew import ASKED, LEARNED, LEAST, MOST_FEATURES, Skew, _numbers
from freshet.streams.sketches.sketch import quantile

NAMES = (("shop",), ("price",))


def rows(shops: Any, prices: Any) -> npt.NDArray[np.void]:
    made = np.zeros(len(prices), np.dtype([("categories", "<u8", (1,)), ("numbers", "<f4", (1,))]))
    made["categories"][:, 0] = shops
    made["numbers"][:, 0] = prices
    return made


def some(count: int, factor: float = 1.0, shop: int = 1 << 63) -> npt.NDArray[np.void]:
    return rows([shop] * count, factor * (1.0 + np.arange(count) % 50))


def test_the_same_vectors_are_not_apart() -> None:
    skew = Skew(*NAMES)
    skew.take(some(200), some(400))
    shop, price = skew.figures()
    assert (shop.feature, shop.asked, shop.learned) == ("shop", 200, 400)
    assert shop.jensen_shannon == price.jensen_shannon == price.largest == 0.0


def test_what_is_new_in_requests_is_seen_by_feature() -> None:
    skew = Skew(*NAMES)
    skew.take(some(200, factor=100.0), some(400))
    shop, price = skew.figures()
    assert shop.jensen_shannon == 0.0
    assert price.jensen_shannon == 1.0
    assert price.psi > 0.25
    skew.take(some(ASKED, shop=3), some(0))
    shop, price = skew.figures()
    assert shop.jensen_shannon == 1.0
    assert price.jensen_shannon == 0.0


def test_missing_numbers_are_a_value_of_their_own() -> None:
    skew = Skew(*NAMES)
    skew.take(rows([1] * 200, [np.nan] * 200), some(400))
    _, price = skew.figures()
    assert price.jensen_shannon == 1.0


def test_before_enough_is_known_nothing_is_told() -> None:
    skew = Skew(*NAMES)
    skew.take(some(LEAST), some(LEAST - 1))
    assert skew.figures() == []
    skew.take(some(0), some(1))
    assert len(skew.figures()) == 2


def test_only_the_newest_count_however_they_came() -> None:
    at_once = Skew(*NAMES)
    by_one = Skew(*NAMES)
    asked = rows(np.arange(3_000), np.arange(3_000.0))
    learned = rows(np.arange(7_000), np.arange(7_000.0))
    at_once.take(asked, learned)
    for at in range(0, 7_000, 7):
        by_one.take(asked[at : at + 7], learned[at : at + 7])
    assert at_once.figures() == by_one.figures()
    assert (at_once.figures()[0].asked, at_once.figures()[0].learned) == (ASKED, LEARNED)


def test_of_more_features_the_first_are_told() -> None:
    many = tuple(f"f{at}" for at in range(MOST_FEATURES + 20))
    made = np.zeros(LEAST, Layout.of(VectorSchema((), many)).dtype)
    skew = Skew((), many)
    skew.take(made, made)
    assert [each.feature for each in skew.figures()] == list(many[:MOST_FEATURES])


def test_numbers_are_sketched_within_a_bucket() -> None:
    draw = np.random.default_rng(1)
    values = np.concatenate([draw.normal(0.0, 5.0, 2_000), [-0.0, 0.0, np.inf, -np.inf, np.nan]])
    sketch = _numbers(values)
    assert sketch.present == 2_004
    assert sum(sketch.counts) == 2_004
    assert len(sketch.keys) <= 64
    found = quantile(sketch, 0.9)
    assert found is not None
    exact = np.quantile(values[:2_000], 0.9)
    assert abs(found - exact) < 0.5 * exact
