"""Derived fields of events, by way of intake: of every applied event, after its gaps are filled,
whatever batch it came in; no fate depends on them but that of a label."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

import freshet as fr
from freshet.schemas.events.codec import EventCodec
from freshet.schemas.sizes import KEY_BYTES
from freshet.schemas.text.columns import Texts
from freshet.schemas.text.keys import key_of
from freshet.schemas.topics.derivations import DERIVED_BYTES
from freshet.schemas.wire import blocks
from freshet.streams.intake.task import CleanRoute, IntakePlan, IntakeTask
from freshet.streams.labels.routes import LabelRoute
from tests.streams.toy_events import batch_of, cut

NOW = 1_795_890_000_000
KATHMANDU = ZoneInfo("Asia/Kathmandu")
FIELDS: list[dict[str, Any]] = [
    {"name": "id", "type": "string"},
    {"name": "at", "type": "long"},
    {"name": "word", "type": ["null", "string"], "default": None},
    {"name": "number", "type": ["null", "double"], "default": None},
]
TOPIC = fr.Topic(
    "seen",
    {"type": "record", "name": "seen", "fields": FIELDS},
    "id",
    "at",
    drop={"spam": pl.col("word") == "spam"},
    impute={"word": fr.impute.constant("none"), "number": fr.impute.last(by="word")},
    derive={
        "upper": pl.col("word").str.to_uppercase(),
        # Fails for what is no number: Polars gives up all rows for one of them.
        "parsed": pl.col("word").cast(pl.Float64),
        "log": pl.col("number").log(),
        "big": pl.col("log") > 1,
        "minute": fr.minute_of_day("at", zone="Asia/Kathmandu"),
        "bucket": fr.bucket(["upper", "minute"], 7),
    },
)
DERIVED = tuple(TOPIC.derive)
KEYS = ("upper", "big")
PLAN = IntakePlan(
    "log",
    TOPIC,
    EventCodec(TOPIC.events),
    (CleanRoute("clean", 1, KEYS, ("word", *DERIVED)),),
    (LabelRoute("labels", 1, "upper", pl.col("big")),),
    "dead",
)
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["a", "1", "-2.5", "spam", "straße", None]),
        st.sampled_from([0.0, -1.0, 0.5, 20.0, None]),
    ),
    min_size=1,
    max_size=12,
)
Sent = tuple[str | None, float | None]


def taken(task: IntakeTask, events: Sequence[Sent], first: int = 0) -> list[dict[str, Any]]:
    """Rows of the clean log and of labels that events at these offsets give."""
    values = [
        json.dumps({"id": str(i), "at": NOW + i * 60_000, "word": word, "number": number}).encode()
        for i, (word, number) in enumerate(events, first)
    ]
    offsets = range(first, first + len(events))
    out = task.apply(batch_of(values, offsets, [NOW + i * 60_000 for i in offsets]))
    found = [block for a in out.appends if a.topic != "dead" for v in a.values for block in [v]]
    return [row for value in found for row in rows_of(blocks.decode(value))]


def rows_of(block: blocks.Block) -> list[dict[str, Any]]:
    if block.rows is None:
        return []
    return [{"kind": block.kind, **row} for row in block.rows.to_pylist()]


def expected(events: Sequence[Sent]) -> list[dict[str, Any]]:
    """The fields of the clean log by a plain loop, one event at a time."""
    out = []
    newest: dict[str, float] = {}
    for i, (word, number) in enumerate(events):
        if word == "spam":
            continue
        filled = word or "none"
        known = newest.get(filled, 0.0) if number is None else number
        newest[filled] = known
        log = math.log(known) if known > 0 else None
        clocks = datetime.fromtimestamp((NOW + i * 60_000) / 1000, KATHMANDU)
        minute = clocks.hour * 60 + clocks.minute
        upper = filled.upper()
        key = Texts.of([key_of([upper, str(minute)])])
        parsed = {"1": 1.0, "-2.5": -2.5}.get(filled)
        big = None if log is None else log > 1
        bucket = int(key.hashes()[0]) % 7
        derived = (upper, parsed, log, big, minute, bucket)
        out.append({"word": filled, **dict(zip(DERIVED, derived, strict=True))})
    return out


def fields_of(row: dict[str, Any]) -> dict[str, Any]:
    names = ("word", *DERIVED)
    return {name: row[blocks.FIELD + name] for name in names}


@settings(deadline=None, max_examples=60)
@given(EVENTS, st.lists(st.integers(0, 12)))
def test_they_are_those_of_a_plain_loop_whatever_batch_an_event_came_in(
    events: list[Sent], cuts: list[int]
) -> None:
    whole = taken(IntakeTask(PLAN, 0), events)
    clean = [row for row in whole if row["kind"] == blocks.CLEAN]
    reference = expected(events)
    assert [fields_of(row) for row in clean] == reference
    truths = {True: "true", False: "false", None: None}
    assert [row["key"] for row in clean] == [
        key_of([row["upper"], truths[row["big"]]]) for row in reference
    ]
    labels = [row for row in whole if row["kind"] == blocks.LABELS]
    assert [(row["id"], row["label"]) for row in labels] == [
        (row["upper"], None if row["big"] is None else float(row["big"])) for row in reference
    ]
    task = IntakeTask(PLAN, 0)
    pieces = [taken(task, events[a:b], a) for a, b in cut(len(events), cuts)]
    for kind in (blocks.CLEAN, blocks.LABELS):
        of_pieces = [row for row in itertools.chain(*pieces) if row["kind"] == kind]
        assert repr(of_pieces) == repr([row for row in whole if row["kind"] == kind])


@settings(deadline=None, max_examples=20)
@given(EVENTS)
def test_fates_and_ledger_are_those_of_the_topic_without_them(events: list[Sent]) -> None:
    task = IntakeTask(PLAN, 0)
    plain_topic = replace(TOPIC, derive={})
    plain = IntakeTask(replace(PLAN, topic=plain_topic, clean=(), labels=()), 0)
    taken(task, events)
    taken(plain, events)
    assert task.facts()["fates"] == plain.facts()["fates"]
    assert task.ledger.entries() == plain.ledger.entries()


def test_a_key_leaves_room_for_the_longest_text_that_may_be_derived() -> None:
    topic = replace(TOPIC, impute={}, derive={"twin": pl.col("word") + pl.col("word")})
    route = CleanRoute("clean", 1, ("word", "twin"), ())
    task = IntakeTask(replace(PLAN, topic=topic, clean=(route,), labels=()), 0)
    most = KEY_BYTES - 2 * DERIVED_BYTES
    taken(task, [("x" * most, None), ("x" * (most + 1), None), ("é", None)])
    assert task.facts()["fates"]["applied"] == 2
    assert task.facts()["fates"]["dead:too_large"] == 1


def test_a_label_that_is_derived_and_none_is_told_with_its_field() -> None:
    topic = replace(TOPIC, impute={}, derive={"half": pl.col("number") / 2})
    label = LabelRoute("labels", 1, "id", pl.col("half"))
    task = IntakeTask(replace(PLAN, topic=topic, clean=(), labels=(label,)), 0)
    rows = taken(task, [("a", 2.0), ("b", 1.0), ("c", math.inf), ("d", None)])
    assert [row["label"] for row in rows] == [1.0, None]
    # A dead letter of the label, and none of its event.
    assert task.facts()["label_fates"]["labels"]["bad"] == 1
    assert task.facts()["fates"]["applied"] == 3
