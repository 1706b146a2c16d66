"""An app whose topics are on two real clusters, one of which wants a login and goes away."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

import freshet as fr
from freshet.audit import kept as kept_by_run
from freshet.audit.ledger import recompute
from freshet.features.stores.contract import RowKeys
from freshet.runs.clusters import routed
from freshet.schemas.errors import ComponentError, LogError
from freshet.servers.kafka_server import USER, KafkaServer
from freshet.streams.kafka.log import KafkaLog
from freshet.streams.operators.loop import Operator
from freshet.testing import LocalRun, MemoryStore
from tests.contracts.log_battery import DEADLINE_SECONDS

# Records are stamped with times of long ago, which a broker would take for too old to keep.
KEPT = {"retention.ms": "-1"}
HOUR = 3_600_000
PASSWORD = "not-a-secret"
SCHEMA = {
    "type": "record",
    "name": "visit",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": "long"},
        {"name": "user", "type": "string"},
    ],
}


@pytest.fixture
def other(tmp_path: Path) -> Iterator[KafkaServer]:
    server = KafkaServer(tmp_path / "other", password=PASSWORD)
    try:
        server.start()
    except ComponentError as error:
        if "kafka" in os.environ.get("FRESHET_REQUIRE", "").split(","):
            pytest.fail(f"kafka is required: {error}")
        pytest.skip(str(error))
    yield server
    server.stop()


def client(address: str, secured: bool) -> dict[str, str]:
    plain = {"bootstrap.servers": address}
    if not secured:
        return plain
    login = {"sasl.username": USER, "sasl.password": PASSWORD, "sasl.mechanism": "PLAIN"}
    return {**plain, **login, "security.protocol": "SASL_PLAINTEXT"}


def publish(address: str, secured: bool, log: str, first: int, count: int) -> None:
    producer = Producer(client(address, secured))
    for i in range(first, first + count):
        event = {"id": str(i), "at": HOUR + i, "user": log}
        producer.produce(log, json.dumps(event).encode(), partition=i % 2, timestamp=HOUR + i)
    assert producer.flush(30) == 0


def made(address: str, secured: bool, log: str) -> AdminClient:
    admin = AdminClient(client(address, secured))
    admin.create_topics([NewTopic(log, 2, 1, config=KEPT)])[log].result()
    publish(address, secured, log, 0, 10)
    return admin


def applied(intake: Operator) -> int:
    """Events of its topics, without those that were sent again of dead letters."""
    tasks = [task for task in intake.tasks() if task.name.startswith("intake:")]
    return sum(task.facts()["fates"]["applied"] for task in tasks)


def test_both_are_read_and_one_waits_for_the_other_alone(
    kafka: str, other: KafkaServer, tmp_path: Path
) -> None:
    tag = uuid.uuid4().hex[:8]
    here, there = f"here.{tag}", f"there.{tag}"
    made(kafka, False, here)
    admin = made(other.address, True, there)
    cluster = f"kafka://{other.address}"
    topics = [
        fr.Topic("here", SCHEMA, "id", "at", log=here),
        fr.Topic("there", SCHEMA, "id", "at", log=there, cluster=cluster),
    ]
    views = [fr.View(t.name, t, key="user", features={"n": fr.count(over="6h")}) for t in topics]
    app = fr.App(f"two{tag}", topics=topics, views=views)
    with pytest.raises(LogError):  # no login is known
        routed(app, KafkaLog(kafka), {}).bounds(there)
    logins = {cluster: f"kafka://{USER}:{PASSWORD}@{other.address}"}
    store = MemoryStore()
    with LocalRun(app, tmp_path, store, log=KafkaLog(kafka), clusters=logins) as local:
        local.step(HOUR, 2 * HOUR, {}, {})
        for view, log in zip(views, (here, there)):
            asked = RowKeys(app.stored_as(view), [log.encode()])
            assert store.read([asked])[0].present.tolist() == [True]
        assert {name for name in admin.list_topics().topics if "__" not in name} == {there}
        url = str(tmp_path / "checkpoints")
        for operator in local.operators:
            operator.checkpoint()
        for topic in topics:
            log = app.log_of(topic.name)
            for p in range(2):
                _, kept = kept_by_run.ledger(local.log, url, topic, log, p)
                recorded = kept_by_run.taken_on(local.log, url, topic, log, p)
                found = kept_by_run.records(local.log, log, p)
                assert recompute(topic, found, {}, recorded) == kept
        # The other one goes away; what is here goes on.
        other.stop()
        publish(kafka, False, here, 10, 10)
        (own,) = [o for o in local.operators if o.role == "intake"]
        deadline = time.monotonic() + DEADLINE_SECONDS
        while applied(own) < 20:
            assert time.monotonic() < deadline
            own.step(0.1)
        (waiting,) = [o for o in local.operators if o.role == "intake.there"]
        assert not waiting.step(0.1)
        other.start()
        publish(other.address, True, there, 10, 10)
        while applied(waiting) < 20:
            assert time.monotonic() < deadline + DEADLINE_SECONDS
            waiting.step(0.1)
