"""What is told of fates is what became of each record, however it was cut, told again and moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.audit.kept import Record
from freshet.audit.ledger import judged
from freshet.schemas.wire import blocks
from freshet.streams.fates import runs
from freshet.streams.fates.runs import FateRuns
from freshet.streams.fates.told import Told, runs_of
from freshet.streams.intake.task import IntakePlan, IntakeTask
from freshet.streams.operators.task import Append
from tests.streams.repartition.hop import Hop
from tests.streams.toy_events import CUTS, LOGS, Sent, batch_of, cut, plan, take, topic

untimed = settings(deadline=None, max_examples=60)
FIRST = 100
FATES = "fates"
TOLD_PLAN: IntakePlan = replace(plan(1), fates=FATES)


def resumed(state: Mapping[str, Any]) -> IntakeTask:
    task = IntakeTask(TOLD_PLAN, 0)
    task.load(state, [])
    return task


def told(out: Sequence[Append], name: str, partition: int = 0) -> Told:
    values = [value for one in out if one.topic == FATES for value in one.values]
    batch = batch_of(values, range(len(values)), [0] * len(values), FATES)
    return Told(runs_of([batch], name), partition)


@untimed
@given(LOGS, CUTS, CUTS, CUTS)
def test_fates_that_are_told_are_those_that_the_auditor_finds(
    log: list[Sent], cuts: list[int], saves: list[int], kills: list[int]
) -> None:
    """Killed anywhere, intake goes on from its newest checkpoint, and tells some of it again."""
    task = IntakeTask(TOLD_PLAN, 0)
    out: list[Append] = []
    saved: tuple[int, Mapping[str, Any]] | None = None
    for a, b in cut(len(log), [*cuts, *saves, *kills]):
        if a in saves:
            saved = a, {name: np.copy(array) for name, array in task.dump(True).items()}
        if a in kills and saved is not None:
            task = resumed(saved[1])
            out += take(task, log[saved[0] : a], FIRST + saved[0])
        out += take(task, log[a:b], FIRST + a)
    # The last ones wait for a minute of the app's clock.
    out += task.tick((1 << 50), 1).appends
    found = [Record(FIRST + i, s.time, s.value) for i, s in enumerate(log) if s.tick is None]
    fates = told(out, task._plan.topic.name)
    expected = sorted(judged(topic(), iter(found)))
    assert [fates.fate((one.offset, one.place)) for one in expected] == [
        one.fate for one in expected
    ]
    # What has no record is not said to have any: runs end at one.
    assert fates.fate((FIRST + len(log), 0)) is None


@untimed
@given(LOGS, st.integers(1, 3), st.integers(1, 3))
def test_of_moved_records_those_that_were_not_applied_say_where_they_came_from(
    log: list[Sent], sources: int, partitions: int
) -> None:
    given = replace(plan(1, dedup_by="topic"), fates=FATES)
    hop = Hop(given, [log[p::sources] for p in range(sources)], partitions)
    hop.finish()
    for partition in range(partitions):
        taker = hop.takers[partition]
        out = [*hop.outputs[partition], *taker._intake.tick(1 << 50, 1).appends]
        found = [one for one in hop.moved_records(partition) if not isinstance(one, int)]
        by_source = {one.source: one for one in found}
        values = [value for one in out if one.topic == FATES for value in one.values]
        batch = batch_of(values, range(len(values)), [0] * len(values), FATES)
        all_runs = list(runs_of([batch], given.topic.name))
        counted = taker.facts()["fates"]
        for fate, count in counted.items():
            own = [run for run in all_runs if run.fate == fate]
            assert sum(run.events for run in own) == count
            if fate != "applied":
                assert all(run.source in by_source and run.events == 1 for run in own)


def test_neighbours_of_one_fate_are_one_run_however_many_there_are() -> None:
    found = FateRuns(["applied", "dropped:late"], "landings", 0)
    for first in range(0, 1_000, 10):
        offsets = np.arange(first, first + 10)
        code = np.zeros(10, np.uint8)
        code[5] = first == 500
        found.take(code, offsets, np.zeros(10, np.int32))
    assert found.due(5)
    (value,) = found.tell(5)
    rows = blocks.decode(value).rows
    assert rows is not None
    assert rows.column("events").to_pylist() == [505, 1, 494]
    assert not found.due(5 + runs.TOLD_MS), "there is nothing to tell"
    found.take(np.zeros(1, np.uint8), np.array([1_000]), np.zeros(1, np.int32))
    assert not found.due(4 + runs.TOLD_MS), "it is too early for a block of its own"
    assert found.due(5 + runs.TOLD_MS)


def test_where_the_clock_goes_by_strides_runs_are_told_when_it_is_quiet_or_after_hours() -> None:
    found = FateRuns(["applied"], "landings", 0)

    def taken(offset: int) -> None:
        found.take(np.zeros(1, np.uint8), np.array([offset]), np.zeros(1, np.int32))

    taken(0)
    assert found.due(1, by_strides=True), "nothing was told yet"
    found.tell(1)
    quarter = 900_000
    told = []
    for step in range(1, 30):
        taken(step)
        if found.due(1 + step * quarter, by_strides=True):
            told.append(step)
            found.tell(1 + step * quarter)
    assert told == [runs.TOLD_BY_STRIDES_MS // quarter]
    assert found.due(1 + 30 * quarter, by_strides=True), "nothing came since the tick before"


def test_many_runs_are_told_at_once_though_no_tick_comes() -> None:
    found = FateRuns(["applied", "deduplicated"], "landings", 0)
    code = np.arange(runs.MOST + 1, dtype=np.int64).astype(np.uint8) & 1
    found.take(code, np.arange(len(code)), np.zeros(len(code), np.int32))
    assert found.are_many
    assert len(found.tell()) == 2
    assert not found.are_many
