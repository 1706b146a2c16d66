"""Aggregates of the events for which a condition is true: through intake and view, against a loop
over the events."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.explain.row_check import agrees
from freshet.explain.row_events import CleanEvent
from freshet.features import aggregates as fr
from freshet.features.packed import Packed
from freshet.features.rows.finish import finish
from freshet.features.stores.memory_store import MemoryStore
from freshet.features.views.task import ViewTask
from freshet.features.views.view import View
from freshet.roles.plans import clean_route
from freshet.schemas.errors import DefinitionError
from freshet.schemas.events.decode import EventCodec, encode
from freshet.schemas.text.keys import key_of
from freshet.schemas.topics import impute
from freshet.schemas.topics.digests import shown
from freshet.schemas.topics.topic import Topic
from freshet.schemas.wire import blocks
from freshet.streams.intake.task import IntakePlan, IntakeTask
from tests.features.rows.reference import ReferenceRow
from tests.streams.toy_events import batch_of

untimed = settings(deadline=None, max_examples=60)
TOPIC = Topic(
    "payments",
    {
        "type": "record",
        "name": "payment",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "at", "type": "long"},
            {"name": "user", "type": "string"},
            {"name": "amount", "type": ["null", "double"]},
            {"name": "cents", "type": ["null", "long"]},
            {"name": "card", "type": ["null", "string"]},
            {"name": "fee", "type": ["null", "double"]},
        ],
    },
    event_id="id",
    event_time="at",
    impute={"fee": impute.constant(1.0)},
)
VISA = pl.col("card") == "visa"
LARGE = pl.col("amount") > 10
FREE = pl.col("fee") < 1
FEATURES: dict[str, Any] = {
    "n": fr.count(over="6s"),
    "n_visa": fr.count(over="6s", where=VISA),
    "n_large": fr.count(over="3s", where=LARGE),
    "n_free": fr.count(over="6s", where=FREE),
    "paid": fr.sum("amount", over="6s"),
    "paid_visa": fr.sum("amount", over="6s", where=VISA),
    "mean_visa": fr.mean("amount", over="6s", where=VISA),
    "least_large": fr.min("amount", over="6s", where=LARGE),
    "most_visa": fr.max("cents", over="6s", where=VISA),
    "variance_visa": fr.variance("amount", over="6s", where=VISA),
    "last_visa": fr.last("cents", where=VISA),
    "last": fr.last("cents"),
    "ewm_visa": fr.decayed_mean("amount", "2s", where=VISA),
    "ewm": fr.decayed_mean("amount", "2s"),
    "first_visa": fr.first("cents", where=VISA),
    "sum_visa": fr.decayed_sum("amount", "2s", where=VISA),
    "decayed_visa": fr.decayed_count("3s", where=VISA),
    "decayed": fr.decayed_count("3s"),
    "since_large": fr.time_since(where=LARGE),
    "rate_visa": fr.rate(over="6s", per="1m", where=VISA),
    "share_visa": fr.ratio(fr.count(over="6s", where=VISA), fr.count(over="3s")),
    "since": fr.age(),
}
VIEW = View("by_user", TOPIC, key="user", tile="1s", features=FEATURES)
ROUTE = clean_route("clean", VIEW, TOPIC)
AS_OF = 20_000

Event = dict[str, Any]
EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "user": st.sampled_from(["a", "b"]),
            "at": st.integers(0, 20_000),
            "amount": st.none() | st.floats(-100, 100),
            "cents": st.none() | st.integers(-(1 << 63), (1 << 63) - 1),
            "card": st.sampled_from([None, "", "visa", "other"]),
            "fee": st.none() | st.sampled_from([0.0, 2.0]),
        }
    ),
    min_size=1,
    max_size=80,
)


def test_each_condition_is_asked_once_and_each_column_is_carried_once() -> None:
    assert len(ROUTE.conditions) == 3
    assert set(ROUTE.fields) == {"amount", "cents"}
    named = [shown(column.name) for column in ROUTE.masked]
    assert named.count('amount where [(col("card")) == ("visa")]') == 1
    assert named.count("every event") == 1
    assert {column.field for column in ROUTE.masked} == {None, "amount", "cents"}


def through(events: Sequence[Event], sizes: int) -> tuple[ViewTask, MemoryStore, list[bytes]]:
    """Events through intake and the view, in batches."""
    plan = IntakePlan("payments", TOPIC, EventCodec(TOPIC.events), (ROUTE,), (), "dead")
    intake = IntakeTask(plan, 0)
    store = MemoryStore()
    task = ViewTask(VIEW, "by_user", 0, store)
    written: list[bytes] = []
    records = encode(TOPIC.events, [{"id": str(i), **e} for i, e in enumerate(events)])
    for first in range(0, len(records), sizes):
        part = records[first : first + sizes]
        places = range(first, first + len(part))
        appends = intake.apply(batch_of(part, places, [AS_OF] * len(part))).appends
        values = [bytes(v) for append in appends for v in append.values]
        after = range(len(written), len(written) + len(values))
        task.apply(batch_of(values, after, [AS_OF] * len(values)))
        written += values
    task.write()
    return task, store, written


def inputs_of(event: Event) -> dict[str, float]:
    """What the view takes of an event: the obvious way."""
    fee = 1.0 if event["fee"] is None else event["fee"]
    holds = {
        str(VISA): event["card"] == "visa",
        str(LARGE): event["amount"] is not None and event["amount"] > 10,
        str(FREE): fee < 1,
    }
    out = {}
    for own in VIEW.inputs:
        value = 1.0 if own.field is None else event[own.field]
        if own.where is not None and not holds[str(own.where.expression)]:
            value = None
        out[own.name] = math.nan if value is None else float(value)
    return out


def reference(events: Sequence[Event]) -> Mapping[str, ReferenceRow]:
    rows: dict[str, ReferenceRow] = {}
    for i, event in enumerate(events):
        row = rows.setdefault(event["user"], ReferenceRow(VIEW.features, VIEW.tile_ms))
        row.fold(event["at"], inputs_of(event), (0, i))
    return rows


@untimed
@given(EVENTS, st.sampled_from([1, 7, 1_000]))
def test_values_are_those_of_a_loop_over_the_events(events: list[Event], sizes: int) -> None:
    _, store, _ = through(events, sizes)
    for user, row in reference(events).items():
        stored = store.rows["by_user", key_of([user]).encode()]
        done = finish(VIEW.plan, Packed.of([stored]), np.array([AS_OF]))
        by_name = dict(zip(VIEW.plan.names, done.values[0].tolist()))
        expected = dict(zip(VIEW.features, row.finish(AS_OF)))
        for name, value in expected.items():
            assert by_name[name] == value or (math.isnan(value) and math.isnan(by_name[name])), name
        visa = [e for e in events if e["user"] == user and e["card"] == "visa"]
        newest = None
        for event in visa:
            if event["cents"] is not None and (newest is None or event["at"] >= newest["at"]):
                newest = event
        if newest is not None:
            # Every digit: as a float64 most of them would be another number.
            assert int(done.wholes["last_visa"][0]) == newest["cents"]


def test_an_explanation_makes_the_same_values_of_what_intake_wrote() -> None:
    events = [
        {"user": "a", "at": at, "amount": at / 100, "cents": at, "card": card, "fee": None}
        for at, card in ((15_000, "visa"), (16_000, "other"), (17_000, None), (19_000, "visa"))
    ]
    _, store, written = through(events, 1_000)
    (block,) = [blocks.decode(value) for value in written]
    assert block.rows is not None
    taken = []
    for i, line in enumerate(block.rows.to_pylist()):
        fields = {
            name.removeprefix(blocks.FIELD): v for name, v in line.items() if "field." in name
        }
        taken.append(CleanEvent((0, i), "payments", 0, i, line["t"], fields))
    stored = Packed.of([store.rows["by_user", b"a"]])
    values = finish(VIEW.plan, stored, np.array([AS_OF])).values[0]
    served = dict(zip(VIEW.plan.names, values.tolist()))
    assert served["n_visa"] == 2.0
    assert agrees(VIEW, taken, AS_OF, served)
    assert agrees(VIEW, taken[:-1], AS_OF, served) is False


def test_the_digest_follows_the_condition_and_the_fields_that_it_reads() -> None:
    def view(**features: Any) -> View:
        return View("v", TOPIC, key="user", features=features)

    plain = view(n=fr.count(over="1h"))
    visa = view(n=fr.count(over="1h", where=VISA))
    same = view(n=fr.count(over="60m", where=pl.col("card") == "visa"))
    other = view(n=fr.count(over="1h", where=pl.col("card") == "amex"))
    assert len({plain.digest, visa.digest, other.digest}) == 3
    assert same.digest == visa.digest
    assert visa.plan.digest != plain.plan.digest
    assert "field card" in visa.facts
    assert visa["n"] != plain["n"] or visa["n"].made_from != plain["n"].made_from


@pytest.mark.parametrize(
    ("where", "cause"),
    [
        ("amount > 10", "is no Polars expression"),
        (pl.col("nobody") > 1, "reads unknown field 'nobody'"),
        (pl.col("amount") > pl.col("amount").mean(), "it uses an aggregate"),
        (pl.col("amount") * 2, "gives Float64"),
    ],
)
def test_what_is_no_condition_is_refused_by_the_name_of_the_feature(where: Any, cause: str) -> None:
    with pytest.raises(DefinitionError, match="view v: feature 'n': where") as raised:
        View("v", TOPIC, key="user", features={"n": fr.count(over="1h", where=where)})
    assert cause in str(raised.value)
