"""Elements of arrays as events of their own: each has one fate, and the ledger adds up, however the
log is cut."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.audit.kept import Place, Record
from freshet.audit.ledger import recompute
from freshet.schemas.events.codec import EventCodec
from freshet.schemas.events.decode import encode
from freshet.schemas.sizes import KEY_BYTES
from freshet.schemas.topics import impute
from freshet.schemas.topics.topic import Freshness, Topic
from freshet.schemas.wire import blocks
from freshet.streams.admission import events
from freshet.streams.intake.task import CleanRoute, IntakePlan, IntakeTask
from freshet.streams.labels.letters import is_of_label
from freshet.streams.labels.routes import LabelRoute
from freshet.streams.log.contract import Batch
from freshet.streams.operators.task import Append
from tests.streams.intake.test_tombstones import counts, with_nulls
from tests.streams.toy_events import START, batch_of

LINE = {
    "type": "record",
    "name": "Line",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "sku", "type": "string", "domain": ["pan", "pot", "cup"]},
        {"name": "amount", "type": ["null", "double"], "range": [0, 100]},
        {"name": "at", "type": "long"},
    ],
}
ORDER = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "order", "type": "string"},
        {"name": "at", "type": "long"},
        {"name": "shop", "type": ["null", "string"], "required": True},
        {"name": "lines", "type": ["null", {"type": "array", "items": LINE}], "default": None},
    ],
}
FIELDS = ("lines.amount", "shop")


def topic_of(**changes: Any) -> Topic:
    given: dict[str, Any] = {
        "name": "orders",
        "schema": ORDER,
        "event_id": "order",
        "event_time": "at",
        "source": "shop",
        "drop": {"free": pl.col("lines.amount") == 0},
        "impute": {"lines.amount": impute.mean(by="lines.sku")},
        "derive": {"double": pl.col("lines.amount") * 2},
        "freshness": Freshness(lateness="2s", max_future="5m"),
        "explode": "lines",
    }
    return Topic(**{**given, **changes})


def task_of(topic: Topic) -> IntakeTask:
    clean = (CleanRoute("clean", 2, ("lines.sku",), (*FIELDS, "double")),)
    labels = (LabelRoute("outcomes", 1, "lines.id", pl.col("lines.amount") / 50),)
    plan = IntakePlan("log", topic, EventCodec(topic.records), clean, labels, "dead")
    return IntakeTask(plan, 0)


def line(
    name: str, sku: str = "pan", amount: float | None = 50.0, at: int = START
) -> dict[str, Any]:
    return {"id": name, "sku": sku, "amount": amount, "at": at}


def order(name: str, *lines: dict[str, Any], at: int = START, **more: Any) -> bytes:
    known: dict[str, Any] = {"order": name, "at": at, "shop": "north", "lines": list(lines)}
    return encode(topic_of().records, [{**known, **more}])[0]


def batch(values: Sequence[bytes]) -> Batch:
    return batch_of(list(values), range(len(values)), [START] * len(values))


def rows(appends: Sequence[Append], to: str) -> list[dict[str, Any]]:
    found = []
    for append in appends:
        for value in append.values if append.topic == to else ():
            block = blocks.decode(value)
            assert block.rows is not None
            found += block.rows.to_pylist()
    return sorted(found, key=lambda row: (row["_offset"], row["_index"]))


def audited(task: IntakeTask, given: Batch, appends: Sequence[Append]) -> None:
    """The auditor, who decodes and judges by code of its own, comes to the same ledger."""
    told: dict[Place, str] = {
        (row["_offset"], row["_index"]): row["reason"]
        for row in rows(appends, "dead")
        if not is_of_label(row["reason"], row["detail"])
        and (row["reason"] == "too_large" or not row["size"])
    }
    found = [
        Record(
            int(given.offsets[i]),
            int(given.times[i]),
            bytes(given.value(i)),
            given.nulls is not None and bool(given.nulls[i]),
        )
        for i in range(len(given))
    ]
    assert recompute(task._plan.topic, iter(found), told) == task.ledger.entries()


def settled(topic: Topic, *values: bytes) -> tuple[dict[str, int], list[Append]]:
    task = task_of(topic)
    given = batch(values)
    appends = task.apply(given).appends
    audited(task, given, appends)
    return counts(task), appends


def test_an_order_of_three_lines_is_three_events() -> None:
    found, appends = settled(topic_of(), order("1", line("a"), line("b", "pot"), line("c")))
    assert found == {"applied": 3}
    clean = rows(appends, "clean")
    assert [(row["key"], row["_offset"], row["_index"]) for row in clean] == [
        ("pan", 0, 0),
        ("pot", 0, 1),
        ("pan", 0, 2),
    ]
    assert [row["field.lines.amount"] for row in clean] == [50.0, 50.0, 50.0]
    assert [row["field.double"] for row in clean] == [100.0, 100.0, 100.0]
    labels = rows(appends, "outcomes")
    assert [(row["id"], row["label"]) for row in labels] == [("a", 1.0), ("b", 1.0), ("c", 1.0)]


def test_a_record_without_a_line_is_no_event_and_has_a_fate() -> None:
    found, appends = settled(topic_of(), order("1"), order("2", lines=None), order("3", line("a")))
    assert found == {"applied": 1, "empty": 2}
    assert not rows(appends, "dead")


def test_one_bad_line_is_a_dead_letter_and_its_neighbours_are_not() -> None:
    value = order("1", line("a"), line("b", "tin"), line("c", "pot", 101.0), line("d"))
    found, appends = settled(topic_of(), value)
    assert found == {"applied": 2, "dead:out_of_domain": 1, "dead:out_of_range": 1}
    letters = rows(appends, "dead")
    told = [(row["_index"], row["reason"], row["field"], row["size"]) for row in letters]
    assert told == [
        (1, "out_of_domain", "lines.sku", len(value)),
        (2, "out_of_range", "lines.amount", len(value)),
    ]
    # Once a record: a thousand bad lines must not be a thousand times its bytes.
    assert [row["value"] for row in letters] == [value, b""]


def test_what_is_wrong_with_a_record_is_wrong_with_each_of_its_events() -> None:
    found, appends = settled(topic_of(), order("1", line("a"), line("b"), shop=None), b"\0\0\0")
    assert found == {"dead:missing_required": 2, "dead:undecodable": 1}
    fields = [(row["_offset"], row["_index"], row["field"]) for row in rows(appends, "dead")]
    assert fields == [(0, 0, "shop"), (0, 1, "shop"), (1, 0, None)]


def test_lines_are_told_apart_by_their_order_and_place() -> None:
    value = order("1", line("a"), line("a"))
    assert settled(topic_of(), value, value)[0] == {"applied": 2, "deduplicated": 2}
    # No id and place can be taken for another id and place.
    assert settled(topic_of(), order("1|0", line("a")), order("1", line("a")))[0] == {"applied": 2}


def test_an_id_of_the_line_is_the_events_own() -> None:
    topic = topic_of(event_id="lines.id")
    first = order("1", line("a"), line("b"))
    again = order("2", line("b"), line("c"))
    assert settled(topic, first, again)[0] == {"applied": 3, "deduplicated": 1}
    assert (topic.record_id, topic_of().record_id) == (None, "order")


def test_without_an_id_each_place_is_its_own() -> None:
    value = order("1", line("a"), line("a"))
    assert settled(topic_of(event_id=None), value, value)[0] == {"applied": 4}


def test_a_time_of_the_line_is_the_events_own() -> None:
    topic = topic_of(event_time="lines.at")
    lines = [line("a"), line("b", at=START - 60_000), line("c", at=START + 3_600_000)]
    found, _ = settled(topic, order("1", *lines), order("2"))
    assert found == {"applied": 1, "dropped:late": 1, "dead:far_future": 1, "empty": 1}
    assert (topic.record_time, topic_of().record_time is None) == (None, False)


def test_a_key_that_is_too_long_and_a_wrong_label_are_dead_letters_of_their_lines() -> None:
    topic = topic_of(event_id="lines.id")
    value = order("1", line("x" * (KEY_BYTES + 1)), line("b", amount=75.0), line("c"))
    found, appends = settled(topic, value)
    assert found == {"applied": 2, "dead:too_large": 1}
    assert [row["_index"] for row in rows(appends, "dead")] == [0, 1]


def test_json_is_exploded_as_avro_is() -> None:
    lines = [line("a"), line("b", "tin")]
    text = json.dumps({"order": "1", "at": START, "shop": "north", "lines": lines}).encode()
    found, appends = settled(topic_of(), text)
    assert found == {"applied": 1, "dead:out_of_domain": 1}
    assert [row["value"] for row in rows(appends, "dead")] == [text]


def test_a_tombstone_is_of_the_record() -> None:
    given = batch([order("1", line("a"), line("b")), b"", order("2")])
    given = with_nulls(given, [False, True, False], [b"1", b"1", b"2"])
    task = task_of(topic_of())
    appends = task.apply(given).appends
    assert counts(task) == {"applied": 2, "ignored": 1, "empty": 1}
    audited(task, given, appends)


def test_a_record_of_many_lines_becomes_blocks_that_each_log_takes() -> None:
    lines = [line(str(i), amount=None) for i in range(100_000)]
    value = order("1", *lines)
    task = task_of(topic_of(impute={}))
    appends = task.apply(batch([value, order("2", line("a"))])).appends
    assert counts(task) == {"applied": 100_001}
    sizes = [len(block) for append in appends for block in append.values]
    assert max(sizes) < 2 << 20
    clean = rows(appends, "clean")
    assert [row["_index"] for row in clean[:100_000]] == list(range(100_000))


def test_bad_lines_by_the_thousand_are_letters_of_a_few_bytes_each() -> None:
    lines = [line(str(i), "tin") for i in range(20_000)]
    task = task_of(topic_of())
    appends = task.apply(batch([order("1", *lines)])).appends
    assert counts(task) == {"dead:out_of_domain": 20_000}
    assert sum(len(block) for append in appends for block in append.values) < 5 << 20


def test_only_that_much_is_settled_at_once() -> None:
    value = order("1", *[line("a")] * 1_000)
    given = batch([value] * 100)
    found = list(events.parts(given, topic_of()))
    assert sum(map(len, found)) == 100
    assert max(sum(part.end - part.start) for part in found) <= events.PART_BYTES
    large = batch([bytes(3 << 20), b"", bytes(3 << 20)])
    assert [len(part) for part in events.parts(large, topic_of())] == [1, 1, 1]
    plain = Topic("orders", ORDER, event_id="order", event_time="at")
    assert [len(part) for part in events.parts(given, plain)] == [100]


_LINES = st.builds(
    line,
    st.sampled_from("abcdef"),
    st.sampled_from(["pan", "pot", "cup", "tin"]),
    st.sampled_from([None, 0.0, 50.0, 75.0, 101.0]),
    st.sampled_from([START, START + 1_000, START - 10_000, START + 400_000]),
)
_ORDERS = st.builds(
    lambda name, lines, shop, at: (
        order(name, *(lines or []), shop=shop, at=at)
        if lines is not None
        else order(name, lines=None, shop=shop, at=at)
    ),
    st.sampled_from(["1", "2", "3|0", ""]),
    st.none() | st.lists(_LINES, max_size=4),
    st.sampled_from([None, "north", "south"]),
    st.sampled_from([START, START + 2_500, START - 3_000, START + 400_000]),
)
_RECORDS = _ORDERS | st.sampled_from([b"", b"\0\0\0\0\1", b"{}"])
_TOPICS = {
    "of orders": topic_of(),
    "of lines": topic_of(event_id="lines.id", event_time="lines.at"),
    "of places": topic_of(event_id=None, source="lines.sku"),
}


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(_TOPICS)),
    st.lists(_RECORDS, min_size=1, max_size=8),
    st.lists(st.integers(0, 8), max_size=3),
)
def test_any_records_in_any_batches_end_as_the_auditor_says(
    name: str, values: list[bytes], cuts: list[int]
) -> None:
    given = batch(values)
    whole = task_of(_TOPICS[name])
    expected = whole.apply(given).appends
    audited(whole, given, expected)
    parts = task_of(_TOPICS[name])
    edges = sorted({0, len(values), *(cut for cut in cuts if cut < len(values))})
    appends = [
        append
        for first, after in itertools.pairwise(edges)
        for append in parts.apply(given.rows(first, after)).appends
    ]
    for to in ("clean", "outcomes", "dead"):
        assert rows(appends, to) == rows(expected, to)
    assert parts.ledger.entries() == whole.ledger.entries()


@pytest.mark.parametrize("name", sorted(_TOPICS))
def test_state_is_taken_on(name: str) -> None:
    value = order("1", line("a"), line("b", amount=None))
    first = task_of(_TOPICS[name])
    first.apply(batch([value]))
    again = task_of(_TOPICS[name])
    again.load(first.dump(True), [])
    later = batch_of([value], [1], [START])
    for task in (first, again):
        task.apply(later)
    assert first.ledger.entries() == again.ledger.entries()
    assert np.array_equal(first.ledger.sums, again.ledger.sums)
