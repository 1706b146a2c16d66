"""What the catalogue says of each kind of feature."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

import freshet
from freshet.features import aggregates as fr
from freshet.features.views.view import View
from freshet.schemas.topics.topic import Topic
from freshet.serving.docs.catalogue import catalogue

FIELDS = [
    {"name": "id", "type": "string"},
    {"name": "at", "type": "long"},
    {"name": "amount", "type": "double", "unit": "EUR"},
]
TOPIC = Topic(
    "payments",
    {"type": "record", "name": "payment", "fields": FIELDS},
    event_id="id",
    event_time="at",
)
LARGE = pl.col("amount") > 10
TEXT = '[(col("amount")) > 10]'


@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [
        (fr.count(over="1h", where=LARGE), ("count", None, "1h", None, "events", TEXT)),
        (fr.sum("amount", over="1h"), ("sum", "amount", "1h", None, "EUR", None)),
        (fr.rate(over="1h", per="1m"), ("rate", None, "1h", None, "events per 1m", None)),
        (fr.variance("amount", over="1h"), ("variance", "amount", "1h", None, "(EUR)^2", None)),
        (fr.deviation("amount", over="1h"), ("deviation", "amount", "1h", None, "EUR", None)),
        (fr.first("amount", where=LARGE), ("first", "amount", None, None, "EUR", TEXT)),
        (fr.time_since(where=LARGE), ("time_since", None, None, None, "s", TEXT)),
        (fr.decayed_sum("amount", "2h"), ("decayed_sum", "amount", None, "2h", "EUR", None)),
        (fr.decayed_count("2h"), ("decayed_count", None, None, "2h", "events", None)),
        (
            fr.ratio(fr.count(over="1h", where=LARGE), fr.count(over="1d")),
            (
                f"ratio(count(over 1h where {TEXT}) by count(over 1d))",
                *(None, None, None, None, None),
            ),
        ),
    ],
)
def test_a_feature_is_said_to_be_what_it_is(aggregate: Any, expected: tuple[Any, ...]) -> None:
    view = View("v", TOPIC, key="id", features={"f": aggregate})
    [feature] = catalogue("app", [], [view], []).views[0].features
    found = (feature.aggregation, feature.field, feature.window, feature.half_life, feature.unit)
    assert (*found, feature.where) == expected


def test_an_on_demand_feature_is_said_to_be_computed_and_how() -> None:
    view = View("by_id", TOPIC, key="id", features={"mean": fr.mean("amount", over="1d")})
    made = freshet.Model(
        "odd",
        on=TOPIC,
        id="id",
        label=freshet.Label(TOPIC, id="id", value=LARGE),
        features=[
            TOPIC["amount"],
            freshet.on_demand("km", freshet.haversine("amount", "at", 40, -73)),
            freshet.on_demand("more", pl.col("amount") > pl.col("by_id.mean"), [view["mean"]]),
        ],
        learners=[freshet.Baseline()],
    )
    found = catalogue("app", [], [view], [made]).models[0].features
    assert [(one.name, one.kind, one.computed) for one in found] == [
        ("amount", "number", None),
        ("km", "on demand", "km from amount, at to 40, -73"),
        ("more", "on demand", '[(col("amount")) > (col("by_id.mean"))]'),
    ]
