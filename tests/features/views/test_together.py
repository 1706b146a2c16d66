"""All that a row can meet at once, against a plain loop over the events: several topics, windows,
sets of values and texts, erasures, an end, more rows than memory holds, restarts, a store that
loses its rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import freshet as fr
from freshet.features.cold import places
from freshet.features.cold.memory import RowMemory
from freshet.features.reading.symbols import Symbols
from freshet.features.rows.finish import PRESENT, finish
from freshet.features.stores.contract import RowKeys
from freshet.features.stores.memory_store import MemoryStore
from freshet.features.views.task import ViewTask
from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import NO_TICK, Block
from freshet.streams.operators.checkpoints import Checkpoints
from tests.features.rows.reference import own_width
from tests.features.rows.sketch_reference import quantile
from tests.streams.toy_events import batch_of

KEEP_MS = 12_000
HOLD_MS = KEEP_MS + 60_000
KEYS = ["", "ключ", "a key that is longer than eight bytes", *(f"k{i}" for i in range(9))]
NOTHING = -math.inf


def topic(name: str, whole: str, gates: Sequence[str]) -> fr.Topic:
    gate = {"type": "enum", "name": "gate", "symbols": [*gates]}
    fields = {"id": "string", "user": "string", "at": "long", "w": whole, "x": "double"}
    own = [{"name": name, "type": type_} for name, type_ in {**fields, "gate": gate}.items()]
    schema = {"type": "record", "name": name, "fields": own}
    return fr.Topic(name, schema, event_id="id", event_time="at")


GATES = {"left": ["A", "B"], "right": ["B", "C"]}
LEFT = topic("left", "long", GATES["left"])
QUANTILE = fr.quantile("x", 0.5, over="12s", error=0.05)
FEATURES: dict[str, Any] = {
    "n": fr.count(over="6s"),
    "n_left": fr.of(LEFT, fr.count(over="6s")),
    "w": fr.sum("w", over="12s"),
    "kinds": fr.distinct("w", over="6s"),
    "mode": fr.most_frequent("w", over="12s"),
    "second": fr.last_distinct("w", 2, over="6s"),
    "median_left": fr.of(LEFT, QUANTILE),
    "last": fr.last("gate"),
    "gates": fr.distinct("gate", over="12s"),
}
# Of the second, what is a whole number in the first one may be none.
VIEWS = {
    whole: fr.View("v", [LEFT, topic("right", whole, GATES["right"])], "user", FEATURES, keep="12s")
    for whole in ("long", "double")
}


@dataclass(frozen=True)
class Event:
    key: str
    at: int
    w: int | None
    x: float
    gate: int
    erases: bool
    topic: str = ""

    @property
    def text(self) -> str:
        return GATES[self.topic][self.gate]


@dataclass(frozen=True)
class Record:
    """What stands in the clean log."""

    topic: str
    partition: int
    events: Sequence[Event]
    tick: int
    appended: int
    first: int

    def encoded(self, view: fr.View) -> bytes:
        rows = self.events
        if not rows:
            return blocks.encode(
                Block(blocks.CLEAN, self.topic, self.partition, None, self.tick, 2)
            )
        whole = pa.int64()
        if self.topic == "right" and view is VIEWS["double"]:
            whole = pa.float64()
        columns = {
            "key": pa.array([event.key for event in rows]),
            "t": pa.array([event.at for event in rows], pa.int64()),
            "_offset": pa.array(range(self.first, self.first + len(rows)), pa.int64()),
            "_index": pa.array([0] * len(rows), pa.int32()),
        }
        of_left = self.topic == "left"
        values = {
            "w": pa.array([event.w for event in rows], pa.int64()).cast(whole),
            "gate": pa.array([event.text for event in rows]),
            "event of left": pa.array([True] * len(rows)) if of_left else None,
            "x of left": pa.array([event.x for event in rows]) if of_left else None,
        }
        assert {*values} == {own.name for own in view.inputs}
        for name, column in values.items():
            if column is not None:
                columns[blocks.FIELD + name] = column
        if any(event.erases for event in rows):
            columns[blocks.ERASED] = pa.array([event.erases for event in rows])
        made = pa.RecordBatch.from_pydict(columns)
        return blocks.encode(Block(blocks.CLEAN, self.topic, self.partition, made, self.tick, 2))


@dataclass
class Plain:
    """All events of each key that count, and how far the log is."""

    rows: dict[str, list[Event]] = field(default_factory=dict)
    newest: dict[tuple[str, int], float] = field(default_factory=dict)
    appended: float = NOTHING
    now: float = NOTHING

    def take(self, record: Record) -> None:
        self.appended = max(self.appended, record.appended)
        own = (record.topic, record.partition)
        for event in record.events:
            at = NOTHING if event.erases else event.at
            self._tell(own, at)
            if event.erases:
                self.rows.pop(event.key, None)
                continue
            if self.is_over(event.key, event.at, KEEP_MS) or self.is_over(
                event.key, self.now, HOLD_MS
            ):
                del self.rows[event.key]
            self.rows.setdefault(event.key, []).append(event)
        if record.tick != NO_TICK:
            self._tell(own, record.tick)

    def _tell(self, own: tuple[str, int], at: float) -> None:
        self.newest[own] = max(self.newest.get(own, NOTHING), at)
        self.now = max(self.now, min(self.appended, *self.newest.values()))

    def is_over(self, key: str, at: float, most: int) -> bool:
        return key in self.rows and at - max(event.at for event in self.rows[key]) > most

    def values(self, key: str, as_of: int) -> dict[str, Any] | None:
        if key not in self.rows or self.is_over(key, as_of, KEEP_MS):
            return None
        rows = self.rows[key]
        short = within(rows, 6_000, as_of)
        long = within(rows, 12_000, as_of)
        whole = [event.w for event in long if event.w is not None]
        counts = Counter(whole)
        left = [event for event in long if event.topic == "left"]
        last = max(reversed(rows), key=lambda event: event.at)
        return {
            "n": len(short),
            "n_left": sum(event.topic == "left" for event in short),
            "w": sum(whole),
            "kinds": len({event.w for event in short if event.w is not None}),
            "mode": min((w for w in counts if counts[w] == max(counts.values())), default=None),
            "second": second(rows, as_of),
            "median_left": median(left),
            "last": last.text,
            "gates": len({event.text for event in long}),
        }


def within(rows: Sequence[Event], over: int, as_of: int) -> list[Event]:
    """Of a window: the newest tiles, and no more of them than the row keeps."""
    width = own_width(over)
    newest = max(event.at for event in rows)
    first = max(as_of, newest) // width - over // width + 1
    return [event for event in rows if first <= event.at // width <= as_of // width]


def second(rows: Sequence[Event], as_of: int) -> int | None:
    newest: dict[int, tuple[int, int]] = {}
    for place, event in enumerate(rows):
        if event.w is not None:
            newest[event.w] = max((event.at, place), newest.get(event.w, (event.at, place)))
    values = sorted(newest, key=newest.__getitem__, reverse=True)
    if len(values) < 2 or as_of - newest[values[1]][0] >= 6_000:
        return None
    return values[1]


def median(rows: Sequence[Event]) -> float | None:
    # Tiles merge as if they were one, as long as none of them is full.
    return quantile(QUANTILE, [[event.x for event in rows]]) if rows else None


EVENTS = st.lists(
    st.builds(
        Event,
        st.sampled_from(KEYS),
        # Late by less than a row is kept, or by so much that it may be over by the clock.
        st.integers(-9_000, 0) | st.sampled_from([-15_000, -50_000, -85_000]),
        st.none() | st.integers(-2, 3),
        st.sampled_from([-1.5, 0.0, 2.0, 40.0]),
        st.integers(0, 1),
        st.sampled_from([False] * 9 + [True]),
    ),
    max_size=15,
)
RECORDS = st.tuples(
    st.sampled_from(["left", "right"]),
    st.integers(0, 1),
    EVENTS,
    st.booleans(),
    st.sampled_from([0, 10, 3_000, 20_000, 90_000]),
)
# A record, whether it is written, which checkpoint is made then, and what happens to all that.
STEPS = st.lists(
    st.tuples(
        RECORDS,
        st.booleans(),
        st.sampled_from(["none", "delta", "delta", "base"]),
        st.sampled_from(["nothing", "nothing", "restart", "loss"]),
    ),
    min_size=4,
    max_size=20,
)
# None has no bound; the least leaves room for no row at all.
MEMORIES = st.lists(st.sampled_from([0, 1, 3_000, 1 << 20]), min_size=4, max_size=4)
# With 0 a delta has room for whatever went to disk, which so few rows would else not find.
DELTA_PARTS = st.sampled_from([0, 16])


class Run:
    """A task with a store and checkpoints, whose log is kept."""

    def __init__(self, view: fr.View, folder: Path, memories: Sequence[int]) -> None:
        self.view = view
        self.store = MemoryStore()
        self.plain = Plain()
        self.log: list[Record] = []
        self._folder = folder
        self._memories = memories
        self._runs = 0
        self._saved = 0
        self._begin()

    def _begin(self) -> None:
        most = self._memories[self._runs % len(self._memories)]
        self._runs += 1
        memory = RowMemory(self._folder / "rows", most)
        self.task = ViewTask(self.view, "v", 0, self.store, 0, memory)
        self._checkpoints = Checkpoints(f"file://{self._folder}/kept", self.task.name, "log")

    def record(self, how: Any) -> None:
        name, partition, events, has_tick, later = how
        now = later
        if self.log:
            now += self.log[-1].appended
        taken = [
            Event(one.key, now + one.at, one.w, one.x, one.gate, one.erases, name) for one in events
        ]
        first = sum(len(one.events) for one in self.log)
        tick = now if has_tick else NO_TICK
        self.log.append(Record(name, partition, taken, tick, now, first))
        self.plain.take(self.log[-1])
        self._apply(len(self.log) - 1)

    def _apply(self, first: int) -> None:
        records = self.log[first:]
        values = [record.encoded(self.view) for record in records]
        if values:
            times = [record.appended for record in records]
            self.task.apply(batch_of(values, range(first, len(self.log)), times))

    def save(self, is_full: bool) -> None:
        # Of one place in the log there is one checkpoint.
        if self._saved == len(self.log):
            return
        full = is_full or self._checkpoints.wants_full or self.task.wants_full
        state = self.task.dump(full)
        files: Sequence[Path] = ()
        if full:
            files = self.task.files()
        self._checkpoints.save(len(self.log), state, full, files=files)
        self._saved = len(self.log)

    def restart(self) -> None:
        self._begin()
        found = self._checkpoints.load(self.task.folder)
        first = 0
        if found is not None:
            first = found[0]
            self.task.load(*found[1:])
        self._apply(first)

    def check(self) -> None:
        self.task.write()
        keys = [key.encode() for key in KEYS]
        (found,) = self.store.read([RowKeys("v", keys)])
        if not self.log:
            return
        for later in (0, 4_000, 11_000):
            as_of = self.log[-1].appended + later
            done = finish(self.view.plan, found.packed, np.full(len(keys), as_of))
            for at, key in enumerate(KEYS):
                expected = self.plain.values(key, as_of)
                assert (done.status[at] == PRESENT) == (expected is not None), key
                if expected is not None:
                    assert self._told(done, at) == expected, key

    def _told(self, done: Any, at: int) -> dict[str, Any]:
        told: dict[str, Any] = {}
        for name, value in zip(self.view.plan.names, done.values[at].tolist()):
            told[name] = None if math.isnan(value) else value
            if name in done.wholes and told[name] is not None:
                told[name] = int(done.wholes[name][at])
        codes = np.array([told["last"]], np.int64)
        texts, known = Symbols.of(self.view.texts["last"]).texts_of(codes)
        assert known.all()
        return {**told, "last": texts[0]}


@pytest.mark.parametrize("whole", VIEWS)
@settings(max_examples=40, deadline=None)
@given(STEPS, MEMORIES, DELTA_PARTS)
def test_rows_are_those_of_a_loop_over_the_events(
    tmp_path_factory: pytest.TempPathFactory,
    whole: str,
    steps: Any,
    memories: list[int],
    delta_parts: int,
) -> None:
    run = Run(VIEWS[whole], tmp_path_factory.mktemp("run"), memories)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(places, "DELTA_PARTS", delta_parts)
        take(run, steps)


def take(run: Run, steps: Any) -> None:
    for record, is_written, saved, disturbed in steps:
        run.record(record)
        if is_written:
            run.check()
        if saved != "none":
            run.save(saved == "base")
        if disturbed == "restart":
            run.restart()
        elif disturbed == "loss":
            run.store.lose()
    run.check()
