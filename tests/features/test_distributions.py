"""Aggregates of which values came, declared and taken through intake and view, against a loop over
the events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
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
from freshet.features.reading.api import FeatureReader, FeaturesRequest
from freshet.features.rows.finish import finish
from freshet.features.stores.memory_store import MemoryStore
from freshet.features.views.task import ViewTask
from freshet.features.views.view import View
from freshet.roles.plans import clean_route
from freshet.schemas.errors import DefinitionError
from freshet.schemas.events.decode import EventCodec, encode
from freshet.schemas.topics.topic import Topic
from freshet.schemas.wire import blocks
from freshet.streams.intake.task import IntakePlan, IntakeTask
from tests.streams.toy_events import batch_of

untimed = settings(deadline=None, max_examples=60)
KINDS = {"type": "enum", "name": "kind", "symbols": ["CHIP", "WEB", "OTHER"]}
TOPIC = Topic(
    "payments",
    {
        "type": "record",
        "name": "payment",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "at", "type": "long"},
            {"name": "user", "type": "string"},
            {"name": "shop", "type": ["null", "string"]},
            {"name": "kind", "type": KINDS},
            {"name": "number", "type": ["null", "long"]},
            {"name": "euros", "type": ["null", "double"]},
            {"name": "online", "type": "boolean"},
            {"name": "way", "type": ["null", "string"], "domain": ["", "tap", "кран"]},
            {"name": "labels", "type": {"type": "array", "items": "string"}},
        ],
    },
    event_id="id",
    event_time="at",
)
ONLINE = pl.col("online")
SCALARS = ("shop", "kind", "number", "euros", "online")
FEATURES: dict[str, Any] = {
    "n": fr.count(over="6s"),
    **{f"distinct_{field}": fr.distinct(field, over="6s") for field in SCALARS},
    "shops_online": fr.distinct("shop", over="6s", where=ONLINE),
    "median": fr.quantile("euros", 0.5, over="6s"),
    "mode": fr.most_frequent("number", over="6s"),
    "mode_online": fr.most_frequent("euros", over="6s", where=ONLINE),
    "last": fr.last("number"),
    "second": fr.last_distinct("number", 2),
    "last_kind": fr.last("kind"),
    "first_way": fr.first("way"),
    "way_before": fr.last_distinct("way", 2, over="5s"),
    "mode_way": fr.most_frequent("way", over="6s"),
}
VIEW = View("by_user", TOPIC, key="user", tile="1s", features=FEATURES)
AS_OF = 20_000
LOWEST = -(1 << 63)

Event = dict[str, Any]
EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "user": st.just("a"),
            "at": st.integers(14_000, 20_999),
            "shop": st.sampled_from([None, "", "Käse", "кафе", "a\0b", "a\0", "a"]),
            "kind": st.sampled_from(KINDS["symbols"]),
            "number": st.none()
            | st.integers(LOWEST + 1, -LOWEST - 1)
            | st.sampled_from([1 << 53, (1 << 53) + 1]),
            "euros": st.none() | st.sampled_from([0.0, -0.0, 2.5, -2.5, 1e30]),
            "online": st.booleans(),
            "labels": st.just(["x"]),
            "way": st.sampled_from([None, "", "tap", "кран"]),
        }
    ),
    min_size=1,
    max_size=60,
)


def through(events: Sequence[Event], sizes: int) -> tuple[MemoryStore, list[bytes]]:
    """Events through intake and the view, in batches."""
    route = clean_route("clean", VIEW, VIEW.topics[0])
    plan = IntakePlan("payments", TOPIC, EventCodec(TOPIC.events), (route,), (), "dead")
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
    return store, written


def mode(values: Sequence[Any]) -> Any:
    counts = Counter(values)
    return min(value for value, n in counts.items() if n == max(counts.values()))


@untimed
@given(EVENTS, st.sampled_from([1, 7, 1_000]))
def test_values_are_those_of_a_loop_over_the_events(events: list[Event], sizes: int) -> None:
    store, written = through(events, sizes)
    done = finish(VIEW.plan, Packed.of([store.rows["by_user", b"a"]]), np.array([AS_OF]))
    by_name = dict(zip(VIEW.plan.names, done.values[0].tolist()))
    # Six tiles of a second, up to that of the question.
    seen = [event for event in events if event["at"] >= 15_000]
    for field in SCALARS:
        kinds = {event[field] for event in seen if event[field] is not None}
        assert by_name[f"distinct_{field}"] == len(kinds), field
    online = {e["shop"] for e in seen if e["online"] and e["shop"] is not None}
    assert by_name["shops_online"] == len(online)
    numbers = [event["number"] for event in seen if event["number"] is not None]
    assert np.isnan(by_name["mode"]) == (not numbers)
    if numbers:
        assert int(done.wholes["mode"][0]) == mode(numbers), "to the last digit"
    euros = [e["euros"] for e in seen if e["online"] and e["euros"] is not None]
    assert np.isnan(by_name["mode_online"]) == (not euros)
    if euros:
        assert by_name["mode_online"] == mode(euros)
    every = sorted(e["euros"] for e in seen if e["euros"] is not None)
    if every:
        middle = every[(len(every) - 1) // 2]
        assert by_name["median"] == pytest.approx(middle, rel=0.01)
    served = {
        name: value
        for name, value in by_name.items()
        if name not in ("last", "second", *VIEW.texts)
    }
    assert agrees(VIEW, explained(written), AS_OF, served)


@untimed
@given(EVENTS)
def test_consumers_get_texts_of_enums_and_of_domains(events: list[Event]) -> None:
    store, _ = through(events, 1_000)
    reader = FeatureReader([(VIEW, "by_user")], {})
    names = sorted(VIEW.texts)
    assert names == ["first_way", "last_kind", "mode_way", "way_before"]
    request = FeaturesRequest({"user": ["a", "nobody"]}, [f"by_user:{name}" for name in names])
    columns = dict(zip(["user", *names], reader.answer(request, store, AS_OF).results))
    for name in names:
        assert columns[name].values[1] is None
        assert columns[name].statuses[1] == "NOT_FOUND"
    in_time = sorted(enumerate(events), key=lambda pair: (pair[1]["at"], pair[0]))
    assert columns["last_kind"].values[0] == in_time[-1][1]["kind"]
    ways = [(e["at"], e["way"]) for _, e in in_time if e["way"] is not None]
    assert columns["first_way"].values[0] == (ways[0][1] if ways else None)
    newest = list(dict.fromkeys(way for _, way in reversed(ways)))
    second = newest[1] if len(newest) > 1 else None
    if second is not None and max(at for at, way in ways if way == second) <= AS_OF - 5_000:
        second = None
    assert columns["way_before"].values[0] == second
    status = "NULL_VALUE" if second is None else "PRESENT"
    assert columns["way_before"].statuses[0] == status
    counts = Counter(way for at, way in ways if at >= 15_000)
    found = columns["mode_way"].values[0]
    assert (found is None) == (not counts)
    assert found is None or counts[str(found)] == max(counts.values())


def test_a_text_is_a_category_of_models_and_how_many_there_are_is_a_number() -> None:
    assert VIEW["last_kind"].is_text
    assert not VIEW["distinct_shop"].is_text


def explained(written: Sequence[bytes]) -> list[CleanEvent]:
    """What intake wrote, as an explanation reads it."""
    out = []
    for record, value in enumerate(written):
        rows = blocks.decode(value).rows
        assert rows is not None
        for i, line in enumerate(rows.to_pylist()):
            fields = {
                name.removeprefix(blocks.FIELD): v for name, v in line.items() if "field." in name
            }
            taken = CleanEvent((record, i), "payments", 0, len(out), line["t"], fields)
            out.append(taken)
    return out


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (lambda: fr.quantile("x", 1.5, over="1h"), "quantile: share=1.5: is not from 0.0 to 1.0"),
        (lambda: fr.quantile("x", 0.5, over="1h", error=0.0), "quantile: error=0.0"),
        (lambda: fr.quantile("x", "0.5", over="1h"), "is no finite number"),  # type: ignore[arg-type]
        (lambda: fr.quantile("", 0.5, over="1h"), "is not of a field"),
        (lambda: fr.quantile("x", 0.5, over="0s"), "is no time at all"),
        (lambda: fr.distinct("x", over="1h", exact=0), "distinct: exact=0: is no whole number"),
        (lambda: fr.distinct("x", over="1h", exact=2_000), "from 1 to 1,024"),
        (lambda: fr.distinct("x", over="1h", exact=True), "exact=True: is no whole number"),
        (lambda: fr.distinct("x", over="1h", error=0.001), "is not from 0.01 to 0.25"),
        (lambda: fr.most_frequent("x", over="1h", exact=64.0), "exact=64.0"),  # type: ignore[arg-type]
        (lambda: fr.most_frequent("x", over="1 h"), "over='1 h'"),
    ],
)
def test_bad_declarations_are_refused_with_their_cause(make: Any, cause: str) -> None:
    with pytest.raises(DefinitionError) as raised:
        make()
    assert cause in str(raised.value)


@pytest.mark.parametrize(
    ("feature", "cause"),
    [
        (fr.distinct("labels", over="1h"), "'labels' is of type array. Texts and numbers of"),
        (fr.distinct("nobody", over="1h"), "'nobody' is not a field of payments"),
        (fr.quantile("shop", 0.5, over="1h"), "'shop' is of type string. Numbers of payments"),
        (fr.most_frequent("labels", over="1h"), "'labels' is of type array. Texts and numbers of"),
        (fr.last("labels"), "'labels' is of type array. Texts and numbers of"),
        (fr.sum("kind", over="1h"), "'kind' is of type enum. Numbers of payments"),
    ],
)
def test_a_field_of_another_type_is_refused(feature: Any, cause: str) -> None:
    with pytest.raises(DefinitionError) as raised:
        View("v", TOPIC, key="user", features={"f": feature})
    assert cause in str(raised.value)


def test_the_digest_follows_what_is_declared_and_not_how() -> None:
    def digest(feature: Any) -> str:
        return View("v", TOPIC, key="user", features={"f": feature}).digest

    same = [fr.distinct("shop", over="1h"), fr.distinct("shop", over="60m", exact=64, error=0.05)]
    assert len({digest(feature) for feature in same}) == 1
    others = [
        fr.distinct("shop", over="1h", exact=65),
        fr.distinct("shop", over="1h", error=0.06),
        fr.distinct("shop", over="1h", where=ONLINE),
        fr.distinct("kind", over="1h"),
        fr.quantile("euros", 0.5, over="1h"),
        fr.quantile("euros", 0.6, over="1h"),
        fr.quantile("euros", 0.5, over="1h", error=0.02),
        fr.most_frequent("euros", over="1h"),
        fr.most_frequent("number", over="1h"),
    ]
    assert len({digest(feature) for feature in [same[0], *others]}) == 1 + len(others)
    assert digest(fr.quantile("euros", 1, over="1h")) == digest(
        fr.quantile("euros", 1.0, over="1h")
    )


def test_a_view_of_such_features_alone_has_tiles() -> None:
    view = View("v", TOPIC, key="user", features={"f": fr.distinct("shop", over="1h")})
    assert view.tiles == "32 a window"
    assert view.plan.since(3_600_000) == 112_500
