"""Features for consumers: Feast's shape, its four statuses, and a text for every way to ask
wrongly."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

import freshet as fr
from freshet.features.partition.events import More
from freshet.features.partition.rows import ViewRows
from freshet.features.reading import api as feature_api
from freshet.features.reading.api import FeatureReader, FeaturesAnswer
from freshet.features.stores.memory_store import MemoryStore
from freshet.roles import plans
from freshet.roles.interface import feature_reader
from freshet.schemas.errors import RequestError
from freshet.schemas.text.columns import Texts
from tests.consumers_app import APP, HOUR, put_rows

NOW = 100 * HOUR


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    ann = {
        "keys": ["ann", "ann", "bob", "old"],
        "at": [NOW - 60_000, NOW - 30_000, NOW - 1, NOW - 25 * HOUR],
    }
    put_rows(APP, made, "by_courier", {**ann, "late": [10.0, 20.0, np.nan, 5.0]})
    put_rows(APP, made, "by_leg", {"keys": ["ann|Lyon"], "at": [NOW - 2 * HOUR], "late": [8.0]})
    return made


def ask(
    store: MemoryStore, as_of: int = NOW, reader: FeatureReader | None = None, **request: Any
) -> FeaturesAnswer:
    found = feature_api.read_request(msgspec.json.encode(request))
    return (reader or feature_reader(APP)).answer(found, store, as_of)


WHOLES = [-(2**63), 2**63 - 1, 2**53 + 1, -(2**53) - 1, 0, 16_777_217]


def test_a_last_whole_number_keeps_every_digit_and_a_model_reads_it_as_float32() -> None:
    parcels = APP.topic("parcels")
    view = fr.View(
        "stamped",
        parcels,
        key="courier",
        features={"n": fr.count(over="1h"), "seen": fr.last("at"), "late": fr.last("late")},
    )
    store = MemoryStore()
    rows = ViewRows(view.plan)
    keys = [f"k{number}" for number in WHOLES]
    exact = np.zeros((len(keys), len(view.plan.fields)), np.int64)
    exact[:, view.plan.fields.index("at")] = WHOLES
    values = exact.astype(np.float64)
    rows.fold(Texts.of(keys), np.full(len(keys), NOW), values, 7, np.arange(len(keys)), More(exact))
    store.write("stamped", *rows.hand_over())
    reader = FeatureReader([(view, "stamped")], {})
    entities = {"courier": [*keys, "nobody"]}
    got = ask(store, reader=reader, features=["stamped:seen", "stamped:late"], entities=entities)
    sent = msgspec.json.decode(msgspec.json.encode(got))["results"]
    assert sent[1]["values"] == [*WHOLES, None]
    assert all(isinstance(value, int) for value in sent[1]["values"][:-1])
    assert sent[1]["statuses"] == ["PRESENT"] * len(keys) + ["NOT_FOUND"]
    assert sent[2]["values"] == [0.0] * len(keys) + [None]
    assert all(isinstance(value, float) for value in sent[2]["values"][:-1])


def columns(answer: FeaturesAnswer) -> dict[str, tuple[list[Any], list[str], list[str]]]:
    names = answer.metadata.feature_names
    assert len(names) == len(answer.results)
    return {n: (c.values, c.statuses, c.event_timestamps) for n, c in zip(names, answer.results)}


def test_values_come_as_columns_with_the_entities_first(store: MemoryStore) -> None:
    features = ["by_courier:late", "by_courier:n"]
    got = ask(store, features=features, entities={"courier": ["ann", "nobody", "ann"]})
    assert got.metadata.feature_names == ["courier", "late", "n"]
    assert columns(got) == {
        "courier": (["ann", "nobody", "ann"], ["PRESENT"] * 3, [feature_api.NEVER] * 3),
        "late": ([15.0, None, 15.0], ["PRESENT", "NOT_FOUND", "PRESENT"], ANN_TIMES),
        "n": ([2.0, None, 2.0], ["PRESENT", "NOT_FOUND", "PRESENT"], ANN_TIMES),
    }


ANN_TIMES = ["1970-01-05T03:59:30.000Z", feature_api.NEVER, "1970-01-05T03:59:30.000Z"]


def test_a_value_that_is_missing_in_a_row_is_a_null_value(store: MemoryStore) -> None:
    got = columns(
        ask(store, features=["by_courier:late", "by_courier:n"], entities={"courier": ["bob"]})
    )
    assert got["late"] == ([None], ["NULL_VALUE"], ["1970-01-05T03:59:59.999Z"])
    assert got["n"][:2] == ([1.0], ["PRESENT"])


def test_a_value_beyond_max_age_is_null_and_says_when_it_was(store: MemoryStore) -> None:
    got = columns(ask(store, features=["by_courier:last"], entities={"courier": ["old", "ann"]}))
    assert got["last"][:2] == ([None, 20.0], ["OUTSIDE_MAX_AGE", "PRESENT"])
    assert got["last"][2][0] == "1970-01-04T03:00:00.000Z"
    day = 24 * HOUR
    edge = columns(
        ask(store, NOW - 1 + day, features=["by_courier:n"], entities={"courier": ["bob"]})
    )
    assert edge["n"][1] == ["PRESENT"], "max_age itself is not beyond it"


def test_values_are_as_of_the_moment_of_the_question(store: MemoryStore) -> None:
    asked = {"features": ["by_courier:n"], "entities": {"courier": ["ann"]}}
    assert columns(ask(store, NOW, **asked))["n"][0] == [2.0]
    assert columns(ask(store, NOW + 2 * HOUR, **asked))["n"][0] == [0.0]


def test_a_view_with_several_keys_takes_a_column_for_each(store: MemoryStore) -> None:
    entities = {"city": ["Lyon", "Lyon", "Porto"], "courier": ["ann", "bob", "ann"]}
    got = columns(ask(store, features=["by_leg:ewm", "by_courier:late"], entities=entities))
    assert list(got) == ["city", "courier", "ewm", "late"]
    assert got["ewm"][1] == ["PRESENT", "NOT_FOUND", "NOT_FOUND"]
    assert got["late"][0] == [15.0, None, 15.0]


def test_full_names_carry_the_view_as_feast_writes_it(store: MemoryStore) -> None:
    entities = {"courier": ["ann"], "city": ["Lyon"]}
    got = ask(
        store, features=["by_courier:n", "by_leg:n"], entities=entities, full_feature_names=True
    )
    assert got.metadata.feature_names == ["courier", "city", "by_courier__n", "by_leg__n"]


def test_a_model_is_a_feature_service_of_what_it_reads(store: MemoryStore) -> None:
    got = ask(store, feature_service="late", entities={"courier": ["ann"], "city": ["Lyon"]})
    assert got.metadata.feature_names == ["courier", "city", "late", "ewm"]


def test_consumers_get_the_very_values_that_models_are_given(store: MemoryStore) -> None:
    rows = {"courier": ["ann", "bob", "old", "nobody"], "city": ["Lyon", "Lyon", "Porto", "Porto"]}
    model = APP.model("late")
    read = plans.vector_plan(APP, model).read(store, rows, 4, NOW)
    got = columns(ask(store, feature_service="late", entities=rows, full_feature_names=True))
    for i, name in enumerate(model.vectors.numbers):
        values = [np.nan if v is None else v for v in got[name.replace(".", "__")][0]]
        assert np.array_equal(np.float32(values), read.vectors.numbers[:, i], equal_nan=True)


def test_every_row_of_every_view_is_read_in_one_round_trip(store: MemoryStore) -> None:
    calls = []
    read = store.read
    store.read = lambda wanted: (calls.append([len(w.keys) for w in wanted]), read(wanted))[1]  # type: ignore[method-assign]
    ask(
        store,
        feature_service="late",
        entities={"courier": ["ann", "ann", "bob"], "city": ["Lyon", "Lyon", "Lyon"]},
    )
    assert calls == [[2, 2]], "a key that comes twice is read once"


ENTITIES = {"courier": ["ann"]}


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (
            {},
            r"body: is no request for features: Object missing required field `entities`. Send JSON as \{\"features\"",
        ),
        (
            {"features": ["by_courier:n"], "entities": {"courier": [7]}},
            r"'courier': cannot be: '7' is no text. Its type is string",
        ),
        (
            {"features": ["by_courier:n"], "entities": {"courier": "ann"}},
            r"Expected `array`, got `str`",
        ),
        (
            {"features": ["by_courier:n"], "entities": {"courier": [[]]}},
            r"got `array` - at `\$.entities",
        ),
        (
            {"features": "by_courier:n", "entities": ENTITIES},
            r"Expected `array`, got `str` - at `\$.features`",
        ),
        (
            {"features": ["n"], "entities": ENTITIES},
            r"feature 'n': has no view. Write it as view:feature",
        ),
        (
            {"features": ["x:n"], "entities": ENTITIES},
            r"there is no view 'x'. The views are by_courier, by_leg",
        ),
        (
            {"features": ["by_leg:x"], "entities": ENTITIES},
            r"view by_leg has no feature 'x'. It has n, ewm, ago",
        ),
        (
            {"features": ["by_leg:n"], "entities": ENTITIES},
            r"entities: lack city. Send courier and city \(view by_leg",
        ),
        ({"features": ["by_courier:n"], "entities": {}}, r"entities: lack courier. Send courier"),
        (
            {"features": ["by_courier:n"], "entities": {"courier": ["a"], "driver": ["b"]}},
            r"entities: have driver. Send courier \(view by_courier has key courier\)",
        ),
        (
            {"features": ["by_leg:n"], "entities": {"courier": ["a", "b"], "city": ["Lyon"]}},
            r"courier has 2 rows, city has 1 rows. Send lists of one length",
        ),
        (
            {"features": ["by_courier:n"], "entities": {"courier": []}},
            r"have 0 rows. Send 1 to 4096 rows",
        ),
        (
            {"features": ["by_courier:n"], "entities": {"courier": ["a"] * 4097}},
            r"have 4097 rows. Send 1 to 4096",
        ),
        ({"features": ["by_courier:n"] * 2, "entities": ENTITIES}, r"'by_courier:n': comes twice"),
        (
            {"entities": ENTITIES},
            r"features: are none, and no feature_service is named\. Send one of the two: ",
        ),
        (
            {"features": ["by_courier:n"], "feature_service": "late", "entities": ENTITIES},
            r"are named, and left to a feature_service, too",
        ),
        (
            {"feature_service": "laet", "entities": ENTITIES},
            r"'laet': is unknown. Name a model that reads views \(late",
        ),
        (
            {"feature_service": "plain", "entities": ENTITIES},
            r"'plain': is a model that reads no views",
        ),
        (
            {
                "features": ["by_courier:n", "by_leg:n"],
                "entities": {"courier": ["a"], "city": ["Lyon"]},
            },
            r"'by_leg:n': 'n' would name two columns of the answer. Ask with \"full_feature_names\": true",
        ),
    ],
)
def test_a_wrong_question_is_told_what_was_expected(
    store: MemoryStore, request_: dict[str, Any], text: str
) -> None:
    with pytest.raises(RequestError, match=text):
        ask(store, **request_)


def test_what_is_no_text_is_no_request() -> None:
    with pytest.raises(RequestError, match="is no request for features"):
        feature_api.read_request(b"\xff")
