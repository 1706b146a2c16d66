"""Memory that grows, and the segments that rows lie in."""

from __future__ import annotations

import numpy as np
import pytest

from freshet.features import aggregates as fr
from freshet.features.partition.rows import ViewRows
from freshet.features.rows.arena import SEGMENT_WORDS, Memory
from freshet.features.rows.layout import TAIL
from freshet.features.rows.plan import RowPlan
from freshet.schemas.text.columns import Texts


@pytest.mark.parametrize("held", [False, True], ids=["moved", "copied"])
def test_memory_keeps_what_it_held_when_it_grows(held: bool) -> None:
    memory = Memory(np.int64)
    memory.grow(100)
    memory.array[:100] = np.arange(100)
    # Somebody who holds an array keeps the pages where they are: then they are copied.
    holder = memory.array if held else None
    memory.grow(1_000_000)
    assert memory.array.size >= 1_000_000
    assert memory.array[:100].tolist() == list(range(100))
    assert not memory.array[100:].any()
    memory.array[-1] = 7
    if holder is not None:
        assert holder[:100].tolist() == list(range(100))


def test_memory_that_is_large_enough_stays_where_it_is() -> None:
    memory = Memory(np.int64)
    memory.grow(1_000)
    before = memory.array
    memory.grow(10)
    assert memory.array is before


def test_rows_that_are_larger_than_a_usual_segment_have_larger_ones() -> None:
    """A view of 30 days at a minute, whose rows have 43,200 tiles."""
    features: dict[str, fr.Aggregate] = {
        name: make("x", over="30d")
        for name, make in {"sum": fr.sum, "most": fr.max, "least": fr.min}.items()
    }
    rows = ViewRows(RowPlan.compile(features, 60_000))
    assert rows.plan.most_bytes > 8 * SEGMENT_WORDS
    times = np.arange(30 * 24 * 60) * 60_000
    keys = Texts.of(["k", "j"] * 500)
    for first in range(0, len(times), 500):
        part = np.repeat(times[first : first + 500], 2)
        count = len(part)
        values = np.ones((count, 1))
        two = Texts(keys.data, keys.start[:count], keys.end[:count], keys.valid[:count])
        rows.fold(two, part, values, first, np.arange(count))
    lengths = rows.all_rows()[1].lengths
    assert (lengths > 0.99 * rows.plan.most_bytes).all()
    assert (lengths <= rows.plan.most_bytes).all()


def test_dead_blocks_are_given_back_while_rows_grow() -> None:
    """Every row comes to many blocks; what is held is bounded after each batch."""
    rows = ViewRows(RowPlan.compile({"n": fr.count(over="1d"), "x": fr.max("x", over="7d")}, None))
    count = 20_000
    keys = Texts.of([f"key {at}" for at in range(count)])
    for at in range(60):
        times = np.full(count, at * 3_600_000)
        rows.fold(keys, times, np.ones((count, 1)), at, np.arange(count))
        # Blocks with the room of a whole tail and an eighth to spare, and some 25 words of tiles; a
        # quarter dead besides, and some segments. Without compaction it comes to thrice as much.
        longest = (rows.plan.bytes_of(TAIL) + 8 * 25) * 9 / 8
        assert rows.used_bytes <= 1.25 * count * longest + 8 * 4 * SEGMENT_WORDS


def test_a_checkpoint_with_many_deltas_takes_no_more_than_its_rows() -> None:
    plan = RowPlan.compile({"n": fr.count(over="1d"), "x": fr.max("x", over="7d")}, None)
    rows = ViewRows(plan)
    count = 20_000
    keys = Texts.of([f"key {at}" for at in range(count)])
    dumped = []
    for at in range(12):
        times = np.full(count, at * 3_600_000)
        rows.fold(keys, times, np.ones((count, 1)), at, np.arange(count))
        dumped.append(rows.dump_delta() if at else rows.dump())
    loaded = ViewRows(plan)
    loaded.load(dumped[0], dumped[1:])
    assert loaded.used_bytes <= 1.25 * rows.used_bytes + 8 * 4 * SEGMENT_WORDS
    assert list(loaded.all_rows()[1]) == list(rows.all_rows()[1])
