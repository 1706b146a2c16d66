"""Validation says what a slow reading of the rules says, one record at a time."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.audit import ledger as audit
from freshet.schemas.durations import EARLIEST_MS
from freshet.schemas.events.decode import REASONS, EventCodec, encode
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.events.validation import validate
from tests.schemas.events.strategies import ENUM, avro, columns_of

DOMAIN = ["EWR", "JFK", "Zürich", "", "a-long-name-beyond-one-word"]
NOW, LIMIT = 1_000_000, 500
RULED = EventSchema.parse(
    avro(
        [
            {"name": "id", "type": ["null", "string"], "required": True},
            {"name": "t", "type": "long"},
            {"name": "origin", "type": ["null", "string"], "domain": DOMAIN},
            {"name": "gate", "type": ["null", ENUM], "domain": ["A", "C_3"]},
            {"name": "delay", "type": ["double", "null"], "range": [-10.5, 100], "required": True},
            {"name": "speed", "type": ["null", "float"]},
            {"name": "flight", "type": ["null", "int"], "range": [1, 9999]},
            {"name": "big", "type": "long", "range": [-(1 << 62), (1 << 62) + 1]},
            {"name": "dest", "type": "string", "domain": ["IAH"], "required": True},
        ]
    ),
    "ruled",
)
CODEC = EventCodec(RULED)


def judge(event: Mapping[str, Any], schema: EventSchema, now: int) -> tuple[str, int]:
    """The slow and obvious reading of the rules."""
    fields = list(enumerate(schema.fields))
    for i, f in fields:
        if f.required and event[f.name] is None:
            return "missing_required", i
    for i, f in fields:
        if f.domain is not None and event[f.name] is not None and event[f.name] not in f.domain:
            return "out_of_domain", i
    for i, f in fields:
        value = event[f.name]
        if value is None or isinstance(value, str):
            continue
        if not math.isfinite(value) or (f.range and not f.range[0] <= value <= f.range[1]):
            return "out_of_range", i
    if event["t"] < EARLIEST_MS:
        return "bad_time", schema.position("t")
    return ("far_future", schema.position("t")) if event["t"] > now + LIMIT else ("ok", -1)


EVENTS = st.fixed_dictionaries(
    {
        "id": st.sampled_from([None, "a"]) | st.just("b"),
        "t": st.sampled_from(
            [
                *(NOW, NOW + LIMIT, NOW + LIMIT + 1, 0, (1 << 63) - 1, -(1 << 63)),
                *(EARLIEST_MS, EARLIEST_MS - 1),
            ]
        ),
        "origin": st.sampled_from(
            [None, *DOMAIN, "EW", "EWRR", "JFk", "a-long-name-beyond-one-worD"]
        ),
        "gate": st.sampled_from([None, "A", "BB", "C_3"]),
        "delay": st.sampled_from(
            [None, -10.5, 100.0, 0.0, -10.6, 100.1, math.nan, math.inf, -math.inf, 1e9]
        ),
        "speed": st.sampled_from([None, 1.5, -3e38, math.nan, math.inf]),
        "flight": st.sampled_from([None, 1, 9999, 0, 10_000, -(1 << 31)]),
        "big": st.sampled_from([0, (1 << 62) + 1, (1 << 62) + 2, -(1 << 62), -(1 << 62) - 1]),
        "dest": st.sampled_from(["IAH", "IA", ""]) | st.just("IAH"),
    }
)
SOUND = {
    "id": "a",
    "t": NOW,
    "origin": "JFK",
    "gate": "A",
    "delay": 1.0,
    "speed": None,
    "flight": 7,
    "big": 0,
    "dest": "IAH",
}


def judged(values: list[bytes], now: int = NOW) -> list[tuple[str, int]]:
    columns = columns_of(values, CODEC)
    validate(columns, np.full(len(values), now), "t", columns.integers("t")[0], LIMIT)
    return list(zip([REASONS[r] for r in columns.reason], columns.detail_field.tolist()))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        EVENTS | EVENTS.map(lambda e: {**SOUND, **dict(list(e.items())[:3])}),
        min_size=1,
        max_size=6,
    )
)
def test_every_row_gets_the_reason_and_field_of_the_slow_reading(
    events: list[dict[str, Any]],
) -> None:
    assert judged(encode(RULED, events)) == [judge(e, RULED, NOW) for e in events]


@pytest.mark.parametrize("name", sorted(SOUND))
def test_one_rule_broken_at_a_time(name: str) -> None:
    for value in (None, "nowhere", "BB", 1e9, math.nan, NOW + LIMIT + 1, (1 << 62) + 2):
        event = {**SOUND, name: value}
        kind = RULED[name].type
        if value is None and not RULED[name].nullable:
            continue
        if isinstance(value, str) != (kind in ("string", "enum")) and value is not None:
            continue
        if (isinstance(value, float) and kind in ("int", "long")) or (
            kind == "int" and value is not None
        ):
            continue
        if kind == "enum" and value == "nowhere":
            continue
        assert judged(encode(RULED, [SOUND, event, SOUND]))[1] == judge(event, RULED, NOW)


def test_rows_that_were_not_decoded_keep_their_reason() -> None:
    good = encode(RULED, [SOUND])[0]
    found = judged([good, good[:-1], b"\0\0\0\0\x63", b'{"id": 3}', good])
    assert [r for r, _ in found] == ["ok", "undecodable", "unknown_type", "wrong_type", "ok"]


def test_each_row_is_held_to_its_own_append_time() -> None:
    columns = columns_of(encode(RULED, [SOUND] * 3), CODEC)
    appended = np.array([NOW, NOW - LIMIT, NOW - LIMIT - 1])
    validate(columns, appended, "t", columns.integers("t")[0], LIMIT)
    assert [REASONS[r] for r in columns.reason] == ["ok", "ok", "far_future"]


@settings(max_examples=50, deadline=None)
@given(
    st.sets(st.text(max_size=9), min_size=1, max_size=40),
    st.lists(st.text(max_size=9), min_size=1, max_size=20),
)
def test_a_domain_admits_its_words_and_no_others(words: set[str], others: list[str]) -> None:
    fields = [
        {"name": "w", "type": "string", "domain": sorted(words)},
        {"name": "t", "type": "long"},
    ]
    schema = EventSchema.parse(avro(fields), "words")
    tried = [*sorted(words), *others]
    columns = columns_of(encode(schema, [{"w": w, "t": 0} for w in tried]), EventCodec(schema))
    validate(columns, np.zeros(len(tried), np.int64), "t", columns.integers("t")[0], 0)
    assert (columns.reason == 0).tolist() == [w in words for w in tried]


@pytest.mark.parametrize(("value", "reason"), [(0.1, "ok"), (0.1000001, "out_of_range")])
def test_a_bound_is_within_its_range_in_the_digits_that_a_float_has(
    value: float, reason: str
) -> None:
    """32 bits have something above 0.1 for 0.1."""
    fields = [
        {"name": "t", "type": "long"},
        {"name": "share", "type": "float", "range": [-0.1, 0.1]},
    ]
    schema = EventSchema.parse(avro(fields), "shares")
    events = [{"t": 0, "share": value}, {"t": 0, "share": -value}]
    columns = columns_of(encode(schema, events), EventCodec(schema))
    validate(columns, np.zeros(2, np.int64), "t", columns.integers("t")[0], 0)
    assert [REASONS[r] for r in columns.reason] == [reason, reason]


@pytest.mark.parametrize(
    ("bounds", "admits"), [([0.5, 2.5], [1, 2]), ([1e300, 1e301], []), ([-1e300, 0], [-1, 0])]
)
def test_a_range_of_whole_numbers_may_have_any_bounds(
    bounds: list[float], admits: list[int]
) -> None:
    schema = EventSchema.parse(avro([{"name": "t", "type": "long", "range": bounds}]), "whole")
    tried = [-1, 0, 1, 2, 3]
    columns = columns_of(encode(schema, [{"t": v} for v in tried]), EventCodec(schema))
    validate(columns, np.zeros(5, np.int64), "t", columns.integers("t")[0], 1000)
    assert [v for v, r in zip(tried, columns.reason) if r == 0] == admits


TOLD_APART = EventSchema.parse(
    avro(
        [
            {"name": "t", "type": "long"},
            {"name": "id", "type": ["null", {"type": "string", "logicalType": "uuid"}]},
        ]
    ),
    "told_apart",
)
NEARLY = [
    "",
    "0" * 36,
    "00000000-0000-0000-0000-00000000000",
    "0000000-00000-0000-0000-000000000000",
]
TEXTS = (
    st.none()
    | st.uuids().map(str)
    | st.uuids().map(lambda u: str(u).upper())
    | st.sampled_from(NEARLY)
)
BROKEN = st.uuids().map(lambda u: str(u)[:35] + "g")


@settings(deadline=None)
@given(st.lists(TEXTS | BROKEN, min_size=1, max_size=8))
def test_uuids_are_told_from_other_texts_and_come_in_lower_case(ids: list[str | None]) -> None:
    records = encode(TOLD_APART, [{"t": NOW, "id": text} for text in ids])
    columns = columns_of(records, EventCodec(TOLD_APART))
    validate(columns, np.full(len(ids), NOW), "t", columns.integers("t")[0], LIMIT)
    for row, text in enumerate(ids):
        event = {"t": NOW, "id": text}
        assert REASONS[columns.reason[row]] in ("ok", "wrong_type")
        assert (columns.reason[row] == 0) == (not audit.judge(event, TOLD_APART))
        assert (columns.reason[row] == 0) == (text is None or _is_uuid(text))
    good = np.flatnonzero(columns.reason == 0)
    written = [text.lower() if text is not None else None for text in (ids[i] for i in good)]
    assert columns.key("id").take(good).to_arrow().to_pylist() == written


def _is_uuid(text: str) -> bool:
    """As Python reads it, which takes hyphens anywhere."""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
