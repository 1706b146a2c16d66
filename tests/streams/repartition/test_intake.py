"""Intake of moved records: an id counts once wherever it comes, and each record has one fate,
whatever is killed when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.audit import moved
from freshet.audit.ledger import recompute
from freshet.schemas.wire import blocks
from freshet.streams.intake.ledger import totals
from freshet.streams.intake.task import IntakeTask
from tests.streams.intake.reference_intake import Lateness, ReferenceIntake
from tests.streams.repartition.hop import Hop, once
from tests.streams.toy_events import CUTS, LOGS, Sent, cut, plan, take

untimed = settings(deadline=None, max_examples=40)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["move", "move", "take", "take", "save", "kill mover", "kill taker"]),
        st.integers(0, 2),
        st.integers(1, 9),
    ),
    max_size=40,
)
CLEAN = 2
Logs = dict[tuple[str, int], list[tuple[Any, ...]]]


def driven(log: Sequence[Sent], sources: int, partitions: int, steps: Any) -> Hop:
    """Records dealt out to so many source partitions, moved and taken in these steps; then all
    else."""
    hop = Hop(plan(CLEAN, dedup_by="topic"), [log[p::sources] for p in range(sources)], partitions)
    for what, number, count in steps:
        match what:
            case "move":
                hop.move(number % sources, count)
            case "take":
                hop.take(number % partitions, count)
            case "save":
                hop.save()
            case "kill mover":
                hop.kill_mover(number % sources)
            case _:
                hop.kill_taker(number % partitions)
    hop.finish()
    return hop


@untimed
@given(LOGS, st.integers(1, 3), st.integers(1, 3), STEPS)
def test_any_batches_and_kills_give_what_a_plain_loop_over_the_moved_records_gives(
    log: list[Sent], sources: int, partitions: int, steps: list[tuple[str, int, int]]
) -> None:
    hop = driven(log, sources, partitions, steps)
    topic = hop.plan.topic
    for partition in range(partitions):
        reference = ReferenceIntake(partition, CLEAN, "carrier")
        lateness = [Lateness("carrier", 1 << 14) for _ in range(sources)]
        records = []
        for found in hop.moved_records(partition):
            if isinstance(found, int):
                reference.take(Sent(0, tick=found), 0)
                continue
            assert found.source is not None
            records.append(found)
            reference.lateness = lateness[found.source[0]]
            sent = hop.sources[found.source[0]][found.source[1]]
            reference.take(sent, found.source[0] * 1_000 + found.source[1])
        assert exact(once(hop.outputs[partition])) == exact(expected(reference))
        task = hop.takers[partition]
        assert recompute(topic, iter(records)) == task.ledger.entries()


def exact(logs: Logs) -> dict[tuple[str, int], list[str]]:
    """Texts that are equal only for equal bits. Where bytes stop being an event is the decoder's
    own business."""
    out = {}
    for log, rows in logs.items():
        if log[0] == "dead":
            rows = [(row[0], None, *row[2:]) if row[0] == "undecodable" else row for row in rows]
            # Letters of one batch are written by source partition: a block has one.
            rows = sorted(rows, key=lambda row: row[-2:])
        out[log] = list(map(repr, rows))
    return out


def without_places(logs: Logs) -> Logs:
    """Without where each row came from."""
    return {
        log: rows if log[0] == "dead" else [row if row[0] == "tick" else row[:-2] for row in rows]
        for log, rows in logs.items()
    }


def expected(reference: ReferenceIntake) -> Logs:
    """The reference's rows with the places that they came from."""
    out: Logs = {}
    for log, rows in reference.logs.items():
        mine = out.setdefault(log, [])
        for row in rows:
            if row[0] == "tick":
                mine.append(row)
            else:
                mine.append((*row[:-1], *divmod(row[-1], 1_000)))
    return {log: rows for log, rows in out.items() if rows}


@untimed
@given(LOGS, st.integers(1, 3), st.integers(1, 3), STEPS)
def test_every_record_has_one_fate_and_every_id_one_partition(
    log: list[Sent], sources: int, partitions: int, steps: list[tuple[str, int, int]]
) -> None:
    hop = driven(log, sources, partitions, steps)
    there = {p: moved_of(hop, p) for p in range(partitions)}
    came = hop.source_records()
    assert list(moved.faults(hop.plan.topic, came, there)) == []
    counted = sum(sum(totals(task.ledger.entries(), task.fates).values()) for task in hop.takers)
    assert counted == sum(map(len, came.values()))
    applied = [
        (row[0], log[0])
        for outputs in hop.outputs
        for log, rows in once(outputs).items()
        if log[0] == "outcomes"
        for row in rows
        if row[0] != "tick"
    ]
    assert len(applied) == len(set(applied)), "an id was applied twice"


def moved_of(hop: Hop, partition: int) -> list[Any]:
    return [found for found in hop.moved_records(partition) if not isinstance(found, int)]


@untimed
@given(LOGS, CUTS)
def test_of_one_partition_it_is_what_intake_is_without_a_hop(
    log: list[Sent], cuts: list[int]
) -> None:
    alone = IntakeTask(plan(CLEAN), 0)
    direct = []
    for begin, end in cut(len(log), cuts):
        direct += take(alone, log[begin:end], begin)
    hop = Hop(plan(CLEAN, dedup_by="topic"), [log], 1)
    for begin, end in cut(len(log), cuts):
        for _ in range(begin, end):
            hop.move(0, end - begin)
        hop.take(0, 2)
    hop.finish()
    (task,) = hop.takers
    assert exact(without_places(once(hop.outputs[0]))) == exact(once(direct))
    own = {name: value for name, value in alone.facts().items() if name != "finished"}
    assert {name: task.facts()[name] for name in own} == own
    fates = totals(alone.ledger.entries(), alone.fates)
    assert totals(task.ledger.entries(), task.fates) == fates
    applied = sum(entry.applied for entry in alone.ledger.entries().values())
    assert sum(entry.applied for entry in task.ledger.entries().values()) == applied
    assert task.finished == max([s.tick for s in log if s.tick], default=blocks.NO_TICK)
