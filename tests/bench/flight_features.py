"""The flight-features job, as an app: repeats and invalid events out, gaps filled, an hour's count
and mean and a decayed mean for each of 300 origins. Beside it the records it runs on.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from itertools import product
from string import ascii_uppercase

import fastavro
import numpy as np
import polars as pl

import freshet as fr
from tests.bench.stream_peers.flight_job import HEADER, SCHEMA

KEYS, DAY_MS, FIRST_MS = 300, 86_400_000, 1_700_000_000_000

# As it is declared where nothing is said of it, unless they are to be left out.
statistics = fr.Statistics()
if os.environ.get("FRESHET_BENCH_STATISTICS") == "none":
    statistics = None
flights = fr.Topic(
    "flights",
    schema=SCHEMA,
    event_id="event_id",
    event_time="ts",
    source="source",
    drop={"no_origin": pl.col("origin") == ""},
    impute={"dep_delay": fr.impute.constant(0.0)},
    dedup="10m",
    statistics=statistics,
    partitions=int(os.environ.get("FRESHET_BENCH_PARTITIONS", "1")),
    freshness=fr.Freshness(
        lateness="2m",
        max_future="1d",
        batch_wait=os.environ.get("FRESHET_BENCH_BATCH_WAIT", "50ms"),
    ),
)
by_origin = fr.View(
    "by_origin",
    flights,
    key="origin",
    tile="1m",
    features={
        "n_1h": fr.count(over="1h"),
        "delay_1h": fr.mean("arr_delay", over="1h"),
        "delay_ewm": fr.decayed_mean("arr_delay", half_life="1h"),
        "dep_delay": fr.last("dep_delay"),
    },
)
app = fr.App(os.environ.get("FRESHET_BENCH_APP", "bench"), topics=[flights], views=[by_origin])


def records(n: int) -> Iterator[tuple[bytes, int]]:
    """`n` events of one day in rough order, with append times: 1 % repeats, 2 % out of order, 0.5 %
    invalid."""
    rng = np.random.default_rng(20)
    codes = ["".join(t) for t in product(ascii_uppercase, repeat=3)]
    airports = [codes[i] for i in rng.choice(len(codes), KEYS, replace=False)]
    often = 1.0 / np.arange(1, KEYS + 1)
    origin, dest = (rng.choice(KEYS, n, p=often / often.sum()).tolist() for _ in range(2))
    at = FIRST_MS + (np.arange(n) * (DAY_MS / n)).astype(np.int64)
    ts = at - np.where(rng.random(n) < 0.02, rng.integers(0, 60_000, n), 0)
    carrier, number = rng.integers(0, 6, n).tolist(), rng.integers(1, 9999, n).tolist()
    arrived = np.round(rng.normal(6, 30, n))
    left = np.round(arrived + rng.normal(0, 8, n)).tolist()
    distance, ids = rng.integers(80, 2800, n).tolist(), rng.integers(0, 2**63, n).tolist()
    again, bad, tail, gap = (rng.random(n).tolist() for _ in range(4))
    lag = rng.integers(1, 500, n).tolist()
    parsed, out = (
        fastavro.parse_schema({k: v for k, v in SCHEMA.items() if k != "schema_id"}),
        io.BytesIO(),
    )
    newest: list[bytes] = []
    for i, (t, published, late) in enumerate(zip(ts.tolist(), at.tolist(), arrived.tolist())):
        if again[i] < 0.01 and i > 600:
            value = newest[-lag[i]]
        else:
            event = {
                "event_id": f"{ids[i]:016x}",
                "ts": t,
                "carrier": ("AA", "DL", "UA", "WN", "B6", "AS")[carrier[i]],
                "origin": "" if bad[i] < 0.0025 else airports[origin[i]],
                "dest": airports[dest[i]],
                "tailnum": None if tail[i] < 0.05 else f"N{number[i]}X",
                "flight": number[i],
                "dep_delay": None if gap[i] < 0.04 else left[i],
                "arr_delay": 1e9 if 0.0025 <= bad[i] < 0.005 else None if gap[i] < 0.03 else late,
                "distance": distance[i],
                "air_time": None if gap[i] < 0.03 else float(distance[i] // 8),
                "source": "bts",
            }
            out.seek(0)
            out.truncate()
            fastavro.schemaless_writer(out, parsed, event)
            value = HEADER + out.getvalue()
        newest.append(value)
        if len(newest) > 2000:
            del newest[:1000]
        yield value, published
