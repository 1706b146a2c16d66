"""A small app for tests: orders are asked, payments label them, and a view counts payments by
shop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl

import freshet as fr
from freshet.features.views.view import FeatureRef


def field(name: str, kind: str, **rules: Any) -> dict[str, Any]:
    return {"name": name, "type": ["null", kind], "default": None, **rules}


ORDERS = {
    "type": "record",
    "name": "orders",
    "schema_id": 1,
    "fields": [
        field("order_id", "string", required=True),
        field("at", "long", required=True),
        field("shop", "string", required=True),
        field("price", "double"),
        field("hour", "int"),
    ],
}
PAYMENTS = {
    "type": "record",
    "name": "payments",
    "schema_id": 2,
    "fields": [
        field("order_id", "string", required=True),
        field("at", "long", required=True),
        field("shop", "string", required=True),
        field("late", "double", range=[0, 1000]),
    ],
}


def topics(**freshness: str) -> tuple[fr.Topic, fr.Topic]:
    held = fr.Freshness(
        **{"snapshot_every": "1h", "model_slo": "3h", "label_wait": "6h", **freshness}
    )
    orders = fr.Topic(
        "orders",
        ORDERS,
        "order_id",
        "at",
        freshness=held,
        impute={"price": fr.impute.constant(1.0)},
    )
    payments = fr.Topic("payments", PAYMENTS, "order_id", "at", freshness=held)
    return orders, payments


def toy_app(**changes: Any) -> fr.App:
    orders, payments = topics(**changes.pop("freshness", {}))
    shops = fr.View(
        "shops",
        payments,
        key="shop",
        tile="10m",
        features={"n": fr.count(over="1h"), "late": fr.mean("late", over="1h"), "ago": fr.age()},
        max_age="1d",
    )
    paid = fr.Model(
        "unpaid",
        on=orders,
        id="order_id",
        label=fr.Label(payments, "order_id", pl.col("late") > 10),
        features=[
            orders["shop"],
            fr.category(orders["hour"]),
            orders["price"],
            *(shops[f] for f in shops.features),
        ],
        learners=changes.pop("learners", [fr.Baseline(), fr.HashedLogistic(bits=10)]),
        fallback=changes.pop(
            "fallback", [fr.heuristic(pl.col("shops.late") > 20, 0.7, 0.2), fr.constant(0.3)]
        ),
        slices=["shop"],
        batch=8,
    )
    return fr.App("toy", topics=[orders, payments], views=[shops], models=[paid])


def reading(model: fr.Model, view: fr.View) -> fr.Model:
    """The model, with the features of this view in place of those of another by its name."""
    features = [
        view[feature.feature] if isinstance(feature, FeatureRef) else feature
        for feature in model.features
    ]
    return replace(model, features=features)
