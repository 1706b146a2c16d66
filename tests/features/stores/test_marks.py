"""Marks say up to when rows reflect their partition, and are never taken back by whoever lags."""

from __future__ import annotations

import pytest

from freshet.features.stores.complete_store import reflected
from freshet.features.stores.marks import PartitionMark, marks_of, ticks_of
from freshet.features.stores.memory_store import MemoryStore
from freshet.schemas.wire.blocks import NO_TICK


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def tick_in(store: MemoryStore, partition: int = 0) -> int:
    (marks,) = store.read([marks_of("v", [partition])])
    return int(ticks_of(marks, store.generation())[0])


def test_each_tick_is_written_once(store: MemoryStore) -> None:
    mark, writes = PartitionMark(store, "v", 0), 0
    for position, tick in ((3, 10), (3, 10), (5, 20), (5, 20)):
        before = dict(store.rows)
        mark.put(store.generation(), position, tick)
        writes += before != store.rows
        assert tick_in(store) == tick
    assert writes == 2


def test_who_is_behind_takes_nothing_back(store: MemoryStore) -> None:
    PartitionMark(store, "v", 0).put(store.generation(), 9, 90)
    zombie = PartitionMark(store, "v", 0)
    zombie.put(store.generation(), 4, 40)
    zombie.put(store.generation(), 5, 50)
    assert tick_in(store) == 90
    zombie.put(store.generation(), 12, 120)
    assert tick_in(store) == 120


def test_a_log_that_begins_anew_is_heard_of_all_the_same(store: MemoryStore) -> None:
    PartitionMark(store, "v", 0).put(store.generation(), 900, 10)
    later = PartitionMark(store, "v", 0)
    later.put(store.generation(), 1, 20)
    later.put(store.generation(), 2, 30)
    assert tick_in(store) == 30


def test_a_store_that_lost_rows_knows_of_no_time(store: MemoryStore) -> None:
    PartitionMark(store, "v", 0).put(store.generation(), 1, 10)
    store.lose()
    assert tick_in(store) == NO_TICK


def test_a_view_is_as_old_as_its_oldest_partition(store: MemoryStore) -> None:
    for partition, tick in ((0, 10), (1, 7)):
        PartitionMark(store, "v", partition).put(store.generation(), 1, tick)
    assert reflected(store, {"v": 2, "other": 1}) == {"v": 7, "other": NO_TICK}
    assert reflected(store, {"v": 3}) == {"v": NO_TICK}
