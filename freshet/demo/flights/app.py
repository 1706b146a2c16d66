"""The flights demo as an app: will a flight from New York arrive more than 15 minutes late?"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import polars as pl

import freshet as fr

# Of a year the logs would be gigabytes; what is older lies in the archive, and is read there.
KEEP = "3d"
HELD = fr.Freshness(
    feature_slo="15m", model_slo="9h", snapshot_every="3h", lateness="2m", label_wait="12h"
)
departures = fr.Topic(
    "departures",
    schema="departures.avsc",
    event_id="flight_id",
    event_time="scheduled_at",
    source="origin",
    impute={"tailnum": fr.impute.constant("unknown")},
    freshness=HELD,
    keep=KEEP,
)
takeoffs = fr.Topic(
    "takeoffs",
    schema="takeoffs.avsc",
    event_id="flight_id",
    event_time="took_off_at",
    source="origin",
    impute={"tailnum": fr.impute.constant("unknown")},
    freshness=HELD,
    keep=KEEP,
)
arrivals = fr.Topic(
    "arrivals",
    schema="arrivals.avsc",
    event_id="flight_id",
    event_time="arrived_at",
    source="origin",
    impute={
        "tailnum": fr.impute.constant("unknown"),
        "dep_delay": fr.impute.median(by="carrier"),
        "air_time": fr.impute.median(by="dest"),
    },
    freshness=HELD,
    keep=KEEP,
)
weather = fr.Topic(
    "weather",
    schema="weather.avsc",
    event_id="observation_id",
    event_time="observed_at",
    source="origin",
    drop={"no_reading": pl.col("temp").is_null() & pl.col("visib").is_null()},
    impute={
        "wind_gust": fr.impute.constant(0.0),
        **{
            field: fr.impute.last(by="origin")
            for field in ("temp", "dewp", "humid", "wind_dir", "wind_speed")
        },
        **{field: fr.impute.last(by="origin") for field in ("precip", "pressure", "visib")},
    },
    freshness=HELD,
    keep=KEEP,
)


def delays(name: str, key: str, **more: Any) -> fr.View:
    """How late arrivals of one carrier, airport or aircraft have been."""
    return fr.View(
        name,
        arrivals,
        key=key,
        tile="10m",
        description=f"Arrival delays by {key}: minutes, positive is late.",
        features={
            "delay_1h": fr.mean("arr_delay", over="1h"),
            "delay_6h": fr.mean("arr_delay", over="6h"),
            "delay_ewm_1h": fr.decayed_mean("arr_delay", half_life="1h"),
            "delay_ewm_6h": fr.decayed_mean("arr_delay", half_life="6h"),
            "delay_ewm_24h": fr.decayed_mean("arr_delay", half_life="1d"),
            **more,
        },
    )


by_origin = delays(
    "arrivals_by_origin",
    "origin",
    n_1h=fr.count(over="1h"),
    worst_1h=fr.max("arr_delay", over="1h"),
)
by_carrier = delays("arrivals_by_carrier", "carrier")
by_dest = delays("arrivals_by_dest", "dest")
by_tail = fr.View(
    "arrivals_by_tail",
    arrivals,
    key="tailnum",
    tile="10m",
    description="Where an aircraft may be: its last arrival, how late that was, how long ago, "
    "how far away.",
    features={
        "last_delay": fr.last("arr_delay"),
        "since_last": fr.age(),
        "last_air_time": fr.last("air_time"),
        "delay_6h": fr.mean("arr_delay", over="6h"),
        "n_6h": fr.count(over="6h"),
    },
)


def queue(name: str, key: str | tuple[str, ...], **more: Any) -> fr.View:
    """How late flights have been leaving."""
    return fr.View(
        name,
        takeoffs,
        key=key,
        tile="5m",
        description="Departure delays, minutes.",
        features={
            "delay_ewm_30m": fr.decayed_mean("dep_delay", half_life="30m"),
            "delay_ewm_2h": fr.decayed_mean("dep_delay", half_life="2h"),
            **more,
        },
    )


left_origin = queue(
    "takeoffs_by_origin",
    "origin",
    n_1h=fr.count(over="1h"),
    n_3h=fr.count(over="3h"),
    delay_1h=fr.mean("dep_delay", over="1h"),
    least_1h=fr.min("dep_delay", over="1h"),
)
left_carrier = queue("takeoffs_by_carrier", ("origin", "carrier"))
congestion = fr.View(
    "departures_by_origin",
    departures,
    key="origin",
    tile="15m",
    description="Flights scheduled to leave, which may be more than did.",
    features={"n_1h": fr.count(over="1h"), "n_3h": fr.count(over="3h")},
    keep="2d",  # at night no flight leaves: 0, and not as if nothing were known of the origin
)
sky = fr.View(
    "weather_by_origin",
    weather,
    key="origin",
    tile="1h",
    description="The newest observation, and what fell lately.",
    features={
        **{
            field: fr.last(field)
            for field in ("temp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib")
        },
        "precip_6h": fr.sum("precip", over="6h"),
    },
)
VIEWS = [by_origin, by_carrier, by_dest, by_tail, left_origin, left_carrier, congestion, sky]
# minutes since an aircraft came, less its way back; and flights that should have left, but did not
COMBINED = {
    "slack": {"arrivals_by_tail.since_last": 1 / 60, "arrivals_by_tail.last_air_time": -1.0},
    "backlog_1h": {"departures_by_origin.n_1h": 1.0, "takeoffs_by_origin.n_1h": -1.0},
    "backlog_3h": {"departures_by_origin.n_3h": 1.0, "takeoffs_by_origin.n_3h": -1.0},
}
KNOTS = {
    "slack": (
        -240,
        -120,
        -60,
        0,
        30,
        60,
        75,
        90,
        100,
        110,
        120,
        135,
        150,
        180,
        240,
        300,
        420,
        600,
        900,
        1440,
    )
}
CROSSES = [
    ("origin", "dest"),
    ("carrier", "origin"),
    ("carrier", "dest"),
    ("carrier", "flight"),
    ("origin", "flight"),
    ("origin", "hour"),
    ("carrier", "hour"),
    ("dest", "hour"),
    ("carrier", "origin", "hour"),
    ("origin", "weather_by_origin.visib"),
    ("hour", "weather_by_origin.precip"),
    ("dest", "arrivals_by_dest.delay_ewm_1h"),
    ("carrier", "slack"),
    ("hour", "slack"),
    ("slack", "backlog_1h"),
    ("slack", "arrivals_by_tail.last_delay"),
    ("slack", "takeoffs_by_origin.delay_ewm_30m"),
]
late = fr.Model(
    "late_arrival",
    on=departures,
    id="flight_id",
    label=fr.Label(arrivals, id="flight_id", value=pl.col("arr_delay") > 15),
    features=[
        *(departures[field] for field in ("carrier", "origin", "dest", "tailnum")),
        *(
            fr.category(departures[field])
            for field in ("hour", "weekday", "month", "day", "flight")
        ),
        *(view[feature] for view in VIEWS for feature in view.features),
    ],
    learners=[
        fr.Baseline(),
        fr.HashedLogistic(
            rate=0.02,
            prior=0.24,
            crosses=CROSSES,
            combinations=COMBINED,
            knots=KNOTS,
            without=("day", "month"),
        ),
        fr.River(),
        *(
            [fr.TorchCtr(prior=0.24, crosses=CROSSES[:2], combinations=COMBINED, knots=KNOTS)]
            if find_spec("torch")
            else []
        ),
    ],
    slices=["carrier", "origin"],
    fallback=[
        fr.heuristic(pl.col("arrivals_by_origin.delay_ewm_1h") > 20, 0.5, 0.2),
        fr.constant(0.24),
    ],
)
app = fr.App(
    "flights", topics=[departures, takeoffs, arrivals, weather], views=VIEWS, models=[late]
)
