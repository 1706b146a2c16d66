"""The flights demo as an app: will a flight from New York arrive more than 15 minutes late?"""

from __future__ import annotations

from importlib.util import find_spec

import polars as pl

import freshet as fr

HELD = fr.Freshness(
    feature_slo="15m", model_slo="9h", snapshot_every="3h", lateness="2m", label_wait="12h", max_future="1d"
)
departures = fr.Topic(
    "departures",
    schema="departures.avsc",
    event_id="flight_id",
    event_time="scheduled_at",
    source="origin",
    impute={"tailnum": fr.impute.constant("unknown")},
    freshness=HELD,
)
takeoffs = fr.Topic(
    "takeoffs",
    schema="takeoffs.avsc",
    event_id="flight_id",
    event_time="took_off_at",
    source="origin",
    impute={"tailnum": fr.impute.constant("unknown")},
    freshness=HELD,
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
        **{f: fr.impute.last(by="origin") for f in ("temp", "dewp", "humid", "wind_dir", "wind_speed")},
        **{f: fr.impute.last(by="origin") for f in ("precip", "pressure", "visib")},
    },
    freshness=HELD,
)


def delays(name: str, key: str) -> fr.View:
    """How late arrivals of one carrier, airport or aircraft have been."""
    return fr.View(
        name,
        arrivals,
        key=key,
        tile="10m",
        description=f"Arrival delays by {key}: minutes, positive is late.",
        features={
            "n_1h": fr.count(over="1h"),
            "n_6h": fr.count(over="6h"),
            "delay_1h": fr.mean("arr_delay", over="1h"),
            "delay_6h": fr.mean("arr_delay", over="6h"),
            "worst_6h": fr.max("arr_delay", over="6h"),
            "delay_ewm_1h": fr.decayed_mean("arr_delay", half_life="1h"),
            "delay_ewm_6h": fr.decayed_mean("arr_delay", half_life="6h"),
            "delay_ewm_24h": fr.decayed_mean("arr_delay", half_life="1d"),
            "last_delay": fr.last("arr_delay"),
            "since_last": fr.age(),
        },
    )


by_origin, by_carrier = delays("arrivals_by_origin", "origin"), delays("arrivals_by_carrier", "carrier")
by_dest, by_tail = delays("arrivals_by_dest", "dest"), delays("arrivals_by_tail", "tailnum")
VIEWS = [by_origin, by_carrier, by_dest, by_tail]
app_model_features = [v[f] for v in VIEWS for f in v.features]
late = fr.Model(
    "late_arrival",
    on=departures,
    id="flight_id",
    label=fr.Label(arrivals, id="flight_id", value=pl.col("arr_delay") > 15),
    features=[
        *(departures[f] for f in ("carrier", "origin", "dest", "tailnum")),
        *(fr.category(departures[f]) for f in ("hour", "weekday", "month", "day", "flight")),
        *app_model_features,
    ],
    learners=[fr.Baseline(), fr.HashedLogistic()],
    slices=["carrier", "origin"],
    fallback=[fr.heuristic(pl.col("arrivals_by_origin.delay_ewm_1h") > 20, 0.5, 0.2), fr.constant(0.24)],
)
HAS_TORCH = find_spec("torch") is not None
app = fr.App("flights", topics=[departures, takeoffs, arrivals, weather], views=VIEWS, models=[late])
