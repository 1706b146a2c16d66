"""An app of four views by one key, whose rows are read over HTTP."""

from __future__ import annotations

import os

import freshet as fr

seen = fr.Topic(
    "seen",
    schema={
        "type": "record",
        "name": "seen",
        "fields": [
            {"name": "event_id", "type": "string"},
            {"name": "at", "type": "long"},
            {"name": "user", "type": "string"},
            {"name": "x", "type": "double"},
        ],
    },
    event_id="event_id",
    event_time="at",
)
VIEWS = [
    fr.View(
        f"by_user_{number}",
        seen,
        key="user",
        features={
            "n": fr.count(over="1h"),
            "mean": fr.mean("x", over="1d"),
            "last": fr.last("x"),
        },
    )
    for number in range(4)
]
app = fr.App(os.environ.get("FRESHET_BENCH_APP", "features"), topics=[seen], views=VIEWS)
