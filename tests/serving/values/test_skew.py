"""Skew: how far the vectors that are asked on are from those that were learned from."""

from __future__ import annotations

from collections.abc import Callable
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
    JUDGED_FROM,
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
OPENS = 8
OPEN = 8  # hours a day
WEEKS = LEARN_WEEKS + 1
FIELDS = (
    ("shop", "opening"),
    ("price", "temperature", "pressure", "wind", "sight", "waited"),
)
DTYPE = np.dtype([("categories", "<u8", (2,)), ("numbers", "<f4", (6,)), ("asked_at", "<i8")])
Rows = npt.NDArray[np.void]


def category(value: Any) -> Any:
    """As far apart as hashes are."""
    return (np.asarray(value, np.uint64) + np.uint64(1)) << np.uint64(40)


def day(at: int, draw: np.random.Generator, an_hour: int) -> Rows:
    """What is asked within a day: so many in each hour, of three places that share their weather;
    its season goes up and down within weeks, and each hour is near the one before."""
    hours = np.repeat(np.arange(OPENS, OPENS + OPEN), an_hour)
    place = np.arange(len(hours)) % 3
    made = np.zeros(len(hours), DTYPE)
    made["asked_at"] = (at + hours) * HOUR_MS
    made["categories"][:, 0] = category(draw.choice(8, len(hours), p=SHOPS))
    made["categories"][:, 1] = category(hours)
    season = 45 + 12 * np.sin(at / WEEK_HOURS) + 8 * np.sin(2 * np.pi * hours / A_DAY)
    weather = np.repeat(draw.normal(0.0, 1.0, (OPEN, 3)), an_hour, axis=0)
    own = weather[np.arange(len(hours)), place]
    numbers = made["numbers"]
    numbers[:, 0] = draw.integers(1, 51, len(hours))
    numbers[:, 1] = 32 + 1.8 * np.round((season + 3 * own - 32) / 1.8, 1)
    numbers[:, 2] = np.round(1015 + 8 * np.sin(at / 60) + own, 1)
    numbers[:, 3] = 1.15078 * np.round(np.clip(9 + 4 * own, 0, None))
    numbers[:, 4] = np.where(own < -1.5, np.round(np.abs(own) * 2), 10.0)
    numbers[:, 5] = draw.lognormal(8.0, 1.0, len(hours))
    numbers[draw.random(len(hours)) < 0.02, 5] = np.nan
    return made


SHOPS = np.array([0.3, 0.2, 0.15, 0.15, 0.1, 0.05, 0.03, 0.02])


def ordinary(skew: Skew, weeks: int, an_hour: int = 30, seed: int = 1) -> int:
    """Weeks in which labels come a day after the question; the hour after them. Everything that was
    told of in them is an error of the judge."""
    draw = np.random.default_rng(seed)
    before = day(FROM - A_DAY, draw, an_hour)
    at = FROM
    told = set()
    for at in range(FROM, FROM + weeks * WEEK_HOURS, A_DAY):
        now = day(at, draw, an_hour)
        take(skew, now, before)
        before = now
        told |= {(each.field, each.hour_ms) for each in skew.told}
    # At most one alert a month, of all features together.
    assert len(told) <= weeks / 4
    return at + A_DAY


def known(an_hour: int) -> tuple[KeptSkew, dict[str, npt.NDArray[Any]], int]:
    skew = Skew(*FIELDS)
    at = ordinary(skew, WEEKS, an_hour)
    return skew.kept(), skew.arrays(), at


@pytest.fixture(scope="module")
def usual() -> tuple[KeptSkew, dict[str, npt.NDArray[Any]], int]:
    return known(30)


@pytest.fixture(scope="module")
def usual_of_few() -> tuple[KeptSkew, dict[str, npt.NDArray[Any]], int]:
    """A fifth of the requests."""
    return known(6)


def told_of(skew: Skew) -> set[str]:
    return {each.field for each in skew.told}


def numbers(at: int, change: Callable[[Any], Any]) -> Callable[[Rows], None]:
    def changed(rows_: Rows) -> None:
        rows_["numbers"][:, at] = change(rows_["numbers"][:, at])

    return changed


def categories(at: int, change: Callable[[Any], Any]) -> Callable[[Rows], None]:
    def changed(rows_: Rows) -> None:
        rows_["categories"][:, at] = change(rows_["categories"][:, at])

    return changed


def some_missing(values: Any) -> Any:
    return np.where(np.arange(len(values)) % 2, np.nan, values)


def renamed(values: Any) -> Any:
    return np.where(values == category(0), np.uint64(77) << np.uint64(50), values)


def swapped(rows_: Rows) -> None:
    rows_["numbers"][:, [1, 5]] = rows_["numbers"][:, [5, 1]]


CHANGES: dict[str, tuple[str, Callable[[Rows], None]]] = {
    "degrees Celsius": ("temperature", numbers(1, lambda found: (found - 32) / 1.8)),
    "inches of mercury": ("pressure", numbers(2, lambda found: found * 0.02953)),
    "kilometres an hour": ("wind", numbers(3, lambda found: found * 1.609344)),
    "no sight": ("sight", numbers(4, lambda found: found * 0)),
    "an hour of another zone": ("opening", categories(1, lambda found: category(
        ((found >> np.uint64(40)) + np.uint64(3)) % np.uint64(24)))),
    "minutes for seconds": ("waited", numbers(5, lambda found: found / 60)),
    "milliseconds for seconds": ("waited", numbers(5, lambda found: found * 1_000)),
    "another currency": ("price", numbers(0, lambda found: found * 1.609)),
    "always zero": ("price", numbers(0, lambda found: found * 0)),
    "always the same": ("temperature", numbers(1, lambda found: found * 0 + 41.3)),
    "none": ("temperature", numbers(1, lambda found: found * np.nan)),
    "half of them missing": ("waited", numbers(5, some_missing)),
    "one renamed": ("shop", categories(0, renamed)),
    "all renamed": ("shop", categories(0, lambda found: found + np.uint64(1 << 30))),
    "two swapped": ("temperature", swapped),
}  # fmt: skip


def hours_until_named(
    usual: tuple[KeptSkew, dict[str, npt.NDArray[Any]], int], name: str, an_hour: int
) -> int:
    """Hours of changed requests until the field is told of; no label of theirs comes meanwhile."""
    field, change = CHANGES[name]
    kept, arrays, at = usual
    skew = Skew(*FIELDS)
    skew.restore(kept, arrays)
    changed = day(at, np.random.default_rng(2), an_hour)
    change(changed)
    for hours in range(1, OPEN):
        # And the first of the next hour, with which this one is over.
        first, after = (hours - 1) * an_hour + (hours > 1), hours * an_hour + 1
        take(skew, changed[first:after], changed[:0])
        if field in told_of(skew):
            (found,) = (each for each in skew.told if each.field == field)
            assert found.distance > found.bound
            assert found.hour_ms == (at + OPENS + hours - 1) * HOUR_MS
            return hours
    raise AssertionError(f"{name}: {field} is never told of")


@pytest.mark.parametrize("name", CHANGES)
def test_a_planted_change_of_requests_is_named_once_their_hour_is_over(
    usual: Any, name: str
) -> None:
    assert hours_until_named(usual, name, 30) == 1


# Of one value of three in ten, 25 requests may have too few by chance.
@pytest.mark.parametrize("name", [name for name in CHANGES if name != "one renamed"])
def test_at_a_fifth_of_the_traffic_it_takes_as_many_requests(usual_of_few: Any, name: str) -> None:
    hours = hours_until_named(usual_of_few, name, 6)
    # What came of the day before is judged with them.
    assert hours * 6 <= 2 * JUDGED_FROM


@pytest.mark.parametrize("an_hour", [30, 6])
def test_of_months_of_ordinary_hours_hardly_one_is_told_of(an_hour: int) -> None:
    ordinary(Skew(*FIELDS), 2 * LEARN_WEEKS, an_hour, seed=7)


def test_what_was_told_of_ends_once_labels_of_it_have_come(usual: Any) -> None:
    kept, arrays, at = usual
    skew = Skew(*FIELDS)
    skew.restore(kept, arrays)
    draw = np.random.default_rng(3)
    field, change = CHANGES["another currency"]
    before = day(at, draw, 30)
    change(before)
    take(skew, before, before[:0])
    assert field in told_of(skew)
    for later in range(1, 4):
        now = day(at + later * A_DAY, draw, 30)
        change(now)
        take(skew, now, before)
        before = now
    # Labels that came within an hour are learned after it is judged: else one that comes at once
    # would hide what is asked.
    (found,) = (each for each in skew.told if each.field == field)
    assert found.hour_ms <= (at + A_DAY + OPENS) * HOUR_MS


def few(at: int, factor: float = 1.0) -> Rows:
    """A day of one shop's prices, enough for a judgement an hour."""
    made = some(4 * 30, factor)
    made["asked_at"] = (at + np.arange(len(made)) // 30) * HOUR_MS
    return made


def of_weeks(skew: Skew, weeks: int) -> int:
    """Ordinary weeks of those; the hour after them."""
    at = FROM
    for at in range(FROM, FROM + weeks * WEEK_HOURS, A_DAY):
        take(skew, few(at), few(at - A_DAY))
    return at + A_DAY


def test_until_what_is_usual_is_learned_only_a_declared_bound_tells() -> None:
    for bounds, expected in (({}, set()), ({"price": 0.1}, {"price"})):
        skew = Skew(*NAMES, bounds)
        at = of_weeks(skew, 1)
        take(skew, few(at, 100.0), few(at - A_DAY))
        assert told_of(skew) == expected
        shop, price = skew.figures()
        assert (shop.bound, shop.weeks_missing) == (None, LEARN_WEEKS - 1)
        assert price.bound == bounds.get("price")


def test_what_is_judged_does_not_depend_on_how_the_log_is_cut() -> None:
    rng = np.random.default_rng(5)
    parts = [few(FROM + i * A_DAY, rng.uniform(0.5, 2)) for i in range(70)]
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
        usual.append((skew.kept(), [array.tolist() for array in skew.arrays().values()]))
    assert found[0] == found[1] == found[2]
    assert found[0]
    assert usual[0] == usual[1] == usual[2]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 70 * 4 * 30), st.booleans())
def test_whoever_goes_on_from_what_was_kept_tells_what_one_that_never_stopped_does(
    cut: int, is_declared: bool
) -> None:
    rng = np.random.default_rng(5)
    parts = [few(FROM + i * A_DAY, rng.uniform(0.5, 2)) for i in range(70)]
    rows_ = np.concatenate(parts)
    is_asked = rng.random(len(rows_)) < 0.5
    bounds = {"price": 0.05} if is_declared else {}
    whole = Skew(*NAMES, bounds)
    whole.take(rows_, is_asked, ~is_asked)
    before = Skew(*NAMES, bounds)
    before.take(rows_[:cut], is_asked[:cut], ~is_asked[:cut])
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(before.kept()), type=KeptSkew)
    again = Skew(*NAMES, bounds)
    again.restore(kept, before.arrays())
    assert again.told == before.told
    again.take(rows_[cut:], is_asked[cut:], ~is_asked[cut:])
    assert again.told == whole.told
    assert again.figures() == whole.figures()
    assert again.kept() == whole.kept()
    for name, array in whole.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], array)
