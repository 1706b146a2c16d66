"""On-demand features: what a question reads of them is what plain Python makes of its fields and of
the rows, one by one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import freshet as fr
from freshet.features.partition.events import More
from freshet.features.partition.rows import ViewRows
from freshet.features.reading.vectors import Read, VectorPlan
from freshet.features.rows.finish import finish
from freshet.features.stores.memory_store import MemoryStore
from freshet.roles import plans
from freshet.schemas.text.columns import Texts
from freshet.schemas.text.keys import parts_of

NOW = 1_795_890_000_123
DAY = 86_400_000
FIELDS: list[dict[str, Any]] = [
    {"name": "id", "type": "string"},
    {"name": "at", "type": "long"},
    {"name": "user", "type": ["null", "long"], "default": None},
    {"name": "word", "type": ["null", "string"], "default": None},
    {"name": "amount", "type": ["null", "double"], "default": None},
    {"name": "limit", "type": ["null", "double"], "default": None},
    {"name": "few", "type": ["null", "int"], "default": None},
]
DERIVED = {
    "hour": fr.hour("at", zone="America/New_York"),
    "twice": pl.col("amount") * 2,
    "route": pl.col("word").str.to_lowercase() + ">" + pl.col("few").cast(pl.String),
    "cell": fr.bucket(["word", "few"], 1000),
    "km": fr.haversine("amount", "limit", 40.64, -73.78),
    "number": pl.col("word").cast(pl.Float64, strict=False),
}


def _topic(derive: dict[str, Any]) -> fr.Topic:
    return fr.Topic(
        "seen",
        {"type": "record", "name": "seen", "fields": FIELDS},
        "id",
        "at",
        impute={"limit": fr.impute.constant(5.0)},
        derive=derive,
    )


def _plan(topic: fr.Topic, views: list[fr.View], features: list[Any]) -> VectorPlan:
    model = fr.Model(
        "odd",
        on=topic,
        id="id",
        label=fr.Label(topic, id="id", value=pl.col("amount") > 1),
        features=features,
        learners=[fr.Baseline()],
    )
    app = fr.App("demand", topics=[topic], views=views, models=[model])
    return plans.vector_plan(app, model)


SEEN = _topic({"hour": DERIVED["hour"]})
BY_USER = fr.View(
    "by_user",
    SEEN,
    key="user",
    features={
        "mean": fr.mean("amount", over="1d"),
        "n": fr.count(over="1d"),
        "last_at": fr.last("at"),
        "unread": fr.sum("amount", over="1d"),
    },
    tile="1h",
)
PLAN = _plan(
    SEEN,
    [BY_USER],
    [
        SEEN["word"],
        fr.on_demand("times_mean", pl.col("amount") / pl.col("by_user.mean")),
        BY_USER["mean"],
        fr.on_demand("since", pl.col("at") - pl.col("by_user.last_at"), reads=[BY_USER["last_at"]]),
        fr.on_demand("is_soon", pl.col("since") < DAY),
        fr.on_demand("few_more", pl.col("few") + 1, category=True),
        fr.on_demand("told", pl.col("word") + "|" + pl.col("is_soon").cast(pl.String)),
        fr.on_demand("huge", pl.col("amount") * 1e300),
        fr.on_demand("over", pl.col("amount") - pl.col("limit") + pl.col("hour")),
        fr.on_demand("number", pl.col("word").cast(pl.Float64, strict=False)),
        SEEN["amount"],
    ],
)
NUMBERS = PLAN.schema.numbers
CATEGORIES = PLAN.schema.categories
USERS = (1, 2, 3)


def _store() -> MemoryStore:
    store = MemoryStore()
    rows = ViewRows(BY_USER.plan)
    count = 9
    values = np.arange(count * len(BY_USER.plan.fields)).reshape(count, -1) / 7 - 0.5
    times = NOW - DAY // 3 * np.arange(count)
    wholes = np.repeat(times[:, None], len(BY_USER.plan.fields), axis=1)
    keys = Texts.of([str(USERS[i % 2]) for i in range(count)])
    rows.fold(keys, times, values, 1, np.arange(count), More(wholes))
    store.write(PLAN.stored_as[0], *rows.hand_over())
    return store


STORE = _store()


def _of_row(user: int | None) -> dict[str, float | None]:
    """The features of a user's row, as float64."""
    missing = dict.fromkeys(BY_USER.features)
    key = "\\N" if user is None else str(user)
    (rows,) = STORE.read([fr_keys(key)])
    if not rows.present[0]:
        return missing
    done = finish(BY_USER.plan, rows.packed, np.array([NOW]))
    return {
        name: None if math.isnan(value) else value
        for name, value in zip(BY_USER.plan.names, done.values[0].tolist())
    }


def fr_keys(key: str) -> Any:
    from freshet.features.stores.contract import RowKeys

    return RowKeys(PLAN.stored_as[0], [key.encode()])


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _expected(row: dict[str, Any], of_row: dict[str, float | None]) -> dict[str, Any]:
    """Of one question, from its values and those of its view's row."""
    amount = row["amount"]
    word = row["word"]
    limit = 5.0 if row["limit"] is None else row["limit"]
    mean = of_row["mean"]
    last_at = of_row["last_at"]
    times_mean = None
    if amount is not None and mean is not None:
        times_mean = amount / mean if mean else None
    since = None if last_at is None else row["at"] - last_at
    is_soon = None if since is None else since < DAY
    told = None
    if word is not None and is_soon is not None:
        told = f"{word}|{str(is_soon).lower()}"
    # A whole hour of New York is one of UTC: 19:00 of the day before.
    hour = (row["at"] // 3_600_000 - 5) % 24
    number = None
    if word in ("7", "2.5"):
        number = float(word)
    return {
        "word": word,
        "times_mean": _finite(times_mean),
        "by_user.mean": mean,
        "since": since,
        "is_soon": None if is_soon is None else str(is_soon).lower(),
        "few_more": None if row["few"] is None else str(row["few"] + 1),
        "told": told,
        "huge": None,
        "over": None if amount is None else _finite(amount - limit + hour),
        "number": number,
        "amount": amount,
    }


def _found(read: Read) -> list[dict[str, Any]]:
    categories = [parts_of(text) for text in read.categories.to_arrow().to_pylist()]
    out = []
    for texts, numbers in zip(categories, read.vectors.numbers.tolist()):
        row: dict[str, Any] = dict(zip(CATEGORIES, texts))
        row |= {name: None if math.isnan(x) else x for name, x in zip(NUMBERS, numbers)}
        out.append(row)
    return out


def _single(value: Any) -> Any:
    """As float32 has it."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(np.float32(value))
    return value


AMOUNTS = st.one_of(st.none(), st.floats(-1e4, 1e4).filter(lambda x: abs(x) > 1e-3))
QUESTIONS = st.fixed_dictionaries(
    {
        "at": st.integers(NOW - 3 * DAY, NOW),
        "user": st.one_of(st.none(), st.sampled_from(USERS)),
        "word": st.sampled_from([None, "", "a", "7", "2.5", "é|\\"]),
        "amount": AMOUNTS,
        "limit": AMOUNTS,
        "few": st.one_of(st.none(), st.integers(-3, 3)),
    }
)


@settings(deadline=None, max_examples=100)
@given(st.lists(QUESTIONS, min_size=1, max_size=5), st.booleans())
def test_they_are_what_plain_python_makes_of_request_and_rows(
    rows: list[dict[str, Any]], is_there: bool
) -> None:
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    read = PLAN.read(STORE if is_there else None, columns, len(rows), NOW)
    assert read.vectors.numbers.dtype == np.float32
    assert read.vectors.numbers.flags.c_contiguous
    missing = dict.fromkeys(BY_USER.features)
    expected = [_expected(row, _of_row(row["user"]) if is_there else missing) for row in rows]
    of_single = [{name: _single(value) for name, value in row.items()} for row in expected]
    assert _found(read) == of_single
    # Whatever rows stand beside a row, its vector is the same.
    alone = [
        PLAN.read(STORE if is_there else None, {k: [v] for k, v in row.items()}, 1, NOW)
        for row in rows
    ]
    assert (
        b"".join(one.vectors.numbers.tobytes() for one in alone) == read.vectors.numbers.tobytes()
    )
    assert (
        b"".join(one.vectors.categories.tobytes() for one in alone)
        == read.vectors.categories.tobytes()
    )


@settings(deadline=None, max_examples=50)
@given(st.lists(QUESTIONS, min_size=1, max_size=4))
def test_of_a_request_alone_they_are_the_derived_fields_of_its_topic(
    rows: list[dict[str, Any]],
) -> None:
    """One definition, whether it stands on the topic or on the model."""
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    on_topic = OF_TOPIC.read(None, columns, len(rows), NOW)
    on_model = OF_MODEL.read(None, columns, len(rows), NOW)
    assert on_model.vectors.numbers.tobytes() == on_topic.vectors.numbers.tobytes()
    assert on_model.vectors.categories.tobytes() == on_topic.vectors.categories.tobytes()


DERIVING = _topic(DERIVED)
PLAIN = _topic({})
OF_TOPIC = _plan(DERIVING, [], [DERIVING[name] for name in DERIVED])
OF_MODEL = _plan(PLAIN, [], [fr.on_demand(name, made) for name, made in DERIVED.items()])


def test_a_feature_of_a_view_that_is_sent_is_what_they_are_made_of() -> None:
    columns = {"at": [NOW], "amount": [6.0], "by_user.mean": [3.0], "by_user.last_at": [NOW - 5.0]}
    (row,) = _found(PLAN.read(None, columns, 1, NOW))
    assert (row["times_mean"], row["since"], row["is_soon"]) == (2.0, 5.0, "true")
    # It is no part of the vector, and may be sent all the same.
    assert "by_user.last_at" in PLAN.given
    assert "by_user.last_at" not in NUMBERS


def test_what_is_sent_under_their_names_is_none() -> None:
    columns = {"at": [NOW], "amount": [6.0], "times_mean": [1.0], "by_user.mean": [3.0]}
    (row,) = _found(PLAN.read(None, columns, 1, NOW))
    assert row["times_mean"] == 2.0


def test_requests_bring_what_they_are_made_of() -> None:
    assert set(PLAN.fields) == {"word", "amount", "at", "few", "limit", "user"}
    assert PLAN.given_instead("user") == ("by_user.mean", "by_user.last_at")
    # An on-demand feature reads it for itself.
    assert PLAN.given_instead("at") == ()


@pytest.mark.parametrize("name", ["times_mean", "since"])
def test_features_of_views_are_not_rounded_before(name: str) -> None:
    columns = {"at": [NOW], "amount": [0.1], "user": [1]}
    (row,) = _found(PLAN.read(STORE, columns, 1, NOW))
    of_row = _of_row(1)
    assert of_row["mean"] is not None
    assert of_row["last_at"] is not None
    exact = {"times_mean": 0.1 / of_row["mean"], "since": NOW - of_row["last_at"]}
    assert row[name] == float(np.float32(exact[name]))


def test_a_model_whose_on_demand_features_alone_read_views_needs_the_store() -> None:
    ratio = fr.on_demand("ratio", pl.col("by_user.mean") / 2, reads=[BY_USER["mean"]])
    plan = _plan(SEEN, [BY_USER], [ratio])
    assert plan.reads_views
    assert plan.asks_store({"user": [1]})
    assert not plan.asks_store({"by_user.mean": [1.0]})
    assert _plan(SEEN, [BY_USER], [fr.on_demand("of_hour", pl.col("hour") + 1)]).views == ()
