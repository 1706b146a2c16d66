"""Skew: how far the vectors that are asked on are from those that were learned from."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.schemas.durations import HOUR_MS
from freshet.schemas.models.layout import Layout
from freshet.schemas.models.vectors import VectorSchema
from freshet.serving.status.status import DriftFigures
from freshet.serving.values.drift import LEARN_WEEKS
from freshet.serving.values.skew import (
    ASKED,
    JUDGED_EVERY,
    LEARNED,
    LEAST,
    MOST_FEATURES,
    KeptSkew,
    Skew,
    _numbers,
)
from freshet.streams.sketches.sketch import quantile

NAMES = (("shop",), ("price",))


def rows(shops: Any, prices: Any) -> npt.NDArray[np.void]:
    columns = [("categories", "<u8", (1,)), ("numbers", "<f4", (1,)), ("asked_at", "<i8")]
    made = np.zeros(len(prices), np.dtype(columns))
    made["categories"][:, 0] = shops
    made["numbers"][:, 0] = prices
    return made


def some(count: int, factor: float = 1.0, shop: int = 1 << 63) -> npt.NDArray[np.void]:
    return rows([shop] * count, factor * (1.0 + np.arange(count) % 50))


def take(skew: Skew, asked: npt.NDArray[np.void], learned: npt.NDArray[np.void]) -> None:
    """Learned from first, as labels of what was asked before."""
    is_asked = np.arange(len(learned) + len(asked)) >= len(learned)
    skew.take(np.concatenate([learned, asked]), is_asked, ~is_asked)


def test_the_same_vectors_are_not_apart() -> None:
    skew = Skew(*NAMES)
    take(skew, some(200), some(400))
    shop, price = skew.figures()
    assert (shop.feature, shop.asked, shop.learned) == ("shop", 200, 400)
    assert shop.jensen_shannon == price.jensen_shannon == price.largest == 0.0


def test_what_is_new_in_requests_is_seen_by_feature() -> None:
    skew = Skew(*NAMES)
    take(skew, some(200, factor=100.0), some(400))
    shop, price = skew.figures()
    assert shop.jensen_shannon == 0.0
    assert price.jensen_shannon == 1.0
    assert price.psi > 0.25
    take(skew, some(ASKED, shop=3), some(0))
    shop, price = skew.figures()
    assert shop.jensen_shannon == 1.0
    assert price.jensen_shannon == 0.0


def test_missing_numbers_are_a_value_of_their_own() -> None:
    skew = Skew(*NAMES)
    take(skew, rows([1] * 200, [np.nan] * 200), some(400))
    _, price = skew.figures()
    assert price.jensen_shannon == 1.0


def test_before_enough_is_known_nothing_is_told() -> None:
    skew = Skew(*NAMES)
    take(skew, some(LEAST), some(LEAST - 1))
    assert skew.figures() == []
    take(skew, some(0), some(1))
    assert len(skew.figures()) == 2


def test_only_the_newest_count_however_they_came() -> None:
    at_once = Skew(*NAMES)
    by_one = Skew(*NAMES)
    asked = rows(np.arange(3_000), np.arange(3_000.0))
    learned = rows(np.arange(7_000), np.arange(7_000.0))
    take(at_once, asked, learned)
    for at in range(0, 7_000, 7):
        take(by_one, asked[at : at + 7], learned[at : at + 7])
    assert at_once.figures() == by_one.figures()
    assert (at_once.figures()[0].asked, at_once.figures()[0].learned) == (ASKED, LEARNED)


def test_of_more_features_the_first_are_told() -> None:
    many = tuple(f"f{at}" for at in range(MOST_FEATURES + 20))
    made = np.zeros(LEAST, Layout.of(VectorSchema((), many)).dtype)
    skew = Skew((), many)
    take(skew, made, made)
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


WEEK_HOURS = 7 * 24
A_DAY = 24  # hours
FROM = 300_000  # an hour since 1970


def day(at: int, **changed: Any) -> npt.NDArray[np.void]:
    """What is asked within a day: enough for several judgements."""
    made = some(4 * JUDGED_EVERY)
    made["asked_at"] = (at + np.arange(len(made)) * A_DAY // len(made)) * HOUR_MS
    for name, value in changed.items():
        made[name][:, 0] = value(made[name][:, 0])
    return made


def ordinary(skew: Skew, weeks: int) -> int:
    """Weeks in which labels come a day after the question; the hour after them."""
    before = day(FROM - A_DAY)
    at = FROM
    for at in range(FROM, FROM + weeks * WEEK_HOURS, A_DAY):
        take(skew, day(at), before)
        before = day(at)
    return at + A_DAY


def told_of(skew: Skew) -> set[str]:
    return {each.field for each in skew.told}


@pytest.mark.parametrize(
    ("changed", "field", "measure"),
    [
        ({"numbers": lambda prices: prices * 1.609}, "price", "jensen_shannon"),
        ({"numbers": lambda prices: prices * 0.0}, "price", "jensen_shannon"),
        ({"categories": lambda shops: shops // 2}, "shop", "jensen_shannon"),
    ],
    ids=["another unit", "always zero", "other texts"],
)
def test_a_planted_skew_is_told_of_by_feature_and_an_ordinary_time_is_not(
    changed: dict[str, Any], field: str, measure: str
) -> None:
    skew = Skew(*NAMES)
    at = ordinary(skew, LEARN_WEEKS + 1)
    assert skew.told == []
    take(skew, day(at, **changed), day(at - A_DAY))
    (found,) = skew.told
    assert (found.field, found.source, found.measure) == (field, None, measure)
    assert found.distance > found.bound
    assert at <= found.hour_ms // HOUR_MS < at + A_DAY


def test_until_what_is_usual_is_learned_only_a_declared_bound_tells() -> None:
    for bounds, expected in (({}, set()), ({"price": 0.3}, {"price"})):
        skew = Skew(*NAMES, bounds)
        at = ordinary(skew, 1)
        take(skew, day(at, numbers=lambda prices: prices * 100.0), day(at - A_DAY))
        assert told_of(skew) == expected
        shop, price = skew.figures()
        assert (shop.bound, shop.weeks_missing) == (None, LEARN_WEEKS - 1)
        assert price.bound == bounds.get("price")


def test_what_is_judged_does_not_depend_on_how_the_log_is_cut() -> None:
    rng = np.random.default_rng(5)
    parts = [day(FROM + i * A_DAY, numbers=lambda x: x * rng.uniform(0.5, 2)) for i in range(70)]
    rows_ = np.concatenate(parts)
    is_asked = rng.random(len(rows_)) < 0.5
    found: list[list[DriftFigures]] = []
    usual = []
    for size in (len(rows_), 1_000, 7):
        skew = Skew(*NAMES, {"price": 0.05})
        for first in range(0, len(rows_), size):
            part = slice(first, first + size)
            skew.take(rows_[part], is_asked[part], ~is_asked[part])
        found.append(skew.told)
        usual.append(skew._usual)
    assert found[0] == found[1] == found[2]
    assert found[0]
    assert usual[0] == usual[1] == usual[2]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 70 * 4 * JUDGED_EVERY), st.booleans())
def test_whoever_goes_on_from_what_was_kept_tells_what_one_that_never_stopped_does(
    cut: int, is_declared: bool
) -> None:
    rng = np.random.default_rng(5)
    parts = [day(FROM + i * A_DAY, numbers=lambda x: x * rng.uniform(0.5, 2)) for i in range(70)]
    rows_ = np.concatenate(parts)
    is_asked = rng.random(len(rows_)) < 0.5
    bounds = {"price": 0.05} if is_declared else {}
    whole = Skew(*NAMES, bounds)
    whole.take(rows_, is_asked, ~is_asked)
    before = Skew(*NAMES, bounds)
    before.take(rows_[:cut], is_asked[:cut], ~is_asked[:cut])
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(before.kept()), type=KeptSkew)
    again = Skew(*NAMES, bounds)
    again.restore(kept, before.vectors())
    assert again.told == before.told
    again.take(rows_[cut:], is_asked[cut:], ~is_asked[cut:])
    assert again.told == whole.told
    assert again.figures() == whole.figures()
    assert again.kept() == whole.kept()
