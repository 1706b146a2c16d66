"""Views over several topics, and views without a key: from events to answers, against plain Python
over the events."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import freshet as fr
from freshet.features.reading.api import FeaturesRequest
from freshet.features.stores.memory_store import MemoryStore
from freshet.features.views.task import ViewTask
from freshet.roles import plans
from freshet.roles.interface import feature_reader
from freshet.schemas.errors import DefinitionError, RequestError
from freshet.schemas.text.columns import Texts
from freshet.schemas.wire.blocks import NO_TICK
from freshet.streams.intake.task import IntakeTask
from freshet.streams.log.contract import Batch
from tests.streams.toy_events import batch_of

NOW = 1_795_890_000_000
SPAN = 1_000_000
PARTITIONS = {"orders": 2, "clicks": 3}


def _topic(name: str, *fields: dict[str, Any]) -> fr.Topic:
    own = [
        {"name": "id", "type": "string"},
        {"name": "at", "type": "long"},
        {"name": "user", "type": ["null", "long"], "default": None},
        {"name": "n", "type": ["null", "long"], "default": None},
    ]
    return fr.Topic(
        name,
        {"type": "record", "name": name, "fields": [*own, *fields]},
        event_id="id",
        event_time="at",
        partitions=PARTITIONS[name],
        freshness=fr.Freshness(lateness="1h"),
    )


ORDERS = _topic("orders", {"name": "amount", "type": ["null", "double"], "default": None})
CLICKS = _topic("clicks", {"name": "page", "type": "string"}, {"name": "took", "type": "double"})
BUYS = pl.col("page") == "buy"
LARGE = pl.col("n") > 3
# Longer than all that happens: what windows leave out is held elsewhere.
DAY: Any = {"over": "1d"}
FEATURES: dict[str, Any] = {
    "events": fr.count(**DAY),
    "orders": fr.of(ORDERS, fr.count(**DAY)),
    "buys": fr.of(CLICKS, fr.count(**DAY, where=BUYS)),
    "large": fr.count(**DAY, where=LARGE),
    "large_orders": fr.of(ORDERS, fr.count(**DAY, where=LARGE)),
    "n": fr.sum("n", **DAY),
    "n_clicks": fr.of(CLICKS, fr.sum("n", **DAY)),
    "amount": fr.of(ORDERS, fr.max("amount", **DAY)),
    "took": fr.of(CLICKS, fr.mean("took", **DAY)),
    "last_n": fr.last("n"),
    "last_n_order": fr.of(ORDERS, fr.last("n")),
    "first_took": fr.of(CLICKS, fr.first("took")),
    "orders_a_click": fr.ratio(fr.of(ORDERS, fr.count(**DAY)), fr.of(CLICKS, fr.count(**DAY))),
    "since": fr.age(),
    "since_click": fr.of(CLICKS, fr.age()),
    "since_buy": fr.of(CLICKS, fr.time_since(where=BUYS)),
    "decayed_clicks": fr.of(CLICKS, fr.decayed_count("1h")),
}
BY_USER = fr.View("by_user", [ORDERS, CLICKS], key="user", features=FEATURES)
ALL = fr.View("everything", [ORDERS, CLICKS], key=(), features=FEATURES)
ONLY_ORDERS = fr.View("orders_all", ORDERS, key=(), features={"n": fr.sum("n", **DAY)})
APP = fr.App("shop", topics=[ORDERS, CLICKS], views=[BY_USER, ALL, ONLY_ORDERS])


@dataclass(frozen=True)
class Event:
    topic: str
    at: int
    values: dict[str, Any] = field(hash=False)

    def of(self, name: str) -> Any:
        return self.values.get(name)


@st.composite
def events(draw: st.DrawFn) -> list[Event]:
    """In order of arrival; no two at one time, so that which is the last is no matter of order."""
    times = draw(st.lists(st.integers(0, SPAN), unique=True, min_size=1, max_size=25))
    found = []
    for at in times:
        topic = draw(st.sampled_from(["orders", "clicks"]))
        values: dict[str, Any] = {
            "user": draw(st.sampled_from([None, 0, 1, 7])),
            "n": draw(st.none() | st.integers(-9, 9)),
        }
        if topic == "orders":
            values["amount"] = draw(st.none() | st.integers(-50, 50).map(float))
        else:
            values |= {"page": draw(st.sampled_from(["buy", "see"]))}
            values |= {"took": draw(st.integers(0, 50).map(float))}
        found.append(Event(topic, NOW - SPAN + at, values))
    return found


class Run:
    """Intakes and views of the app over logs in memory; between intakes and views whatever order
    the topics come in is what `interleaved` makes of it."""

    def __init__(self, interleaved: Callable[[int], int]) -> None:
        self.store = MemoryStore()
        self._interleaved = interleaved
        self._clean: dict[tuple[str, int], list[bytes]] = {}
        self.views = {
            (APP.clean_log_of(view), partition): ViewTask(
                view, APP.stored_as(view), partition, self.store
            )
            for view in APP.views
            for partition in range(view.partitions)
        }

    def take_in(self, happened: Sequence[Event], ticked: Sequence[str] = tuple(PARTITIONS)) -> None:
        sources = []
        for topic in APP.topics:
            for partition in range(topic.partitions):
                task = IntakeTask(plans.intake_plan(APP, topic), partition)
                own = [
                    json.dumps({"id": str(event.at), "at": event.at, **event.values}).encode()
                    for event in happened
                    if event.topic == topic.name and event.at % topic.partitions == partition
                ]
                out = []
                for offset, value in enumerate(own):
                    applied = task.apply(batch_of([value], [offset], [NOW]))
                    assert [a.topic for a in applied.appends if a.topic == APP.dead_log] == []
                    out.append(applied.appends)
                if topic.name in ticked:
                    out.append(task.tick(NOW, topic.partitions).appends)
                sources.append(out)
        while left := [source for source in sources if source]:
            for append in left[self._interleaved(len(left))].pop(0):
                place = append.topic, append.partition
                # What else intake writes is statistics.
                if place in self.views:
                    self._clean.setdefault(place, []).extend(append.values)
        for place, values in self._clean.items():
            task = self.views[place]
            # One by one: any batching is held to be equal elsewhere.
            task.apply(batch_of(values, range(len(values)), [NOW] * len(values)))
            task.write()

    def answers(self, view: fr.View, users: Sequence[int | None] = ()) -> dict[str, list[Any]]:
        names = list(view.features)
        entities: Any = {"user": list(users)} if view.keys else {}
        request = FeaturesRequest(entities, [f"{view.name}:{name}" for name in names])
        answer = feature_reader(APP).answer(request, self.store, NOW)
        return dict(zip(names, [column.values for column in answer.results[len(entities) :]]))


def _newest(own: Sequence[Event], name: str, last: bool) -> Any:
    there = sorted((event.at, event.of(name)) for event in own if event.of(name) is not None)
    if not there:
        return None
    return there[-1 if last else 0][1]


def _age(own: Sequence[Event]) -> float | None:
    return (NOW - max(event.at for event in own)) / 1000 if own else None


def _expected(own: Sequence[Event]) -> dict[str, Any]:
    """Of one row's events, the obvious way; of none there is no row, and so no value."""
    if not own:
        return dict.fromkeys(FEATURES)
    orders = [event for event in own if event.topic == "orders"]
    clicks = [event for event in own if event.topic == "clicks"]
    buys = [event for event in clicks if event.of("page") == "buy"]
    amounts = [event.of("amount") for event in orders if event.of("amount") is not None]
    tooks = [event.of("took") for event in clicks]
    return {
        "events": len(own),
        "orders": len(orders),
        "buys": len(buys),
        "large": sum((event.of("n") or 0) > 3 for event in own),
        "large_orders": sum((event.of("n") or 0) > 3 for event in orders),
        "n": sum(event.of("n") or 0 for event in own),
        "n_clicks": sum(event.of("n") or 0 for event in clicks),
        "amount": max(amounts, default=None),
        "took": sum(tooks) / len(tooks) if tooks else None,
        "last_n": _newest(own, "n", True),
        "last_n_order": _newest(orders, "n", True),
        "first_took": _newest(clicks, "took", False),
        "orders_a_click": len(orders) / len(clicks) if clicks else None,
        "since": _age(own),
        "since_click": _age(clicks),
        "since_buy": _age(buys),
        "decayed_clicks": sum(0.5 ** ((NOW - event.at) / 3_600_000) for event in clicks),
    }


def _close(found: Any, expected: Any) -> bool:
    """Sums and decays of another order differ in the last digits; nothing else does."""
    if found is None or expected is None:
        return found is expected
    return math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-9)


@settings(deadline=None, max_examples=40)
@given(events(), st.data())
def test_values_are_those_of_plain_python_however_the_topics_interleave(
    happened: list[Event], data: st.DataObject
) -> None:
    run = Run(lambda left: data.draw(st.integers(0, left - 1)))
    run.take_in(happened)
    users = (None, 0, 1, 7, 9)
    found = run.answers(BY_USER, users)
    for at, user in enumerate(users):
        expected = _expected([event for event in happened if event.of("user") == user])
        row = {name: values[at] for name, values in found.items()}
        assert {name: v for name, v in row.items() if not _close(v, expected[name])} == {}
    whole = {name: values[0] for name, values in run.answers(ALL).items()}
    expected = _expected(happened)
    assert {name: v for name, v in whole.items() if not _close(v, expected[name])} == {}
    orders = [event for event in happened if event.topic == "orders"]
    (of_orders,) = run.answers(ONLY_ORDERS)["n"]
    assert of_orders == (sum(event.of("n") or 0 for event in orders) if orders else None)


def test_last_values_keep_every_digit_where_all_topics_have_whole_numbers() -> None:
    run = Run(lambda left: 0)
    exact = (1 << 53) + 1
    run.take_in([Event("clicks", NOW, {"user": 1, "n": exact, "page": "see", "took": 1.0})])
    found = run.answers(BY_USER, [1])
    assert (found["last_n"], found["last_n_order"]) == ([exact], [None])


def test_rows_reflect_no_time_before_all_topics_have_told_theirs() -> None:
    """Else a question would take rows for fresh that lack all that one topic had by then."""
    of_orders = Run(lambda left: 0)
    of_orders.take_in([], ticked=["orders"])
    of_both = Run(lambda left: 0)
    of_both.take_in([])
    finished = [
        {key: task.finished for key, task in run.views.items()} for run in (of_orders, of_both)
    ]
    several = {
        (APP.clean_log_of(view), p) for view in (BY_USER, ALL) for p in range(view.partitions)
    }
    assert {place for place, tick in finished[0].items() if tick == NO_TICK} == several
    assert set(finished[1].values()) == {NOW}


def test_a_view_is_spread_over_as_many_partitions_as_its_topics_or_over_one() -> None:
    assert [view.partitions for view in APP.views] == [3, 1, 1]
    logs = plans.topics(APP)
    assert [logs[APP.clean_log_of(view)] for view in APP.views] == [3, 1, 1]


def test_a_request_of_views_without_a_key_is_of_one_row_or_of_as_many_as_others_have() -> None:
    run = Run(lambda left: 0)
    run.take_in([Event("orders", NOW, {"user": 1, "n": 2, "amount": 1.0})])
    reader = feature_reader(APP)

    def ask(features: list[str], entities: Any) -> list[list[Any]]:
        answer = reader.answer(FeaturesRequest(entities, features), run.store, NOW)
        return [column.values for column in answer.results]

    assert ask(["orders_all:n"], {}) == [[2]]
    assert ask(["orders_all:n", "by_user:orders"], {"user": [1, 5]}) == [[1, 5], [2, 2], [1, None]]
    with pytest.raises(RequestError, match=r"have user. Send none: \{\}"):
        ask(["orders_all:n"], {"user": [1]})
    with pytest.raises(RequestError, match="have 0 rows"):
        ask(["by_user:orders"], {"user": []})
    with pytest.raises(RequestError, match=r"lack user. Send user \(view orders_all has key \(\);"):
        ask(["orders_all:n", "by_user:orders"], {})


def test_a_model_reads_a_view_without_a_key_unless_all_of_it_is_sent() -> None:
    model = fr.Model(
        "odd",
        on=ORDERS,
        id="id",
        label=fr.Label(ORDERS, id="id", value=pl.col("n") > 1),
        features=[ONLY_ORDERS["n"], ALL["events"], ALL["orders"], BY_USER["events"]],
        learners=[fr.Baseline()],
    )
    plan = plans.vector_plan(replace(APP, models=[model]), model)
    run = Run(lambda left: 0)
    run.take_in([Event("orders", NOW, {"user": 1, "n": 2, "amount": 1.0})])

    def read(**columns: list[Any]) -> list[list[float]]:
        n = max(map(len, columns.values()), default=1)
        return plan.read(run.store, columns, n, NOW).vectors.numbers.tolist()

    nothing = math.nan
    assert str(read()) == str([[2.0, 1.0, 1.0, nothing]])
    assert str(read(user=[1, 5])) == str([[2.0, 1.0, 1.0, 1.0], [2.0, 1.0, 1.0, nothing]])
    of_all = {"everything.events": [7.0], "everything.orders": [8.0]}
    assert str(read(**of_all)) == str([[2.0, 7.0, 8.0, nothing]])
    assert not plan.asks_store({**of_all, "orders_all.n": [9.0]})
    assert plan.asks_store({"everything.events": [7.0], "orders_all.n": [9.0]})


TEXTS = fr.Topic(
    "texts",
    {
        "type": "record",
        "name": "text",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "at", "type": "long"},
            {"name": "user", "type": "string"},
            {"name": "who", "type": "long"},
        ],
    },
    "id",
    "at",
)
N = {"n": fr.count(over="1h")}


@pytest.mark.parametrize(
    ("declared", "why"),
    [
        (([], "user", N), r"is over the topics \[\]"),
        (([ORDERS, ORDERS], "user", N), "each once"),
        ((["orders"], "user", N), r"topic\[0\]='orders' is of type str"),
        (("orders", "user", N), "topic='orders' is of type str"),
        (
            ([ORDERS, TEXTS], "user", N),
            "key 'user' is a whole number in orders, and a text in texts",
        ),
        (([ORDERS, CLICKS], "page", N), "key 'page' is not a field of orders"),
        (([ORDERS, TEXTS], "who", N), r"derive=\{\"who\": pl.col\(\"…\"\)\}"),
        ((ORDERS, None, N), "key=None names no field"),
        ((ORDERS, ("user", None), N), r"key\[1\]=None is of type NoneType"),
        (
            ([ORDERS, CLICKS], "user", {"n": fr.sum("amount", over="1h")}),
            r"field 'amount' is not a field of clicks.*If it is of one topic alone, say so: fr.of",
        ),
        (
            ([ORDERS, CLICKS], "user", {"n": fr.count(over="1h", where=BUYS)}),
            "where over orders: reads unknown field 'page'",
        ),
        (
            ([ORDERS, TEXTS], (), {"n": fr.distinct("user", over="1h")}),
            "field 'user' is a text in texts, and a number in orders. Declare all of one kind",
        ),
        ((ORDERS, "user", {"n": FEATURES["buys"]}), "of topic clicks, which the view is not over"),
    ],
)
def test_what_topics_do_not_share_is_refused(declared: tuple[Any, ...], why: str) -> None:
    with pytest.raises(DefinitionError, match=why):
        fr.View("v", *declared)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: fr.of("orders", fr.count(over="1h")), "topic='orders' is of type str"),
        (lambda: fr.of(ORDERS, "n"), "is of no aggregate"),
        (lambda: fr.of(ORDERS, FEATURES["buys"]), "is of topic clicks already"),
        (lambda: fr.of(ORDERS, FEATURES["orders_a_click"]), "is of topic orders already"),
    ],
)
def test_an_aggregate_is_of_one_topic(make: Callable[[], Any], why: str) -> None:
    with pytest.raises(DefinitionError, match=why):
        make()


def test_the_order_of_topics_means_nothing_and_each_of_them_matters() -> None:
    def digest(*topics: fr.Topic, features: dict[str, Any] = N) -> str:
        return fr.View("v", list(topics), key="user", features=features).digest

    assert digest(ORDERS, CLICKS) == digest(CLICKS, ORDERS)
    of_orders = {"n": fr.of(ORDERS, fr.count(over="1h"))}
    of_clicks = {"n": fr.of(CLICKS, fr.count(over="1h"))}
    digests = [
        digest(ORDERS),
        digest(ORDERS, CLICKS),
        digest(ORDERS, CLICKS, features=of_orders),
        digest(ORDERS, CLICKS, features=of_clicks),
    ]
    assert len(set(digests)) == 4
    assert digest(ORDERS) == fr.View("v", ORDERS, key="user", features=N).digest


def test_every_column_of_a_clean_log_is_of_the_topic_that_has_it() -> None:
    routes = {topic.name: plans.clean_route("log", BY_USER, topic) for topic in (ORDERS, CLICKS)}
    names = {
        name: {*route.fields, *(masked.name for masked in route.masked)}
        for name, route in routes.items()
    }
    assert names["orders"] & names["clicks"] == {
        "n",
        next(own.name for own in BY_USER.inputs if own.where is not None and own.topic is None),
    }
    assert set(chain(*names.values())) == set(BY_USER.plan.fields)


def test_a_tombstone_of_one_topic_erases_the_row_with_what_came_of_all() -> None:
    members = fr.Topic("members", ORDERS.schema, "id", "at", tombstone="delete")
    visits = fr.Topic("visits", ORDERS.schema, "id", "at")
    features = {"n": fr.count(**DAY), "n_visits": fr.of(visits, fr.count(**DAY))}
    view = fr.View("by_user", [members, visits], key="user", features=features)
    app = fr.App("club", topics=[members, visits], views=[view])
    store = MemoryStore()
    task = ViewTask(view, app.stored_as(view), 0, store)
    event = json.dumps({"id": "a", "at": NOW, "user": 1, "n": 2, "amount": 1.0}).encode()

    def take_in(topic: fr.Topic, batch: Batch, offset: int) -> list[Any]:
        applied = IntakeTask(plans.intake_plan(app, topic), 0).apply(batch)
        (append,) = [one for one in applied.appends if one.topic == app.clean_log_of(view)]
        task.apply(batch_of(append.values, [offset], [NOW]))
        task.write()
        request = FeaturesRequest({"user": [1]}, ["by_user:n", "by_user:n_visits"])
        answer = feature_reader(app).answer(request, store, NOW)
        return [column.values[0] for column in answer.results[1:]]

    assert take_in(visits, batch_of([event], [0], [NOW]), 0) == [1, 1]
    gone = batch_of([b""], [0], [NOW])
    gone = replace(gone, nulls=np.array([True]), keys=Texts.from_arrow(pa.array([b"1"])))
    assert take_in(members, gone, 1) == [None, None]
    assert take_in(visits, batch_of([event], [1], [NOW]), 2) == [1, 1]
    whole = fr.View("all", [visits, members], key=(), features=features)
    with pytest.raises(DefinitionError, match="is keyed by nothing: tombstones of topic members"):
        fr.App("club", topics=[members, visits], views=[whole])
