"""Repeats and lateness: no event, source or record time decides for others, and all of it follows
from the log and from what checkpoints say beside it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from freshet.audit import ledger as audit
from freshet.audit.kept import Record, TakenOn
from freshet.schemas.durations import EARLIEST_MS
from freshet.schemas.topics.settings import SKEW_MS
from freshet.schemas.wire import blocks
from freshet.streams.admission import admission, sources
from freshet.streams.intake.task import IntakeTask
from tests.streams.intake.reference_intake import ReferenceIntake
from tests.streams.toy_events import (
    HORIZON,
    LATENESS,
    LOGS,
    MAX_FUTURE,
    START,
    Sent,
    batch,
    plan,
    take,
    topic,
    within,
)

untimed = settings(deadline=None, max_examples=80)
YEAR = 365 * 86_400_000
MINUTE = 60_000


def event(name: str, at: int, carrier: str | None = "AA", **changes: Any) -> dict[str, Any]:
    plain = {
        "id": name, "at": at, "gate": "a", "carrier": carrier, "runway": "L", "delay": 1.0, "wind": 1.0, "temp": 1.0,
        "seats": 100, "mileage": 5, "crew": 2, "gust": 20.0, "late": False,
    }  # fmt: skip
    return {**plain, **changes}


def sent(name: str, at: int, carrier: str | None = "AA", appended: int | None = None) -> Sent:
    return Sent(at if appended is None else appended, event(name, at, carrier))


def saved(task: IntakeTask, full: bool) -> bytes:
    """A checkpoint's object: as of now, though the task goes on."""
    return save({k: np.ascontiguousarray(v) for k, v in task.dump(full).items()})


def loaded(chain: Sequence[bytes], **changes: Any) -> IntakeTask:
    again = IntakeTask(plan(1, **changes), 0)
    base, *deltas = (load(data) for data in chain)
    again.load(base, deltas)
    return again


def resumed(task: IntakeTask, **changes: Any) -> IntakeTask:
    return loaded([saved(task, True)], **changes)


def counts(task: IntakeTask) -> dict[str, int]:
    return {fate: n for fate, n in task.facts()["fates"].items() if n}


def fates(log: Sequence[Sent], **changes: Any) -> dict[str, int]:
    task = IntakeTask(plan(1, **changes), 0)
    task.apply(batch(log, 0))
    found = [Record(i, s.time, s.value) for i, s in enumerate(log)]
    assert audit.recompute(topic(**changes), iter(found)) == task.ledger.entries()
    return counts(task)


# ------------------------------------------------------------ nobody decides for others
def test_a_source_with_a_fast_clock_makes_no_other_late() -> None:
    log = []
    for turn in range(6):
        now = START + 1_000 * turn
        log += [
            sent(f"{turn}-{i}", now + 3 * MINUTE * (i == 0), f"d{i}", appended=now)
            for i in range(10)
        ]
    assert fates(log) == {"applied": 60}


def test_a_source_that_goes_back_behind_its_own_newest_is_late_alone() -> None:
    log = [
        sent("a", START + LATENESS + 1, "d0"),
        sent("b", START, "d0"),
        sent("c", START, "d1"),
        sent("d", START - 1, "d1"),
    ]
    assert fates(log) == {"applied": 3, "dropped:late": 1}


def test_without_a_source_an_event_is_compared_with_its_own_record() -> None:
    log = [
        sent("a", START + MINUTE, None),
        sent("b", START, None),
        sent("c", START, None, appended=START + LATENESS + 1),
    ]
    assert fates(log) == {"applied": 2, "dropped:late": 1}
    assert fates(log, source=None) == {"applied": 2, "dropped:late": 1}


def test_an_event_whose_source_is_missing_is_nobodys() -> None:
    log = [sent("a", START + MINUTE, ""), sent("b", START, None), sent("c", START - MINUTE, "")]
    assert fates(log) == {"applied": 2, "dropped:late": 1}


@pytest.mark.parametrize("field", ["carrier", "runway"])
def test_a_repeat_says_nothing_of_its_source(field: str) -> None:
    log = [sent("a", START), sent("a", START + MINUTE), sent("b", START)]
    assert fates(log, source=field) == {"applied": 2, "deduplicated": 1}


def test_no_event_time_makes_ids_forgotten() -> None:
    far = MAX_FUTURE
    log = [
        sent("a", START),
        sent("b", START + far, "d1", appended=START),
        sent("a", START),
        sent("c", -YEAR, "d2"),
        sent("a", START),
    ]
    assert fates(log) == {"applied": 3, "deduplicated": 2}


@pytest.mark.parametrize("time", [(1 << 63) - 1, -(1 << 63)])
def test_record_times_of_any_size_are_no_reason_to_fail(time: int) -> None:
    found = fates(
        [
            sent("a", START, "d0", appended=time),
            sent("b", START, "d1"),
            sent("c", EARLIEST_MS, "d1"),
        ]
    )
    assert sum(found.values()) == 3
    assert found["dropped:late"] == 1


# ------------------------------------------------------------ against the slow reference
@untimed
@given(
    LOGS,
    st.lists(st.integers(1, 35), max_size=8),
    st.lists(st.integers(1, 35), max_size=3),
    st.lists(st.integers(1, 35), max_size=3),
    st.sampled_from(["carrier", "runway", None]),
    st.integers(1, 4),
)
def test_any_batches_restarts_and_turns_give_what_a_plain_loop_gives(
    log: list[Sent],
    cuts: list[int],
    restarts: list[int],
    turns: list[int],
    source: str | None,
    most: int,
) -> None:
    n = len(log)
    cuts, restarts, turns = (within(n, places) for places in (cuts, restarts, turns))
    reference = ReferenceIntake(0, 1, source, most)
    for i, record in enumerate(log):
        if i in turns:
            reference.turn()
        if record.tick is None:
            reference.take(record, i)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "MOST_SOURCES", most)
        patch.setattr(audit, "MOST_SOURCES", most)
        patch.setattr(sources, "FIRST_SOURCES", 2)
        task = IntakeTask(plan(1, source=source), 0)
        chain = [saved(task, True)]
        for begin, end in itertools.pairwise(sorted({0, n, *cuts, *restarts, *turns})):
            if begin in restarts:
                task = loaded(chain, source=source)
            if begin in turns:
                turn(task, begin)
            take(task, log[begin:end], begin)
            chain = [saved(task, True)] if begin in cuts else [*chain, saved(task, False)]
        assert {
            b: (e.counts, e.applied) for b, e in task.ledger.entries().items()
        } == reference.ledger(task.fates)
        found = [Record(i, s.time, s.value) for i, s in enumerate(log) if s.tick is None]
        recorded = TakenOn(turns=task.dump(True)["turns"].tolist()[1:])
        again = audit.recompute(topic(source=source), iter(found), {}, recorded)
        assert again == task.ledger.entries()
        assert resumed(task, source=source).facts() == task.facts()


def turn(task: IntakeTask, at: int) -> None:
    """As an operator has it done: by a tick, as of which ids are old enough."""
    task.tick(max(task.finished, START) + 1, 1)
    # The first time says no more than when it began; where there are no ids, none begins.
    for _ in range(9):
        if task.turn(at, None):
            break
        task.tick(task.finished + HORIZON, 1)


def test_sources_that_were_dropped_are_judged_by_their_records(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sources, "MOST_SOURCES", 4)
    monkeypatch.setattr(audit, "MOST_SOURCES", 4)
    first = sent("first", START, "d")
    many = [sent(f"m{i}", START, f"m{i}") for i in range(12)]
    old = sent("old", START - YEAR, "new", appended=START)
    assert fates([old]) == {"applied": 1}
    assert fates([first, *many, old]) == {"applied": 13, "dropped:late": 1}
    back = [
        sent("back", START - LATENESS - 1, "d", appended=START - LATENESS),
        sent("again", START - 2 * LATENESS, "d"),
    ]
    assert fates([first, *many, *back]) == {"applied": 15}


def test_a_million_sources_take_bounded_room() -> None:
    task = IntakeTask(plan(1), 0)
    for first in range(0, 80_000, 20_000):
        task.apply(
            batch([sent(f"e{i}", START, f"d{i}") for i in range(first, first + 20_000)], first)
        )
    state = task.dump(True)
    assert max(len(state["sources.0"]), len(state["sources.1"])) == sources.MOST_SOURCES
    assert counts(task) == {"applied": 80_000}


def test_sources_told_apart_by_another_field_begin_anew() -> None:
    task = IntakeTask(plan(1), 0)
    task.apply(batch([sent("a", START + YEAR, "L", appended=START + YEAR)], 0))
    other = resumed(task, source="runway")
    other.apply(batch([sent("b", START), sent("a", START)], 1))
    assert counts(other) == {"applied": 2, "deduplicated": 1}


# ------------------------------------------------------------ generations of ids
def test_an_id_is_known_for_one_to_two_dedups_of_ticks() -> None:
    task = IntakeTask(plan(1), 0)
    offsets = itertools.count()

    def tick(after: int) -> None:
        task.tick(START + after, 1)

    def again() -> bool:
        before = counts(task).get("deduplicated", 0)
        task.apply(batch([sent("a", START)], next(offsets)))
        return counts(task).get("deduplicated", 0) > before

    assert not again()
    assert not task.turn(1, None)  # nobody knows the time yet
    tick(0)
    assert not task.turn(1, None)
    tick(HORIZON - 1)
    assert not task.turn(1, None)
    tick(HORIZON)
    assert task.turn(1, None)
    assert not task.turn(1, None)
    assert again()
    tick(9 * HORIZON)  # a long pause is one turn, too: what was read of late is remembered
    assert task.turn(2, None)
    assert not again()


def catch_up(task: IntakeTask, events: int, seconds: int, bound_ms: int | None) -> list[int]:
    """Read as many events, appended in so many seconds; the offsets at which ids were forgotten."""
    turns = []
    for first in range(0, events, 100):
        after = [START + 1000 * seconds * i // events for i in range(first, first + 100)]
        task.apply(batch([sent(f"e{first + i}", at, None) for i, at in enumerate(after)], first))
        if task.turn(first + 100, bound_ms):
            turns.append(first + 100)
    return turns


def test_where_nothing_comes_nothing_is_saved_for_it() -> None:
    task = IntakeTask(plan(1), 0)
    for hour in range(3):
        task.tick(START + hour * HORIZON, 1)
        assert not task.turn(0, None)
    task.apply(batch([sent("a", START)], 0))
    for hour in range(3, 9):
        task.tick(START + hour * HORIZON, 1)
        assert task.turn(1, None) == (hour < 5)


def test_in_a_catch_up_ids_are_forgotten_by_when_they_were_appended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "MANY_IDS", 1000)
    day = 86_400
    ten = HORIZON // 1000
    # A day of events is read before the first tick of all is told.
    task = IntakeTask(plan(1), 0)
    turns = catch_up(task, 20_000, 10 * ten, None)
    assert len(turns) == 9
    assert len(task.dump(True)["ids.current"]) <= 2_200
    # Few ids wait for the tick, since each turn costs a checkpoint.
    assert catch_up(IntakeTask(plan(1), 0), 20_000, 10 * day, None)[0] == 1000
    assert catch_up(IntakeTask(plan(1), 0), 900, 10 * day, None) == []


def test_no_record_makes_ids_forgotten_by_a_time_that_is_yet_to_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "MANY_IDS", 1)
    task = IntakeTask(plan(1), 0)
    task.apply(batch([sent("a", START)], 0))
    assert not task.turn(1, START)
    task.apply(batch([sent("b", START, appended=START + HORIZON)], 1))
    assert not task.turn(2, START + 1)
    assert not task.turn(2, START + HORIZON - 1)
    assert task.turn(2, START + HORIZON)


def test_a_checkpoint_that_follows_another_has_new_ids_alone() -> None:
    task = IntakeTask(plan(1), 0)
    task.apply(batch([sent(f"a{i}", START) for i in range(1500)], 0))
    base = task.dump(True)
    task.apply(batch([sent("b", START), sent("a7", START)], 1500))
    delta = task.dump(False)
    assert len(base["ids.current"]) == 1500
    assert len(delta["ids.current"]) == 1
    assert "ids.older" not in delta
    # What was forgotten meanwhile, and saved by no base, is in the next delta all the same.
    turn(task, 1502)
    assert len(task.dump(False)["ids.older"]) == 1501


def test_a_turn_is_part_of_the_checkpoint() -> None:
    task = IntakeTask(plan(1), 0)
    task.apply(batch([sent("a", START)], 0))
    task.tick(START, 1)
    task.turn(1, None)
    task.tick(START + HORIZON, 1)
    assert task.turn(1, None)
    again = resumed(task)
    assert not again.turn(1, None)
    assert again.dump(True)["turns"].tolist() == [START + HORIZON, 1]


# ------------------------------------------------------------ append times
def vouching(log: Sequence[Sent], now: int) -> IntakeTask:
    task = IntakeTask(plan(1), 0)
    records = batch(log, 0)
    if task.doubts(records, now):
        task.vouch(records, now)
    task.apply(records)
    found = [Record(i, s.time, s.value) for i, s in enumerate(log)]
    spans = task.dump(True)["vouched"].tolist()
    assert (
        audit.recompute(topic(), iter(found), {}, TakenOn(vouched=spans)) == task.ledger.entries()
    )
    return task


def test_a_record_stamped_a_year_ahead_is_a_dead_letter_and_touches_nobody() -> None:
    log = [
        sent("a", START, "d1"),
        sent("b", START + YEAR, "d0"),
        *(sent(f"c{i}", START, "d0") for i in range(50)),
    ]
    assert counts(vouching(log, START)) == {"applied": 51, "dead:far_future": 1}


def test_an_event_in_time_is_not_late_because_its_record_is_stamped_ahead() -> None:
    ahead = [sent("a", START + SKEW_MS, None, appended=START + YEAR)]
    assert fates(ahead) == {"dropped:late": 1}
    assert counts(vouching(ahead, START)) == {"applied": 1}


def test_a_clock_of_another_machine_is_believed_as_long_as_nothing_rests_on_it() -> None:
    task = IntakeTask(plan(1), 0)
    near = [sent("a", START + MAX_FUTURE, "d0", appended=START + MINUTE)]
    skewed = [sent("b", START + SKEW_MS + MAX_FUTURE, "d0", appended=START + SKEW_MS)]
    assert not task.doubts(batch(near, 0), START)
    assert not task.doubts(batch(skewed, 0), START)
    assert task.doubts(
        batch([sent("c", START + MINUTE + MAX_FUTURE, "d0", appended=START + MINUTE)], 0), START
    )


def test_whoever_reads_again_later_comes_to_the_same() -> None:
    log = [sent("a", START + YEAR, "d0"), sent("b", START, "d0")]
    task = IntakeTask(plan(1), 0)
    records = batch(log, 0)
    task.vouch(records, START)
    again = resumed(task)
    assert not again.doubts(records, START + 2 * YEAR)
    task.apply(records)
    again.apply(records)
    assert counts(task) == counts(again) == {"applied": 1, "dead:far_future": 1}


# ------------------------------------------------------------ who is late
def test_sources_that_are_late_are_told_by_name_with_their_share() -> None:
    log = [sent(f"n{i}", START, "on time") for i in range(30)]
    log += [
        sent("first", START, "slow"),
        *(sent(f"s{i}", START - MINUTE, "slow") for i in range(29)),
    ]
    log += [sent(f"x{i}", START - MINUTE, None, appended=START) for i in range(4)]
    task = IntakeTask(plan(1), 0)
    task.apply(batch(log, 0))
    told = task.facts()["late_sources"]
    assert [(t["source"], t["judged"], t["late"]) for t in told] == [("slow", 30, 29), (None, 4, 4)]


def test_a_share_is_of_the_newest_events() -> None:
    late = [sent("first", START, "d"), *(sent(f"l{i}", START - MINUTE, "d") for i in range(400))]
    task = IntakeTask(plan(1), 0)
    task.apply(batch([*late, *(sent(f"t{i}", START, "d") for i in range(4_000))], 0))
    assert task.facts()["late_sources"] == []


def test_of_many_late_sources_those_with_most_late_events_are_told() -> None:
    names = [f"once {i}" for i in range(200)]
    log = [sent(name, START, name) for name in [*names, "often"]]
    for i, name in enumerate(names):
        log += [
            sent(f"{name} late", START - MINUTE, name),
            sent(f"often {i}", START - MINUTE, "often"),
        ]
    task = IntakeTask(plan(1), 0)
    task.apply(batch(log, 0))
    told = task.facts()["late_sources"]
    assert told[0]["source"] == "often"
    assert len(told) <= sources.OFFENDERS + 1
    assert task.finished == blocks.NO_TICK
