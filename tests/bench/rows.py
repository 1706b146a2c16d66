"""How many bytes has a row of windows from ten minutes to thirty days, and what does an event cost,
at a thousand to a million keys?"""

from __future__ import annotations

import time

import numpy as np

import freshet as fr
from freshet.features.aggregates import Aggregate
from freshet.features.partition.rows import ViewRows
from freshet.features.rows.plan import RowPlan
from freshet.schemas.durations import DAY_MS
from freshet.schemas.text.columns import Texts
from tests.bench.harness import Row

OVERS = ("10m", "1h", "1d", "7d", "30d")
SPAN_MS = 60 * DAY_MS
BATCH = 10_000
# Events of each run; a key's rows are as long as they are after so many of them.
EVENTS = {1_000: 1_000_000, 100_000: 3_000_000, 1_000_000: 6_000_000}


def plan() -> RowPlan:
    features: dict[str, Aggregate] = {}
    for over in OVERS:
        features[f"n_{over}"] = fr.count(over=over)
        features[f"sum_{over}"] = fr.sum("x", over=over)
        features[f"max_{over}"] = fr.max("x", over=over)
    return RowPlan.compile(features, None)


def run() -> list[Row]:
    small, *others = (_at(keys, events) for keys, events in EVENTS.items())
    return [small, *({**row, "ratio": small["ours"] / row["ours"]} for row in others)]


def _at(keys: int, events: int) -> Row:
    """The last quarter counts: by then every row has found its length."""
    rng = np.random.default_rng(keys)
    names = np.array([f"key {key}" for key in range(keys)])
    rows = ViewRows(plan())
    taken: list[float] = []
    batches = events // BATCH
    index = np.arange(BATCH)
    for batch in range(batches):
        texts = Texts.of(names[rng.integers(0, keys, BATCH)].tolist())
        first = SPAN_MS * batch // batches
        times = np.sort(rng.integers(first, SPAN_MS * (batch + 1) // batches, BATCH))
        values = rng.normal(size=(BATCH, 1))
        started = time.perf_counter()
        rows.fold(texts, times, values, batch, index)
        taken.append(time.perf_counter() - started)
    _, packed = rows.all_rows()
    stored = packed.data.size / len(packed)
    return {
        "name": f"rows of {keys:,} keys",
        "unit": "µs/event",
        "ours": float(np.median(taken[-batches // 4 :])) / BATCH * 1e6,
        "baseline": None,
        "ratio": None,
        "against": "the same at 1,000 keys",
        "detail": {
            "stored_bytes_a_row": round(stored),
            "memory_bytes_a_row": round(rows.used_bytes / len(packed)),
            "bytes_of_five_events": rows.plan.bytes_of(5),
            "most_bytes": rows.plan.most_bytes,
        },
    }
