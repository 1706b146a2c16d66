"""Rows that end, and keys that return: nobody can tell when a row was removed, and nothing of it is
left in memory, checkpoint and store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.features import aggregates as fr
from freshet.features.keeping import SLACK_MS
from freshet.features.rows.arena import SEGMENT_WORDS
from freshet.features.rows.finish import NOT_FOUND, finish
from freshet.features.stores.contract import RowKeys
from freshet.features.stores.memory_store import MemoryStore
from freshet.features.views import task as tasks
from freshet.features.views.task import ViewTask
from freshet.features.views.view import View
from freshet.schemas.errors import StoreError
from freshet.schemas.topics.topic import Topic
from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import NO_TICK, Block
from tests.features.rows.reference import NAN, ReferenceRow
from tests.features.views.test_task import rows_in, through_files
from tests.streams.toy_events import batch_of, cut

MINUTE = 60_000
HOUR = 60 * MINUTE
TOPIC = Topic(
    "visits",
    {
        "type": "record",
        "name": "visit",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "at", "type": "long"},
            {"name": "x", "type": ["null", "double"]},
            {"name": "user", "type": "string"},
        ],
    },
    event_id="id",
    event_time="at",
    partitions=2,
)
WINDOWS: dict[str, Any] = {
    "n": fr.count(over="10m"),
    "sum": fr.sum("x", over="10m"),
    "most": fr.max("x", over="3m"),
}
STATES: dict[str, Any] = {
    **WINDOWS,
    "last": fr.last("x"),
    "first": fr.first("x"),
    "ewm": fr.decayed_mean("x", "5m"),
    "since": fr.age(),
}
BY_ITSELF = View("by_user", TOPIC, key="user", features=WINDOWS)
DECLARED = View("by_user", TOPIC, key="user", features=STATES, keep="20m")
NAMES = [f"user {i}" for i in range(6)]


@dataclass(frozen=True)
class Event:
    user: str
    at: int
    x: float | None


@dataclass(frozen=True)
class Record:
    """A record of the clean log: events of a partition, perhaps a tick."""

    events: Sequence[Event]
    partition: int
    appended: int
    tick: int = NO_TICK


def value(record: Record, first: int) -> bytes:
    events = record.events
    columns = {
        "key": pa.array([event.user for event in events], pa.string()),
        "t": pa.array([event.at for event in events], pa.int64()),
        blocks.FIELD + "x": pa.array([event.x for event in events], pa.float64()),
        "_offset": pa.array(np.arange(first, first + len(events))),
        "_index": pa.array(np.zeros(len(events), np.int32)),
    }
    rows = pa.RecordBatch.from_pydict(columns) if events else None
    return blocks.encode(Block(blocks.CLEAN, "visits", record.partition, rows, record.tick, 2))


def values_of(records: Sequence[Record]) -> list[bytes]:
    out = []
    first = 0
    for record in records:
        out.append(value(record, first))
        first += len(record.events)
    return out


class PlainClock:
    """By the definition: never less than before, the least of what was appended and, of each
    partition, the newest event or tick."""

    def __init__(self) -> None:
        self.now: int | None = None
        self.appended: int | None = None
        self.newest: dict[int, int] = {}

    def see(self, partition: int, at: int) -> int | None:
        self.newest[partition] = max(at, self.newest.get(partition, at))
        assert self.appended is not None
        time = min(self.appended, *self.newest.values())
        self.now = time if self.now is None else max(self.now, time)
        return self.now


def reference_of(view: View, records: Sequence[Record]) -> tuple[dict[str, ReferenceRow], int]:
    """A row of each key that was ever seen, and the clock at the end."""
    clock = PlainClock()
    rows: dict[str, ReferenceRow] = {}
    keep_ms = view.plan.keep_ms
    for offset, record in enumerate(records):
        clock.appended = max(record.appended, clock.appended or record.appended)
        for index, event in enumerate(record.events):
            now = clock.see(record.partition, event.at)
            own = ReferenceRow(view.features, None, keep_ms)
            x = NAN if event.x is None else event.x
            row = rows.setdefault(event.user, own)
            row.fold(event.at, {"x": x}, (offset, index), now)
        if record.tick != NO_TICK:
            clock.see(record.partition, record.tick)
    return rows, clock.now or 0


# From one event to the next, and how late one may be: around what decides whether a row is over.
STEPS = [0, 1, 20_000, MINUTE, 3 * MINUTE, 10 * MINUTE, 11 * MINUTE, 21 * MINUTE, 5 * HOUR]
LATE = [0, 0, 0, 0, 1, MINUTE, 10 * MINUTE, 12 * MINUTE, 22 * MINUTE]


@st.composite
def streams(draw: st.DrawFn) -> list[Record]:
    at = 1_700_000_000_000
    behind = [draw(st.sampled_from([0, 0, HOUR])) for _ in range(2)]
    out = []
    for _ in range(draw(st.integers(1, 12))):
        partition = draw(st.integers(0, 1))
        events = []
        for _ in range(draw(st.integers(0, 5))):
            at += draw(st.sampled_from(STEPS))
            late = draw(st.sampled_from(LATE)) + behind[partition]
            x = draw(st.none() | st.sampled_from([-1.5, 0.0, 2.0, 1e9]))
            events.append(Event(draw(st.sampled_from(NAMES)), at - late, x))
        tick = NO_TICK
        if draw(st.booleans()):
            tick = at - behind[partition]
        # Producers' clocks may be ahead of it.
        appended = at + draw(st.sampled_from([0, 0, -5 * MINUTE, HOUR]))
        out.append(Record(events, partition, appended, tick))
    return out


@contextmanager
def looking_at(an_event: int, a_tick: int) -> Iterator[None]:
    """Rows that are removed at other moments."""
    before = tasks.LOOKED_AT_AN_EVENT, tasks.LOOKED_AT_A_TICK
    tasks.LOOKED_AT_AN_EVENT, tasks.LOOKED_AT_A_TICK = an_event, a_tick
    try:
        yield
    finally:
        tasks.LOOKED_AT_AN_EVENT, tasks.LOOKED_AT_A_TICK = before


def apply(
    task: ViewTask, records: Sequence[Record], values: Sequence[bytes], first: int, after: int
) -> None:
    offsets = list(range(first, after))
    appended = [records[offset].appended for offset in offsets]
    task.apply(batch_of(values[first:after], offsets, appended))


def answers(view: View, store: MemoryStore, as_of: int) -> dict[str, list[float] | None]:
    """What a reader finds of each key: None where there is none."""
    (found,) = store.read([RowKeys("v", [name.encode() for name in NAMES])])
    done = finish(view.plan, found.packed, np.full(len(NAMES), as_of))
    out: dict[str, list[float] | None] = {}
    for i, name in enumerate(NAMES):
        out[name] = None if done.status[i] == NOT_FOUND else done.values[i].tolist()
    return out


def expected(
    view: View, rows: dict[str, ReferenceRow], as_of: int
) -> dict[str, list[float] | None]:
    out: dict[str, list[float] | None] = dict.fromkeys(NAMES)
    in_order = [list(view.features).index(name) for name in view.plan.names]
    for name, row in rows.items():
        if not row.is_over(as_of, view.plan.keep_ms):
            values = row.finish(as_of)
            out[name] = [values[at] for at in in_order]
    return out


def bits(found: dict[str, list[float] | None]) -> dict[str, bytes | None]:
    return {
        name: None if values is None else np.array(values).tobytes()
        for name, values in found.items()
    }


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from([BY_ITSELF, DECLARED]),
    streams(),
    st.lists(st.integers(0, 12), max_size=5),
    st.tuples(st.integers(0, 3), st.integers(0, 6)),
    st.lists(st.integers(0, 60 * MINUTE), min_size=1, max_size=4),
    st.data(),
)
def test_nobody_can_tell_when_a_row_was_removed(
    view: View,
    records: list[Record],
    cuts: list[int],
    looks: tuple[int, int],
    later: list[int],
    data: st.DataObject,
) -> None:
    values = values_of(records)
    store = MemoryStore()
    task = ViewTask(view, "v", 0, store)
    base = through_files(task.dump(True))
    deltas: list[Any] = []
    saved = 0
    with looking_at(*looks):
        for first, after in cut(len(records), sorted(cuts)):
            apply(task, records, values, first, after)
            if data.draw(st.booleans()):
                task.write()
            match data.draw(st.sampled_from(["none", "delta", "base", "killed"])):
                case "delta":
                    deltas.append(through_files(task.dump(False)))
                    saved = after
                case "base":
                    base = through_files(task.dump(True))
                    deltas = []
                    saved = after
                case "killed":
                    task = ViewTask(view, "v", 0, store)
                    task.load(base, deltas)
                    apply(task, records, values, saved, after)
        task.write()
    rows, now = reference_of(view, records)
    for ahead in later:
        as_of = now - SLACK_MS + ahead
        assert bits(answers(view, store, as_of)) == bits(expected(view, rows, as_of))
    left = {name.encode() for name, row in rows.items() if not row.is_over(now, view.plan.keeps[1])}
    assert rows_in(store).keys() >= left
    # Once all were looked at, and a checkpoint has seen it, nothing is left of the others.
    task._rows.sweep(task._clock.now_ms, len(NAMES))
    task.write()
    task.dump(False)
    task.write()
    assert rows_in(store).keys() == left
    assert task.facts()["keys"] == len(left)
    again = ViewTask(view, "v", 0, MemoryStore())
    again.load(through_files(task.dump(True)), [])
    assert again.facts()["keys"] == len(left)


def test_a_row_that_is_over_is_not_found_and_its_next_event_begins_another() -> None:
    store = MemoryStore()
    task = ViewTask(DECLARED, "v", 0, store)
    records = [
        Record([Event("user 0", 0, 1.0)], 0, 0),
        Record([Event("user 0", 20 * MINUTE + 1, None)], 0, 21 * MINUTE),
    ]
    values = values_of(records)
    apply(task, records, values, 0, 1)
    task.write()
    assert answers(DECLARED, store, 20 * MINUTE)["user 0"] is not None
    assert answers(DECLARED, store, 20 * MINUTE + 1)["user 0"] is None
    apply(task, records, values, 1, 2)
    task.write()
    found = answers(DECLARED, store, 20 * MINUTE + 1)["user 0"]
    assert found is not None
    by_name = dict(zip(DECLARED.plan.names, found))
    assert np.isnan(by_name["last"]), "the value is of a row that is over"


def test_one_clock_that_is_ahead_ends_no_row_of_others() -> None:
    store = MemoryStore()
    task = ViewTask(BY_ITSELF, "v", 0, store)
    records = [
        Record([Event("user 0", 0, 1.0)], 0, 0),
        Record([Event("user 1", 10 * HOUR, 1.0)], 0, 1_000),
        Record([Event("user 0", 1_000, 1.0)], 0, 1_000),
    ]
    apply(task, records, values_of(records), 0, 3)
    task.write()
    found = answers(BY_ITSELF, store, 2_000)["user 0"]
    assert found is not None
    assert dict(zip(BY_ITSELF.plan.names, found))["n"] == 2.0


def test_a_partition_that_is_read_slower_loses_no_row() -> None:
    """As after an outage of one of two members of intake."""
    store = MemoryStore()
    task = ViewTask(BY_ITSELF, "v", 0, store)
    records = [
        Record([Event("user 0", 0, 1.0)], 0, 0, tick=0),
        Record([Event("user 1", 0, 1.0)], 1, 0, tick=0),
        Record([Event("user 1", 5 * HOUR, 1.0)], 1, 5 * HOUR, tick=5 * HOUR),
        Record([Event("user 0", 9 * MINUTE, 1.0)], 0, 5 * HOUR),
    ]
    apply(task, records, values_of(records), 0, 4)
    task.write()
    found = answers(BY_ITSELF, store, 9 * MINUTE)["user 0"]
    assert found is not None
    assert dict(zip(BY_ITSELF.plan.names, found))["n"] == 2.0


def test_rows_of_a_silent_topic_go_as_time_is_told() -> None:
    store = MemoryStore()
    task = ViewTask(BY_ITSELF, "v", 0, store)
    records = [
        Record([Event(name, 0, 1.0) for name in NAMES], 0, 0),
        Record([], 0, 12 * MINUTE, tick=12 * MINUTE),
    ]
    values = values_of(records)
    apply(task, records, values, 0, 1)
    task.write()
    assert len(rows_in(store)) == len(NAMES)
    apply(task, records, values, 1, 2)
    task.write()
    assert rows_in(store) == {}
    task.dump(True)
    task.write()
    assert task.facts()["keys"] == 0


def test_what_was_removed_while_the_store_was_away_is_removed_from_it_after_a_restart() -> None:
    class Away(MemoryStore):
        away = False

        def forget(self, view: str, keys: Sequence[bytes], version: bytes) -> int:
            if self.away:
                raise StoreError("store", "is away", "Wait.")
            return super().forget(view, keys, version)

    store = Away()
    task = ViewTask(BY_ITSELF, "v", 0, store)
    records = [
        Record([Event(name, 0, 1.0) for name in NAMES], 0, 0),
        Record([], 0, 12 * MINUTE, tick=12 * MINUTE),
    ]
    values = values_of(records)
    apply(task, records, values, 0, 1)
    task.write()
    store.away = True
    apply(task, records, values, 1, 2)
    with pytest.raises(StoreError):
        task.write()
    base = through_files(task.dump(True))
    with pytest.raises(StoreError):
        task.write()
    assert task.facts()["keys"] == len(NAMES), "the store has yet to hear of them"
    store.away = False
    again = ViewTask(BY_ITSELF, "v", 0, store)
    again.load(base, [])
    again.write()
    assert rows_in(store) == {}
    assert again.facts()["keys"] == 0


def test_a_checkpoint_of_an_earlier_version_is_read() -> None:
    """It says neither how far its log was, nor the ids of its keys, which were in order."""
    records = [Record([Event(name, 0, 1.0) for name in NAMES[:3]], 0, 0)]
    more = Record([Event(name, 1, 1.0) for name in NAMES[2:]], 0, 1)
    values = values_of([*records, more])
    task = ViewTask(BY_ITSELF, "v", 0, MemoryStore())
    apply(task, records, values, 0, 1)
    base = through_files(task.dump(True))
    apply(task, [*records, more], values, 1, 2)
    delta = through_files(task.dump(False))
    for part in (base, delta):
        for name in ("_clock", "key_ids", "forgotten"):
            del part[name]
    store = MemoryStore()
    again = ViewTask(BY_ITSELF, "v", 0, store)
    again.load(base, [delta])
    again.write()
    task.write()
    assert rows_in(store).keys() == {name.encode() for name in NAMES}


def test_keys_that_pass_through_leave_memory_and_checkpoints_as_they_are() -> None:
    """Endlessly many keys, each of a few events, of which few live at a time."""
    store = MemoryStore()
    task = ViewTask(BY_ITSELF, "v", 0, store)
    held = []
    for turn in range(120):
        at = turn * MINUTE
        events = [Event(f"{turn}:{i}", at, 1.0) for i in range(500)]
        record = Record(events, 0, at, tick=at)
        task.apply(batch_of([value(record, turn * 500)], [turn], [at]))
        task.write()
        task.dump(False)
        held.append(task._rows.used_bytes + task._rows.key_bytes)
    # 11 minutes' keys live, and as many again may wait.
    assert task.facts()["keys"] < 2 * 12 * 500
    assert len(rows_in(store)) < 2 * 12 * 500
    # Some segments more or less, as the arena is compacted now or later.
    assert held[-1] <= held[40] + 4 * 8 * SEGMENT_WORDS
