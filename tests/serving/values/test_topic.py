"""What is known of a topic's values: each piece counted once, hours that are unlike others told."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from freshet.schemas.durations import HOUR_MS
from freshet.schemas.topics.topic_statistics import Statistics
from freshet.schemas.wire.blocks import Block
from freshet.serving.values.drift import LEARN_WEEKS, LEAST_EVENTS, SOURCES, WEEK
from freshet.serving.values.history import Period
from freshet.serving.values.report import Asked, report
from freshet.serving.values.topic import KeptTopic, TopicStatistics
from freshet.streams.sketches.sketch import merged
from tests.serving.values.pieces_of import FIRST_HOUR, SALES, Told


def fed(statistics: TopicStatistics, *given: Iterable[Block]) -> TopicStatistics:
    for some in given:
        for block in some:
            statistics.take(block)
    return statistics


def rows(statistics: TopicStatistics, hour: int) -> int:
    found = statistics.sketches(Period(hour, 1), "price")
    return merged(found.values()).rows


def test_a_piece_that_grows_is_counted_once() -> None:
    told = Told()
    statistics = TopicStatistics(SALES)
    fed(statistics, told.sell(FIRST_HOUR, "a", [1.0, 2.0]), told.tick(FIRST_HOUR + 0.7))
    assert rows(statistics, FIRST_HOUR) == 2
    fed(statistics, told.tick(FIRST_HOUR + 0.9))
    assert rows(statistics, FIRST_HOUR) == 2
    # The next hour ends it.
    fed(statistics, told.sell(FIRST_HOUR + 1, "a", [3.0]), told.tick(FIRST_HOUR + 1.5))
    assert rows(statistics, FIRST_HOUR) == 2
    assert rows(statistics, FIRST_HOUR + 1) == 1
    assert statistics.newest_hour == FIRST_HOUR + 1


def test_what_is_told_again_after_a_restart_counts_once() -> None:
    told = Told()
    first = [*told.sell(FIRST_HOUR, "a", [1.0, 2.0]), *told.tick(FIRST_HOUR + 0.7)]
    second = [*told.sell(FIRST_HOUR + 1, "a", [3.0]), *told.tick(FIRST_HOUR + 1.5)]
    statistics = fed(TopicStatistics(SALES), first, second, first, second)
    assert rows(statistics, FIRST_HOUR) == 2
    assert rows(statistics, FIRST_HOUR + 1) == 1


def test_partitions_add_up() -> None:
    statistics = TopicStatistics(SALES)
    for partition in range(2):
        told = Told(partition)
        fed(statistics, told.sell(FIRST_HOUR, "a", [1.0, 2.0]))
        fed(statistics, told.sell(FIRST_HOUR + 1, "a", [3.0]))
        fed(statistics, told.tick(FIRST_HOUR + 1.9))
    assert rows(statistics, FIRST_HOUR) == 4
    assert rows(statistics, FIRST_HOUR + 1) == 2


def weeks(draw: random.Random, statistics: TopicStatistics, told: Told, count: int) -> None:
    """Every day at one hour some sales of two shops."""
    for day in range(count * 7):
        hour = FIRST_HOUR + day * 24 + 9
        for shop in "ab":
            prices = [draw.gauss(20.0, 3.0) for _ in range(30)]
            fed(statistics, told.sell(hour, shop, prices))
        fed(statistics, told.tick(hour + 1.5))


@pytest.fixture(scope="module")
def usual() -> tuple[KeptTopic, bytes]:
    """Ten usual weeks, and intake as it is then."""
    statistics = TopicStatistics(SALES)
    weeks(random.Random(1), statistics, Told(), LEARN_WEEKS + 2)
    return statistics.kept(), b""


def after_usual(kept: KeptTopic) -> tuple[TopicStatistics, Told, int]:
    statistics = TopicStatistics(SALES)
    statistics.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(kept), type=KeptTopic))
    told = Told()
    # Its records come after those that were counted.
    told._offset = 10**6
    return statistics, told, FIRST_HOUR + (LEARN_WEEKS + 2) * WEEK + 9


def test_usual_weeks_tell_of_nothing(usual: tuple[KeptTopic, bytes]) -> None:
    statistics, _, _ = after_usual(usual[0])
    figures = statistics.figures()
    assert figures.drifts == []
    assert figures.weeks_missing == 0
    assert figures.watched > 0
    assert figures.learning == 0


def test_a_field_that_is_shifted_at_one_source_is_named_once_its_hour_is_over(
    usual: tuple[KeptTopic, bytes],
) -> None:
    statistics, told, hour = after_usual(usual[0])
    draw = random.Random(2)
    fed(statistics, told.sell(hour, "a", [draw.gauss(20.0, 3.0) for _ in range(30)]))
    fed(statistics, told.sell(hour, "b", [draw.gauss(20.0, 3.0) * 1.6 for _ in range(30)]))
    fed(statistics, told.tick(hour + 0.99))
    assert statistics.figures().drifts == []
    fed(statistics, told.tick(hour + 1 + 5.1 / 60))
    (drift,) = statistics.figures().drifts
    assert (drift.field, drift.source) == ("price", "b")
    assert drift.hour_ms == hour * 3_600_000
    assert drift.events == 30
    assert drift.distance > drift.bound
    assert drift.share != drift.usual_share


@pytest.mark.parametrize("events", [LEAST_EVENTS, 30])
@pytest.mark.parametrize(
    ("change", "item", "field"),
    [
        (lambda price: price * 1.6, "tea", "price"),
        (lambda price: price * 100, "tea", "price"),
        (lambda price: 0.0, "tea", "price"),
        (lambda price: 20.0, "tea", "price"),
        (lambda price: None, "tea", "price"),
        (lambda price: price, "thee", "item"),
    ],
    ids=["another unit", "cents", "zeros", "a constant", "missing", "renamed"],
)
def test_any_kind_of_shift_at_one_source_is_named_from_ten_events_on(
    usual: tuple[KeptTopic, bytes],
    change: Callable[[float], float | None],
    item: str,
    field: str,
    events: int,
) -> None:
    statistics, told, hour = after_usual(usual[0])
    draw = random.Random(2)
    fed(statistics, told.sell(hour, "a", [draw.gauss(20.0, 3.0) for _ in range(30)]))
    changed = [change(draw.gauss(20.0, 3.0)) for _ in range(events)]
    fed(statistics, told.sell(hour, "b", changed, item), told.tick(hour + 1.5))
    # That one source brings less is told of beside it.
    found = {(drift.field, drift.source) for drift in statistics.figures().drifts}
    assert found - {(SOURCES, None)} == {(field, "b")}


def test_a_source_that_brings_too_much_is_named(usual: tuple[KeptTopic, bytes]) -> None:
    statistics, told, hour = after_usual(usual[0])
    draw = random.Random(3)
    fed(statistics, told.sell(hour, "a", [draw.gauss(20.0, 3.0) for _ in range(400)]))
    fed(statistics, told.sell(hour, "b", [draw.gauss(20.0, 3.0) for _ in range(12)]))
    fed(statistics, told.tick(hour + 1.5))
    found = {drift.field: drift for drift in statistics.figures().drifts}
    assert found[SOURCES].moved in ("a", "b")


def test_what_is_told_of_is_not_learned(usual: tuple[KeptTopic, bytes]) -> None:
    statistics, told, hour = after_usual(usual[0])
    draw = random.Random(4)
    for day in range(3):
        shifted = [draw.gauss(20.0, 3.0) * 1.6 for _ in range(30)]
        fed(statistics, told.sell(hour + 24 * day, "b", shifted))
        fed(statistics, told.tick(hour + 24 * day + 1.5))
    assert len(statistics.figures().drifts) == 3


def test_too_few_events_say_nothing(usual: tuple[KeptTopic, bytes]) -> None:
    statistics, told, hour = after_usual(usual[0])
    fed(statistics, told.sell(hour, "b", [500.0] * 9))
    fed(statistics, told.tick(hour + 1.5))
    assert [d for d in statistics.figures().drifts if d.source == "b"] == []


def test_before_it_is_known_what_is_usual_nothing_is_told() -> None:
    statistics = TopicStatistics(SALES)
    told = Told()
    weeks(random.Random(5), statistics, told, 2)
    hour = FIRST_HOUR + 2 * WEEK + 9
    fed(statistics, told.sell(hour, "b", [500.0] * 40), told.tick(hour + 1.5))
    figures = statistics.figures()
    assert figures.drifts == []
    assert figures.weeks_missing == LEARN_WEEKS - 1
    assert figures.watched == 0


def test_values_that_never_were_are_named_though_their_distance_is_usual() -> None:
    statistics = TopicStatistics(SALES)
    told = Told()
    # Each week other prices than in the week before, so that no distance is unusual.
    for week in range(LEARN_WEEKS + 3):
        hour = FIRST_HOUR + week * WEEK
        prices = [float(1 + i % 3 + 3 * (week % 2)) for i in range(21)]
        fed(statistics, told.sell(hour, "a", prices), told.tick(hour + 1.5))
    assert statistics.figures().drifts == []
    hour = FIRST_HOUR + (LEARN_WEEKS + 3) * WEEK
    prices = [(1 + i % 6) * 1.07 for i in range(21)]
    fed(statistics, told.sell(hour, "a", prices), told.tick(hour + 1.5))
    (drift,) = statistics.figures().drifts
    assert (drift.field, drift.measure, drift.distance) == ("price", "unseen", 1.0)
    assert drift.bound < 1.0


def test_numbers_that_are_all_different_are_not_told_of_as_unseen(
    usual: tuple[KeptTopic, bytes],
) -> None:
    statistics, told, hour = after_usual(usual[0])
    draw = random.Random(7)
    fed(statistics, told.sell(hour, "a", [draw.gauss(20.0, 3.0) for _ in range(30)]))
    fed(statistics, told.tick(hour + 1.5))
    assert statistics.figures().drifts == []


def declared(**given: Any) -> tuple[TopicStatistics, Told]:
    topic = replace(SALES, statistics=Statistics(**given))
    return TopicStatistics(topic), Told(topic=topic)


def test_a_declared_bound_holds_from_the_first_hour_that_is_compared() -> None:
    statistics, told = declared(bounds={"price": 0.5})
    for week, price in enumerate((10.0, 10.0, 99.0)):
        hour = FIRST_HOUR + week * WEEK
        for shop in "ab":
            fed(statistics, told.sell(hour, shop, [price] * 20))
        fed(statistics, told.tick(hour + 1.5))
    figures = statistics.figures()
    assert {(d.field, d.source, d.bound) for d in figures.drifts} == {
        ("price", "a", 0.5),
        ("price", "b", 0.5),
    }
    # Of the others it is still learned what is usual.
    assert figures.watched == 2
    assert figures.learning > 0


def test_a_bound_of_the_source_field_is_of_who_brings_how_much() -> None:
    statistics, told = declared(bounds={"shop": 0.2})
    for week, count in enumerate((20, 20, 2)):
        hour = FIRST_HOUR + week * WEEK
        fed(statistics, told.sell(hour, "a", [1.0] * 20), told.sell(hour, "b", [1.0] * count))
        fed(statistics, told.tick(hour + 1.5))
    (drift,) = statistics.figures().drifts
    assert (drift.field, drift.source, drift.bound) == (SOURCES, None, 0.2)


def day_of(number: int) -> str:
    moment = datetime.fromtimestamp((FIRST_HOUR + number * 24) * 3_600, UTC)
    return moment.date().isoformat()


def test_a_fixed_span_is_what_all_later_hours_are_compared_with() -> None:
    span = (day_of(0), day_of(1))
    statistics, told = declared(bounds={"price": 0.5}, reference=span)
    for day, price in enumerate((10.0, 10.0, 99.0, 99.0)):
        hour = FIRST_HOUR + day * 24 + day  # no hour of the day twice
        fed(statistics, told.sell(hour, "a", [price] * 40), told.tick(hour + 1.5))
    # It goes on being unlike that day.
    hours = [(drift.hour_ms // HOUR_MS - FIRST_HOUR) // 24 for drift in statistics.figures().drifts]
    assert hours == [3, 2]
    figures = statistics.figures()
    assert figures.is_fixed
    assert figures.reference == f"{span[0]} to {span[1]} UTC"
    found = {each.name: each for each in report(statistics, Asked()).fields}
    assert found["price"].compared is not None
    assert found["price"].compared.reference_events == 40
    assert found["price"].compared.jensen_shannon == 1.0


def test_a_late_event_of_a_fixed_span_is_of_it() -> None:
    statistics, told = declared(reference=(day_of(0), day_of(1)))
    fed(statistics, told.sell(FIRST_HOUR, "a", [1.0] * 20), told.tick(FIRST_HOUR + 1.5))
    fed(statistics, told.sell(FIRST_HOUR + 24, "a", [1.0] * 20), told.tick(FIRST_HOUR + 25.5))
    fed(statistics, told.sell(FIRST_HOUR + 23, "b", [1.0] * 5))
    fed(statistics, told.sell(FIRST_HOUR + 26, "a", [1.0] * 20), told.tick(FIRST_HOUR + 27.5))
    (sketches,) = statistics.reference(FIRST_HOUR + 26, FIRST_HOUR + 27)
    assert sketches["b", "price"].rows == 5


def test_another_reference_is_learned_anew(usual: tuple[KeptTopic, bytes]) -> None:
    statistics, _ = declared(reference=(day_of(0), day_of(7)))
    statistics.restore(usual[0])
    figures = statistics.figures()
    assert (figures.watched, figures.weeks_missing) == (0, None)
    assert statistics.newest_hour is not None
