"""Derived fields of requests are, bit for bit, those of events with the same values."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import freshet as fr
from freshet.features.reading.request_derived import RequestDerivations
from freshet.roles import plans
from freshet.schemas.errors import DefinitionError, RequestError
from freshet.schemas.events.codec import EventCodec
from freshet.schemas.wire import blocks
from freshet.streams.intake.task import CleanRoute, IntakePlan, IntakeTask
from tests.streams.toy_events import batch_of

NOW = 1_795_890_000_000
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}
FIELDS: list[dict[str, Any]] = [
    {"name": "id", "type": "string"},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "word", "type": ["null", "string"], "default": None},
    {"name": "filled", "type": ["null", "string"], "default": None},
    {
        "name": "device",
        "type": ["null", {"type": "string", "logicalType": "uuid"}],
        "default": None,
    },
    {"name": "size", "type": {"type": "enum", "name": "size", "symbols": ["S", "L"]}},
    {"name": "truth", "type": ["null", "boolean"], "default": None},
    {"name": "few", "type": ["null", "int"], "default": None},
    {"name": "many", "type": ["null", "long"], "default": None},
    {"name": "x", "type": ["null", "double"], "default": None},
    {"name": "y", "type": ["null", "float"], "default": None},
    {"name": "price", "type": ["null", DECIMAL], "default": None},
    {"name": "tags", "type": {"type": "array", "items": "string"}, "default": []},
]
TOPIC = fr.Topic(
    "seen",
    {"type": "record", "name": "seen", "fields": FIELDS},
    "id",
    "at",
    impute={
        "filled": fr.impute.constant("none"),
        "few": fr.impute.constant(3),
        "y": fr.impute.constant(0.1),
    },
    derive={
        "hour": fr.hour("at", zone="America/New_York"),
        "lower": pl.col("word").str.to_lowercase().str.strip_chars(),
        "joined": pl.col("lower") + "|" + pl.col("filled"),
        "device_bucket": fr.bucket("device", 11),
        "many_bucket": fr.bucket(["many", "size", "truth"], 1000),
        "ratio": pl.col("x") / pl.col("few"),
        "y_twice": pl.col("y") * 2,
        "priced": pl.col("price") * 3,
        "either": pl.col("truth") | (pl.col("ratio") > 0),
        "sum": pl.col("many") + pl.col("few"),
    },
)
DERIVED = tuple(TOPIC.derive)
PLAN = IntakePlan(
    "log",
    TOPIC,
    EventCodec(TOPIC.events),
    (CleanRoute("clean", 1, ("size",), DERIVED),),
    (),
    "dead",
)
ROWS = st.fixed_dictionaries(
    {
        "at": st.integers(NOW - 200_000, NOW),
        "word": st.sampled_from([None, "", " Ab ", "é|"]),
        "filled": st.sampled_from([None, "b"]),
        "device": st.sampled_from([None, str(UUID(int=0xABCDEF)), str(UUID(int=0xAB)).upper()]),
        "size": st.sampled_from(["S", "L"]),
        "truth": st.sampled_from([None, True, False]),
        "few": st.one_of(st.none(), st.integers(-3, 3)),
        "many": st.one_of(st.none(), st.integers(-(1 << 63), (1 << 63) - 1)),
        "x": st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
        "y": st.one_of(st.none(), st.floats(width=32, allow_nan=False, allow_infinity=False)),
        "price": st.one_of(st.none(), st.integers(-999_999, 999_999).map(lambda n: n / 100)),
    }
)


def of_events(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    values = []
    for i, row in enumerate(rows):
        price = row["price"]
        told = None if price is None else str(Decimal(repr(price)).quantize(Decimal("0.01")))
        values.append(json.dumps({"id": str(i), **row, "price": told, "tags": []}).encode())
    out = IntakeTask(PLAN, 0).apply(batch_of(values, range(len(rows)), [NOW] * len(rows)))
    (block,) = [blocks.decode(v) for a in out.appends if a.topic == "clean" for v in a.values]
    assert block.rows is not None
    assert len(block.rows) == len(rows)
    return {name: block.rows.column(blocks.FIELD + name).to_pylist() for name in DERIVED}


def derived_of(what: RequestDerivations, columns: dict[str, Any], n: int) -> dict[str, Any]:
    return what.with_derived(columns, what.frame(columns, n))


@settings(deadline=None, max_examples=60)
@given(st.lists(ROWS, min_size=1, max_size=5), st.booleans())
def test_a_request_s_are_those_of_an_event(rows: list[dict[str, Any]], arrays: bool) -> None:
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
    if arrays:
        columns["at"] = np.array(columns["at"])
    derived = derived_of(RequestDerivations(TOPIC, DERIVED), columns, len(rows))
    found = {name: derived[name] for name in DERIVED}
    assert repr(found) == repr(of_events(rows))


def test_what_is_not_sent_is_missing_and_what_is_sent_under_their_names_is_none() -> None:
    of_requests = RequestDerivations(TOPIC, ["joined", "ratio"])
    assert of_requests.made_of("joined") == ("filled", "word")
    assert of_requests.made_of("size") == ("size",)
    sent = {"word": ["A"], "joined": ["mine"], "lower": ["mine"]}
    found = derived_of(of_requests, sent, 1)
    assert (found["joined"], found["ratio"]) == (["a|none"], [None])
    assert of_requests.known_of({"word", "filled", "ratio"}) == {
        "word",
        "filled",
        "lower",
        "joined",
    }
    assert not RequestDerivations(TOPIC, ["word"])


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"x": ["1"]}, "input 'x': its values are no double: '1' is a text"),
        ({"few": [1.5]}, "input 'few': its values are no int: 1.5 is no int"),
        ({"few": [1 << 40]}, "is no int. Send one int a row."),
        ({"x": [1.0, 2.0]}, "input 'x': has 2 values, and there are 1 rows"),
        ({"x": [[1.0]]}, "input 'x': its values are no double"),
    ],
)
def test_values_of_a_wrong_type_are_refused(columns: dict[str, Any], why: str) -> None:
    with pytest.raises(RequestError) as refused:
        RequestDerivations(TOPIC, ["ratio"]).frame(columns, 1)
    assert why in str(refused.value)


def test_a_price_of_too_many_digits_is_missing() -> None:
    prices = {"price": [10_000.0, 9999.99, 9999.999, -math.inf]}
    found = derived_of(RequestDerivations(TOPIC, ["priced"]), prices, 4)
    assert found["priced"] == [None, 29999.97, None, None]


def model(*features: Any, on: fr.Topic = TOPIC) -> fr.Model:
    label = fr.Label(on, "id", pl.col("truth"))
    return fr.Model("m", on, "id", label, list(features), [fr.Baseline()])


def test_requests_bring_what_they_are_made_of() -> None:
    keyed = {"n": fr.count(over="1h")}
    view = fr.View("by_joined", TOPIC, key=("joined", "size"), features=keyed)
    made = model(TOPIC["hour"], TOPIC["many_bucket"], view["n"])
    plan = plans.vector_plan(fr.App("app", topics=[TOPIC], views=[view], models=[made]), made)
    assert plan.fields == ("at", "many", "size", "truth", "filled", "word")
    assert plan.given_instead("word") == ("by_joined.n",)
    # The bucket is made of it, too.
    assert plan.given_instead("size") == ()
    sent = {"word": ["a"], "size": ["S"], "at": [NOW]}
    assert not plan.asks_store(sent)
    assert plan.asks_store({**sent, "filled": ["b"]})


def test_what_no_request_can_bring_is_refused_by_name() -> None:
    tagged = fr.Topic(
        "tagged", TOPIC.declared, "id", "at", derive={"new": pl.col("tags").list.contains("new")}
    )
    made = model(tagged["new"], on=tagged)
    with pytest.raises(DefinitionError, match="'new' is derived of 'tags', of type array"):
        fr.App("app", topics=[tagged], models=[made])
    with pytest.raises(DefinitionError, match="id 'lower' is derived, so nobody sends it"):
        fr.Model(
            "m",
            TOPIC,
            "lower",
            fr.Label(TOPIC, "lower", pl.col("truth")),
            [TOPIC["lower"]],
            [fr.Baseline()],
        )


def test_another_definition_is_another_vector() -> None:
    other = fr.Topic(
        "seen", TOPIC.declared, "id", "at", derive={"a": pl.col("word").str.to_lowercase()}
    )
    same = fr.Topic(
        "seen", TOPIC.declared, "id", "at", derive={"a": pl.col("word").str.to_uppercase()}
    )
    plain = fr.Label(fr.Topic("labels", TOPIC.declared, "id", "at"), "id", pl.col("truth"))
    digests = {
        fr.Model("m", on, "id", plain, [on["a"]], [fr.Baseline()]).vectors.digest
        for on in (other, same)
    }
    assert len(digests) == 2
