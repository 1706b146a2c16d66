"""A year of statistics in bounded memory: hours become days, sources the rest, and nothing is
counted twice or lost meanwhile."""

from __future__ import annotations

from freshet.serving.values.history import (
    HOURS_FOR,
    KEPT_FOR,
    MOST_SOURCES,
    Cell,
    Period,
    TopicHistory,
)
from freshet.streams.sketches.sketch import merged, packed
from tests.streams.sketches.test_sketch import of_numbers

DAY = 24


def cells(values: list[float], source: str | None = "a") -> dict[Cell, bytes]:
    return {(source, "x"): packed(of_numbers(values))}


def rows(history: TopicHistory, first: int, after: int) -> int:
    parts = [history.sketches(period) for period in history.periods(first, after)]
    return merged(sketch for part in parts for sketch in part.values()).rows


def test_parts_of_an_hour_are_one() -> None:
    history = TopicHistory()
    history.add(100, cells([1.0]))
    history.add(100, cells([2.0]))
    assert history.sketches(Period(100, 1)) == {("a", "x"): of_numbers([1.0, 2.0])}
    assert history.newest_hour == 100


def test_what_is_read_is_what_was_added_since() -> None:
    history = TopicHistory()
    assert history.sketches(Period(100, 1)) == {}
    history.add(100, cells([1.0]))
    assert rows(history, 100, 101) == 1
    history.add(100, cells([2.0]))
    assert rows(history, 100, 101) == 2
    assert history.sketches(Period(100, 1), "y") == {}


def test_hours_become_days_and_a_late_hour_goes_to_its_day() -> None:
    history = TopicHistory()
    for hour in range(HOURS_FOR + 3 * DAY):
        history.add(hour, cells([float(hour)]))
    assert Period(0, DAY) in history.periods(0, DAY)
    assert history.periods(0, DAY) == [Period(0, DAY)]
    assert rows(history, 0, DAY) == DAY
    history.add(5, cells([5.5]))
    assert history.periods(0, DAY) == [Period(0, DAY)]
    assert rows(history, 0, DAY) == DAY + 1
    assert rows(history, 0, HOURS_FOR + 3 * DAY) == HOURS_FOR + 3 * DAY + 1


def test_a_year_is_kept() -> None:
    history = TopicHistory()
    for day in range(400):
        history.add(day * DAY, cells([1.0]))
    newest = 399 * DAY
    assert history.periods(0, newest + 1)[0].after > newest - KEPT_FOR
    history.add(0, cells([1.0]))
    assert history.periods(0, DAY) == []


def test_a_hundred_thousand_sources_are_a_hundred_and_the_rest() -> None:
    history = TopicHistory()
    one = packed(of_numbers([1.0]))
    many = packed(of_numbers([1.0] * 5))
    for first in range(0, 100_000, 1_000):
        history.add(7, {(f"shop {n}", "x"): one for n in range(first, first + 1_000)})
    history.add(7, {(f"shop {n}", "x"): many for n in range(50)})
    found = history.sketches(Period(7, 1))
    assert len(found) == MOST_SOURCES + 1
    assert sum(sketch.rows for sketch in found.values()) == 100_000 + 250
    assert {(f"shop {n}", "x") for n in range(50)} <= found.keys()


def test_memory_is_bounded_and_the_newest_is_kept() -> None:
    history = TopicHistory(most_bytes=20_000)
    for hour in range(300):
        values = [hour * 1.7 + i for i in range(40)]
        history.add(hour, {(f"shop {n}", "x"): packed(of_numbers(values)) for n in range(20)})
        assert history.bytes_held <= 20_000
    newest = history.sketches(Period(299, 1))
    assert sum(sketch.rows for sketch in newest.values()) == 20 * 40
    oldest = history.sketches(history.periods(0, 300)[0])
    assert {source for source, _ in oldest} == {None}


def test_what_was_kept_goes_on_as_it_was() -> None:
    history = TopicHistory()
    for hour in range(HOURS_FOR + 2 * DAY):
        history.add(hour, cells([float(hour)]))
    other = TopicHistory()
    other.restore(history.kept())
    for each in (history, other):
        each.add(HOURS_FOR + 2 * DAY, cells([1.0]))
    assert other.kept() == history.kept()
    assert other.bytes_held == history.bytes_held
    assert other.newest_hour == history.newest_hour


def test_hours_of_a_reference_are_kept_beyond_the_year_and_go_last() -> None:
    first = 10_000 * 24
    history = TopicHistory(reference=(first, first + 24))
    history.add(first, cells([1.0]))
    history.add(first + 48, cells([2.0]))
    history.add(first + 2 * KEPT_FOR, cells([3.0]))
    assert [period.first for period in history.periods(first, first + 2 * KEPT_FOR)] == [first]
    bounded = TopicHistory(1, reference=(first, first + 24))
    for hour in (first, first + 48):
        bounded.add(hour, cells([1.0]))
    # There is room for nothing, and what is newest stays all the same.
    assert [period.first for period in bounded.periods(first, first + 49)] == [first + 48]
