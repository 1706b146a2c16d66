"""Flights whose outcomes were others than they were: `Alter`s, for tests of what may not depend on
them."""

from __future__ import annotations

import polars as pl

from freshet.demo.flights.data import MINUTE_MS, TAXI_MINUTES, Alter


def with_outcome(flight_id: str, **outcome: float | None) -> Alter:
    """An `Alter`: this flight's `dep_delay`, `arr_delay` or `air_time` (minutes; None: never) is
    another."""
    mine = pl.col("flight_id") == flight_id

    def alter(flights: pl.DataFrame) -> pl.DataFrame:
        new = [
            pl.when(mine).then(pl.lit(v, pl.Float64)).otherwise(c).alias(c)
            for c, v in outcome.items()
        ]
        return flights.with_columns(new)

    return alter


def with_labels_turned(from_ms: int) -> Alter:
    """An `Alter`: flights that arrive at `from_ms` or later are late where they were not, and vice
    versa."""

    def alter(flights: pl.DataFrame) -> pl.DataFrame:
        minutes = pl.col("dep_delay") + pl.col("air_time") + TAXI_MINUTES
        later = pl.col("scheduled_at") + minutes * MINUTE_MS >= from_ms
        other = pl.when(pl.col("arr_delay") > 15).then(-10.0).otherwise(90.0)
        known = later & pl.col("arr_delay").is_not_null()
        return flights.with_columns(arr_delay=pl.when(known).then(other).otherwise("arr_delay"))

    return alter
