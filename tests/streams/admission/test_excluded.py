"""Events that are taken out of views: what is left is as if they had never come."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.audit.kept import Record
from freshet.audit.ledger import recompute
from freshet.schemas.wire import blocks
from freshet.streams.admission.excluded import EXCLUDED, Excluded, places_of, runs_of, together
from freshet.streams.intake.ledger import totals
from freshet.streams.intake.task import IntakeTask
from freshet.streams.operators.task import Append
from tests.streams.toy_events import CUTS, LOGS, Sent, batch_of, cut, plan, topic

untimed = settings(deadline=None, max_examples=60)
PLACES = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 30), st.integers(0, 2)), max_size=40, unique=True
)


def rows_of(appends: list[Append]) -> dict[tuple[str, int], list[str]]:
    """Of each log, in order, without where they stand in their topic."""
    found: dict[tuple[str, int], list[str]] = {}
    for append in appends:
        for value in append.values:
            rows = blocks.decode(value).rows
            for row in [] if rows is None else rows.to_pylist():
                own = {name: told for name, told in row.items() if name != "_offset"}
                found.setdefault((append.topic, append.partition), []).append(repr(own))
    return found


def intake(
    log: list[tuple[int, Sent]], cuts: list[int], excluded: Excluded | None = None
) -> tuple[IntakeTask, list[Append]]:
    task = IntakeTask(replace(plan(2), excluded=excluded), 0)
    out: list[Append] = []
    for first, after in cut(len(log), cuts):
        part = log[first:after]
        values = [sent.value for _, sent in part]
        offsets = [offset for offset, _ in part]
        times = [sent.time for _, sent in part]
        out += task.apply(batch_of(values, offsets, times, "app.landings")).appends
    return task, out


@untimed
@given(LOGS, CUTS, st.sets(st.integers(0, 35)))
def test_what_is_left_is_bit_for_bit_that_of_a_log_without_them(
    sent: list[Sent], cuts: list[int], gone: set[int]
) -> None:
    """Repeats, late ones, imputes and labels, too."""
    log = [(offset, one) for offset, one in enumerate(sent) if one.tick is None]
    # Only what was an event can be: a dead letter stays one.
    events = {offset for offset, one in log if not one.raw}
    own = together([3], [places_of([(0, 0, offset, offset) for offset in gone & events])])
    task, out = intake(log, cuts, own)
    left = [(offset, one) for offset, one in log if offset not in gone & events]
    without, expected = intake(left, cuts)
    letters = {("dead", 0)}
    found = rows_of(out)
    # Of what is excluded an event that is no good is a dead letter all the same.
    assert {at: rows for at, rows in found.items() if at not in letters} == {
        at: rows for at, rows in rows_of(expected).items() if at not in letters
    }
    counted = totals(task.ledger.entries(), task.fates)
    alone = totals(without.ledger.entries(), without.fates)
    for fate in ("applied", "deduplicated", "dropped:late"):
        assert counted[fate] == alone[fate]
    assert sum(counted.values()) == len(log)


@untimed
@given(LOGS, CUTS, st.sets(st.integers(0, 35)))
def test_the_ledger_is_recomputed_by_the_auditor(
    sent: list[Sent], cuts: list[int], gone: set[int]
) -> None:
    log = [(offset, one) for offset, one in enumerate(sent) if one.tick is None]
    own = together([3], [places_of([(0, 0, offset, offset) for offset in gone])])
    task, _ = intake(log, cuts, own)
    records = [Record(offset, one.time, one.value) for offset, one in log]
    told = {(offset, 0) for offset in gone}
    assert recompute(topic(), iter(records), excluded=told) == task.ledger.entries()


@untimed
@given(PLACES)
def test_runs_are_the_places_that_they_are_of(places: list[tuple[int, int, int]]) -> None:
    array = np.array(places, np.int64).reshape(-1, 3)
    runs = runs_of(array)
    found = together([1], [places_of(runs)])
    assert set(map(tuple, found.places.tolist())) == set(places)
    assert len(runs) <= len(places)
    for partition in range(3):
        for index in range(3):
            offsets = np.arange(31)
            hit = found.at(np.full(31, partition), offsets, np.full(31, index, np.int32))
            expected = [(partition, offset, index) in set(places) for offset in range(31)]
            assert hit.tolist() == expected


def test_who_leaves_out_nothing_counts_no_such_fate() -> None:
    assert EXCLUDED not in IntakeTask(plan(1), 0).fates
