"""Does a key that has half of all events slow the others, and what do keys without end cost?"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

import freshet as fr
from freshet.features.aggregates import Aggregate
from freshet.features.partition.events import More
from freshet.features.partition.rows import ViewRows
from freshet.features.rows.plan import RowPlan
from freshet.features.views.task import LOOKED_AT_AN_EVENT
from freshet.schemas.durations import DAY_MS, HOUR_MS
from freshet.schemas.text.columns import Texts
from tests.bench.harness import Row

I64 = npt.NDArray[np.int64]
BATCH = 10_000
KEYS = 100_000
EVENTS = 3_000_000
SPAN_MS = 60 * DAY_MS
ENDLESS_EVENTS = 5_000_000


def plan(*overs: str) -> RowPlan:
    features: dict[str, Aggregate] = {}
    for over in overs:
        features[f"n_{over}"] = fr.count(over=over)
        features[f"sum_{over}"] = fr.sum("x", over=over)
        features[f"max_{over}"] = fr.max("x", over=over)
    return RowPlan.compile(features, None)


def uniform(rng: np.random.Generator) -> I64:
    return rng.integers(0, KEYS, BATCH)


def zipf(rng: np.random.Generator) -> I64:
    return rng.zipf(1.5, BATCH) % KEYS


def one_of_half(rng: np.random.Generator) -> I64:
    return np.where(rng.random(BATCH) < 0.5, 0, rng.integers(0, KEYS, BATCH))


def run() -> list[Row]:
    even = _folded(uniform)
    rows = [_row("uniform", even, None)]
    rows.append(_row("Zipf 1.5", _folded(zipf), even))
    rows.append(_row("one key of half of all events", _folded(one_of_half), even))
    return [*rows, _endless()]


def _row(name: str, cost: float, even: float | None) -> Row:
    ratio = None
    if even is not None:
        ratio = round(even / cost, 2)
    return {
        "name": f"keys: {name}",
        "unit": "µs/event",
        "ours": cost,
        "baseline": even,
        "ratio": ratio,
        "against": "uniform keys",
        "detail": {"keys": KEYS, "events": EVENTS},
    }


def _folded(keys_of: Callable[[np.random.Generator], I64]) -> float:
    """µs an event; the last quarter counts, as by then every row has found its length."""
    rng = np.random.default_rng(KEYS)
    names = np.array([f"key {key}" for key in range(KEYS)])
    rows = ViewRows(plan("10m", "1h", "1d", "7d", "30d"))
    taken: list[float] = []
    batches = EVENTS // BATCH
    for batch in range(batches):
        texts = Texts.of(names[keys_of(rng)].tolist())
        first = SPAN_MS * batch // batches
        times = np.sort(rng.integers(first, SPAN_MS * (batch + 1) // batches, BATCH))
        taken.append(_fold(rows, texts, times, batch))
    return _an_event(taken[-batches // 4 :])


def _an_event(taken: list[float]) -> float:
    return round(float(np.median(taken)) / BATCH * 1e6, 3)


def _fold(rows: ViewRows, texts: Texts, times: I64, offset: int) -> float:
    values = np.ones((BATCH, 1))
    index = np.arange(BATCH)
    started = time.thread_time()
    # In order, so that the newest event is the log's time.
    rows.fold(texts, times, values, offset, index, More(clocks=times))
    rows.sweep(int(times[-1]), LOOKED_AT_AN_EVENT * BATCH)
    return time.thread_time() - started


def _endless() -> Row:
    """Every second event is of a key that was never seen and will not be again; rows live for an
    hour, in which a hundred thousand come."""
    rng = np.random.default_rng(1)
    rows = ViewRows(plan("10m", "1h"))
    taken: list[float] = []
    held: list[int] = []
    per_event_ms = HOUR_MS / (2 * KEYS)
    for batch in range(ENDLESS_EVENTS // BATCH):
        first = batch * BATCH
        new = np.arange(first, first + BATCH)
        keys = np.where(
            new % 2 == 0, new, np.maximum(0, new - rng.integers(1, 1_000, BATCH) * 2 - 1)
        )
        texts = Texts.of([f"key {key}" for key in keys.tolist()])
        times = (new * per_event_ms).astype(np.int64)
        taken.append(_fold(rows, texts, times, batch))
        # As store and checkpoint take them: a second, and several, at this pace.
        rows.hand_over()
        if batch % 5 == 0:
            rows.dump_delta()
            rows.let_go()
        held.append(rows.used_bytes + rows.key_bytes)
    quarter = len(taken) // 4
    return {
        "name": "keys: without end",
        "unit": "µs/event",
        "ours": _an_event(taken[-quarter:]),
        "baseline": _an_event(taken[quarter : 2 * quarter]),
        "ratio": None,
        "against": "itself, half of them earlier",
        "detail": {
            "keys_that_passed": ENDLESS_EVENTS // 2,
            "rows_at_the_end": len(rows),
            "bytes_at_a_quarter": held[quarter],
            "bytes_at_the_end": held[-1],
        },
    }
