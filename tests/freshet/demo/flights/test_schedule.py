import io
import itertools

import fastavro
import pytest

from freshet.demo.flights.data import ROW, START_MS, load
from freshet.demo.flights.faults import Faults
from freshet.demo.flights.schedule import Schedule
from freshet.demo.flights.wire import TOPICS, EventType
from tests.freshet.demo.flights.altered_flights import with_labels_turned, with_outcome

QUARTER = 15 * 60_000
CLEAN = Faults(0.0, 0.0, 0.0)
KINDS = {t: EventType.load(t) for t in TOPICS}


def decoded(topic, record):
    event = fastavro.schemaless_reader(io.BytesIO(record[5:]), KINDS[topic].parsed, None)
    return {
        f: round(v.timestamp() * 1000) if hasattr(v, "timestamp") else v for f, v in event.items()
    }


def same(a, b):
    return a.start_ms == b.start_ms and a.queries == b.queries and a.events == b.events


def test_steps_follow_each_other_without_a_gap_and_the_last_ones_only_drain():
    schedule = Schedule(2, drain_ms=12 * 3_600_000)
    steps = list(schedule)
    assert len(steps) == len(schedule)
    assert steps[0].start_ms == START_MS
    assert all(s.end_ms - s.start_ms == QUARTER for s in steps)
    assert all(a.end_ms == b.start_ms for a, b in itertools.pairwise(steps))
    assert sum(len(r) for s in steps for r in s.events.values()) == schedule.records
    quiet = [not s.queries["flight_id"] and not any(map(len, s.events.values())) for s in steps]
    assert all(quiet[-48:])
    assert not quiet[-49]


def test_encoded_events_are_the_source_rows():
    frames, found = load(1), {t: [] for t in TOPICS}
    for step in Schedule(1, faults=CLEAN):
        for topic, records in step.events.items():
            for record, time in zip(records.values, records.times):
                assert record[:5] == b"\0" + KINDS[topic].schema_id.to_bytes(4, "big")
                event = decoded(topic, record)
                assert event[KINDS[topic].time] == time
                assert step.start_ms <= time < step.end_ms
                found[topic].append(event)
    assert found == {t: f.drop(ROW).to_dicts() for t, f in frames.items()}


def test_every_departure_is_asked_once_in_the_step_of_its_schedule():
    asked = []
    for step in Schedule(3):
        q = step.queries
        assert all(step.start_ms <= t < step.end_ms for t in q["scheduled_at"])
        asked += [dict(zip(q, values)) for values in zip(*q.values())]
    assert asked == load(3)["departures"].drop(ROW).to_dicts()


def test_nothing_of_a_flight_is_published_in_a_step_before_it_is_asked():
    asked, seen = set(), 0
    for step in Schedule(3, faults=Faults(duplicates=0.2, bad=0.0, disorder=0.2)):
        asked.update(step.queries["flight_id"])  # a step's queries come before its events
        for topic in ("departures", "takeoffs", "arrivals"):
            events = [decoded(topic, r) for r in step.events[topic].values]
            assert {e["flight_id"] for e in events} <= asked
            seen += len(events)
    assert seen > 7_000


@pytest.mark.parametrize("step_ms", [QUARTER, 60 * 60_000, 2 * 86_400_000])
def test_the_length_of_a_step_changes_no_record_and_no_order(step_ms):
    def whole(step):
        steps = list(Schedule(2, step_ms=step))
        return {
            t: [x for s in steps for x in zip(s.events[t].values, s.events[t].times)]
            for t in TOPICS
        }

    assert whole(step_ms) == whole(7 * 60_000)


def test_append_times_never_fall_and_runs_keep_the_order():
    for step in Schedule(1):
        for records in step.events.values():
            assert records.times == sorted(records.times)
            runs = list(records.runs())
            assert [v for _, values in runs for v in values] == records.values
            assert [t for t, values in runs for _ in values] == records.times
            assert len({t for t, _ in runs}) == len(runs)


def test_a_duplicate_has_the_same_bytes_as_its_event():
    schedule = Schedule(3, faults=Faults(bad=0.0, duplicates=0.05))
    for topic in TOPICS:
        values = [v for s in schedule for v in s.events[topic].values]
        assert len(values) - len(set(values)) == schedule.expected[topic].duplicates > 0


def test_the_same_seed_gives_the_same_steps_and_another_one_does_not():
    one, again, other = Schedule(2, seed=5), Schedule(2, seed=5), Schedule(2, seed=6)
    assert one.expected == again.expected != other.expected
    assert all(same(a, b) for a, b in zip(one, again, strict=True))
    assert not all(same(a, b) for a, b in zip(one, other))


def test_a_flights_own_outcome_changes_nothing_that_is_known_when_it_is_asked():
    plain = list(Schedule(3))
    for i in (700, 1_500):
        me = load(3)["departures"]["flight_id"][i]
        altered = Schedule(
            3, alter=with_outcome(me, dep_delay=300.0, arr_delay=250.0, air_time=50.0)
        )
        steps = zip(plain, altered)
        for a, b in steps:
            assert a.queries == b.queries
            if me in a.queries["flight_id"]:
                break
            assert a.events == b.events
        assert any(a.events != b.events for a, b in steps)


def test_labels_still_to_come_change_nothing_before_they_come():
    turn = START_MS + 100 * QUARTER
    differ = [
        i
        for i, (a, b) in enumerate(zip(Schedule(3), Schedule(3, alter=with_labels_turned(turn))))
        if not same(a, b)
    ]
    assert differ[0] >= 100
