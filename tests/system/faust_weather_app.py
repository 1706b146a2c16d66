"""An app with a topic that no producer of its own fills: agents make `weather_enriched` of
`weather`."""

from __future__ import annotations

from importlib.resources import files

import freshet as fr

HELD = fr.Freshness(lateness="2m")
weather = fr.Topic(
    "weather",
    schema=files("freshet.demo.flights").joinpath("weather.avsc").read_text(),
    event_id="observation_id",
    event_time="observed_at",
    source="origin",  # each airport has a clock of its own, which stands in 2013
    freshness=HELD,
)
enriched = fr.Topic(
    "weather_enriched",
    schema={
        "type": "record",
        "name": "weather_enriched",
        "schema_id": 5,
        "fields": [
            {"name": "observation_id", "type": "string"},
            {"name": "observed_at", "type": "long"},
            {"name": "origin", "type": "string"},
            {"name": "celsius", "type": ["null", "double"], "range": [-60, 60]},
            {"name": "elevation_feet", "type": "int"},
        ],
    },
    event_id="observation_id",
    event_time="observed_at",
    source="origin",  # each airport has a clock of its own, which stands in 2013
    freshness=HELD,
    partitions=3,
)
sky = fr.View(
    "sky",
    enriched,
    key="origin",
    tile="1h",
    features={
        "n_1d": fr.count(over="1d"),
        "celsius_1d": fr.mean("celsius", over="1d"),
        "coldest_1d": fr.min("celsius", over="1d"),
        "elevation_feet": fr.last("elevation_feet"),
    },
)
app = fr.App("sky", topics=[weather, enriched], views=[sky])
