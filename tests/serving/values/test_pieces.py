"""Pieces of statistics are counted once and all of them, where one record of the log is many
events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from freshet.schemas.durations import HOUR_MS
from freshet.schemas.events.decode import EventCodec, encode
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.topics.topic import Freshness, Topic
from freshet.schemas.wire import blocks
from freshet.serving.values.topic import KeptTopic, TopicStatistics
from freshet.streams.intake.task import IntakePlan, IntakeTask
from freshet.streams.operators.task import Append, Task
from freshet.streams.repartition.intake import MovedIntakeTask
from freshet.streams.repartition.task import RepartitionPlan, RepartitionTask
from freshet.streams.sketches.cells import MOST_CELLS
from freshet.streams.sketches.sketch import merged
from tests.serving.values.pieces_of import FIRST_HOUR, SALES, SCHEMA, TO
from tests.streams.toy_events import batch_of

START = FIRST_HOUR * HOUR_MS
READING = {
    "type": "record",
    "name": "Reading",
    "fields": [
        {"name": "at", "type": "long"},
        {"name": "value", "type": ["null", "double"]},
    ],
}
METERS = EventSchema.parse(
    {
        "type": "record",
        "name": "meters",
        "fields": [
            {"name": "meter", "type": "string"},
            {"name": "readings", "type": {"type": "array", "items": READING}},
        ],
    },
    "meters",
)


def fed(statistics: TopicStatistics, appends: Iterable[Append]) -> None:
    for append in appends:
        if append.topic == TO:
            for value in append.values:
                statistics.take(blocks.decode(value))


def counted(statistics: TopicStatistics, field: str) -> int:
    """How many events there were."""
    found = [
        sketch
        for period in statistics.periods(0, 2 * FIRST_HOUR)
        for sketch in statistics.sketches(period, field).values()
    ]
    return merged(found).rows


def restarted(task: Task, fresh: Task) -> Task:
    fresh.load(load(save(task.dump(full=True))), [])
    return fresh


def meters() -> tuple[Topic, IntakePlan]:
    topic = Topic(
        "meters",
        schema=METERS,
        event_id=None,
        event_time="readings.at",
        explode="readings",
        freshness=Freshness(lateness="365d", max_future="365d"),
    )
    codec = EventCodec(topic.records)
    return topic, IntakePlan("log", topic, codec, (), (), "dead", None, TO)


def readings(first_hour: int, hours: int) -> bytes:
    values = [
        {"at": START + (first_hour + hour) * HOUR_MS, "value": float(hour)} for hour in range(hours)
    ]
    return encode(METERS, [{"meter": "m", "readings": values}])[0]


@pytest.mark.parametrize("hours", [MOST_CELLS - 10, MOST_CELLS, 2 * MOST_CELLS + 7])
def test_a_record_of_more_events_than_a_piece_has_room_for_is_counted_whole(hours: int) -> None:
    topic, plan = meters()
    sent = [readings(0, 20), readings(20, hours), readings(20 + hours, 30)]
    times = [START + 20 * HOUR_MS] * len(sent)
    given_ = batch_of(sent, range(len(sent)), times)
    for parts in ([(0, 3)], [(0, 1), (1, 2), (2, 3)]):
        task: Task = IntakeTask(plan, 0)
        statistics = TopicStatistics(topic)
        for first, after in parts:
            fed(statistics, task.apply(given_.rows(first, after)).appends)
            task = restarted(task, IntakeTask(plan, 0))
        fed(statistics, task.tick(START + 21 * HOUR_MS, 1).appends)
        assert counted(statistics, "readings.value") == 20 + hours + 30


def sale(number: int, time: int) -> bytes:
    event = {"id": f"{number}", "at": time, "shop": "a", "item": None, "price": 1.0}
    return encode(SCHEMA, [event])[0]


class Moving:
    """Sales whose records are moved by their ids, and what is told of them."""

    def __init__(self, minutes: Sequence[int]) -> None:
        topic = replace(SALES, dedup_by="topic", partitions=1)
        codec = EventCodec(SCHEMA)
        self.plan = IntakePlan("shop.sales", topic, codec, (), (), "dead", None, TO)
        self.times = [START + minute * 60_000 for minute in minutes]
        self._mover = RepartitionTask(RepartitionPlan(self.plan, "moved", 1), 0)
        self.moved: list[tuple[bytes, int]] = []
        self.statistics = TopicStatistics(topic)

    def move(self, first: int, after: int) -> None:
        """Some records in one block, perhaps once more."""
        times = self.times[first:after]
        values = [sale(first + i, time) for i, time in enumerate(times)]
        given_ = batch_of(values, range(first, after), times)
        for append in self._mover.apply(given_).appends:
            self.moved += [(value, append.time_ms) for value in append.values]

    def tick(self, now_ms: int) -> None:
        for append in self._mover.tick(now_ms, 1).appends:
            self.moved += [(value, append.time_ms) for value in append.values]

    def taker(self) -> MovedIntakeTask:
        return MovedIntakeTask(self.plan, 0, 1)

    def take(self, task: Task, first: int, after: int) -> None:
        some = self.moved[first:after]
        values = [value for value, _ in some]
        given_ = batch_of(
            values, range(first, first + len(some)), [time for _, time in some], "moved"
        )
        fed(self.statistics, task.apply(given_).appends)


def test_a_topic_that_is_taken_from_another_log_is_counted_on() -> None:
    """Its places there begin anew, and so does its reading."""
    moving = Moving([10, 20, 70, 80, 130])
    moving.move(0, 4)
    before = TopicStatistics(SALES)
    moving.statistics = before
    own = IntakeTask(replace(moving.plan, topic=SALES), 0)
    for first, after in ((0, 2), (2, 4)):
        times = moving.times[first:after]
        values = [sale(first + i, time) for i, time in enumerate(times)]
        offsets = range(1_000 + first, 1_000 + after)
        fed(before, own.apply(batch_of(values, offsets, times, "sales")).appends)
    fed(before, own.tick(START + 85 * 60_000, 4).appends)
    assert counted(before, "price") == 4
    task = moving.taker()
    moving.tick(START + 90 * 60_000)
    moving.take(task, 0, len(moving.moved))
    assert counted(before, "price") == 4
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(before.kept()), type=KeptTopic)
    moving.statistics = TopicStatistics(SALES)
    moving.statistics.restore(kept)
    place = len(moving.moved)
    moving.move(4, 5)
    moving.tick(START + 200 * 60_000)
    moving.take(task, place, len(moving.moved))
    assert counted(moving.statistics, "price") == 5
    # It waits for no partition that there was before.
    assert moving.statistics.figures().newest_hour_ms == START + 2 * HOUR_MS
    assert moving.statistics._ticks.finished == START + 200 * 60_000


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=30),
    st.lists(st.tuples(st.integers(0, 29), st.integers(1, 12)), max_size=6),
    st.lists(st.tuples(st.booleans(), st.integers(1, 3)), max_size=12),
)
def test_moved_records_are_counted_once_whatever_is_killed_when(
    later: list[int], again: list[tuple[int, int]], steps: list[tuple[bool, int]]
) -> None:
    """One block of the log that they are moved to may hold hours."""
    minutes = [sum(later[: i + 1]) for i in range(len(later))]
    moving = Moving(minutes)
    at = 0
    for back, count in again:
        # Killed, a mover moves once more what it had moved, cut in another way.
        first = min(at, back)
        after = max(at, min(len(later), first + count))
        if first < after:
            moving.move(first, after)
        at = after
    if at < len(later):
        moving.move(at, len(later))
    moving.tick(max(moving.times) + HOUR_MS)
    task: Any = moving.taker()
    kept = (0, restarted(task, moving.taker()))
    place = 0
    for is_killed, count in steps:
        if is_killed:
            place = kept[0]
            task = restarted(kept[1], moving.taker())
            continue
        moving.take(task, place, place + count)
        place = min(len(moving.moved), place + count)
        if count == 1:
            kept = (place, restarted(task, moving.taker()))
    moving.take(task, place, len(moving.moved))
    assert counted(moving.statistics, "price") == len(later)
