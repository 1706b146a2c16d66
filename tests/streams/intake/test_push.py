"""Pushes: judged as intake judges, appended whole or not at all, to the partition that freshet's
own hash names."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freshet.schemas.errors import LogError, RequestError
from freshet.schemas.events.decode import REASONS, EventCodec, decode
from freshet.schemas.events.validation import validate
from freshet.schemas.sizes import KEY_BYTES
from freshet.schemas.text.columns import Texts
from freshet.schemas.topics.reader import place_of
from freshet.schemas.topics.topic import Topic
from freshet.streams.clock import ManualClock
from freshet.streams.intake.push import (
    EventsRefused,
    Pusher,
    PushRequest,
    Refusal,
    TopicDoor,
    read_request,
)
from freshet.streams.log.contract import Writer
from freshet.streams.log.errors import too_large
from freshet.streams.sqlite.log import SqliteLog
from tests.consumers_app import APP, HOUR

TOPIC = APP.topic("parcels")
LOG = APP.log_of("parcels")
NOW = 100 * HOUR
NOW_TEXT = "1970-01-05 04:00:00 UTC"
GOOD = {
    "parcel": "p1",
    "at": NOW,
    "courier": "ann",
    "city": "Lyon",
    "late": 3,
    "kilos": 2,
    "fragile": True,
    "size": "L",
}


def pusher(open_writer: Any) -> Pusher:
    return Pusher([(TOPIC, LOG)], open_writer, ManualClock(NOW))


def frame(*events: dict[str, Any]) -> PushRequest:
    names = dict.fromkeys(name for e in events for name in e)
    return PushRequest("parcels", {name: [e.get(name) for e in events] for name in names})


ORDER = {
    "type": "record",
    "name": "order",
    "fields": [
        {"name": "order", "type": "string"},
        {"name": "at", "type": "long"},
        {
            "name": "lines",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "line",
                    "fields": [{"name": "amount", "type": "int", "range": [1, 9]}],
                },
            },
        },
    ],
}


def test_records_of_several_events_are_pushed_as_they_are() -> None:
    topic = Topic("orders", ORDER, event_id="order", event_time="at", partitions=8, explode="lines")
    door = TopicDoor(topic)
    names = ["1", "2", "3"]
    good = {"order": names, "at": [NOW] * 3, "lines": [[], [{"amount": 1}], [{"amount": 9}] * 2]}
    judged = door.judge(good, NOW)
    # By the record's own id, so that an order that is sent twice meets itself.
    assert judged.partitions.tolist() == Texts.of(names).partitions(8).tolist()
    bad = [[], [{"amount": 1}, {"amount": 0}, {"amount": 10}], [{"amount": "x"}]]
    with pytest.raises(EventsRefused) as caught:
        door.judge({**good, "lines": bad}, NOW)
    assert caught.value.refused == [
        Refusal(1, "out_of_range", "lines.amount", "1 to 9"),
        Refusal(2, "wrong_type", "lines", "a list of its items"),
    ]


class NoWriter:
    def append(self, topic: str, partition: int, values: Sequence[bytes], time_ms: int) -> None:
        raise AssertionError("something was appended")

    def flush(self) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def log(tmp_path: Path) -> SqliteLog:
    made = SqliteLog(str(tmp_path))
    made.ensure(LOG, TOPIC.partitions)
    return made


def records(log: SqliteLog) -> list[tuple[int, int, bytes]]:
    """Partition, append time and bytes of all that the topic holds."""
    reader = log.reader([LOG], None)
    found, end = [], sum(after - first for first, after in log.bounds(LOG).spans.values())
    while len(found) < end:
        for b in reader.poll(1000, 0.1):
            found += [(b.partition, int(b.times[i]), bytes(b.value(i))) for i in range(len(b))]
    reader.close()
    return found


def test_events_lie_in_the_partitions_that_every_client_would_choose(log: SqliteLog) -> None:
    events = [{**GOOD, "parcel": f"p{i}"} for i in range(40)]
    door = pusher(log.writer)
    assert door.push(frame(*events)).accepted == 40
    door.close()
    found = records(log)
    assert {time for _, time, _ in found} == {NOW}, "the append time is the app's"
    data = b"".join(v for _, _, v in found)
    ends = np.cumsum([len(v) for _, _, v in found])
    columns = decode(
        np.frombuffer(data, np.uint8),
        ends - [len(v) for _, _, v in found],
        ends,
        EventCodec(TOPIC.events),
    )
    assert not columns.reason.any()
    ids = columns.text("parcel").to_arrow().to_pylist()
    assert sorted(ids) == sorted(e["parcel"] for e in events)
    assert Texts.of(ids).partitions(4).tolist() == [p for p, _, _ in found]
    assert len(Counter(p for p, _, _ in found)) == 4
    assert columns.numbers("late")[0].tolist() == [3.0] * 40


def test_events_without_ids_are_spread_by_their_records(log: SqliteLog) -> None:
    door = Pusher([(replace(TOPIC, event_id=None), LOG)], log.writer, ManualClock(NOW))
    events = [{**GOOD, "kilos": i} for i in range(40)]
    assert door.push(frame(*events, *events)).accepted == 80
    door.close()
    found = records(log)
    assert [p for p, _, _ in found] == [place_of(value, 4) for _, _, value in found]
    assert set(Counter(value for _, _, value in found).values()) == {2}, "each is an event"
    assert len({p for p, _, _ in found}) == 4


def test_events_of_one_partition_stay_in_the_order_of_the_push(log: SqliteLog) -> None:
    door = pusher(log.writer)
    door.push(frame(*({**GOOD, "kilos": i} for i in range(20))))
    door.close()
    data = [v for _, _, v in records(log)]
    ends = np.cumsum([len(v) for v in data])
    columns = decode(
        np.frombuffer(b"".join(data), np.uint8),
        ends - [len(v) for v in data],
        ends,
        EventCodec(TOPIC.events),
    )
    assert columns.integers("kilos")[0].tolist() == list(range(20))


BAD: dict[str, tuple[dict[str, Any], Refusal]] = {
    "missing": ({"courier": None}, Refusal(1, "missing_required", "courier", "a text")),
    "type": ({"at": "noon"}, Refusal(1, "wrong_type", "at", "a whole number (long)")),
    "whole": ({"kilos": 2.5}, Refusal(1, "wrong_type", "kilos", "a whole number (int)")),
    "truth": ({"fragile": 1}, Refusal(1, "wrong_type", "fragile", "true or false")),
    "number": ({"late": "3"}, Refusal(1, "wrong_type", "late", "a number")),
    "wide": ({"kilos": 1 << 40}, Refusal(1, "wrong_type", "kilos", "a whole number (int)")),
    "domain": (
        {"city": "Paris"},
        Refusal(1, "out_of_domain", "city", "one of Berlin, Lyon, Porto"),
    ),
    "symbol": ({"size": "XL"}, Refusal(1, "out_of_domain", "size", "one of S, L")),
    "range": ({"late": 6001}, Refusal(1, "out_of_range", "late", "-600 to 6000")),
    "future": (
        {"at": NOW + 300_001},
        Refusal(
            1,
            "far_future",
            "at",
            "a time (ms since 1970) that is at most 5m after this app's clock, which stood at "
            f"{NOW} ms since 1970 ({NOW_TEXT})",
        ),
    ),
    "past": (
        {"at": -2_208_988_800_001},
        Refusal(1, "bad_time", "at", "a time from 1900 on (ms since 1970)"),
    ),
    "surrogate": ({"courier": "\ud800"}, Refusal(1, "undecodable", None, "text that is UTF-8")),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_one_bad_event_keeps_the_whole_push_out_and_is_named(
    bad: tuple[dict[str, Any], Refusal],
) -> None:
    change, expected = bad
    with pytest.raises(EventsRefused) as caught:
        pusher(NoWriter).push(frame(GOOD, {**GOOD, **change}, GOOD))
    assert caught.value.refused == [expected]
    where = f", field {expected.field!r}" if expected.field else ""
    text = f"request push to parcels: 1 of 3 events are refused, so none was appended; event 1{where}: {expected.reason}."
    assert str(caught.value) == f"{text} Send {expected.expected}."


def test_a_key_that_no_store_takes_is_refused_and_so_is_an_event_that_its_log_never_takes() -> None:
    door = Pusher(
        [(TOPIC, LOG)],
        lambda: NoWriter(),
        ManualClock(NOW),
        keys={"parcels": [("courier", "city")]},
    )
    with pytest.raises(EventsRefused) as caught:
        door.push(
            frame(
                GOOD,
                {**GOOD, "courier": "a" * KEY_BYTES},
                {**GOOD, "parcel": "p" * (KEY_BYTES + 1)},
            )
        )
    expected = f"keys and ids of at most {KEY_BYTES} bytes"
    assert caught.value.refused == [
        Refusal(1, "too_large", "courier", expected),
        Refusal(2, "too_large", "parcel", expected),
    ]

    class Small(NoWriter):
        def append(self, topic: str, partition: int, values: Sequence[bytes], time_ms: int) -> None:
            raise too_large(topic, max(map(len, values)), 1_000)

    with pytest.raises(EventsRefused) as again:
        pusher(Small).push(frame(GOOD, {**GOOD, "courier": "a" * 2_000}))
    assert again.value.refused == [Refusal(1, "too_large", None, "events of at most 1000 bytes")]


def test_every_bad_event_is_listed_in_the_order_of_the_push() -> None:
    events = [{**GOOD, "late": 9e9}, {**GOOD, "at": None}, GOOD, {**GOOD, "city": "Rome"}]
    with pytest.raises(EventsRefused, match="3 of 4 events") as caught:
        pusher(NoWriter).push(frame(*events))
    assert [r.index for r in caught.value.refused] == [0, 1, 3]


ANY = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4)
)
LIKELY: dict[str, st.SearchStrategy[Any]] = {
    "parcel": st.text(max_size=4),
    "at": st.integers(NOW - 400_000, NOW + 400_000),
    "courier": st.text(max_size=4),
    "city": st.sampled_from(["Berlin", "Lyon", "Porto", "Rome"]),
    "late": st.floats(-1000, 10_000) | st.integers(-1000, 10_000) | st.none(),
    "kilos": st.integers(-10, 10) | st.none(),
    "fragile": st.booleans() | st.none(),
    "size": st.sampled_from(["S", "L", "M"]),
}
EVENTS = st.fixed_dictionaries(
    {name: st.one_of(s, s, s, s, s, s, s, ANY) for name, s in LIKELY.items()}
)


@given(st.lists(EVENTS, min_size=1, max_size=8))
def test_a_push_is_refused_exactly_where_intake_would_bury_the_same_event(
    events: list[dict[str, Any]],
) -> None:
    records = [json.dumps(e).encode() for e in events]
    ends = np.cumsum([len(r) for r in records])
    columns = decode(
        np.frombuffer(b"".join(records), np.uint8),
        ends - [len(r) for r in records],
        ends,
        EventCodec(TOPIC.events),
    )
    validate(columns, np.full(len(events), NOW), "at", columns.integers("at")[0], 300_000)
    names = [f.name for f in TOPIC.events.fields]
    buried = [
        (
            i,
            REASONS[columns.reason[i]],
            names[columns.detail_field[i]] if columns.detail_field[i] >= 0 else None,
        )
        for i in np.flatnonzero(columns.reason).tolist()
    ]
    kept: list[bytes] = []
    try:
        pusher(lambda: ListWriter(kept)).push(frame(*events))
        refused = []
    except EventsRefused as error:
        refused = [(r.index, r.reason, r.field) for r in error.refused]
    assert refused == buried
    assert len(kept) == (0 if buried else len(events))


class ListWriter(NoWriter):
    def __init__(self, kept: list[bytes]) -> None:
        self.kept = kept

    def append(self, topic: str, partition: int, values: Sequence[bytes], time_ms: int) -> None:
        self.kept += values


ORDERS = Topic(
    "orders",
    {
        "type": "record",
        "name": "order",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "at", "type": "long"},
            {
                "name": "place",
                "type": [
                    "null",
                    {
                        "type": "record",
                        "name": "Place",
                        "fields": [
                            {"name": "city", "type": "string"},
                            {"name": "zip", "type": ["null", "string"]},
                        ],
                    },
                ],
            },
            {"name": "paid", "type": ["null", "string", "double"]},
            {"name": "tags", "type": {"type": "array", "items": "string"}},
        ],
    },
    event_id="id",
    event_time="at",
)


def test_what_is_nested_is_pushed_by_its_paths_or_as_objects() -> None:
    door = TopicDoor(ORDERS)
    ids = {"id": ["a", "b"], "at": [NOW, NOW], "tags": [["x"], []]}
    as_objects = {
        "place": [{"city": "Bonn", "zip": None}, None],
        "paid": ["later", {"double": 2.5}],
    }
    by_paths = {
        "place.city": ["Bonn", None],
        "place.zip": [None, None],
        "paid.string": ["later", None],
        "paid.double": [None, 2.5],
    }
    values = door.judge({**ids, **as_objects}, NOW).values
    assert door.judge({**ids, **by_paths}, NOW).values == values
    with pytest.raises(RequestError, match=r"unknown columns place\.town"):
        door.judge({**ids, "place.town": ["x", "y"]}, NOW)
    with pytest.raises(EventsRefused) as caught:
        door.judge({**ids, **as_objects, "place": [{"city": 3}, {"city": "x"}]}, NOW)
    assert [(r.index, r.reason, r.field, r.expected) for r in caught.value.refused] == [
        (0, "wrong_type", "place.city", "a text"),
        (1, "missing_required", "place.zip", "a text"),
    ]


def test_a_list_may_be_left_out_where_its_field_has_a_default() -> None:
    kept: list[bytes] = []
    few = {k: v for k, v in GOOD.items() if k not in ("late", "kilos", "fragile", "size")}
    pusher(lambda: ListWriter(kept)).push(frame(few))
    assert len(kept) == 1
    with pytest.raises(EventsRefused, match="field 'courier': missing_required"):
        pusher(NoWriter).push(frame({k: v for k, v in GOOD.items() if k != "courier"}))


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            b"{}",
            r"body: is no push: Object missing required field `push_source_name`. Send JSON as",
        ),
        (
            b'{"push_source_name": "parcels", "df": {"parcel": "p1"}}',
            r"Expected `array`, got `str` - at `\$.df",
        ),
        (
            b'{"push_source_name": "parcels", "df": {}, "to": "offline"}',
            r"Invalid enum value 'offline' - at `\$.to`",
        ),
        (b"\xff", r"is no push"),
        (
            b'{"push_source_name": "parcel", "df": {"a": [1]}}',
            r"topic 'parcel': is unknown. The topics are parcels",
        ),
        (
            b'{"push_source_name": "parcels", "df": {}}',
            r"has no columns. The fields are parcel, at, courier",
        ),
        (
            b'{"push_source_name": "parcels", "df": {"lat": [1]}}',
            r"has unknown columns lat. The fields are parcel, at",
        ),
        (
            b'{"push_source_name": "parcels", "df": {"parcel": []}}',
            r"has 0 events. Send 1 to 4096 events",
        ),
        (
            b'{"push_source_name": "parcels", "df": {"parcel": ["a"], "at": [1, 2]}}',
            r"columns differ: parcel has 1, at has 2. Send lists of one length",
        ),
        (msgspec.json.encode(PushRequest("parcels", {"parcel": ["a"] * 4097})), r"has 4097 events"),
    ],
)
def test_a_wrong_push_is_told_what_was_expected(body: bytes, text: str) -> None:
    with pytest.raises(RequestError, match=text):
        pusher(NoWriter).push(read_request(body))


def test_what_a_failed_push_left_behind_is_not_appended_by_the_next(log: SqliteLog) -> None:
    class FailsOnce:
        def __init__(self, inner: Writer) -> None:
            self.inner = inner

        def append(self, topic: str, partition: int, values: Sequence[bytes], time_ms: int) -> None:
            self.inner.append(topic, partition, values, time_ms)

        def flush(self) -> None:
            if fails:
                raise fails.pop()
            self.inner.flush()

        def close(self) -> None:
            self.inner.close()

    fails = [LogError("topic x", "is away", "Wait.")]
    door = pusher(lambda: FailsOnce(log.writer()))
    with pytest.raises(LogError, match="is away"):
        door.push(frame({**GOOD, "parcel": "first"}))
    door.push(frame({**GOOD, "parcel": "second"}))
    door.close()
    assert len(records(log)) == 1


def test_a_topic_of_a_registry_takes_pushes_under_an_id_of_it_alone() -> None:
    schema = {name: value for name, value in TOPIC.events.avro.items() if name != "schema_id"}
    read_by = replace(TOPIC, schema=schema, registry="parcels-value")
    registered = replace(TOPIC, schema={**schema, "schema_id": 17}, registry="parcels-value")
    kept: list[bytes] = []
    event = frame({"parcel": "p", "at": NOW, "courier": "bob", "city": "Lyon"})

    def pushed(topic: Any) -> None:
        Pusher([(topic, "log")], lambda: ListWriter(kept), ManualClock(NOW)).push(event)

    with pytest.raises(RequestError, match="its schema has no schema_id of the registry"):
        pushed(read_by)
    assert kept == []
    pushed(registered)
    assert [value[:5] for value in kept] == [b"\0\0\0\0\x11"]
