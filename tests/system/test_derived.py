"""Derived fields in a whole run: views, labels and models read them, and a request's are those of
an event."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import freshet as fr
from freshet.audit import kept
from freshet.roles.interface import catalogue_of
from freshet.serving.scoring.contract import Answer
from freshet.streams.intake.fates import fates
from freshet.streams.sqlite.log import SqliteLog
from freshet.testing import LocalRun, MemoryStore

HOUR = 3_600_000
# 2013-03-10 05:00 UTC: two hours before New York puts its clocks forward.
START = 1_362_891_600_000
FIELDS: list[dict[str, Any]] = [
    {"name": "id", "type": "string"},
    {"name": "at", "type": "long"},
    {"name": "origin", "type": "string"},
    {"name": "dest", "type": ["null", "string"], "default": None},
    {"name": "late", "type": ["null", "double"], "default": None},
]
SCHEMA = {"type": "record", "name": "trip", "fields": FIELDS}


class Sent(list[dict[str, Any]]):
    """Events of one partition, each appended when it was."""

    def split(self, partitions: int) -> list[list[dict[str, Any]]]:
        return [self]

    def runs(self) -> list[tuple[int, list[bytes]]]:
        return [(event["at"], [json.dumps(event).encode()]) for event in self]


def trips() -> fr.Topic:
    return fr.Topic(
        "trips",
        SCHEMA,
        event_id="id",
        event_time="at",
        impute={"dest": fr.impute.constant("??")},
        derive={
            "hour": fr.hour("at", zone="America/New_York"),
            "route": pl.col("origin").str.to_lowercase() + "-" + pl.col("dest"),
            "log_late": pl.col("late").log(),
            "is_late": pl.col("late") > 10,
            "cell": fr.bucket(["route", "hour"], 50),
        },
    )


def declared() -> tuple[fr.App, fr.Model]:
    topic = trips()
    by_route = fr.View(
        "by_route",
        topic,
        key=("route", "hour"),
        features={"n": fr.count(over="6h"), "log_late": fr.sum("log_late", over="6h")},
    )
    model = fr.Model(
        "late",
        on=topic,
        id="id",
        label=fr.Label(topic, id="id", value=pl.col("is_late")),
        features=[
            topic["hour"],
            topic["route"],
            fr.category(topic["cell"]),
            by_route["n"],
            by_route["log_late"],
        ],
        learners=[fr.Baseline()],
        fallback=[fr.heuristic(pl.col("hour") < 3, p_true=0.9, p_false=0.1)],
    )
    return fr.App("derived", topics=[topic], views=[by_route], models=[model]), model


def test_the_catalogue_says_how_each_is_computed() -> None:
    (topic,) = catalogue_of(declared()[0]).topics
    derived = {field.name: field for field in topic.fields if field.derived is not None}
    assert list(derived) == list(trips().derive)
    assert derived["cell"].derived == "bucket of route, hour, one of 50"
    assert not derived["hour"].required


def event(number: int, at: int, late: float | None = 1.0, dest: str | None = "B") -> dict[str, Any]:
    return {"id": str(number), "at": at, "origin": "A", "dest": dest, "late": late}


def ask(local: LocalRun, start: int, asked: list[dict[str, Any]], sent: Sent) -> Answer:
    names = ("id", "at", "origin", "dest")
    columns = {name: [one[name] for one in asked] for name in names}
    answer = local.step(start, start + HOUR, columns, {"trips": sent})
    assert answer is not None
    return answer


def test_views_labels_and_models_read_them_and_a_request_s_are_those_of_its_event(
    tmp_path: Path,
) -> None:
    app, model = declared()
    store = MemoryStore()
    with LocalRun(app, tmp_path, store, snapshot_every="1h") as local:
        first = Sent(
            [event(i, START + 60_000 * i, late) for i, late in enumerate([2.0, 0.0, -1.0])]
        )
        # A request without a destination is filled in as an event would be.
        asked = [event(10, START), event(11, START, dest=None)]
        answer = ask(local, START, asked, first)
        assert answer.parameters["rung"] == "heuristic"
        # Midnight there; 1 o'clock in the next hour, and 3 o'clock after that.
        assert answer.probabilities.tolist() == [0.9, 0.9]
        sent = Sent([event(10, START + HOUR + 1, 20.0), event(11, START + HOUR + 2, 2.0)])
        ask(local, START + HOUR, [event(12, START + 120_000)], sent)
        served = local.scorer.served["late"]
        columns = {
            "at": [START + 120_000, START + 2 * HOUR],
            "origin": ["A", "A"],
            "dest": ["B", "B"],
        }
        read = served.plan.read(store, columns, 2, START + 2 * HOUR)
        numbers = dict(zip(model.vectors.numbers, read.vectors.numbers.T))
        # Of an event at 0 o'clock the row of that hour: the log of 0 and of -1 are no numbers.
        assert numbers["hour"].tolist() == [0, 3]
        assert numbers["by_route.n"][0] == 3
        assert numbers["by_route.log_late"][0] == np.float32(np.log(2.0))
        card = {spec.name: spec for spec in local.scorer.card("late").inputs}
        assert card.keys() == {
            "id",
            "at",
            "origin",
            "dest",
            "late",
            "by_route.n",
            "by_route.log_late",
        }
        assert [card[name].required for name in ("at", "origin", "dest")] == [True, True, False]
    log = SqliteLog(str(tmp_path / "log"))
    _, ledger = kept.ledger(log, str(tmp_path / "checkpoints"), trips(), "derived.trips", 0)
    counts = dict(zip(fates(trips()), ledger[0].counts))
    assert {fate: n for fate, n in counts.items() if n} == {"applied": 5}
