"""The history stays small, keeps its peaks, is fine where it is new, and may be read part by
part."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.schemas.errors import RequestError
from freshet.serving.status.history import (
    DAY_MS,
    HOUR_MS,
    TIERS_MS,
    WHOLE,
    History,
    Part,
    Swap,
    thinned,
)
from freshet.serving.status.status import (
    Clock,
    LineageFigures,
    ModelFigures,
    Quality,
    Served,
    Status,
    ViewFigures,
    encode,
)


def status(
    at: int, lag: int | None = 0, lineage: str = "a", number: int = 1, ne: float | None = 0.9
) -> Status:
    model = ModelFigures(
        name="m",
        served=Served(lineage=lineage, number=number),
        rolling=Quality(n=1, ne=ne),
        lineages=[LineageFigures(name=lineage, rolling=Quality(n=1, ne=ne))],
    )
    views = [ViewFigures(name="v", lag_ms=lag)]
    return Status(
        app="x", at_ms=0, clock=Clock(app_ms=at), events_per_second=at, views=views, models=[model]
    )


class Reader:
    """What the page does with parts (serving/page/static/history.js), in Python."""

    def __init__(self) -> None:
        self.cursor: str | None = None
        self.times: list[int] = []
        self.series: dict[str, list[Any]] = {}
        self.swaps: list[Swap] = []

    def take(self, part: Part) -> None:
        self.times[part.start :] = part.times
        for name, values in part.series.items():
            kept = self.series.get(name, [])[: part.start]
            self.series[name] = kept + [math.nan] * (part.start - len(kept)) + values
        self.swaps[part.first_swap :] = part.swaps
        self.cursor = part.cursor

    def same_as(self, part: Part) -> bool:
        mine = (self.times, {k: encode(v) for k, v in self.series.items()}, self.swaps)
        return mine == (part.times, {k: encode(v) for k, v in part.series.items()}, part.swaps)


def test_a_year_of_steps_stays_within_its_capacity_and_ends_with_the_newest() -> None:
    history = History(capacity=100)
    for step in range(1, 35_041):
        history.observe(status(step * 900_000))
        if step % 97 == 0:
            assert history.since().times[-1] == step * 900_000
    part = history.since()
    assert 50 <= len(part.times) <= 101
    assert part.times[-1] == 35_040 * 900_000
    assert part.times == sorted(set(part.times))
    assert all(len(values) == len(part.times) for values in part.series.values())


def test_a_peak_of_a_lag_is_never_thinned_away() -> None:
    history = History(capacity=10)
    for step in range(1, 2_001):
        history.observe(status(step, lag=777 if step == 1_234 else 5))
    assert max(history.since().series["feature_lag/v"]) == 777


def test_rates_fold_to_their_mean_and_rolling_figures_to_their_last() -> None:
    history = History(capacity=2)
    for step, ne in ((10, 0.9), (20, 0.8), (30, 0.7), (40, None)):
        history.observe(status(step, ne=ne))
    part = history.since()
    assert part.times == [40]
    assert part.series["events_per_second"] == [25]
    assert part.series["ne/m/@served"] == part.series["ne/m/a"] == [0.7]


def of_task(at: int, task: str, quality: Quality) -> Status:
    line = LineageFigures(name="a", rolling=quality)
    model = ModelFigures(name="m", task=task, rolling=quality, lineages=[line])
    return Status(app="x", at_ms=0, clock=Clock(app_ms=at), models=[model])


@pytest.mark.parametrize(
    ("task", "quality", "drawn"),
    [
        ("binary", Quality(n=1, auc=0.75, ne=0.5), {"auc": 0.75, "ne": 0.5}),
        ("classes", Quality(n=1, macro_f1=0.75, ne=0.5), {"macro_f1": 0.75, "ne": 0.5}),
        ("regression", Quality(n=1, mae=75.5, rmse=99.0), {"mae": 75.5, "rmse": 99.0}),
    ],
)
def test_each_task_has_its_own_figures_over_time(
    task: str, quality: Quality, drawn: dict[str, float]
) -> None:
    history = History()
    history.observe(of_task(10, task, quality))
    series = history.since().series
    for who in ("@served", "a"):
        found = {name.split("/")[0]: v for name, v in series.items() if name.endswith(f"/{who}")}
        assert found == {name: [value] for name, value in drawn.items()}


def test_errors_in_a_small_unit_are_no_zeros_however_often_points_were_folded() -> None:
    history = History(capacity=2)
    for step in range(20):
        small = Quality(n=1, mae=1.234567891e-5, rmse=4.321e-7)
        history.observe(of_task(step + 1, "regression", small))
    series = history.since().series
    assert set(series["mae/m/@served"]) == {1.23457e-5}
    assert set(series["rmse/m/a"]) == {4.321e-7}


def test_unknown_figures_are_null_in_json_and_series_that_come_late_are_unknown_before() -> None:
    history = History()
    history.observe(status(1, lag=None))
    history.observe(status(2, lag=5, lineage="b"))
    told = msgspec.json.decode(encode(history.since()))
    assert told["series"]["feature_lag/v"] == [None, 5]
    assert told["series"]["ne/m/b"] == [None, 0.9]
    assert told["series"]["ne/m/a"] == [0.9, None]
    assert told["swaps"] == [[1, "m", "a", 1], [2, "m", "b", 1]]


def test_an_observation_while_the_app_clock_stands_adds_nothing() -> None:
    history = History()
    for at in (5, 5, 4):
        history.observe(status(at))
    history.observe(Status(app="x", at_ms=0))
    assert history.since().times == [5]


@settings(max_examples=60, deadline=None)
@given(
    capacity=st.integers(2, 12),
    asks=st.lists(st.booleans(), min_size=1, max_size=80),
    max_swaps=st.integers(4, 30),
    tier=st.sampled_from([WHOLE, *TIERS_MS]),
    step_ms=st.sampled_from([1, 1_000, HOUR_MS, DAY_MS]),
)
def test_a_reader_that_asks_now_and_then_has_what_one_that_asks_once_gets(
    capacity: int, asks: list[bool], max_swaps: int, tier: str, step_ms: int
) -> None:
    history, reader = History(capacity, max_swaps), Reader()
    for step, ask in enumerate(asks):
        history.observe(
            status(step * step_ms, lag=step % 7, lineage="ab"[step // 9 % 2], number=step // 2)
        )
        if ask:
            reader.take(history.since(reader.cursor, tier))
            assert reader.same_as(history.since(tier=tier))


@settings(max_examples=60, deadline=None)
@given(
    capacity=st.integers(2, 40),
    gaps_ms=st.lists(
        st.sampled_from([1, 900, 60_000, HOUR_MS, 40 * DAY_MS]), min_size=1, max_size=120
    ),
)
def test_every_tier_is_bounded_ends_with_the_newest_and_keeps_the_worst_lag_of_its_span(
    capacity: int, gaps_ms: list[int]
) -> None:
    history, at, lags = History(capacity), 0, {}
    for i, gap in enumerate(gaps_ms):
        at += gap
        lags[at] = i * 7 % 11
        history.observe(status(at, lag=lags[at]))
    told = history.since()
    assert told.begun_ms == gaps_ms[0]
    for tier, span in TIERS_MS.items():
        part = history.since(tier=tier)
        assert len(part.times) <= capacity + 1
        assert part.times == sorted(set(part.times))
        assert part.times[-1] == at
        assert told.tiers[tier] <= len(part.times)
        assert part.times[0] <= max(gaps_ms[0], at - span + span / (capacity // 2)), (
            "to within a point"
        )
        assert max(part.series["feature_lag/v"]) >= max(
            lag for t, lag in lags.items() if t > at - span
        )


def test_a_live_year_keeps_its_newest_hour_in_seconds_and_its_newest_day_in_minutes() -> None:
    history = History()
    live = 363 * DAY_MS
    for at in range(0, live, HOUR_MS):
        history.observe(status(at))
    for at in range(live, live + 2 * DAY_MS, 5_000):
        history.observe(status(at))
    for tier, most_apart in (
        ("1h", 11_000),
        ("1d", 160_000),
        ("7d", HOUR_MS),
        ("30d", 2 * HOUR_MS),
    ):
        part = history.since(tier=tier)
        newest = [t for t in part.times if t >= part.times[-1] - TIERS_MS[tier]]
        assert max(b - a for a, b in pairwise(newest)) <= most_apart
        assert history.since().tiers[tier] >= 250
    assert sum(len(history.since(tier=t).times) for t in (WHOLE, *TIERS_MS)) <= 6 * 1201


def test_a_point_that_folds_many_observations_holds_them_in_no_more_room_than_one() -> None:
    history = History(capacity=2)
    for step in range(1, 4_097):
        history.observe(status(step, lag=step))
    whole = history._tiers[WHOLE]
    held = sum(len(values) for values in whole._series.values()) + len(whole._open)
    assert held <= 4 * len(whole._series)


def test_an_unknown_tier_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RequestError, match="The tiers are all, 1h, 1d, 7d, 30d, 90d"):
        History().since(tier="1y")


def test_a_cursor_of_another_run_or_of_nobody_gives_everything() -> None:
    first, second = History(), History()
    for history in (first, second):
        history.observe(status(1))
    for cursor in (
        first.since().cursor,
        "",
        "x",
        "1-2-3-4",
        "-" * 9,
        "²-²-²-²",
        second.since().cursor + "-",
    ):
        part = second.since(cursor)
        assert part.start in (0, 1)
        assert part.times == [1][part.start :]
    assert second.since(first.since().cursor).start == 0


def test_swaps_between_observations_are_marked_once() -> None:
    history = History()
    for number in (1, 2, 2, 3):
        history.swap(Swap(number, "m", "a", number))
    history.observe(status(9, number=3))
    assert [s.number for s in history.since().swaps] == [1, 2, 3]


def test_thinning_swaps_keeps_changes_of_lineage() -> None:
    swaps = [Swap(i, "m", "b" if 40 <= i < 43 else "a", i) for i in range(100)]
    kept = thinned(swaps, 20)
    assert [s.number for s in kept][-8:] == list(range(92, 100)), "the newest are all there"
    assert sum(s.number < 40 for s in kept) > 1, "and some of the old"
    assert len(kept) <= 20
    assert {0, 40, 43} <= {s.number for s in kept}
    assert kept == sorted(kept, key=lambda s: s.at_ms)
    assert len(thinned([Swap(i, "m", str(i), i) for i in range(100)], 20)) == 20
