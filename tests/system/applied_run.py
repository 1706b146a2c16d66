"""A run that is changed while it goes on, and clients that ask it all the while."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from freshet.app import load
from freshet.versions.record import Versions
from tests.system.operated_run import COURIERS, Event, OperatedRun, Told, command, until

PAUSE_SECONDS = 0.01
Change = tuple[str, str]
VIEW = """again = fr.View(
    "again",
    deliveries,
    key="courier",
    features={
        "late_10m": fr.mean("minutes_late", over="10m"),
        "late_ewm": fr.decayed_mean("minutes_late", "30m"),
    },
)
late = fr.Model("""
VIEWS = "views=[load, punctuality"
LOAD = '{"n_10m": fr.count(over="10m")}'
TOPIC = """returns = fr.Topic(
    "returns",
    schema={"type": "record", "name": "return", "schema_id": 7, "fields": PARCEL},
    event_id="parcel",
    event_time="at",
    freshness=FRESH,
)
# Views:"""
# What is added to what there is: a view, a feature of another view and so of the model, a learner.
ADDED: list[Change] = [
    ("late = fr.Model(", VIEW),
    (VIEWS, f"{VIEWS}, again"),
    (LOAD, '{"n_10m": fr.count(over="10m"), "n_5m": fr.count(over="5m")}'),
    ("learners=[fr.Baseline(), ", "learners=[fr.Baseline(), fr.HashedLogistic(name='other', rate=0.3), "),
]  # fmt: skip
# Other words for what there is: a filter, an impute, a window, a derived field, the label's rule,
# a learner's options; a view less.
CHANGED: list[Change] = [
    ('pl.col("courier") == "nobody"', 'pl.col("courier") == "somebody"'),
    ("fr.impute.constant(1.0)}", 'fr.impute.constant(2.0)}, derive={"half": pl.col("weight_kg") / 2}'),
    ('"n_5m": fr.count(over="5m")', '"n_5m": fr.count(over="7m"), "halves": fr.sum("half", over="10m")'),
    ('pl.col("minutes_late") > 10', 'pl.col("minutes_late") > 20'),
    ("rate=0.3", "rate=0.2"),
    (f"{VIEWS}, again", VIEWS),
]  # fmt: skip
# Topics and schemas: a topic, a field that a view reads, and one that is required.
OF_SCHEMAS: list[Change] = [
    ("# Views:", TOPIC),
    ("topics=[handovers,", "topics=[returns, handovers,"),
    ('"name": "delivery", "schema_id": 2,', '"name": "delivery", "schema_id": 3,'),
    ("[*PARCEL, LATE]", '[*PARCEL, {**LATE, "required": True}, '
     '{"name": "stairs", "type": ["null", "int"], "default": None}]'),
    ('features={\n        "late_10m": fr.mean("minutes_late", over="10m"),\n        "late_ewm"',
     'features={\n        "stairs": fr.sum("stairs", over="10m"),\n        '
     '"late_10m": fr.mean("minutes_late", over="10m"),\n        "late_ewm"'),
]  # fmt: skip
# A field less, with the feature that reads it.
A_FIELD_LESS: list[Change] = [
    ('"name": "delivery", "schema_id": 3,', '"name": "delivery", "schema_id": 4,'),
    (', {"name": "stairs", "type": ["null", "int"], "default": None}', ""),
    ('        "stairs": fr.sum("stairs", over="10m"),\n', ""),
]  # fmt: skip


class Asking:
    """A client that keeps its connection, and asks once more for as long as it is told to.
    `answers` are by rung and lineage."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._stop = threading.Event()
        self.failed: list[str] = []
        self.answers: list[tuple[str, str]] = []

    def work(self) -> None:
        names = {"parcel": "asked", "courier": "ann", "city": "Lyon"}
        inputs = [
            {"name": name, "shape": [1], "datatype": "BYTES", "data": [value]}
            for name, value in names.items()
        ]
        with httpx.Client(base_url=self._address, timeout=30.0) as client:
            while not self._stop.wait(PAUSE_SECONDS):
                try:
                    answer = client.post("/v2/models/late/infer", json={"inputs": inputs})
                except httpx.HTTPError as error:
                    self.failed.append(repr(error))
                    continue
                if answer.status_code != httpx.codes.OK:
                    self.failed.append(answer.text)
                told = answer.json().get("parameters", {})
                self.answers.append((told.get("rung", ""), told.get("lineage", "")))

    def end(self) -> None:
        self._stop.set()


@contextmanager
def asked_meanwhile(run: OperatedRun) -> Iterator[Asking]:
    asking = Asking(str(run.scorer.base_url))
    thread = threading.Thread(target=asking.work)
    thread.start()
    try:
        yield asking
    finally:
        asking.end()
        thread.join()


def edited(run: OperatedRun, changes: Sequence[Change]) -> None:
    text = run.file.read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    run.file.write_text(text)


def applied(run: OperatedRun, *arguments: str) -> Told:
    told = command("apply", *arguments, "--run-dir", str(run.folder))
    assert told.status == 0, told
    connect_again(run)
    run.app = load(active_file(run.folder))
    return told


def connect_again(run: OperatedRun) -> None:
    """Its page is another process now."""
    run.page.close()
    run.scorer.close()
    run.connect()


def active_file(folder: Path) -> Path:
    versions = Versions(folder)
    current = versions.current()
    assert current is not None
    return versions.app_file(versions.of(current.version))


def active(folder: Path) -> int:
    current = Versions(folder).current()
    assert current is not None
    return current.version


def values(run: OperatedRun, *features: str, key: str = "courier") -> list[Any]:
    """Of every courier, in order; empty while their view is not complete."""
    keys = list(COURIERS) if key == "courier" else ["Berlin", "Lyon", "Porto"]
    asked = {"features": list(features), "entities": {key: keys}, "full_feature_names": True}
    found = run.scorer.post("/get-online-features", json=asked)
    if found.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        return []
    results: list[Event] = found.raise_for_status().json()["results"]
    return [result["values"] for result in results[1:]]


def alike(run: OperatedRun, one: str, other: str) -> bool:
    """Whether two features have equal values, bit for bit, of which some are there."""
    found = values(run, one, other)
    return bool(found) and found[0] == found[1] and any(v is not None for v in found[0])


def all_alive(run: OperatedRun) -> None:
    def alive() -> bool:
        try:
            status = run.status()
        except httpx.HTTPError:
            return False
        light = next(p.state for p in status.promises if p.name == "roles alive")
        return light == "green" and all(role.restarts == 0 for role in status.roles)

    until(alive, "all roles are alive, and none was started again")
