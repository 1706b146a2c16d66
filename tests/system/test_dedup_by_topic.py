"""A topic of others on a real Kafka, into which each event comes twice, in two partitions: over
partitions that are added, restarts, and dead letters."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

import freshet as fr
from freshet.audit import kept as kept_by_run
from freshet.audit.moved import faults
from freshet.dead_letters.letters import newest
from freshet.features.rows.finish import finish
from freshet.features.stores.contract import RowKeys
from freshet.replay.report import topic_report
from freshet.runs.opened import OpenedRun
from freshet.schemas.wire import blocks
from freshet.settings import settings
from freshet.streams.kafka.log import KafkaLog
from freshet.testing import LocalRun, MemoryStore
from tests.faults.disturbance import examples_of, rows_of
from tests.freshet.toy_day import toy_day

HOUR = 3_600_000
MINUTE = 60_000
# Records are stamped with times of long ago, which a broker would take for too old to keep.
KEPT = {"retention.ms": "-1"}
VISIT = {
    "type": "record",
    "name": "visit",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "at", "type": "long"},
        {"name": "user", "type": "string"},
        {"name": "long", "type": "boolean"},
    ],
}


def app_on(log: str, **declared: Any) -> fr.App:
    visits = fr.Topic(
        "visits",
        VISIT,
        "id",
        "at",
        partitions=2,
        log=log,
        dedup_by="topic",
        headers={"tenant": "x-tenant"},
        drop={"tests": pl.col("tenant") == "test"},
        **declared,
    )
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
    return fr.App(f"twice{uuid.uuid4().hex[:8]}", topics=[visits], views=[by_user], models=[model])


@pytest.fixture
def theirs(kafka: str) -> str:
    name = f"visits.v1-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(name, 2, 1, config=KEPT)])[name].result()
    return name


def publish(kafka: str, topic: str, partition: int, ids: range, hour: int, *values: bytes) -> None:
    """Every fifth is of a test, and is dropped."""
    producer = Producer({"bootstrap.servers": kafka})
    for i in ids:
        event = {"id": i, "at": hour * HOUR + i, "user": f"u{i % 3}", "long": i % 2 == 0}
        producer.produce(
            topic,
            json.dumps(event).encode(),
            partition=partition,
            timestamp=hour * HOUR + MINUTE,
            headers={"x-tenant": b"test" if i % 5 == 0 else b"acme"},
        )
    for value in values:
        producer.produce(topic, value, partition=partition, timestamp=hour * HOUR + MINUTE)
    producer.flush()


def counted(app: fr.App, store: MemoryStore, as_of_ms: int) -> list[float]:
    view = app.views[0]
    keys = [f"u{i}".encode() for i in range(3)]
    (rows,) = store.read([RowKeys(app.stored_as(view), keys)])
    found = finish(view.plan, rows.packed, [as_of_ms] * 3, view.max_age_ms)
    return [float(value) for value in found.values[:, 0]]


def test_an_event_counts_once_in_whichever_partitions_it_comes(
    kafka: str, tmp_path: Path, theirs: str
) -> None:
    app = app_on(theirs)
    (topic,) = app.topics
    store = MemoryStore()
    publish(kafka, theirs, 0, range(30), 1, b"not an event")
    publish(kafka, theirs, 1, range(10, 40), 1)
    with LocalRun(app, tmp_path, store, log=KafkaLog(kafka)) as local:
        local.step(HOUR, 2 * HOUR, {}, {})
        assert sum(counted(app, store, 2 * HOUR)) == 32, "8 of 40 are of tests"
        for operator in local.operators:
            operator.checkpoint()
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_partitions([NewPartitions(theirs, 3)])[theirs].result()
    # Of before the restart, from a partition that was not there then; and new ones.
    publish(kafka, theirs, 2, range(20, 50), 2)
    log = KafkaLog(kafka)
    with LocalRun(app, tmp_path, MemoryStore(), log=log) as local:
        local.step(2 * HOUR, 3 * HOUR, {}, {})
        tasks = {task.name: task for operator in local.operators for task in operator.tasks()}
        assert {name for name in tasks if name.startswith("repartition")} == {
            f"repartition:visits:{p}" for p in range(3)
        }
        fates = [tasks[f"intake:visits:{p}"].facts()["fates"] for p in range(2)]
        assert sum(told["applied"] for told in fates) == 40
        assert sum(told["deduplicated"] for told in fates) == 40
        assert sum(told["dropped:tests"] for told in fates) == 10
        assert sum(told["dead:undecodable"] for told in fates) == 1
        for operator in local.operators:
            operator.checkpoint()
        url = str(tmp_path / "checkpoints")
        assert topic_report(app, local.log, url, "visits")["ledger_agrees"]
        by_id = app.by_id_log_of(topic)
        came = {p: list(kept_by_run.records(log, theirs, p, 0, ["x-tenant"])) for p in range(3)}
        there = {p: kept_by_run.moved_records(log, by_id, p) for p in range(2)}
        assert list(faults(topic, came, there)) == []
        run = OpenedRun(app, log, settings(run_dir=tmp_path))
        (letter,) = newest(run, "visits")
        assert letter.origin == ("visits", 0, 30, 0)
        assert letter.append_ms == HOUR + MINUTE
        assert sources_of(app, local) <= {(p, r.offset) for p in came for r in came[p]}
    assert [len(records) for records in came.values()] == [31, 30, 30], "there are events alone"


def sources_of(app: fr.App, local: LocalRun) -> set[tuple[int, int]]:
    """Where rows of the clean log say that they came from."""
    clean = app.clean_log_of(app.views[0])
    found = set()
    for partition in range(2):
        for record in kept_by_run.records(local.log, clean, partition):
            rows = blocks.decode(record.value).rows
            for row in [] if rows is None else rows.to_pylist():
                found.add((row[blocks.SOURCE_PARTITION], row[blocks.SOURCE_OFFSET]))
    assert len(found) == 40
    return found


def test_it_begins_where_the_topic_is_declared_to(kafka: str, tmp_path: Path, theirs: str) -> None:
    publish(kafka, theirs, 0, range(10), 1)
    app = app_on(theirs, start="latest")
    store = MemoryStore()
    with LocalRun(app, tmp_path, store, log=KafkaLog(kafka)) as local:
        publish(kafka, theirs, 1, range(1, 5), 1)
        publish(kafka, theirs, 0, range(1, 5), 1)
        local.step(HOUR, 2 * HOUR, {}, {})
        assert sum(counted(app, store, 2 * HOUR)) == 4
        tasks = {task.name: task for operator in local.operators for task in operator.tasks()}
        assert tasks["repartition:visits:0"].facts()["start"] == [0, 10]
        for operator in local.operators:
            operator.checkpoint()
    # It goes on from there, though its start is gone by now.
    with LocalRun(app, tmp_path, store, log=KafkaLog(kafka)) as local:
        publish(kafka, theirs, 1, range(1, 7), 2)
        local.step(2 * HOUR, 3 * HOUR, {}, {})
        assert sum(counted(app, store, 3 * HOUR)) == 5


# ------------------------------------------------------------ of one partition, beside none
DAY = """
import polars as pl
import freshet as fr
from tests.toy_app import ORDERS, PAYMENTS

held = fr.Freshness(snapshot_every="1h", label_wait="6h")
orders = fr.Topic("orders", ORDERS, "order_id", "at", freshness=held)
payments = fr.Topic("payments", PAYMENTS, "order_id", "at", freshness=held, dedup_by="{by}")
shops = fr.View("shops", payments, key="shop", tile="10m", features={{{{
    "n": fr.count(over="1h"), "mean": fr.mean("late", over="2h"), "late": fr.decayed_mean("late", "1h")}}}})
model = fr.Model(
    "unpaid", on=orders, id="order_id", label=fr.Label(payments, "order_id", pl.col("late") > 10),
    features=[orders["price"], orders["shop"], shops["n"], shops["mean"], shops["late"]],
    learners=[fr.HashedLogistic()], fallback=[fr.constant(0.3)],
)
app = fr.App({{name!r}}, topics=[orders, payments], views=[shops], models=[model])
"""


def test_with_one_partition_rows_examples_and_fates_are_those_without_a_hop(tmp_path: Path) -> None:
    left = []
    for by in ("partition", "topic"):
        store = MemoryStore()
        folder = tmp_path / by
        with toy_day(folder, DAY.format(by=by), "day", store=store) as (app, local):
            for operator in local.operators:
                operator.checkpoint()
            report = topic_report(app, local.log, str(folder / "checkpoints"), "payments")
            assert report["ledger_agrees"]
            left.append((report, rows_of(app, local.log, store), examples_of(app, local.log)))
    assert left[0] == left[1]
    report, rows, examples = left[0]
    assert min(report["deduplicated"], len(rows["shops"]), sum(report["dead"].values())) > 0
    assert len(examples) > 30
