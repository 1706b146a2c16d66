"""On-demand features as they are declared: their names, kinds and digests, and what is refused."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

import freshet as fr
from freshet.schemas.errors import DefinitionError

FIELDS: list[dict[str, Any]] = [
    {"name": "id", "type": "string"},
    {"name": "at", "type": "long"},
    {"name": "user", "type": "long"},
    {"name": "amount", "type": ["null", "double"], "default": None},
    {"name": "tags", "type": {"type": "array", "items": "string"}, "default": []},
    {
        "name": "place",
        "type": {
            "type": "record",
            "name": "place",
            "fields": [{"name": "city", "type": "string"}],
        },
    },
]
PAYMENTS = fr.Topic(
    "payments",
    {"type": "record", "name": "payment", "fields": FIELDS},
    "id",
    "at",
    derive={"n_tags": pl.col("tags").list.len(), "hour": fr.hour("at")},
)
BY_USER = fr.View(
    "by_user",
    PAYMENTS,
    key="user",
    features={"mean": fr.mean("amount", over="30d"), "n": fr.count(over="1d")},
)
MEAN = pl.col("amount") / pl.col("by_user.mean")


def model(*features: Any, **declared: Any) -> fr.Model:
    return fr.Model(
        "fraud",
        on=PAYMENTS,
        id="id",
        label=fr.Label(PAYMENTS, id="id", value=pl.col("amount") > 1),
        features=features,
        learners=[fr.Baseline()],
        **declared,
    )


def app(*features: Any, **declared: Any) -> fr.App:
    models = [model(*features, **declared)]
    return fr.App("payments", topics=[PAYMENTS], views=[BY_USER], models=models)


def test_they_stand_in_the_vector_in_order_and_what_only_they_read_does_not() -> None:
    made = model(
        fr.on_demand("times_mean", MEAN, reads=[BY_USER["mean"]]),
        BY_USER["n"],
        fr.on_demand("is_large", pl.col("times_mean") > 3),
        fr.on_demand("city", pl.col("place.city").str.to_lowercase()),
        fr.on_demand("part", pl.col("hour") // 6, category=True),
        fr.on_demand("later", fr.minute_of_day("at")),
        PAYMENTS["amount"],
    )
    assert made.vectors.categories == ("is_large", "city", "part")
    assert made.vectors.numbers == ("times_mean", "by_user.n", "later", "amount")
    assert [ref.name for ref in made.view_features] == ["by_user.n", "by_user.mean"]


def test_a_feature_of_a_view_that_is_listed_needs_not_be_named_again() -> None:
    after = model(fr.on_demand("times_mean", MEAN), BY_USER["mean"])
    assert after.vectors.numbers == ("times_mean", "by_user.mean")


def test_another_definition_is_another_vector_and_none_is_what_it_was() -> None:
    ratio = fr.on_demand("ratio", MEAN, reads=[BY_USER["mean"]])
    digests = {
        model(BY_USER["n"]).vectors.digest,
        model(BY_USER["n"], ratio).vectors.digest,
        model(BY_USER["n"], BY_USER["mean"], ratio).vectors.digest,
        model(
            BY_USER["n"], fr.on_demand("ratio", MEAN * 2, reads=[BY_USER["mean"]])
        ).vectors.digest,
        model(BY_USER["n"], fr.on_demand("ratio", pl.col("amount") // 1)).vectors.digest,
        model(BY_USER["n"], fr.on_demand("part", pl.col("hour"))).vectors.digest,
        model(BY_USER["n"], fr.on_demand("part", pl.col("hour"), category=True)).vectors.digest,
    }
    assert len(digests) == 7
    assert model(BY_USER["n"], ratio).digest == model(BY_USER["n"], ratio).digest
    # As it was before there were any.
    assert not [name for name in model(BY_USER["n"]).facts if "demand" in name]


def test_a_change_of_the_view_that_only_they_read_changes_the_model() -> None:
    features = {"mean": fr.mean("amount", over="60d")}
    other = fr.View("by_user", PAYMENTS, key="user", features=features)
    one = model(fr.on_demand("ratio", MEAN, reads=[BY_USER["mean"]]))
    another = model(fr.on_demand("ratio", MEAN, reads=[other["mean"]]))
    assert one.vectors.digest != another.vectors.digest
    assert one.lineage(fr.Baseline()) != another.lineage(fr.Baseline())
    with pytest.raises(DefinitionError, match="reads another view 'by_user' than the one"):
        app(BY_USER["mean"], fr.on_demand("ratio", MEAN, reads=[other["mean"]]))


def test_a_rung_that_reads_what_is_made_of_views_needs_the_store() -> None:
    made = model(
        fr.on_demand("times_mean", MEAN, reads=[BY_USER["mean"]]),
        fr.on_demand("is_large", pl.col("times_mean") > 3),
        fr.on_demand("twice", pl.col("amount") * 2),
        fallback=[
            fr.heuristic(pl.col("is_large") == "true"),
            fr.heuristic(pl.col("twice") > 3),
        ],
    )
    assert [rung.needs for rung in made.fallback] == [{"features"}, set()]


@pytest.mark.parametrize(
    ("features", "why"),
    [
        ([fr.on_demand("1st", pl.col("amount"))], "is no name of a feature"),
        ([fr.on_demand("amount", pl.col("at"))], "is a field of payments already"),
        ([fr.on_demand("hour", pl.col("at"))], "is a field of payments already"),
        (
            [fr.on_demand("a", pl.col("at")), fr.on_demand("a", pl.col("at"))],
            "is an on-demand feature already",
        ),
        ([fr.on_demand("a", "at")], "'at' is no expression over fields"),
        ([fr.on_demand("a", pl.lit(1))], "reads no field and no feature"),
        ([fr.on_demand("a", pl.col("b")), fr.on_demand("b", pl.col("at"))], "unknown field 'b'"),
        ([fr.on_demand("a", pl.col("a"))], "reads unknown field 'a'"),
        ([fr.on_demand("a", pl.col("place"))], "reads 'place', which is made of fields"),
        ([fr.on_demand("a", pl.col("place.street"))], "reads unknown field 'place.street'"),
        ([fr.on_demand("a", MEAN)], r"which the model does not know. If it is a feature of view"),
        (
            [fr.on_demand("a", fr.haversine("amount", "at", "by_place.lat", 0.0))],
            r'name it: reads=\[by_place\["lat"\]\]',
        ),
        ([fr.on_demand("a", MEAN, [BY_USER["mean"]], category=True)], "is a category of fractions"),
        ([fr.on_demand("a", pl.col("at").cast(pl.Datetime))], "gives Datetime"),
        ([fr.on_demand("a", fr.hour("user", zone="Moon"))], "has zone 'Moon', which is none"),
    ],
)
def test_what_cannot_be_computed_is_refused_where_the_model_is_declared(
    features: list[Any], why: str
) -> None:
    with pytest.raises(DefinitionError, match=why):
        model(*features)


@pytest.mark.parametrize(
    ("feature", "why"),
    [
        (fr.on_demand("a", pl.col("amount") - pl.col("amount").mean()), "is not row-wise"),
        (fr.on_demand("a", pl.col("tags").list.len()), "'tags', of type array, which no request"),
        (fr.on_demand("a", pl.col("n_tags") + 1), "derived of 'tags', of type array, which no"),
    ],
)
def test_what_no_request_can_be_asked_for_is_refused_with_the_app(feature: Any, why: str) -> None:
    with pytest.raises(DefinitionError, match=why):
        app(feature)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((3, pl.col("at")), "name=3 is of type int"),
        (("a", pl.col("at"), ["by_user.mean"]), r"reads\[0\]='by_user.mean' is of type str"),
        (("a", pl.col("at"), BY_USER["mean"]), "is no list"),
        (("a", pl.col("at"), [], "yes"), "category='yes' is of type str"),
    ],
)
def test_arguments_of_another_kind_are_refused_where_they_are_written(
    arguments: tuple[Any, ...], why: str
) -> None:
    with pytest.raises(DefinitionError, match=why):
        fr.on_demand(*arguments)
