"""The time of a log, against its definition."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from freshet.features.rows.layout import NEVER
from freshet.features.views.clock import LogClock
from freshet.schemas.wire.blocks import CLEAN, NO_TICK, Block


@dataclass(frozen=True)
class Record:
    partition: int
    times: tuple[int, ...]
    tick: int
    appended: int


TIMES = st.integers(-20, 20)
RECORDS = st.lists(
    st.builds(
        Record,
        st.integers(0, 2),
        st.lists(TIMES, max_size=4).map(tuple),
        TIMES | st.just(NO_TICK),
        st.integers(-5, 40),
    ),
    max_size=12,
)


def block(record: Record) -> Block:
    return Block(CLEAN, "visits", record.partition, None, record.tick)


def take(clock: LogClock, record: Record) -> list[int]:
    clock.record(record.appended)
    out: list[int] = []
    if record.times:
        out = clock.at_events(block(record), np.array(record.times)).tolist()
    clock.after(block(record))
    return out


def defined(records: list[Record]) -> tuple[list[list[int]], int]:
    now = NEVER
    appended = NEVER
    newest: dict[int, int] = {}
    at_events = []
    for record in records:
        appended = max(appended, record.appended)
        own = []
        for time in record.times:
            newest[record.partition] = max(time, newest.get(record.partition, NEVER))
            now = max(now, min(appended, *newest.values()))
            own.append(now)
        at_events.append(own)
        if record.tick != NO_TICK:
            newest[record.partition] = max(record.tick, newest.get(record.partition, NEVER))
            now = max(now, min(appended, *newest.values()))
    return at_events, now


@given(RECORDS, st.integers(0, 12))
def test_it_is_the_earliest_of_all_that_vouch_and_never_goes_back(
    records: list[Record], dumped_at: int
) -> None:
    clock = LogClock()
    found = []
    for i, record in enumerate(records):
        if i == dumped_at:
            again = LogClock()
            again.load(clock.dump())
            clock = again
        found.append(take(clock, record))
    assert (found, clock.now_ms) == defined(records)
    every = [time for own in found for time in own]
    assert every == sorted(every)


@given(st.lists(TIMES, min_size=2, max_size=8), st.integers(1, 7))
def test_how_events_are_cut_into_blocks_changes_nothing(times: list[int], cut: int) -> None:
    whole = LogClock()
    parts = LogClock()
    first = tuple(times[:cut])
    rest = tuple(times[cut:])
    together = take(whole, Record(0, tuple(times), NO_TICK, 10))
    one = take(parts, Record(0, first, NO_TICK, 10))
    assert one + take(parts, Record(0, rest, NO_TICK, 10)) == together
    assert whole.now_ms == parts.now_ms


def test_before_anything_was_seen_it_is_before_all_times() -> None:
    clock = LogClock()
    assert clock.now_ms == NEVER
    clock.record(5)
    assert clock.now_ms == NEVER
