"""The auditor agrees with intake on honest logs of every fault, and with nobody who altered,
dropped or miscounted a record."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import freshet as fr
from freshet.app import App, load
from freshet.audit import kept as kept_by_run
from freshet.audit import ledger as audit
from freshet.audit.kept import TOLD, Record
from freshet.audit.ledger import recompute
from freshet.demo.flights import APP
from freshet.demo.flights.schedule import Schedule
from freshet.roles import plans
from freshet.schemas.errors import RequestError
from freshet.schemas.events.decode import EventCodec, encode
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.text.columns import Texts
from freshet.schemas.topics.topic import Topic
from freshet.streams.intake import kernels as intake_kernels
from freshet.streams.intake.ledger import LEDGER_BLOCK, Ledger, totals
from freshet.streams.intake.task import IntakePlan, IntakeTask
from freshet.streams.sqlite.log import SqliteLog
from tests.schemas.events.test_decode import mutations
from tests.streams import toy_events
from tests.streams.toy_events import BREAKS, CUTS, EVENTS, LOGS, START, Sent, batch_of, cut, within

untimed = settings(deadline=None, max_examples=60)
TOPIC = toy_events.topic()
LARGE: dict[str, Any] = {
    "id": "f1", "at": START, "gate": "a", "carrier": "AA", "runway": "L", "delay": 1.0, "wind": None, "temp": 0.5, "seats": 9,
    "mileage": -1 << 63, "crew": (1 << 31) - 1, "gust": 20.0, "late": True,
}  # fmt: skip
GAPS = st.sampled_from([1, 3, LEDGER_BLOCK // 5])


def as_records(log: Sequence[Sent], step: int = 1) -> list[Record]:
    return [Record(100 + i * step, s.time, s.value) for i, s in enumerate(log) if s.tick is None]


def intake(
    found: Sequence[Record], cuts: Sequence[int] = (), plan: IntakePlan | None = None
) -> IntakeTask:
    task = IntakeTask(plan or toy_events.plan(1), 0)
    for a, b in cut(len(found), within(len(found), cuts)):
        part = found[a:b]
        task.apply(
            batch_of([r.value for r in part], [r.offset for r in part], [r.time for r in part])
        )
    return task


def ledger(found: Sequence[Record], cuts: Sequence[int] = ()) -> Ledger:
    return intake(found, cuts).ledger.entries()


# ------------------------------------------------------------ agreement
@untimed
@given(LOGS, CUTS, GAPS)
def test_it_recomputes_the_ledger_of_any_log_in_any_batches(
    log: list[Sent], cuts: list[int], step: int
) -> None:
    found = as_records(log, step)
    assert recompute(TOPIC, iter(found)) == ledger(found, cuts)


def iso(ms: int) -> str:
    return f"{np.datetime64(ms, 'ms')}Z"


def local(ms: int) -> str:
    """As clocks in Berlin show it in winter, which it is in these logs."""
    return str(np.datetime64(ms + 3_600_000, "ms"))


# The type of a time, how it is declared, and what milliseconds are there.
FORMS: dict[str, tuple[Any, Any, Callable[[int], Any]]] = {
    "seconds": ("double", fr.time("at", unit="s"), lambda ms: ms / 1_000),
    "microseconds": ({"type": "long", "logicalType": "timestamp-micros"}, "at", lambda ms: ms * 1_000 + 7),
    "nanoseconds": ("long", fr.time("at", unit="ns"), lambda ms: ms * 1_000_000 + 7),
    "text": ("string", "at", iso),
    "local text": ("string", fr.time("at", zone="Europe/Berlin"), local),
    "the record's": ("long", None, lambda ms: ms),
}  # fmt: skip


@untimed
@given(LOGS, CUTS, GAPS)
def test_without_an_id_every_record_is_an_event_of_its_own(
    log: list[Sent], cuts: list[int], step: int
) -> None:
    found = as_records(log, step)
    task = intake(found, cuts, toy_events.plan(1, event_id=None))
    assert recompute(toy_events.topic(event_id=None), iter(found)) == task.ledger.entries()
    counted = task.facts()["fates"]
    assert counted["deduplicated"] == 0
    # Whatever else becomes of an event does not depend on its id.
    told_apart = intake(found, cuts).facts()["fates"]
    dead = [fate for fate in counted if fate.startswith("dead:")]
    assert [counted[fate] for fate in dead] == [told_apart[fate] for fate in dead]
    assert sum(counted.values()) == sum(told_apart.values()) == len(found)


@untimed
@given(LOGS, CUTS, st.sampled_from(list(FORMS)))
def test_it_recomputes_the_ledger_whatever_form_times_have(
    log: list[Sent], cuts: list[int], form: str
) -> None:
    kind, event_time, made = FORMS[form]
    avro = json.loads(json.dumps(toy_events.SCHEMA.avro))
    avro["fields"][1]["type"] = kind
    schema = EventSchema.parse(avro, "landings")
    changes = {"schema": schema, "event_time": event_time}
    sent = [s for s in log if s.tick is None]
    values = [s.raw or encode(schema, [{**s.event, "at": made(s.event["at"])}])[0] for s in sent]
    found = [Record(100 + i, s.time, value) for i, (s, value) in enumerate(zip(sent, values))]
    task = intake(found, cuts, toy_events.plan(1, **changes))
    assert recompute(toy_events.topic(**changes), iter(found)) == task.ledger.entries()
    # In milliseconds of one and the same log fates are the same, but where a record's time is its own.
    if event_time is not None:
        plain = [r for r, s in zip(as_records(sent), sent) if not s.raw]
        only = [r for r, s in zip(found, sent) if not s.raw]
        other = intake(only, cuts, toy_events.plan(1, **changes)).facts()["fates"]
        assert intake(plain, cuts).facts()["fates"] == other


def test_every_fault_is_met_and_counted_alike() -> None:
    def event(i: int, **changes: Any) -> dict[str, Any]:
        plain = {
            "id": f"f{i}",
            "at": START + 100 * i,
            "gate": "a",
            "carrier": "AA",
            "runway": "L",
            "delay": 1.0,
        }
        rest = {
            "wind": None,
            "temp": 0.1,
            "seats": 9,
            "mileage": 1,
            "crew": 2,
            "gust": 20.0,
            "late": True,
        }
        return {**plain, **rest, **changes}

    good = [Sent(START + 100 * i, event(i)) for i in range(40)]
    bad = [Sent(START, {**event(90 + i), **change}) for i, change in enumerate(BREAKS.values())]
    dropped = [
        Sent(START, event(80, carrier="??", at=START + 4_000)),
        Sent(START, event(81, seats=600, at=START + 4_000)),
    ]
    raw = [
        Sent(START, raw=b""),
        Sent(START, raw=b"\0\0\0\0\7"),
        Sent(START, raw=b"\0\0\0\0\x09xx"),
        Sent(START, raw=b"\xff"),
    ]
    rest = [
        good[3],
        Sent(START, event(70, at=START)),
        Sent(START, raw=good[0].value + b"\0"),
    ]
    found = as_records(
        [*good, *bad, *dropped, *[replace(r, raw=r.raw or b"\1") for r in raw], *rest]
    )
    task = intake(found, [17])
    assert recompute(TOPIC, iter(found)) == task.ledger.entries()
    counted = totals(task.ledger.entries(), task.fates)
    assert {k for k, v in counted.items() if not v} == {
        "ignored",
        "dead:wrong_type",
        "dead:refused",  # rows are, by their store
        *(f"dead:{why}" for why in TOLD),
    }
    assert counted["applied"] == 40


@pytest.fixture(scope="module")
def app() -> App:
    return load(APP)


@pytest.fixture(scope="module")
def flights(app: App) -> dict[str, list[Record]]:
    """A day of every topic, with its faults."""
    out: dict[str, list[Record]] = {t.name: [] for t in app.topics}
    for step in Schedule(days=1, drain_ms=3_600_000):
        for topic, records in step.events.items():
            for time, values in records.runs():
                out[topic] += [Record(len(out[topic]) + i, time, v) for i, v in enumerate(values)]
    return out


@pytest.mark.parametrize("name", ["departures", "takeoffs", "arrivals", "weather"])
def test_a_day_of_flights_with_its_faults(
    name: str, app: App, flights: dict[str, list[Record]]
) -> None:
    topic, found = app.topic(name), flights[name]
    task = intake(found, [1, 7, 200, 201], plans.intake_plan(app, topic))
    assert recompute(topic, iter(found)) == task.ledger.entries()
    counted = totals(task.ledger.entries(), task.fates)
    assert counted["applied"] > 50
    assert sum(counted.values()) == len(found)


@settings(deadline=None, max_examples=250)
@given(st.lists(EVENTS, min_size=3, max_size=3), st.data())
def test_whatever_bytes_a_record_has_both_call_it_the_same(
    events: list[dict[str, Any]], data: st.DataObject
) -> None:
    values = [Sent(0, {**e, "at": START + e["at"]}).value for e in events]
    values[1] = data.draw(mutations(values[1]))
    found = [Record(i, START, v) for i, v in enumerate(values)]
    assert recompute(TOPIC, iter(found)) == ledger(found)


ODD: dict[str, Callable[[bytes], bytes]] = {
    "a boolean that is 2": lambda v: v[:-1] + b"\2",
    "an int of 33 bits": lambda v: v.replace(b"\xfe\xff\xff\xff\x0f", b"\xfe\xff\xff\xff\x7f"),
    "a long of 65 bits": lambda v: v.replace(b"\xff" * 9 + b"\1", b"\xff" * 9 + b"\x7f"),
    "a length of eleven bytes": lambda v: v.replace(b"\4f1", b"\x84" + b"\x80" * 10 + b"\0f1"),
    "a length of two bytes": lambda v: v.replace(b"\4f1", b"\x84\0f1"),
    "JSON": lambda v: json.dumps(LARGE).encode(),
    "JSON that lacks a field": lambda v: json.dumps(
        {k: x for k, x in LARGE.items() if k != "gate"}
    ).encode(),
    "JSON of a wrong type": lambda v: json.dumps({**LARGE, "crew": "2"}).encode(),
    "not quite JSON": lambda v: json.dumps(LARGE).encode()[:-1],
}


@pytest.mark.parametrize("odd", ODD)
def test_odd_bytes_and_json_are_called_the_same(odd: str) -> None:
    whole = Sent(START, LARGE).value
    value = ODD[odd](whole)
    assert value != whole
    found = [Record(0, START, value), Record(1, START, sent(2).value)]
    assert recompute(TOPIC, iter(found)) == ledger(found)


@pytest.mark.parametrize(
    "drop",
    [
        pl.col("carrier").str.starts_with("A"),
        pl.col("temp") > 0.1,
        pl.col("seats") * 10_000_000 > 0,
    ],
    ids=["texts that are all missing", "a float of 32 bits", "an int that wraps"],
)
def test_filters_see_the_types_of_the_schema(drop: pl.Expr) -> None:
    topic: Topic = toy_events.topic(drop={"odd": drop})
    found = as_records([Sent(START, {**LARGE, "carrier": None, "temp": 0.1, "seats": 300})])
    task = intake(found, (), toy_events.plan(1, drop=topic.drop))
    assert recompute(topic, iter(found)) == task.ledger.entries()


def test_ids_are_forgotten_alike_before_1970() -> None:
    times = (-500_000, -440_000, -380_000, -379_999, -300_000, -300_000, 5)
    found = [
        Record(i, 0, Sent(0, {**LARGE, "id": "x", "at": t}).value) for i, t in enumerate(times)
    ]
    assert recompute(TOPIC, iter(found)) == ledger(found)


# ------------------------------------------------------------ disagreement
@untimed
@given(LOGS, st.integers(0, 35), st.sampled_from(["drop", "repeat", "id", "moved"]), st.data())
def test_one_record_altered_dropped_or_added_is_noticed(
    log: list[Sent], at: int, how: str, data: st.DataObject
) -> None:
    found = as_records(log)
    honest = ledger(found)
    at %= len(found)
    other = list(found)
    if how == "drop":
        del other[at]
    elif how == "repeat":
        other.insert(at, replace(found[at], offset=found[-1].offset + 1))
    elif how == "moved":  # into another block of the ledger
        other[-1] = replace(found[-1], offset=found[-1].offset + LEDGER_BLOCK)
    else:
        event = data.draw(EVENTS)
        event = {**event, "id": "another", "at": START + event["at"], "carrier": "AA", "seats": 1}
        fates = intake(found[: at + 1]).ledger.entries()
        other[at] = replace(found[at], value=Sent(0, event).value)
        if intake(other[: at + 1]).ledger.entries() == fates:
            return  # a late one for a late one
    assert recompute(TOPIC, iter(other)) != honest


@pytest.mark.parametrize("fate", range(4))
def test_a_fate_that_is_miscounted_is_noticed(fate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    events = [{"id": f"f{i % 30}", "at": START + (i * 100 if i % 7 else 0)} for i in range(40)]
    rest = {
        "gate": "a",
        "carrier": "AA",
        "runway": "L",
        "delay": 1.0,
        "wind": None,
        "temp": None,
        "seats": 9,
    }
    more = {"mileage": 1, "crew": 2, "gust": 20.0, "late": False}
    found = as_records([*(Sent(START, {**e, **rest, **more}) for e in events)])
    assert recompute(TOPIC, iter(found)) == ledger(found)
    honest = intake_kernels.account

    def dishonest(
        code: Any, ids: Any, offsets: Any, block: Any, first: Any, counts: Any, sums: Any
    ) -> None:
        honest(code, ids, offsets, block, first, counts, sums)
        counts[0, fate], counts[0, (fate + 1) % 4] = (
            counts[0, fate] + 1,
            counts[0, (fate + 1) % 4] - 1,
        )

    monkeypatch.setattr(intake_kernels, "account", dishonest)
    assert recompute(TOPIC, iter(found)) != ledger(found)


def test_another_id_applied_in_place_of_one_is_noticed_by_the_sum_alone() -> None:
    one, two = ({0: e} for e in (ledger(as_records([sent(i)]))[0] for i in (1, 2)))
    assert one[0].counts == two[0].counts
    assert one[0].applied != two[0].applied


def sent(i: int) -> Sent:
    plain = {
        "id": f"f{i}",
        "at": START,
        "gate": "a",
        "carrier": "AA",
        "runway": "L",
        "delay": 1.0,
        "wind": None,
    }
    return Sent(
        START,
        {**plain, "temp": 0.5, "seats": 9, "mileage": 1, "crew": 2, "gust": 20.0, "late": False},
    )


# ------------------------------------------------------------ parts
@given(st.text(max_size=40))
def test_identities_are_those_of_the_kernel(text: str) -> None:
    low, high = Texts.of([text]).identities()[0]
    assert audit.identity(text) == (int(high) << 64) | int(low)


def test_the_sum_of_ids_wraps_as_128_bits_do() -> None:
    found = as_records([sent(i) for i in range(50)])
    (entry,) = ledger(found).values()
    assert entry.applied == sum(audit.identity(f"f{i}") for i in range(50)) % (1 << 128)


def test_records_are_those_of_one_partition_in_order(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path)
    log.ensure("t", 2)
    writer = log.writer()
    for i in range(25):
        writer.append("t", i % 2, [b"%d" % i], i)
    writer.flush()
    found = list(kept_by_run.records(log, "t", 1))
    assert [(r.offset, r.time, r.value) for r in found] == [
        (i, 2 * i + 1, b"%d" % (2 * i + 1)) for i in range(12)
    ]
    writer.close()
    log.close()


def test_a_topic_without_checkpoint_has_kept_nothing(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log")
    log.ensure("app.landings", 1)
    assert kept_by_run.ledger(log, str(tmp_path / "state"), TOPIC, "app.landings", 0) == (0, {})
    log.close()


def test_filters_are_asked_in_their_order() -> None:
    topic: Topic = toy_events.topic(
        drop={"first": pl.col("seats") > 5, "second": pl.col("seats") > 7}
    )
    found = as_records([sent(1)])
    task = IntakeTask(toy_events.plan(1, drop=topic.drop), 0)
    task.apply(
        batch_of([r.value for r in found], [r.offset for r in found], [r.time for r in found])
    )
    assert recompute(topic, iter(found)) == task.ledger.entries()
    assert totals(task.ledger.entries(), task.fates)["dropped:first"] == 1


def test_blocks_between_far_offsets_are_not_in_the_ledger() -> None:
    found = [Record(5, START, sent(1).value), Record(5 + 9 * LEDGER_BLOCK, START, sent(2).value)]
    assert list(ledger(found)) == [0, 9]
    assert recompute(TOPIC, iter(found)) == ledger(found)
    assert np.any(intake(found).ledger.counts == 0)


# ------------------------------------------------------------ nested records
ORDER = {
    "type": "record",
    "name": "order",
    "fields": [
        {"name": "id", "type": {"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"}},
        {"name": "at", "type": "long"},
        {
            "name": "place",
            "type": [
                "null",
                {
                    "type": "record",
                    "name": "Place",
                    "fields": [
                        {"name": "city", "type": "string", "domain": ["Bonn", "Rome"]},
                        {"name": "gps", "type": ["null", "int", "double"], "range": [-90, 90]},
                    ],
                },
            ],
        },
        {
            "name": "price",
            "type": {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2},
        },
        {"name": "paid", "type": ["null", "string", "boolean"]},
        {"name": "tags", "type": {"type": "array", "items": ["null", "string"]}},
        {"name": "more", "type": {"type": "map", "values": "bytes"}},
    ],
}
ORDERS = fr.Topic(
    "orders",
    ORDER,
    event_id="id",
    event_time="at",
    source="place.city",
    drop={
        "tagged": pl.col("tags").list.contains("x"),
        "free": pl.col("price") <= 0,
        "mapped": pl.col("more").list.len() > 1,
        "unpaid": ~pl.col("paid.boolean"),
    },
)
PLACES = st.none() | st.fixed_dictionaries(
    {
        "city": st.sampled_from(["Bonn", "Rome", "Nowhere"]),
        "gps": st.none() | st.integers(-99, 99) | st.floats(-99, 99),
    }
)
ORDER_EVENTS = st.fixed_dictionaries(
    {
        "id": st.integers(0, 5).map(lambda n: f"00000000-0000-4000-8000-{n:012}"),
        "at": st.integers(-1, 3).map(lambda n: START + n * 1_000),
        "place": PLACES,
        "price": st.integers(-200, 12_000).map(lambda cents: cents / 100),
        "paid": st.none() | st.booleans() | st.sampled_from(["later", "never"]),
        "tags": st.lists(st.none() | st.sampled_from(["x", "y"]), max_size=2),
        "more": st.dictionaries(st.sampled_from("abc"), st.just("\u00ff"), max_size=2),
    }
)


def as_sent(event: dict[str, Any], in_json: bool) -> bytes:
    """What its schema refuses can only come as JSON."""
    if not in_json:
        try:
            return encode(ORDERS.events, [event])[0]
        except RequestError:
            pass
    return json.dumps(event).encode()


@untimed
@given(
    st.lists(st.tuples(ORDER_EVENTS, st.booleans()), max_size=12),
    st.data(),
    CUTS,
)
def test_it_recomputes_the_ledger_of_nested_records(
    sent: list[tuple[dict[str, Any], bool]], data: st.DataObject, cuts: list[int]
) -> None:
    values = [as_sent(event, in_json) for event, in_json in sent]
    if values:
        values.append(data.draw(mutations(values[0])))
    found = [Record(i, START, value) for i, value in enumerate(values)]
    plan = IntakePlan("orders", ORDERS, EventCodec(ORDERS.events), (), (), "dead")
    assert recompute(ORDERS, iter(found)) == intake(found, cuts, plan).ledger.entries()
