"""One clock among many that is wrong: it decides for nobody else, live or after a restart."""

from __future__ import annotations

import json
import time
import uuid
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

import freshet as fr
from freshet.audit import kept as kept_by_run
from freshet.features.reading.api import read_request
from freshet.roles import plans
from freshet.roles.interface import feature_reader
from freshet.streams.clock import Clock, ManualClock
from freshet.streams.intake.task import IntakeTask
from freshet.streams.kafka.log import KafkaLog
from freshet.streams.log.contract import Log
from freshet.streams.operators.loop import Job, Operator, Place
from freshet.streams.operators.ticks import WallPace
from freshet.streams.sqlite.log import SqliteLog
from freshet.testing import LocalRun, MemoryStore
from tests.howto import Sent

NOW, SECOND, MINUTE, YEAR = 1_795_890_000_000, 1_000, 60_000, 365 * 86_400_000
DEVICES = [f"d{i}" for i in range(10)]
PATIENCE_SECONDS = 60.0
READING = {
    "type": "record",
    "name": "reading",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": "long"},
        {"name": "device", "type": "string"},
        {"name": "x", "type": "double"},
    ],
}


def clocks(name: str = "clocks", **freshness: str) -> fr.App:
    readings = fr.Topic(
        "readings",
        READING,
        event_id="id",
        event_time="at",
        source="device",
        freshness=fr.Freshness(**freshness),  # type: ignore[arg-type]
    )
    by_device = fr.View("by_device", readings, key="device", features={"n": fr.count(over="1h")})
    model = fr.Model(
        "m",
        on=readings,
        id="id",
        label=fr.Label(readings, id="id", value=pl.col("x") > 0.5),
        features=[readings["x"]],
        learners=[fr.Baseline()],
        fallback=[fr.constant(0.5)],
    )
    return fr.App(name, topics=[readings], views=[by_device], models=[model])


def reading(name: str, at: int, device: str) -> dict[str, Any]:
    return {"id": name, "at": at, "device": device, "x": 1.0}


def facts(local: LocalRun, task: str) -> dict[str, Any]:
    (found,) = [t for op in local.operators for t in op.tasks() if t.name == task]
    return found.facts()


def fates(task: Any) -> dict[str, int]:
    return {fate: n for fate, n in task["fates"].items() if n}


def intake(app: fr.App, log: Log, folder: Path, clock: Clock) -> Operator:
    """Live, by this clock."""
    (topic,) = app.topics
    plan = plans.intake_plan(app, topic)
    job = Job(
        "intake",
        [app.log_of(topic.name)],
        lambda name, partition: IntakeTask(plan, partition),
        group=f"{app.name}.intake",
        declared={topic.name: topic.freshness},
        pace=WallPace(clock, 0.0),
        kept_as=partial(plans.kept_as, app),
    )
    return Operator(job, Place(log, app.channels, str(folder / "checkpoints"), clock.now_ms))


def read(operator: Operator, records: int) -> dict[str, int]:
    """Its fates, once it has read so many records and told the time after them."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        operator.step(0.2)
        found = [task.facts() for task in operator.tasks()]
        if found and sum(found[0]["fates"].values()) >= records:
            operator.step(0.0)
            return fates(found[0])
    raise AssertionError("not read in time")


def test_of_ten_devices_one_is_three_minutes_fast_and_all_readings_count(tmp_path: Path) -> None:
    app, store = clocks(), MemoryStore()
    with LocalRun(app, tmp_path, store) as local:
        for turn in range(6):
            begun = NOW + turn * SECOND
            sent = Sent(
                (begun, reading(f"{turn}-{d}", begun + 3 * MINUTE * (d == "d0"), d))
                for d in DEVICES
            )
            local.step(begun, begun + SECOND, {}, {"readings": sent})
        asked = {"features": ["by_device:n"], "entities": {"device": DEVICES}}
        request = read_request(json.dumps(asked).encode())
        # As of when the fast one's readings have happened, too.
        answer = feature_reader(app).answer(request, store, NOW + 5 * MINUTE)
        assert answer.results[-1].values == [6] * 10
        assert fates(facts(local, "intake:readings:0")) == {"applied": 60}


def test_an_outcome_four_minutes_fast_expires_no_question(tmp_path: Path) -> None:
    names = [f"q{i}" for i in range(100)]
    with LocalRun(clocks(label_wait="3m"), tmp_path, MemoryStore()) as local:
        asked: dict[str, list[Any]] = {"id": names, "x": [1.0] * 100}
        fast = Sent([(NOW, reading("fast", NOW + 4 * MINUTE, "d0"))])
        local.step(NOW, NOW + SECOND, asked, {"readings": fast})
        told = facts(local, "join:m:0")
        assert (told["open"], told["expired"]) == (101, 0)
        in_time = NOW + 2 * MINUTE
        labels = Sent((in_time, reading(name, in_time, "d1")) for name in names)
        local.step(in_time, NOW + 3 * MINUTE - 1, {}, {"readings": labels})
        told = facts(local, "join:m:0")
        assert (told["labelled"], told["expired"]) == (100, 0)


def test_questions_expire_by_the_apps_clock_all_the_same(tmp_path: Path) -> None:
    with LocalRun(clocks(label_wait="3m"), tmp_path, MemoryStore()) as local:
        local.step(NOW, NOW + 3 * MINUTE - 1, {"id": ["q"], "x": [1.0]}, {})
        assert facts(local, "join:m:0")["expired"] == 0
        local.step(NOW + 3 * MINUTE - 1, NOW + 3 * MINUTE, {}, {})
        assert facts(local, "join:m:0")["expired"] == 1


@pytest.mark.parametrize("vouches", ["CreateTime", "LogAppendTime"])
def test_a_record_stamped_a_year_ahead_costs_nobody_anything_also_over_restarts(
    kafka: str, tmp_path: Path, vouches: str
) -> None:
    app = clocks(f"clocks{uuid.uuid4().hex[:8]}")
    source = app.log_of("readings")
    config = {"message.timestamp.type": vouches, "message.timestamp.after.max.ms": str(2**63 - 1)}
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(source, 1, 1, config=config)])[source].result()
    producer = Producer({"bootstrap.servers": kafka})
    log = KafkaLog(kafka)
    plans.ensure_topics(app, log)
    now = int(time.time() * 1_000)

    def produce(events: list[dict[str, Any]]) -> None:
        for event in events:
            producer.produce(source, json.dumps(event).encode(), timestamp=event["at"])
        producer.flush()

    produce([reading("a", now, "d1"), reading("b", now + YEAR, "d0")])
    produce([reading(f"c{i}", now, f"d{i % 2}") for i in range(50)])
    with closing(intake(app, log, tmp_path, ManualClock(now))) as operator:
        assert read(operator, 52) == {"applied": 51, "dead:far_future": 1}
    # It was killed before its next checkpoint. Whoever reads the year ahead again, a year later,
    # comes to the same; so do those who come next.
    later = ManualClock(now + 2 * YEAR)
    with closing(intake(app, log, tmp_path, later)) as operator:
        assert read(operator, 52) == {"applied": 51, "dead:far_future": 1}
        produce([reading(f"e{i}", now + MINUTE, f"d{i % 2}") for i in range(50)])
        assert read(operator, 102) == {"applied": 101, "dead:far_future": 1}
        operator.checkpoint()
    recorded = kept_by_run.taken_on(
        log, str(tmp_path / "checkpoints"), app.topic("readings"), source, 0
    )
    assert bool(recorded.vouched) == (vouches == "CreateTime")


def test_ids_are_forgotten_by_the_apps_clock_and_at_checkpoints_which_kills_do_not_undo(
    tmp_path: Path,
) -> None:
    app = clocks()
    log = SqliteLog(str(tmp_path / "log"))
    clock = ManualClock(NOW)
    plans.ensure_topics(app, log)
    source, topic = app.log_of("readings"), app.topic("readings")
    hour = 60 * MINUTE

    def sent(at: int) -> None:
        with closing(log.writer()) as writer:
            value = json.dumps(reading("a", at, f"d{at}")).encode()
            writer.append(source, 0, [value], clock.now_ms())
            writer.flush()

    def turns() -> list[int]:
        url = str(tmp_path / "checkpoints")
        return list(kept_by_run.taken_on(log, url, topic, source, 0).turns)

    sent(NOW)
    with closing(intake(app, log, tmp_path, clock)) as operator:
        assert read(operator, 1) == {"applied": 1}
        # An event of hours later, or of long ago, is no reason to forget.
        sent(NOW - 5 * hour)
        assert read(operator, 2) == {"applied": 1, "deduplicated": 1}
        assert turns() == []
        clock.set(NOW + hour)
        operator.step(0.0)
        assert turns() == [2]
    # Killed.
    sent(NOW)
    with closing(intake(app, log, tmp_path, clock)) as operator:
        assert read(operator, 3) == {"applied": 1, "deduplicated": 2}
        clock.set(NOW + 2 * hour)
        operator.step(0.0)
        assert turns() == [2, 3]
    sent(NOW)
    with closing(intake(app, log, tmp_path, clock)) as operator:
        assert read(operator, 4) == {"applied": 2, "deduplicated": 2}
