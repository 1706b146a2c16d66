"""What is appended twice is taken once: cursors and ticks, and a whole intake that crashes before
views and a join."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.features.stores.memory_store import MemoryStore
from freshet.features.views.task import ViewTask
from freshet.features.views.view import View
from freshet.schemas.wire.blocks import CLEAN, NO_TICK, Block
from freshet.streams.intake.task import IntakeTask
from freshet.streams.join.task import JoinTask
from freshet.streams.operators.origins import Cursors, Ticks
from freshet.streams.operators.task import Append, Task
from tests.streams import toy_events
from tests.streams.join import toy_outcomes
from tests.streams.join.toy_outcomes import Asked, prediction_block, rows_of
from tests.streams.operators.small_app import FEATURES
from tests.streams.toy_events import (
    CLEAN_FIELDS,
    CUTS,
    EVENTS,
    START,
    Sent,
    batch_of,
    cut,
    take,
    within,
)

untimed = settings(deadline=None, max_examples=60)
SOURCES = (("landings", 0), ("landings", 1))


# ------------------------------------------------------------ cursors and ticks alone
@given(
    st.lists(
        st.tuples(
            st.sampled_from(SOURCES),
            st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), unique=True),
        ),
        max_size=12,
    ),
    st.integers(0, 12),
)
def test_cursors_take_what_is_newer_than_all_that_was_had(
    blocks_: list[tuple[tuple[str, int], list[tuple[int, int]]]], restart: int
) -> None:
    cursors, last = Cursors(), dict[Any, tuple[int, int]]()
    for n, (origin, rows) in enumerate(blocks_):
        if n == restart:
            dump, cursors = cursors.dump(), Cursors()
            cursors.load(dump)
        rows = sorted(rows)
        offsets, index = (
            np.array([o for o, _ in rows], np.int64),
            np.array([i for _, i in rows], np.int32),
        )
        fresh = cursors.fresh(*origin, offsets, index)
        assert rows[fresh] == [r for r in rows if r > last.get(origin, (-1, -1))]
        last[origin] = max([last.get(origin, (-1, -1)), *rows])


def note(ticks: Ticks, origin: str, partition: int, tick: int, partitions: int) -> int:
    """What is finished once a tick has come."""
    ticks.note(Block(CLEAN, origin, partition, None, tick, partitions))
    return ticks.finished


@given(
    st.lists(st.tuples(st.sampled_from(SOURCES), st.integers(-5, 9)), max_size=12),
    st.integers(0, 12),
)
def test_ticks_finish_when_the_slowest_origin_has(
    noted: list[tuple[tuple[str, int], int]], restart: int
) -> None:
    found, newest = Ticks(), dict.fromkeys(SOURCES, NO_TICK)
    for n, (origin, tick) in enumerate(noted):
        if n == restart:
            dump, found = found.dump(), Ticks()
            found.load(dump)
        newest[origin] = max(newest[origin], tick)
        assert note(found, *origin, tick, len(SOURCES)) == min(newest.values())


def test_a_partition_that_was_added_is_waited_for_and_overtaken_by_nobody() -> None:
    ticks = Ticks()
    assert note(ticks, "landings", 0, 10, 1) == 10
    assert note(ticks, "landings", 0, 11, 2) == 10, (
        "it knows of another, which may hold rows from before 11"
    )
    assert note(ticks, "landings", 0, 12, 2) == 10
    assert note(ticks, "landings", 1, 9, 2) == 10, "time does not go back"
    assert note(ticks, "landings", 1, 12, 2) == 12


def test_a_partition_that_announces_itself_is_waited_for_from_then_on() -> None:
    ticks = Ticks()
    assert note(ticks, "landings", 0, 10, 1) == 10
    assert note(ticks, "landings", 2, 11, 3) == 10
    assert note(ticks, "landings", 1, 11, 3) == 10
    assert note(ticks, "landings", 0, 11, 3) == 11


def test_topics_that_meet_in_a_log_are_all_waited_for() -> None:
    ticks = Ticks()
    note(ticks, "landings", 0, 10, 1)
    assert note(ticks, "starts", 0, 4, 2) == 10
    assert note(ticks, "landings", 0, 12, 1) == 10
    assert note(ticks, "starts", 1, 11, 2) == 10
    assert note(ticks, "starts", 0, 13, 2) == 11


def test_rows_without_a_tick_move_no_time() -> None:
    ticks = Ticks()
    assert note(ticks, "scorer:a/1", 0, NO_TICK, 1) == NO_TICK
    assert note(ticks, "landings", 0, 5, 1) == 5


# ------------------------------------------------------------ intake that crashes, seen from behind
# it
VIEW = View(
    "by_gate",
    toy_events.topic(),
    key="gate",
    tile="1s",
    features=FEATURES,
)
assert set(VIEW.plan.fields) == set(CLEAN_FIELDS)


@dataclass
class Logs:
    """What two source partitions led to: records by log and partition. A crash loses what was taken
    in since the last checkpoint, after some of it was appended."""

    sources: Sequence[Sequence[Sent]]
    clean: int
    tasks: list[IntakeTask] = field(init=False)
    at: list[int] = field(default_factory=lambda: [0, 0])
    records: dict[tuple[str, int], list[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tasks = [self._new(p) for p in (0, 1)]
        self.save()

    def _new(self, p: int) -> IntakeTask:
        return IntakeTask(toy_events.plan(self.clean), p)

    def save(self) -> None:
        self.saved = [
            ({k: v.copy() for k, v in t.dump(True).items()}, a) for t, a in zip(self.tasks, self.at)
        ]

    def append(self, appends: Sequence[Append]) -> None:
        for a in appends:
            self.records.setdefault((a.topic, a.partition), []).extend(a.values)

    def step(self, p: int, n: int) -> list[Append]:
        a, b = self.at[p], min(self.at[p] + n, len(self.sources[p]))
        self.at[p] = b
        if a == b:
            return []
        return take(self.tasks[p], self.sources[p][a:b], a, partition=p)

    def crash(self, p: int, n: int, got_out: int) -> None:
        """In the middle of a step: some outputs are appended. Then start from the checkpoint and
        take in up to there."""
        before = list(self.at)
        self.append(self.step(p, n)[:got_out])
        for q in (0, 1):
            state, self.at[q] = self.saved[q]
            self.tasks[q] = self._new(q)
            self.tasks[q].load(state, [])
            while self.at[q] < before[q]:
                self.append(self.step(q, min(3, before[q] - self.at[q])))

    def ask(self, rows: Sequence[Asked], first: int) -> None:
        for p in range(self.clean):
            # as good as any partitioner, here
            mine = [r for r in rows if len(r.id) % self.clean == p]
            if not mine:
                continue
            self.records.setdefault(("outcomes", p), []).append(prediction_block(mine, first * 100))


@dataclass(frozen=True)
class Step:
    partition: int
    n: int
    save: bool
    crash: bool
    got_out: int


STEPS = st.lists(
    st.builds(
        Step, st.integers(0, 1), st.integers(1, 6), st.booleans(), st.booleans(), st.integers(0, 7)
    ),
    max_size=20,
)
GOOD = st.builds(lambda e: Sent(START + e["at"] + 100, {**e, "at": START + e["at"]}), EVENTS)
TICKS = st.integers(0, 30_000).map(lambda t: Sent(START + t, tick=START + t))
SOURCE = st.lists(st.one_of(GOOD, GOOD, GOOD, TICKS), min_size=6, max_size=24)


def run(
    sources: Sequence[Sequence[Sent]], steps: Sequence[Step], clean: int, crashes: bool
) -> Logs:
    logs = Logs(sources, clean)
    every = [*steps, Step(0, 99, False, False, 0), Step(1, 99, False, False, 0)]
    for i, s in enumerate(every):
        if crashes and s.save:
            logs.save()
        if i % 3 == 0:
            asked = [
                Asked(f"flight-{(i + k) % 12}", START + i * 300, categories="") for k in range(3)
            ]
            logs.ask(asked, i)
            if crashes and s.crash:
                logs.ask(asked, i)  # a scorer that was not sure
        if crashes and s.crash:
            logs.crash(s.partition, s.n, s.got_out)
        logs.append(logs.step(s.partition, s.n))
    return logs


def feed(
    task: Task, again: Task, values: Sequence[bytes], cuts: Sequence[int], restarts: Sequence[int]
) -> list[bytes]:
    """Records in batches; at a restart the other task goes on with a checkpoint, base and
    deltas."""
    out: list[bytes] = []
    chain = [{k: v.copy() for k, v in task.dump(True).items()}]
    cuts, restarts = within(len(values), cuts), within(len(values), restarts)
    for a, b in cut(len(values), [*cuts, *restarts]):
        if a in restarts[:1]:
            again.load(chain[0], chain[1:])
            task = again
        found = task.apply(batch_of(values[a:b], range(a, b), [0] * (b - a)))
        task.write()
        chain.append({k: v.copy() for k, v in task.dump(False).items()})
        out += [v for x in found.appends for v in x.values]
    return out


def check_crashes(
    sources: Sequence[Sequence[Sent]],
    steps: Sequence[Step],
    clean: int,
    cuts: list[int],
    restarts: list[int],
) -> None:
    """Rows (but for their versions), examples and ledger are those of a run without crashes."""
    plain, crashed = run(sources, steps, clean, False), run(sources, steps, clean, True)
    assert [t.ledger.entries() for t in crashed.tasks] == [t.ledger.entries() for t in plain.tasks]
    for p in range(clean):
        stores = MemoryStore(), MemoryStore()
        views = [
            ViewTask(VIEW, "v", p, stores[0]),
            *(ViewTask(VIEW, "v", p, stores[1]) for _ in range(2)),
        ]
        feed(views[0], views[0], plain.records.get(("clean.gate", p), []), range(1, 99), [])
        feed(views[1], views[2], crashed.records.get(("clean.gate", p), []), cuts, restarts)
        assert {k: r[16:] for k, r in stores[1].rows.items()} == {
            k: r[16:] for k, r in stores[0].rows.items()
        }
        joins = [JoinTask(toy_outcomes.plan(wait=9_000), p) for _ in range(3)]
        one = feed(joins[0], joins[0], plain.records.get(("outcomes", p), []), range(1, 99), [])
        other = feed(joins[1], joins[2], crashed.records.get(("outcomes", p), []), cuts, restarts)
        assert rows_of(other) == rows_of(one)


@untimed
@given(
    st.tuples(SOURCE, SOURCE),
    STEPS,
    st.sampled_from([1, 3]),
    CUTS,
    st.lists(st.integers(1, 40), max_size=1),
)
def test_outputs_appended_again_after_a_crash_are_taken_once(
    sources: Sequence[Sequence[Sent]],
    steps: list[Step],
    clean: int,
    cuts: list[int],
    restarts: list[int],
) -> None:
    check_crashes(sources, steps, clean, cuts, restarts)


def fixed_case() -> tuple[Any, ...]:
    def event(i: int) -> Sent:
        changes = {
            "id": f"flight-{i}",
            "at": START + i * 200,
            "gate": "abc"[i % 3],
            "gust": float(i),
            "delay": i + 0.1,
        }
        rest = {
            "carrier": None,
            "runway": "L",
            "wind": float(i),
            "temp": 1.0,
            "seats": 2,
            "mileage": 3,
            "crew": 1,
        }
        return Sent(START + i * 200 + 100, {**changes, **rest, "late": False})

    sources = [event(i) for i in range(0, 24, 2)], [event(i) for i in range(1, 24, 2)]
    steps = [Step(i % 2, 3, i == 2, i in (1, 4), 9) for i in range(8)]
    return sources, steps, 1, [3, 7], [2]


@pytest.mark.parametrize("what", ["always", "at a restart"])
def test_without_cursors_repeats_are_noticed(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check_crashes(*fixed_case())
    if what == "always":
        monkeypatch.setattr(Cursors, "fresh", lambda self, o, p, offsets, i: slice(0, len(offsets)))
    else:
        monkeypatch.setattr(Cursors, "load", lambda self, array: None)
    with pytest.raises(AssertionError):
        check_crashes(*fixed_case())
