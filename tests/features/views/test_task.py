"""A view's task: events of a clean log to rows of a store that may lose them, with restarts
anywhere."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from freshet.features import aggregates as fr
from freshet.features.packed import Packed
from freshet.features.rows.finish import finish
from freshet.features.stores.complete_store import reflected
from freshet.features.stores.contract import RowKeys
from freshet.features.stores.marks import KEY_PREFIX, marked, marks_of
from freshet.features.stores.memory_store import MemoryStore
from freshet.features.views.task import ViewTask
from freshet.features.views.view import View
from freshet.schemas.errors import StoreError
from freshet.schemas.topics.topic import Topic
from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import Block
from tests.features.rows.reference import ReferenceRow
from tests.streams.toy_events import CUTS, batch_of, cut, within

untimed = settings(deadline=None, max_examples=80)
TOPIC = Topic(
    "landings",
    {
        "type": "record",
        "name": "landings",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "at", "type": "long"},
            # a field may be called as a block's own columns are
            {"name": "key", "type": ["null", "double"]},
            {"name": "t", "type": ["null", "long"]},
            {"name": "late", "type": "boolean"},
            {"name": "gate", "type": ["null", "string"]},
        ],
    },
    event_id="id",
    event_time="at",
    partitions=2,
)
FEATURES: dict[str, Any] = {
    "n": fr.count(over="6s"),
    "delay": fr.mean("key", over="3s"),
    "most": fr.max("t", over="6s"),
    "late": fr.sum("late", over="6s"),
    "ewm": fr.decayed_mean("key", "2s", prior=1.0),
    "last": fr.last("t"),
    "since": fr.age(),
}
VIEW = View("by_gate", TOPIC, key="gate", tile="1s", features=FEATURES)


@dataclass(frozen=True)
class Event:
    gate: str | None
    at: int
    key: float | None
    t: int | None
    late: bool


def block(
    rows: Sequence[Event], first: int, partition: int = 0, tick: int = blocks.NO_TICK
) -> bytes:
    """Events as intake writes them."""
    columns = {
        "key": pa.array([e.gate for e in rows], pa.string()),
        "t": pa.array([e.at for e in rows], pa.int64()),
        blocks.FIELD + "key": pa.array([e.key for e in rows], pa.float64()),
        blocks.FIELD + "t": pa.array([e.t for e in rows], pa.int64()),
        blocks.FIELD + "late": pa.array([e.late for e in rows], pa.bool_()),
        "_offset": pa.array(np.arange(first, first + len(rows))),
        "_index": pa.array(np.zeros(len(rows), np.int32)),
    }
    made = pa.RecordBatch.from_pydict(columns) if rows else None
    return blocks.encode(Block(blocks.CLEAN, "landings", partition, made, tick, 2))


# Many of them are no float64.
LONGS = st.integers(-(1 << 63), (1 << 63) - 1) | st.sampled_from(
    [-(1 << 63), (1 << 63) - 1, (1 << 53) + 1, -(1 << 53) - 1, 0]
)
EVENTS = st.builds(
    Event,
    st.sampled_from([None, "", "a", "Zürich", "a gate with a long name"]),
    st.integers(0, 20_000),
    st.none() | st.floats(-1e6, 1e6),
    st.none() | LONGS,
    st.booleans(),
)
LOGS = st.lists(EVENTS, min_size=6, max_size=40)


def values_of(events: Sequence[Event], edges: Sequence[int]) -> list[bytes]:
    """Blocks of both source partitions in turn, each with a tick."""
    return [
        block(events[a:b], a, i % 2, 1_000 * b) for i, (a, b) in enumerate(cut(len(events), edges))
    ]


def take(task: ViewTask, values: Sequence[bytes], first: int = 0) -> None:
    task.apply(batch_of(values, range(first, first + len(values)), [0] * len(values)))
    task.write()


def through_files(part: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    return dict(load(save({k: np.ascontiguousarray(v) for k, v in part.items()})))


def is_mark(key: bytes) -> bool:
    return key.startswith(KEY_PREFIX)


def rows_in(store: MemoryStore) -> dict[bytes, bytes]:
    return {key: row for (_, key), row in store.rows.items() if not is_mark(key)}


def newest_whole(events: Sequence[Event], gate: str | None) -> int | None:
    """The newest `t` of a gate, of equal times the later in the log: the obvious way."""
    newest = None
    last = None
    for event in events:
        if (event.gate or None) != gate or event.t is None:
            continue
        if newest is None or event.at >= newest:
            newest = event.at
            last = event.t
    return last


@untimed
@given(LOGS, CUTS, CUTS, st.integers(0, 30_000))
def test_rows_finish_as_the_slow_reference_does(
    events: list[Event], edges: list[int], cuts: list[int], as_of: int
) -> None:
    store, task = MemoryStore(), None
    values, expected = values_of(events, within(len(events), edges)), dict[str, ReferenceRow]()
    task = ViewTask(VIEW, "v", 0, store)
    for a, b in cut(len(values), within(len(values), cuts)):
        take(task, values[a:b], a)
    for offset, (a, b) in enumerate(cut(len(events), within(len(events), edges))):
        for i, e in enumerate(events[a:b]):
            row = expected.setdefault(e.gate or "", ReferenceRow(FEATURES, 1_000))
            numbers = {"key": e.key, "t": e.t, "late": e.late}
            floats = {k: float("nan") if v is None else float(v) for k, v in numbers.items()}
            row.fold(e.at, floats, (offset, i))
    keys = [k.encode() for k in expected]
    (found,) = store.read([RowKeys("v", keys)])
    assert found.present.all()
    assert [struct.unpack(">2q", r[:16]) for r in found.packed] == [
        r.version for r in expected.values()
    ]
    done = finish(VIEW.plan, found.packed, np.full(len(keys), as_of))
    finished = np.array([r.finish(as_of) for r in expected.values()])
    in_order = [list(FEATURES).index(name) for name in VIEW.plan.names]
    assert done.values.tobytes() == finished[:, in_order].tobytes()
    exact = [newest_whole(events, gate or None) for gate in expected]
    missing = np.isnan(done.values[:, VIEW.plan.names.index("last")])
    assert [
        None if none else last for last, none in zip(done.wholes["last"].tolist(), missing)
    ] == exact
    assert task.facts()["events"] == len(events)


@untimed
@given(LOGS, CUTS, CUTS, CUTS, CUTS, st.data())
def test_any_batches_restarts_and_losses_leave_the_same_rows(
    events: list[Event],
    edges: list[int],
    cuts: list[int],
    restarts: list[int],
    losses: list[int],
    data: st.DataObject,
) -> None:
    values = values_of(events, within(len(events), edges))
    plain, store = MemoryStore(), MemoryStore()
    one, task = ViewTask(VIEW, "v", 0, plain), ViewTask(VIEW, "v", 0, store)
    take(one, values)
    base, deltas, saved = through_files(task.dump(True)), list[Any](), 0
    cuts, restarts, losses = (within(len(values), places) for places in (cuts, restarts, losses))
    for a, b in cut(len(values), [*cuts, *restarts, *losses]):
        if a in losses:
            store.lose()
        if a in restarts:  # killed here; what came after the checkpoint is read again
            task = ViewTask(VIEW, "v", 0, store)
            task.load(base, deltas)
            take(task, values[saved:a], saved)
        take(task, values[a:b], a)
        kind = data.draw(st.sampled_from(["none", "delta", "base"]))
        if kind == "base":
            base, deltas, saved = through_files(task.dump(True)), [], b
        elif kind == "delta":
            deltas.append(through_files(task.dump(False)))
            saved = b
    assert rows_in(store) == rows_in(plain)
    assert task.facts() == one.facts()
    assert task.finished == one.finished


def test_touched_rows_are_written_and_no_others() -> None:
    written: list[list[bytes]] = []

    class Watched(MemoryStore):
        def write(self, view: str, keys: Sequence[bytes], rows: Packed) -> int:
            written.append([key for key in keys if not is_mark(key)])
            return super().write(view, keys, rows)

    task = ViewTask(VIEW, "v", 0, Watched())
    take(task, [block([Event("a", 0, 1.0, 1, True), Event("b", 0, 1.0, 1, True)], 0)])
    take(task, [block([Event("b", 1, 1.0, 1, True)], 2)], 1)
    take(task, [block([], 3, tick=9)], 2)
    assert [w for w in written if w] == [[b"a", b"b"], [b"b"]]


def test_a_store_that_lost_its_rows_gets_all_of_them() -> None:
    store = MemoryStore()
    task = ViewTask(VIEW, "v", 0, store)
    take(task, [block([Event(g, 0, 1.0, 1, True) for g in "abc"], 0)])
    before = rows_in(store)
    store.lose()
    take(task, [block([], 3, tick=9)], 1)
    assert rows_in(store) == before


def test_a_task_that_comes_back_writes_all_rows_even_if_nothing_new_came() -> None:
    store = MemoryStore()
    task = ViewTask(VIEW, "v", 0, store)
    take(task, [block([Event(g, 0, 1.0, 1, True) for g in "abc"], 0)])
    before, state = rows_in(store), task.dump(True)
    store.lose()
    again = ViewTask(VIEW, "v", 0, store)
    again.load(state, [])
    again.write()
    assert rows_in(store) == before


def test_what_a_store_refused_is_written_when_it_is_back() -> None:
    class Flaky(MemoryStore):
        away = False

        def write(self, view: str, keys: Sequence[bytes], rows: Packed) -> int:
            if self.away:
                raise StoreError("store", "is away", "Wait.")
            return super().write(view, keys, rows)

    store, plain = Flaky(), MemoryStore()
    task, one = ViewTask(VIEW, "v", 0, store), ViewTask(VIEW, "v", 0, plain)
    values = [
        block([Event(g, 0, 1.0, 1, True) for g in "abc"], 0),
        block([Event("a", 1, 2.0, 1, True)], 3),
    ]
    take(one, values)
    store.away = True
    task.apply(batch_of(values, [0, 1], [0, 0]))
    for _ in range(20):
        with pytest.raises(StoreError):
            task.write()
        assert len(task._unwritten) == 1, "what is kept does not grow with the tries"
    store.away = False
    task.write()
    assert rows_in(store) == rows_in(plain)


def test_rows_of_an_origin_are_taken_once_and_origins_do_not_mix() -> None:
    store = MemoryStore()
    task = ViewTask(VIEW, "v", 0, store)
    event = Event("a", 0, 1.0, 1, True)
    take(
        task,
        [
            block([event], 5, partition=0),
            block([event], 5, partition=1),
            block([event, event], 5, partition=0),
        ],
    )
    assert task.facts()["events"] == 3


def test_it_has_finished_what_all_source_partitions_have() -> None:
    task = ViewTask(VIEW, "v", 0, MemoryStore())
    take(task, [block([], 0, 0, 500)])
    assert task.finished == blocks.NO_TICK
    take(task, [block([], 0, 1, 300), block([], 0, 0, 700)], 1)
    assert task.finished == 300


def test_a_store_that_is_trusted_is_asked_with_the_next_tick() -> None:
    class Asked(MemoryStore):
        times = 0

        def generation(self) -> str:
            self.times += 1
            return super().generation()

    store = Asked()
    task = ViewTask(VIEW, "v", 0, store)
    task.trusted_seconds = 3_600.0
    take(task, [three_gates(), block([], 1, 0, 500), block([], 1, 1, 400)])
    asked = store.times
    store.lose()
    event = block([Event("d", 1, 1.0, 1, True)], 3)
    take(task, [event], 3)
    assert (set(rows_in(store)), store.times) == ({b"d"}, asked), "the others are lost unseen"
    assert not is_marked(store), "and no reader takes them for there"
    asked = store.times
    take(task, [block([], 4, 0, 700), block([], 4, 1, 600)], 4)
    assert store.times > asked
    assert set(rows_in(store)) == {b"a", b"b", b"c", b"d"}


def test_many_rows_are_written_in_parts() -> None:
    store = MemoryStore()
    task = ViewTask(VIEW, "v", 0, store)
    take(task, [block([Event(f"gate {i}", 0, 1.0, 1, True) for i in range(5_001)], 0)])
    assert len(rows_in(store)) == 5_001


def is_marked(store: MemoryStore) -> bool:
    """Whether the rows of partition 0 are said to be complete in the store as it is now."""
    (marks,) = store.read([marks_of("v", [0])])
    return bool(marked(marks, store.generation())[0])


def test_rows_say_up_to_when_they_reflect_all_partitions_of_their_topic() -> None:
    seen: list[tuple[int, int]] = []

    class Watched(MemoryStore):
        def write(self, view: str, keys: Sequence[bytes], rows: Packed) -> int:
            won = super().write(view, keys, rows)
            seen.append((len(rows_in(self)), reflected(self, {"v": 1})["v"]))
            return won

    store = Watched()
    task = ViewTask(VIEW, "v", 0, store)
    take(task, [block([], 0, 0, 500), block([], 0, 1, 400)])
    seen.clear()
    late = [block([Event("d", 1, 1.0, 1, True)], 3), block([], 4, 0, 700), block([], 4, 1, 600)]
    take(task, late, 2)
    assert seen == [(1, 400), (1, 600)], "the row, then the tick"
    state = through_files(task.dump(True))
    again = ViewTask(VIEW, "v", 0, store)
    again.load(state, [])
    again.write()
    assert reflected(store, {"v": 1}) == {"v": 600}


def three_gates(tick: int | None = None) -> bytes:
    events = [Event(g, 0, 1.0, 1, True) for g in "abc"]
    return block(events, 0) if tick is None else block(events, 0, tick=tick)


def test_a_partition_without_rows_is_complete_at_once() -> None:
    store = MemoryStore()
    ViewTask(VIEW, "v", 0, store).write()
    assert is_marked(store)


def test_rows_are_complete_once_all_are_written_again_and_not_before() -> None:
    seen: list[tuple[int, bool]] = []

    class Watched(MemoryStore):
        def write(self, view: str, keys: Sequence[bytes], rows: Packed) -> int:
            won = super().write(view, keys, rows)
            seen.append((len(rows_in(self)), is_marked(self)))
            return won

    store = Watched()
    task = ViewTask(VIEW, "v", 0, store)
    take(task, [three_gates()])
    store.lose()
    assert not is_marked(store)
    seen.clear()
    take(task, [block([Event("a", 1, 1.0, 1, True)], 3)], 1)
    assert seen == [(1, False), (3, False), (3, True)], "the row of the event, all rows, the mark"


def test_a_task_that_comes_back_says_so_once_it_has_come_as_far_as_the_one_before_it() -> None:
    store = MemoryStore()
    task = ViewTask(VIEW, "v", 0, store)
    take(task, [three_gates()])
    state = through_files(task.dump(True))
    more = [block([Event("d", 1, 1.0, 1, True)], 3), block([], 4, tick=9)]
    take(task, more, 1)
    for lost in (True, False):
        if lost:
            store.lose()
        again = ViewTask(VIEW, "v", 0, store, end=3)
        again.load(state, [])
        again.write()
        assert is_marked(store) is not lost, (
            "d is known to the log alone, unless it is still in the store"
        )
        take(again, more[:1], 1)
        assert is_marked(store) is not lost
        take(again, more[1:], 2)
        assert is_marked(store)


def test_a_task_that_had_read_all_says_so_before_anything_new_comes() -> None:
    store = MemoryStore()
    task = ViewTask(VIEW, "v", 0, store)
    take(task, [three_gates(tick=9)])
    state = through_files(task.dump(True))
    store.lose()
    again = ViewTask(VIEW, "v", 0, store, end=1)
    again.load(state, [])
    again.write()
    assert is_marked(store)


def test_a_record_that_is_skipped_counts_as_read() -> None:
    store = MemoryStore()
    task = ViewTask(VIEW, "v", 0, store, end=1)
    task.skip(batch_of([b"no block"], [0], [0]))
    task.write()
    assert is_marked(store)


def test_a_mark_of_an_earlier_generation_is_replaced_at_the_same_position() -> None:
    """A server that comes back with its rows, or most of them, comes back with its marks."""

    class Replaced(MemoryStore):
        turns = 0

        def generation(self) -> str:
            return str(self.turns)

    store = Replaced()
    for turn in range(3):
        store.turns = turn
        task = ViewTask(VIEW, "v", 0, store)
        assert not is_marked(store)
        take(task, [three_gates()])
        assert is_marked(store)
