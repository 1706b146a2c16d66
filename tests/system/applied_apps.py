"""The toy app, and what it is changed to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl

import freshet as fr
from freshet.features.aggregates import Aggregate
from tests.toy_app import PAYMENTS, field, topics

FALLBACK = [fr.constant(0.3)]
SLOW = fr.HashedLogistic(bits=10, rate=0.01, name="slow")
FAST = fr.HashedLogistic(bits=10)
COUNTED: dict[str, Aggregate] = {"n": fr.count(over="1h"), "late": fr.mean("late", over="1h")}
TILLS: dict[str, Aggregate] = {"n_2h": fr.count(over="2h"), "ewm": fr.decayed_mean("late", "1h")}
IS_LATE = pl.col("late") > 10


def declared(name: str) -> str:
    """A file that declares one of these apps."""
    return f"from tests.system.applied_apps import {name} as app\n"


def made(
    orders: fr.Topic,
    payments: fr.Topic,
    features: dict[str, Aggregate] = COUNTED,
    reads: tuple[str, ...] = ("n",),
    learners: tuple[Any, ...] = (fr.Baseline(), FAST),
    label: pl.Expr = IS_LATE,
    views: tuple[fr.View, ...] = (),
    more: tuple[fr.Topic, ...] = (),
) -> fr.App:
    shops = fr.View("shops", payments, key="shop", tile="10m", features=features, max_age="1d")
    unpaid = fr.Model(
        "unpaid",
        on=orders,
        id="order_id",
        label=fr.Label(payments, "order_id", label),
        features=[orders["shop"], *(shops[name] for name in reads)],
        learners=list(learners),
        fallback=FALLBACK,
        slices=["shop"],
        batch=8,
    )
    return fr.App("toy", topics=[orders, payments, *more], views=[shops, *views], models=[unpaid])


def _topics(**changes: Any) -> tuple[fr.Topic, fr.Topic]:
    """The second one with changes."""
    orders, payments = topics()
    return orders, replace(payments, **changes)


def _tills(payments: fr.Topic) -> fr.View:
    return fr.View("tills", payments, key="shop", tile="10m", features=TILLS)


ORDERS_AS_THEY_ARE, PAYMENTS_AS_THEY_ARE = topics()
BEFORE = made(ORDERS_AS_THEY_ARE, PAYMENTS_AS_THEY_ARE)
# A view; a feature of another one, which the model reads; a learner, one with other options.
ADDED = made(
    ORDERS_AS_THEY_ARE,
    PAYMENTS_AS_THEY_ARE,
    {**COUNTED, "ago": fr.age()},
    reads=("n", "late", "ago"),
    learners=(fr.Baseline(), FAST, SLOW),
    views=(_tills(PAYMENTS_AS_THEY_ARE),),
)
# A learner alone: whatever else there is goes on.
LEARNER = made(ORDERS_AS_THEY_ARE, PAYMENTS_AS_THEY_ARE, learners=(fr.Baseline(), FAST, SLOW))
# A filter, an impute and a derived field of the topic of views and labels, and a window.
FILTERED = made(
    *_topics(
        drop={"small": pl.col("late") < 2},
        impute={"late": fr.impute.median(by="shop")},
        derive={"half": pl.col("late") / 2},
    ),
    {"n": fr.count(over="2h"), "halves": fr.sum("half", over="1h")},
    reads=("n", "halves"),
)
# Events of a shop have it as their source.
SOURCED = made(*_topics(source="shop"))
LABEL = made(ORDERS_AS_THEY_ARE, PAYMENTS_AS_THEY_ARE, label=pl.col("late") > 20)


def _with_a_field(name: str, schema_id: int) -> fr.App:
    """Payments with a field that a view reads."""
    fields = [*PAYMENTS["fields"], field(name, "double")]
    payments = {**PAYMENTS, "schema_id": schema_id, "fields": fields}
    return made(*_topics(schema=payments), {**COUNTED, "sum": fr.sum(name, over="2h")})


TIPS = _with_a_field("tip", 3)
# One field less and another one more, both of which are read.
FEES = _with_a_field("fee", 4)
