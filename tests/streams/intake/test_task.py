"""Intake: every record has one fate, and nothing but the log's records and their order enters what
comes out."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from freshet.schemas.durations import EARLIEST_MS
from freshet.schemas.errors import CheckpointError
from freshet.schemas.events.decode import encode
from freshet.schemas.wire import blocks
from freshet.streams.admission import kernels
from freshet.streams.intake.task import IntakeTask
from freshet.streams.operators.task import Append, as_json, from_json
from tests.streams.intake.reference_intake import P2Median, ReferenceIntake
from tests.streams.toy_events import (
    CUTS,
    LATENESS,
    LOGS,
    SCHEMA,
    START,
    Sent,
    batch,
    cut,
    plan,
    take,
)

untimed = settings(deadline=None, max_examples=80)
FIRST = (1 << 14) - 12  # the ledger's first block ends within the log
Logs = dict[tuple[str, int], list[Any]]


def flat(appends: Sequence[Append]) -> Logs:
    """What stands in each log, rows and ticks in order, however it was cut into blocks."""
    out: Logs = {}
    for a in appends:
        mine = out.setdefault((a.topic, a.partition), [])
        for value in a.values:
            block = blocks.decode(value)
            rows = [] if block.rows is None else [tuple(r.values()) for r in block.rows.to_pylist()]
            mine += [(block.origin, block.partition, *row) for row in rows]
            mine += [("tick", block.tick)] if block.tick != blocks.NO_TICK else []
    return out


def exact(logs: Logs) -> dict[tuple[str, int], list[str]]:
    """Texts that are equal only for equal bits (a NaN equals itself, -0.0 is not 0.0)."""
    return {at: list(map(repr, rows)) for at, rows in logs.items() if rows}


def facts(task: IntakeTask) -> Any:
    return task.facts(), task.ledger.entries(), task.finished


def whole(log: Sequence[Sent], clean: int, step: int = 1) -> tuple[IntakeTask, list[Append]]:
    task = IntakeTask(plan(clean), 0)
    out = [a for s, i in zip(log, itertools.count(FIRST, step)) for a in take(task, [s], i)]
    return task, out


def resumed(task: IntakeTask, clean: int, partition: int = 0) -> IntakeTask:
    """Another task that was told all by a checkpoint."""
    again = IntakeTask(plan(clean), partition)
    again.load(load(save({k: np.ascontiguousarray(v) for k, v in task.dump(True).items()})), [])
    return again


def check_cuts(
    log: Sequence[Sent], cuts: Sequence[int], restarts: Sequence[int], clean: int, step: int
) -> None:
    """Any cuts, and restarts at any of them, give what single records give."""
    one, expected = whole(log, clean, step)
    task, out = IntakeTask(plan(clean), 0), list[Append]()
    for a, b in cut(len(log), [*cuts, *restarts]):
        if a in restarts:
            task = resumed(task, clean)
        out += take(task, log[a:b], FIRST + a * step, step)
    assert exact(flat(out)) == exact(flat(expected))
    assert facts(task) == facts(one)
    assert facts(resumed(task, clean)) == facts(one)


# ------------------------------------------------------------ against the slow reference
@untimed
@given(LOGS, st.sampled_from([1, 3]), st.booleans())
def test_rows_labels_dead_letters_fates_and_ledger_are_those_of_a_plain_loop(
    log: list[Sent], clean: int, gaps: bool
) -> None:
    step = 3 if gaps else 1
    task, reference = IntakeTask(plan(clean), 0), ReferenceIntake(0, clean, "carrier")
    found = flat(take(task, log, FIRST, step))
    for i, sent in enumerate(log):
        reference.take(sent, FIRST + i * step)
    found["dead", 0] = [
        (*r[:3], None if r[2] == "undecodable" else r[3], *r[4:])
        for r in found.get(("dead", 0), [])
    ]
    assert exact(found) == exact(as_found(reference))
    entries = {b: (e.counts, e.applied) for b, e in task.ledger.entries().items()}
    assert {b: e for b, e in entries.items() if any(e[0])} == reference.ledger(task.fates)
    assert task.facts()["imputed"] == reference.imputed


def as_found(reference: ReferenceIntake) -> Logs:
    """The reference's rows with origin and index, as they stand in blocks. Where bytes stop being
    an event is the decoder's own business."""
    out: Logs = {}
    for at, rows in reference.logs.items():
        mine = out[at] = []
        for row in rows:
            mine.append(
                row
                if row[0] == "tick" and len(row) == 2
                else ("landings", reference.partition, *row, 0)
            )
    return out


def p2(values: Sequence[float]) -> float:
    reference = P2Median()
    for x in values:
        reference.add(x)
    return reference.value()


def test_the_reference_median_is_near_the_median() -> None:
    r = random.Random(1)
    values = [r.gauss(0, 10) for _ in range(4_000)]
    assert abs(p2(values) - sorted(values)[2_000]) < 0.5
    assert [p2(values[:n]) for n in (1, 2, 3, 4)] == [
        sorted(values[:n])[(n - 1) // 2] for n in (1, 2, 3, 4)
    ]


# ------------------------------------------------------------ fates, one by one
def event(i: int = 0, **changes: Any) -> dict[str, Any]:
    plain = {
        "id": f"f{i}", "at": START + i, "gate": "a", "carrier": "AA", "runway": "L", "delay": 1.0, "wind": 1.0, "temp": 1.0,
        "seats": 100, "mileage": 5, "crew": 2, "gust": 20.0, "late": False,
    }  # fmt: skip
    return {**plain, **changes}


def sent(i: int = 0, **changes: Any) -> Sent:
    e = event(i, **changes)
    return Sent(START + i, e)


def taken(*log: Sent, clean: int = 1) -> tuple[IntakeTask, Logs]:
    task = IntakeTask(plan(clean), 0)
    return task, flat(take(task, log, 10))


def counts(task: IntakeTask) -> dict[str, int]:
    return {name: n for name, n in task.facts()["fates"].items() if n}


BAD = {
    "undecodable": (Sent(START, raw=b"\0\0\0\0\7cut"), None),
    "unknown_type": (Sent(START, raw=b"\0\0\0\0\x63" + encode(SCHEMA, [event()])[0][5:]), None),
    "missing_required": (sent(crew=None), "crew"),
    "out_of_domain": (sent(gate="z"), "gate"),
    "out_of_range": (sent(seats=901), "seats"),
    "far_future": (Sent(START, event(at=START + 300_001)), "at"),
    "bad_time": (Sent(START, event(at=EARLIEST_MS - 1)), "at"),
}


@pytest.mark.parametrize("reason", BAD)
def test_a_dead_letter_keeps_reason_field_size_bytes_and_origin(reason: str) -> None:
    bad, field = BAD[reason]
    task, logs = taken(sent(1), bad, sent(2))
    assert counts(task) == {"applied": 2, f"dead:{reason}": 1}
    ((origin, partition, why, where, detail, size, value, offset, index),) = logs["dead", 0]
    assert (origin, partition, offset, index) == ("landings", 0, 11, 0)
    assert (why, detail, size, value) == (reason, None, len(bad.value), bad.value)
    assert where == field or reason == "undecodable"


def test_a_dead_letter_keeps_the_first_64_kib() -> None:
    _, logs = taken(Sent(START, raw=b"x" * 100_000))
    assert logs["dead", 0][0][5:7] == (100_000, b"x" * 65_536)


def test_an_empty_record_is_dead_too() -> None:
    found, task = batch([sent(0), sent(1)], 10), IntakeTask(plan(1), 0)
    found.end[0] = found.start[0]
    logs = flat(task.apply(found).appends)
    assert counts(task) == {"applied": 1, "dead:undecodable": 1}
    assert logs["dead", 0] == [("landings", 0, "undecodable", None, None, 0, b"", 10, 0)]


def test_a_repeat_is_deduplicated_and_a_corrected_resend_counts() -> None:
    task, logs = taken(sent(0, seats=9_000), sent(0), sent(0, seats=1))
    assert counts(task) == {"applied": 1, "deduplicated": 1, "dead:out_of_range": 1}
    assert [row[-2] for row in logs["outcomes", 0]] == [11]


def test_a_repeat_that_is_late_is_a_repeat() -> None:
    late = sent(0, at=START)
    task, _ = taken(
        late, sent(1, at=START + LATENESS + 1), late, sent(2, at=START), sent(2, at=START)
    )
    assert counts(task) == {"applied": 2, "deduplicated": 2, "dropped:late": 1}


def test_exactly_as_late_as_allowed_is_in_time() -> None:
    task, _ = taken(sent(1, at=START + LATENESS), sent(2, at=START), sent(3, at=START - 1))
    assert counts(task) == {"applied": 2, "dropped:late": 1}


def test_filters_count_by_name_the_first_that_hits_and_drop_before_imputes_learn() -> None:
    dropped = sent(1, carrier="??", seats=600, late=True, delay=900.0)
    task, logs = taken(dropped, sent(2, seats=501, late=True), sent(3, carrier=None, delay=None))
    assert counts(task) == {"applied": 1, "dropped:spam": 1, "dropped:heavy": 1}
    assert logs["clean.gate", 0][0][4] == 1.5  # the median's start: no applied row had a delay


def test_groups_of_an_impute_see_what_was_imputed_before() -> None:
    task, logs = taken(sent(1, carrier=None, delay=7.0), sent(2, carrier="unknown", delay=None))
    assert logs["clean.gate", 0][1][4] == 7.0
    assert task.facts()["imputed"] == {
        "carrier": 1,
        "delay": 1,
        "wind": 0,
        "temp": 0,
        "seats": 0,
        "mileage": 0,
    }


def test_imputing_a_whole_number_leaves_its_neighbours_whole() -> None:
    large = (1 << 63) - 1
    _, logs = taken(sent(1, mileage=large), sent(2, mileage=None), sent(3, mileage=-large))
    assert [row[8] for row in logs["clean.gate", 0]] == [large, 3, -large]


def test_ticks_go_to_every_partition_of_every_log_but_dead_letters() -> None:
    task, logs = taken(Sent(START, tick=START + 5), clean=3)
    assert counts(task) == {}
    assert task.finished == START + 5
    expected = {(to, p) for to in ("clean.gate", "clean.pair", "outcomes") for p in range(3)}
    assert logs == {at: [("tick", START + 5)] for at in expected}


def test_a_tick_says_how_many_partitions_the_topic_had() -> None:
    found = IntakeTask(plan(1), 1).tick(START, 7).appends
    assert {(b.partition, b.partitions) for b in (blocks.decode(a.values[0]) for a in found)} == {
        (1, 7)
    }


def test_time_never_goes_back() -> None:
    task, logs = taken(*(Sent(0, tick=START + t) for t in (5, 3, 5, 6)))
    assert logs["clean.gate", 0] == [("tick", START + 5), ("tick", START + 6)]
    assert resumed(task, 1).tick(START + 6, 1).appends == []


def test_what_looks_like_a_tick_of_0_2_is_a_dead_letter_and_moves_no_time() -> None:
    task, logs = taken(Sent(START, raw=b"FRTK" + (1 << 60).to_bytes(8, "little")))
    assert counts(task) == {"dead:undecodable": 1}
    assert task.finished == blocks.NO_TICK
    assert list(logs) == [("dead", 0)]


def test_rows_of_a_key_meet_in_one_partition_in_order() -> None:
    log = [sent(i, gate="abc"[i % 3]) for i in range(30)]
    _, logs = taken(*log, clean=3)
    by_key: dict[str, list[int]] = {}
    for (to, _), rows in logs.items():
        if to == "clean.gate":
            for row in rows:
                by_key.setdefault(row[2], []).append(row[-2])
    assert by_key == {g: list(range(10 + i, 40, 3)) for i, g in enumerate("abc")}


def test_times_at_the_ends_of_an_int64_are_judged_as_numbers_are() -> None:
    low = -(1 << 63)
    task, _ = taken(
        *[Sent(START, event(i, at=t)) for i, t in enumerate((low, low + 5, START, low + 5))]
    )
    assert counts(task) == {"applied": 1, "dead:bad_time": 3}


def test_event_times_before_1970_are_times_like_any_other() -> None:
    log = [Sent(0, event(i, at=t)) for i, t in enumerate((-5, -1 - LATENESS - 5, -10, -1, 0))]
    task, _ = taken(*log)
    assert counts(task) == {"applied": 4, "dropped:late": 1}


# ------------------------------------------------------------ any cuts
@untimed
@given(LOGS, CUTS, CUTS, st.sampled_from([1, 3]), st.booleans())
def test_any_batching_and_any_restart_give_the_same_bits(
    log: list[Sent], cuts: list[int], restarts: list[int], clean: int, gaps: bool
) -> None:
    check_cuts(log, cuts, restarts, clean, 3 if gaps else 1)


def some_log(seed: int, n: int = 400) -> list[Sent]:
    """A long log of good events with gaps to fill and ids that repeat; every thirtieth is late."""
    r = random.Random(seed)
    out = []
    for i in range(n):
        at = START + i * 150 - (r.randrange(0, LATENESS, 50) if i % 30 else 2 * LATENESS)
        e = event(r.randrange(n), at=at, gate=r.choice("abc"))
        for f in ("carrier", "runway", "delay", "wind", "temp", "seats", "mileage"):
            if r.random() < 0.2:
                e[f] = None
        if e["delay"] is not None:
            e["delay"] = r.gauss(10, 30)
        if e["wind"] is not None:
            e["wind"] = r.gauss(10, 30)
        out.append(Sent(START + i * 150, e))
    return out


LONG = some_log(7), sorted(random.Random(8).sample(range(400), 30)), [90, 210, 333]


def test_a_long_log_with_restarts_gives_the_same_bits() -> None:
    check_cuts(*LONG, clean=3, step=1)


def test_the_table_of_ids_grows_without_forgetting() -> None:
    log = [sent(i, at=START + i // 10) for i in range(6_000)]
    task, _ = taken(*log[:100])
    for a, b in cut(6_000, [100, 4_000, 4_001]):
        task.apply(batch(log[a:b], 200 + a))
    task.apply(batch(log, 10_000))
    assert counts(task) == {"applied": 6_000, "deduplicated": 6_100}


def lost_dedup(state: dict[str, Any]) -> None:
    state["ids.current"] = state["ids.current"][:0]


def lost_lateness(state: dict[str, Any]) -> None:
    for generation in ("sources.0", "sources.1"):
        state[generation] = state[generation].copy()
        state[generation][:, kernels.NEWEST_EVENT] -= 60_000


def lost_median(state: dict[str, Any]) -> None:
    state["impute.delay.state"] = np.zeros_like(state["impute.delay.state"])


def lost_groups(state: dict[str, Any]) -> None:
    state["impute.delay.state"] = state["impute.delay.state"][::-1].copy()


def lost_ledger(state: dict[str, Any]) -> None:
    state["ledger_sums"] = np.zeros_like(state["ledger_sums"])


@pytest.mark.parametrize(
    "mutant", [lost_dedup, lost_lateness, lost_median, lost_groups, lost_ledger]
)
def test_a_restart_that_loses_state_is_noticed(
    mutant: Callable[[dict[str, Any]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = IntakeTask.load

    def forgetful(self: IntakeTask, base: Any, deltas: Any) -> None:
        state = dict(base)
        mutant(state)
        honest(self, state, deltas)

    monkeypatch.setattr(IntakeTask, "load", forgetful)
    with pytest.raises(AssertionError):
        check_cuts(*LONG, clean=3, step=1)


def test_a_value_that_depends_on_the_batch_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from freshet.streams.intake.imputation import Imputer

    honest = Imputer.fill

    def neighbourly(self: Imputer, columns: Any, code: Any) -> None:
        honest(self, columns, code)
        if self.field == "wind":
            values, valid = columns.numbers("wind")
            columns.replace("wind", values + 1e-9 * (len(values) > 20), valid)

    monkeypatch.setattr(Imputer, "fill", neighbourly)
    with pytest.raises(AssertionError):
        check_cuts(*LONG, clean=3, step=1)


def test_a_checkpoint_of_other_declarations_is_refused() -> None:
    task, _ = taken(sent(1))
    for changes in ({"drop": {}}, {"impute": {}}):
        other = IntakeTask(plan(1, **changes), 0)
        with pytest.raises(CheckpointError, match="declared otherwise"):
            other.load(task.dump(True), [])


def test_a_checkpoint_of_a_version_that_knew_fewer_fates_is_gone_on_from() -> None:
    task, _ = taken(sent(1))
    state = task.dump(True)
    names = list(task.fates)
    # As an earlier one wrote it, which knew of no tombstones.
    kept = [i for i, name in enumerate(names) if name != "ignored"]
    declared, imputes = from_json(state["declared"])
    state["declared"] = as_json([[declared[i] for i in kept], imputes])
    state["ledger"] = state["ledger"][:, kept]
    other = IntakeTask(plan(1), 0)
    other.load(state, [])
    assert other.ledger.entries() == task.ledger.entries()
