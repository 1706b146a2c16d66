"""The history stays small, keeps its peaks, and may be read part by part."""

from __future__ import annotations

import math
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.history import History, Part, Swap, thinned
from serving.status import Clock, LineageFigures, ModelFigures, Quality, Served, Status, ViewFigures, encode

HOUR = 3_600_000


def status(at: int, lag: int | None = 0, lineage: str = "a", number: int = 1, ne: float | None = 0.9) -> Status:
    model = ModelFigures(
        name="m",
        served=Served(lineage=lineage, number=number),
        rolling=Quality(n=1, ne=ne),
        lineages=[LineageFigures(name=lineage, rolling=Quality(n=1, ne=ne))],
    )
    views = [ViewFigures(name="v", lag_ms=lag)]
    return Status(app="x", at_ms=0, clock=Clock(app_ms=at), events_per_second=at, views=views, models=[model])


class Reader:
    """What the page does with parts (serving/page/history.js), in Python."""

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
)
def test_a_reader_that_asks_now_and_then_has_what_one_that_asks_once_gets(
    capacity: int, asks: list[bool], max_swaps: int
) -> None:
    history, reader = History(capacity, max_swaps), Reader()
    for step, ask in enumerate(asks):
        history.observe(status(step, lag=step % 7, lineage="ab"[step // 9 % 2], number=step // 2))
        if ask:
            reader.take(history.since(reader.cursor))
            assert reader.same_as(history.since())


def test_a_cursor_of_another_run_or_of_nobody_gives_everything() -> None:
    first, second = History(), History()
    for history in (first, second):
        history.observe(status(1))
    for cursor in (first.since().cursor, "", "x", "1-2-3-4", "-" * 9, "²-²-²-²", second.since().cursor + "-"):
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
    assert len(kept) <= 20
    assert {0, 40, 43} <= {s.number for s in kept}
    assert kept == sorted(kept, key=lambda s: s.at_ms)
    assert len(thinned([Swap(i, "m", str(i), i) for i in range(100)], 20)) == 20
