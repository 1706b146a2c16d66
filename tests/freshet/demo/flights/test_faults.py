import io

import fastavro
import pytest

from freshet.demo.flights.data import ROW, load
from freshet.demo.flights.faults import (
    BAD,
    DUPLICATE,
    FIRST_BAD,
    GOOD,
    UNKNOWN_SCHEMA_ID,
    Faults,
    corrupted,
    plan,
    refusals,
)
from freshet.demo.flights.wire import TOPICS, EventType
from freshet.schemas.durations import DAY_MS

FRAMES = load(20)


def decoded(kind, record):
    body = io.BytesIO(record)
    assert body.read(1) == b"\0"
    schema_id = int.from_bytes(body.read(4), "big")
    event = fastavro.schemaless_reader(body, kind.parsed, None)
    assert not body.read()
    return schema_id, event


def ms(value):
    return round(value.timestamp() * 1000) if hasattr(value, "timestamp") else value


def broken_rules(kind, event):
    out = ["missing" for f in kind.required if event[f] is None]
    out += [
        "domain"
        for f, words in kind.domains.items()
        if event[f] is not None and event[f] not in words
    ]
    out += [
        "range"
        for f, (a, b) in kind.ranges.items()
        if event[f] is not None and not a <= event[f] <= b
    ]
    return out


@pytest.mark.parametrize("topic", TOPICS)
def test_a_bad_copy_breaks_the_rule_it_names_and_no_other(topic):
    kind = EventType.load(topic)
    event = FRAMES[topic].drop(ROW).row(40, named=True)
    for seed in range(60):
        for what in ("missing", "domain", "range"):
            schema_id, bad = decoded(kind, corrupted(kind, event, what, str(seed)))
            assert schema_id == kind.schema_id
            assert broken_rules(kind, bad) == [what]
            assert sum(ms(bad[f]) != event[f] for f in kind.fields) == 1
        schema_id, bad = decoded(kind, corrupted(kind, event, "unknown_schema", str(seed)))
        assert schema_id == UNKNOWN_SCHEMA_ID
        assert {f: ms(v) for f, v in bad.items()} == event
        _, bad = decoded(kind, corrupted(kind, event, "future", str(seed)))
        assert ms(bad[kind.time]) - event[kind.time] >= 30 * DAY_MS
        assert broken_rules(kind, bad) == []
        with pytest.raises((AssertionError, EOFError, IndexError, ValueError)):
            decoded(kind, corrupted(kind, event, "undecodable", str(seed)))


@pytest.mark.parametrize("topic", TOPICS)
def test_what_is_expected_is_what_was_planned(topic):
    kind, events = EventType.load(topic), FRAMES[topic]
    done, expected = plan(kind, events, Faults(), 7)
    acts = done.act.tolist()
    assert expected.good + sum(expected.refused.values()) == len(events) == acts.count(GOOD)
    assert expected.duplicates == acts.count(DUPLICATE)
    assert expected.bad == {name: acts.count(FIRST_BAD + i) for i, name in enumerate(BAD)}
    assert expected.records == len(acts)
    overtaken, newest = 0, 0
    for row, act in zip(done.row.tolist(), acts):
        if act < FIRST_BAD:
            time = events[kind.time][row]
            overtaken += act == GOOD and time < newest
            newest = max(newest, time)
    assert expected.disordered == overtaken


def test_the_shares_of_a_year_are_those_asked_for():
    for topic, events in load(365).items():
        expected = plan(EventType.load(topic), events, Faults(), 0)[1]
        n = len(events)
        assert expected.duplicates / n == pytest.approx(0.01, rel=0.2)
        assert sum(expected.bad.values()) / n == pytest.approx(0.005, rel=0.2)
        # three observations an hour, at the same minute: none can be overtaken
        if topic == "weather":
            assert (expected.disordered, expected.refused) == (0, {"range": 1})
        else:
            assert expected.disordered / n == pytest.approx(0.02, rel=0.1)
            assert min(expected.bad.values()) > 200
            assert expected.refused == {}


@pytest.mark.parametrize("topic", TOPICS)
def test_no_good_event_is_early_or_late_and_its_duplicates_follow_it(topic):
    kind, events, faults = (
        EventType.load(topic),
        FRAMES[topic],
        Faults(duplicates=0.2, bad=0.2, disorder=0.2),
    )
    done, _ = plan(kind, events, faults, 3)
    assert (done.publish[1:] >= done.publish[:-1]).all()
    time, newest, first = events[kind.time].to_numpy(), 0, {}
    for at, row, act in zip(done.publish.tolist(), done.row.tolist(), done.act.tolist()):
        assert at >= time[row]
        if act == GOOD:
            assert newest - time[row] < faults.lateness_ms
            newest, first[row] = max(newest, time[row]), at
        elif act == DUPLICATE:
            assert 0 <= at - first[row] < faults.resend_within_ms


def test_bad_copies_come_before_and_after_their_good_event():
    kind = EventType.load("arrivals")
    done, _ = plan(kind, FRAMES["arrivals"], Faults(), 0)
    place = {
        row: i
        for i, (row, act) in enumerate(zip(done.row.tolist(), done.act.tolist()))
        if act == GOOD
    }
    before = [
        i < place[row]
        for i, (row, act) in enumerate(zip(done.row.tolist(), done.act.tolist()))
        if act >= FIRST_BAD
    ]
    assert 0.3 < sum(before) / len(before) < 0.7


def test_events_that_break_a_rule_themselves_are_left_alone():
    kind, events = EventType.load("weather"), load(59)["weather"]
    [row] = refusals(kind, events).nonzero()[0].tolist()
    assert events["wind_speed"][row] > 1000
    done, _ = plan(kind, events, Faults(duplicates=1.0, bad=1.0), 0)
    assert done.act[done.row == row].tolist() == [GOOD]


def test_faults_follow_the_seed_and_not_the_other_rows():
    kind, events = EventType.load("arrivals"), FRAMES["arrivals"]
    one, same, other = (plan(kind, events, Faults(), seed)[0] for seed in (1, 1, 2))
    assert (one.publish == same.publish).all()
    assert (one.act == same.act).all()
    assert (one.row == same.row).all()
    assert len(one.act) != len(other.act) or (one.act != other.act).any()
    half = plan(kind, events[::2], Faults(), 1)[0]
    told = {
        (2 * r, a, t)
        for r, a, t in zip(half.row.tolist(), half.act.tolist(), half.publish.tolist())
    }
    assert told == {
        x for x in zip(one.row.tolist(), one.act.tolist(), one.publish.tolist()) if x[0] % 2 == 0
    }


def test_without_faults_every_event_is_published_once_at_its_time():
    kind, events = EventType.load("departures"), FRAMES["departures"]
    done, expected = plan(kind, events, Faults(0.0, 0.0, 0.0), 0)
    assert (done.publish == events["scheduled_at"].to_numpy()).all()
    assert (expected.good, expected.records, expected.disordered) == (len(events), len(events), 0)
