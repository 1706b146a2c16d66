"""What benchmarks run on: real flights as records, as their topics hold them."""

from __future__ import annotations

from functools import cache
from itertools import accumulate, pairwise

import numpy as np

from freshet.app import App, load
from freshet.demo.flights import APP
from freshet.demo.flights.faults import Faults
from freshet.demo.flights.schedule import Schedule
from freshet.roles import plans
from freshet.streams.intake.task import IntakePlan
from freshet.streams.log.contract import Batch

CLEAN = Faults(duplicates=0.0, bad=0.0, disorder=0.0)
STEP_MS = 15 * 60_000


@cache
def app() -> App:
    """The flights demo's."""
    return load(APP)


@cache
def records(topic: str, days: int, faults: Faults = CLEAN) -> tuple[tuple[bytes, int], ...]:
    """What a topic holds of the first days: values with their append times (ms)."""
    steps = (step.events[topic] for step in Schedule(days, faults=faults))
    return tuple(pair for found in steps for pair in zip(found.values, found.times))


def batch(topic: str, found: tuple[tuple[bytes, int], ...], first: int = 0) -> Batch:
    """Records as a reader hands them over, from offset `first` on."""
    edges = np.array([0, *accumulate(len(v) for v, _ in found)], np.int64)
    data = np.frombuffer(bytearray().join(v for v, _ in found), np.uint8)
    times = np.array([t for _, t in found], np.int64)
    return Batch(topic, 0, data, edges[:-1], edges[1:], np.arange(first, first + len(found)), times)


def batches(topic: str, found: tuple[tuple[bytes, int], ...], rows: int) -> list[Batch]:
    """The same, cut into batches of `rows`; a rest is left out."""
    cuts = range(0, len(found) + 1, rows)
    return [batch(topic, found[a:b], a) for a, b in pairwise(cuts)]


def intake_plan(topic: str) -> IntakePlan:
    return plans.intake_plan(app(), app().topic(topic))
