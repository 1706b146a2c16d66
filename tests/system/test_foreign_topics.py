"""Topics that others made, with settings of their own, on a real Kafka: freshet writes nothing into
them but events."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import polars as pl
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

import freshet as fr
from freshet.audit import kept as kept_by_run
from freshet.schemas.wire.messages import Cut
from freshet.streams.kafka.log import KafkaLog
from freshet.testing import LocalRun, MemoryStore

HOUR = 3_600_000
VISIT = {
    "type": "record",
    "name": "visit",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": "long"},
        {"name": "user", "type": "string"},
        {"name": "long", "type": "boolean"},
    ],
}


def app_on(topic_name: str) -> fr.App:
    visits = fr.Topic("visits", VISIT, event_id="id", event_time="at", partitions=2)
    by_user = fr.View("by_user", visits, key="user", features={"n": fr.count(over="6h")})
    model = fr.Model(
        "long",
        on=visits,
        id="id",
        label=fr.Label(visits, id="id", value=pl.col("long")),
        features=[by_user["n"]],
        learners=[fr.Baseline()],
        fallback=[fr.constant(0.5)],
    )
    return fr.App(topic_name, topics=[visits], views=[by_user], models=[model])


@pytest.mark.parametrize("transactional", [False, True], ids=["plain", "transactional"])
def test_a_compacted_topic_is_taken_in_and_its_model_is_cut_and_served(
    kafka: str, tmp_path: Path, transactional: bool
) -> None:
    app = app_on(f"compacted{uuid.uuid4().hex[:8]}")
    source = app.log_of("visits")
    admin = AdminClient({"bootstrap.servers": kafka})
    made = admin.create_topics([NewTopic(source, 2, 1, config={"cleanup.policy": "compact"})])
    made[source].result()
    settings = {"transactional.id": source} if transactional else {}
    producer = Producer({"bootstrap.servers": kafka, **settings})
    if transactional:
        producer.init_transactions(60.0)

    def publish(hour: int) -> None:
        if transactional:
            producer.begin_transaction()
        for i in range(4):
            at = hour * HOUR + i
            event = {"id": f"{hour}.{i}", "at": at, "user": "ann", "long": True}
            producer.produce(
                source,
                json.dumps(event).encode(),
                key=event["id"].encode(),
                partition=i % 2,
                timestamp=at,
            )
        producer.flush()
        if transactional:
            producer.commit_transaction()

    log = KafkaLog(kafka)
    with LocalRun(app, tmp_path, MemoryStore(), snapshot_every="1h", log=log) as local:
        for hour in range(1, 5):
            publish(hour)
            asked = {"id": [f"{hour}.{i}" for i in range(4)], "user": ["ann"] * 4}
            answer = local.step(hour * HOUR, (hour + 1) * HOUR, asked, {})
        assert answer is not None
        assert answer.parameters["rung"] == "champion"
        assert [m.tick // HOUR for m in local.messages if isinstance(m, Cut)] == [3, 4, 5]
        values = [r.value for p in range(2) for r in kept_by_run.records(log, source, p)]
        assert len(values) == 16, "there are events alone"
