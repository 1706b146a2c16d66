"""Topics that others made, with settings of their own, on a real Kafka: freshet writes nothing into
them but events."""

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
from freshet.audit.ledger import recompute
from freshet.features.stores.contract import RowKeys
from freshet.roles import plans
from freshet.roles.interface import interface
from freshet.schemas.errors import DefinitionError, LogError, RequestError
from freshet.schemas.wire.messages import Cut
from freshet.serving.scoring.reach import Reach
from freshet.streams.clock import ManualClock
from freshet.streams.intake.push import PushRequest
from freshet.streams.kafka.log import KafkaLog
from freshet.testing import LocalRun, MemoryStore

# Records are stamped with times of long ago, which a broker would take for too old to keep.
KEPT = {"retention.ms": "-1"}
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


def app_on(topic_name: str, partitions: int = 2, log: str | None = None, **declared: Any) -> fr.App:
    visits = fr.Topic("visits", VISIT, "id", "at", partitions=partitions, log=log, **declared)
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


# ------------------------------------------------------------ under names of their own
@pytest.fixture
def theirs(kafka: str) -> str:
    """A topic of three partitions that has been there for long, with records of any key and none."""
    name = f"visits.v1-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(name, 3, 1, config=KEPT)])[name].result()
    produce(kafka, name, 0, 12)
    return name


def produce(kafka: str, topic: str, first: int, after: int) -> None:
    producer = Producer({"bootstrap.servers": kafka})
    for i in range(first, after):
        key = (b"a", b"", None)[i % 3]
        event = {"id": str(i), "at": HOUR + i, "user": "ann", "long": True}
        producer.produce(topic, json.dumps(event).encode(), key, i % 3, timestamp=HOUR + i)
    producer.flush()


def test_a_topic_of_any_name_is_read_whole_and_nothing_is_written_into_it(
    kafka: str, tmp_path: Path, theirs: str
) -> None:
    app = app_on(f"reads{uuid.uuid4().hex[:8]}", partitions=1, log=theirs)
    log = KafkaLog(kafka)
    store = MemoryStore()
    with LocalRun(app, tmp_path, store, log=log) as local:
        local.step(HOUR, 2 * HOUR, {}, {})
        facts = {task.name: task.facts() for o in local.operators for task in o.tasks()}
        applied = [facts[f"intake:visits:{p}"]["fates"]["applied"] for p in range(3)]
        assert applied == [4, 4, 4]
    assert [len(list(kept_by_run.records(log, theirs, p))) for p in range(3)] == [4, 4, 4]
    (rows,) = store.read([RowKeys(app.stored_as(app.views[0]), [b"ann"])])
    assert rows.present.tolist() == [True]


@pytest.mark.parametrize(
    ("start", "firsts"),
    [("latest", [4, 4, 4]), ("1970-01-01T01:00:00.007Z", [3, 2, 2]), ("1970-01-01", [0, 0, 0])],
)
def test_it_is_read_from_its_start_on_also_after_a_death_and_by_the_audit(
    kafka: str, tmp_path: Path, theirs: str, start: str, firsts: list[int]
) -> None:
    app = app_on(f"starts{uuid.uuid4().hex[:8]}", partitions=1, log=theirs, start=start)
    (topic,) = app.topics
    log = KafkaLog(kafka)
    url = str(tmp_path / "checkpoints")
    # It decides, and dies before it has read anything.
    decided = plans.starts(app, log, url, lambda: HOUR * 24)(theirs)
    assert list(decided.values()) == firsts
    produce(kafka, theirs, 12, 24)
    with LocalRun(app, tmp_path, MemoryStore(), log=log) as local:
        local.step(HOUR, 2 * HOUR, {}, {})
        facts = {task.name: task.facts() for o in local.operators for task in o.tasks()}
        for p, first in enumerate(firsts):
            own = facts[f"intake:visits:{p}"]
            assert own["start"] == [p, first]
            assert own["fates"]["applied"] == 8 - first
    for p, first in enumerate(firsts):
        position, kept = kept_by_run.ledger(log, url, topic, theirs, p)
        assert position == 8
        begun = kept_by_run.start(log, url, topic, theirs, p)
        assert begun == first
        recorded = kept_by_run.taken_on(log, url, topic, theirs, p)
        found = kept_by_run.records(log, theirs, p, begun)
        assert recompute(topic, found, {}, recorded) == kept


def test_a_partition_that_is_added_later_is_read_whole_whatever_the_start(
    kafka: str, tmp_path: Path, theirs: str
) -> None:
    app = app_on(f"added{uuid.uuid4().hex[:8]}", partitions=1, log=theirs, start="latest")
    with LocalRun(app, tmp_path, MemoryStore(), log=KafkaLog(kafka)) as local:
        local.step(HOUR, 2 * HOUR, {}, {})
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_partitions([NewPartitions(theirs, 4)])[theirs].result()
    producer = Producer({"bootstrap.servers": kafka})
    for i in range(100, 108):
        event = {"id": str(i), "at": 2 * HOUR + i, "user": "ann", "long": True}
        value = json.dumps(event).encode()
        producer.produce(theirs, value, partition=i % 2 * 3, timestamp=2 * HOUR + i)
    producer.flush()
    with LocalRun(app, tmp_path, MemoryStore(), log=KafkaLog(kafka)) as local:
        local.step(2 * HOUR, 3 * HOUR, {}, {})
        facts = {task.name: task.facts() for o in local.operators for task in o.tasks()}
        applied = [facts[f"intake:visits:{p}"]["fates"]["applied"] for p in range(4)]
        assert applied == [4, 0, 0, 4]
        assert "start" not in facts["intake:visits:3"]


def test_a_topic_of_others_is_not_made(kafka: str) -> None:
    name = f"nowhere.{uuid.uuid4().hex[:8]}"
    log = KafkaLog(kafka)
    with pytest.raises(LogError, match=f"topic {name}: does not exist"):
        plans.ensure_topics(app_on("reads", log=name), log)
    with pytest.raises(LogError, match="does not exist"):
        log.bounds(name)


def test_more_partitions_than_it_has_are_refused_with_the_way_out(kafka: str, theirs: str) -> None:
    with pytest.raises(LogError) as refused:
        plans.ensure_topics(app_on(f"x{uuid.uuid4().hex[:8]}", 4, theirs), KafkaLog(kafka))
    assert str(refused.value).endswith(
        f"topic {theirs}: has fewer partitions (3) than topic visits declares (4). "
        "Declare partitions=3, or fewer: all that it has are read."
    )


def test_neither_pushes_nor_replays_write_it(kafka: str, theirs: str) -> None:
    app = app_on("reads", 1, theirs)
    log = KafkaLog(kafka)
    made = interface(app, Reach(MemoryStore()), log, ManualClock(HOUR))
    event = {"id": ["x"], "at": [HOUR], "user": ["ann"], "long": [True]}
    with pytest.raises(RequestError) as refused:
        made.pusher.push(PushRequest("visits", event))
    assert str(refused.value) == (
        f"request push to visits: is refused: it is read from {theirs}, which others write. "
        "Have its own producers send the events."
    )
    with pytest.raises(DefinitionError, match=f"is read from {theirs}, which others write, and a"):
        plans.refuse_writing(app, log)
