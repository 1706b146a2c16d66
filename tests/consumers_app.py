"""An app for those who consume features and push events: views by one key and by two, and a topic
of four partitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

import freshet as fr
from freshet.app import App
from freshet.features.partition.rows import ViewRows
from freshet.features.stores.contract import Store
from freshet.schemas.text.columns import Texts

HOUR = 3_600_000
PARCELS = {
    "type": "record",
    "name": "parcels",
    "doc": "A parcel that was handed over.",
    "fields": [
        {"name": "parcel", "type": "string"},
        {"name": "at", "type": "long"},
        {"name": "courier", "type": "string"},
        {"name": "city", "type": "string", "domain": ["Berlin", "Lyon", "Porto"]},
        {
            "name": "late",
            "type": ["null", "double"],
            "default": None,
            "range": [-600, 6000],
            "unit": "min",
        },
        {"name": "kilos", "type": ["null", "int"], "default": None},
        {"name": "fragile", "type": ["null", "boolean"], "default": None},
        {
            "name": "size",
            "type": {"type": "enum", "name": "size", "symbols": ["S", "L"]},
            "default": "S",
        },
    ],
}


def consumers_app() -> App:
    parcels = fr.Topic(
        "parcels",
        PARCELS,
        event_id="parcel",
        event_time="at",
        partitions=4,
        owner="depot@example.com",
        # A parcel of yesterday is in time, and its courier's row beyond its age.
        freshness=fr.Freshness(
            snapshot_every="1s", label_wait="1d", lateness="2d", max_future="5m"
        ),
    )
    by_courier = fr.View(
        "by_courier",
        parcels,
        key="courier",
        tile="10m",
        features={
            "n": fr.count(over="1h"),
            "late": fr.mean("late", over="1h"),
            "last": fr.last("late"),
        },
        max_age="1d",
        owner="couriers@example.com",
        description="How late a courier has been.",
    )
    by_leg = fr.View(
        "by_leg",
        parcels,
        key=("courier", "city"),
        tile="10m",
        features={
            "n": fr.count(over="1h"),
            "ewm": fr.decayed_mean("late", half_life="2h"),
            "ago": fr.age(),
        },
    )
    late = fr.Model(
        "late",
        on=parcels,
        id="parcel",
        label=fr.Label(parcels, id="parcel", value=pl.col("late") > 10),
        features=[parcels["city"], by_courier["late"], by_leg["ewm"]],
        learners=[fr.Baseline(), fr.HashedLogistic(bits=10)],
        fallback=[fr.constant(0.2)],
        batch=8,
        owner="models@example.com",
        description="Whether a parcel will be late.",
    )
    plain = fr.Model(
        "plain",
        on=parcels,
        id="parcel",
        label=fr.Label(parcels, id="parcel", value=pl.col("late") > 10),
        features=[parcels["city"]],
        learners=[fr.Baseline()],
        fallback=[fr.constant(0.3)],
    )
    return fr.App("depot", topics=[parcels], views=[by_courier, by_leg], models=[late, plain])


def put_rows(app: App, store: Store, view: str, events: Mapping[str, Any]) -> None:
    """Fold events (`keys`, `at`, and a list for each number field of the view) into rows of the
    store."""
    plan = app.view(view).plan
    n = len(events["keys"])
    values = (
        np.column_stack([np.array(events[f], np.float64) for f in plan.fields])
        if plan.fields
        else np.empty((n, 0))
    )
    rows = ViewRows(plan)
    rows.fold(Texts.of(events["keys"]), np.array(events["at"]), values, 7, np.arange(n))
    store.write(app.stored_as(app.view(view)), *rows.hand_over())


APP = consumers_app()
