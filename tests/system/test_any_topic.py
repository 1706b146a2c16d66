"""Topics of others as they are: whatever their settings, producers and keys, each record has one
fate, the ledger can be audited, and freshet leaves the topic as it found it."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

import freshet as fr
from freshet.audit import kept as kept_by_run
from freshet.audit.ledger import recompute
from freshet.features.stores.contract import RowKeys
from freshet.schemas.errors import ComponentError
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.events.writer import EventWriter
from freshet.servers.kafka_server import KafkaServer
from freshet.streams.kafka.log import KafkaLog
from freshet.testing import LocalRun, MemoryStore
from tests.contracts.log_battery import DEADLINE_SECONDS

# Records are stamped with times of long ago, which a broker would take for too old to keep.
KEPT = {"retention.ms": "-1"}
HOUR = 3_600_000
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
KEYS = (None, b"", b"ann", b"\xff\x00\xfe", b"k" * 1_000)
VISIT = {
    "type": "record",
    "name": "visit",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": "long"},
        {"name": "user", "type": "string"},
    ],
}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One that compacts without being asked twice."""
    server = KafkaServer(tmp_path_factory.mktemp("kafka"), log_cleaner_backoff_ms="50")
    try:
        server.start()
    except ComponentError as error:
        if "kafka" in os.environ.get("FRESHET_REQUIRE", "").split(","):
            pytest.fail(f"kafka is required: {error}")
        pytest.skip(str(error))
    yield server.address
    server.stop()


@dataclass
class Theirs:
    """A topic on a broker, and what others do with it."""

    broker: str
    name: str

    def produce(
        self,
        records: Sequence[tuple[Any, ...]],
        first: int = 0,
        **settings: Any,
    ) -> None:
        """Partition, key, value and headers of each, stamped with a millisecond each."""
        producer = Producer({"bootstrap.servers": self.broker, **settings})
        for i, (partition, key, value, *headers) in enumerate(records):
            producer.produce(
                self.name,
                value,
                key,
                partition,
                timestamp=HOUR + first + i,
                headers=headers or None,
            )
        assert producer.flush(30) == 0

    def readable(self) -> list[int]:
        """How many records each partition has, as any consumer finds them."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.broker,
                "group.id": uuid.uuid4().hex,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
            }
        )
        partitions = range(len(self.state()[1]))
        consumer.assign([TopicPartition(self.name, partition, 0) for partition in partitions])
        counts = [0] * len(partitions)
        ended = set[int]()
        while len(ended) < len(partitions):
            message = consumer.poll(DEADLINE_SECONDS)
            assert message is not None
            if message.error() is None:
                counts[message.partition()] += 1
            else:
                assert message.error().code() == KafkaError._PARTITION_EOF
                ended.add(message.partition())
        consumer.close()
        return counts

    def state(self) -> tuple[dict[str, str], dict[int, tuple[int, int]]]:
        """All that a writer could change: its settings and its bounds."""
        resource = ConfigResource(ConfigResource.Type.TOPIC, self.name)
        admin = AdminClient({"bootstrap.servers": self.broker})
        config = admin.describe_configs([resource])[resource].result()
        log = KafkaLog(self.broker)
        spans = dict(log.bounds(self.name).spans)
        log.close()
        return {name: entry.value for name, entry in config.items()}, spans


Make = Callable[..., Theirs]


@pytest.fixture
def theirs(broker: str) -> Make:
    def make(partitions: int = 2, **config: str) -> Theirs:
        name = f"visits.{uuid.uuid4().hex[:8]}"
        settings = {key.replace("_", "."): value for key, value in config.items()}
        admin = AdminClient({"bootstrap.servers": broker})
        admin.create_topics([NewTopic(name, partitions, 1, config={**KEPT, **settings})])[
            name
        ].result()
        return Theirs(broker, name)

    return make


def event(number: int, user: str = "ann") -> bytes:
    return json.dumps({"id": str(number), "at": HOUR + number, "user": user}).encode()


def visits(count: int, partitions: int = 2) -> list[tuple[int, bytes | None, bytes | None]]:
    """Events of one user, spread, with keys of all kinds."""
    return [(i % partitions, KEYS[i % len(KEYS)], event(i)) for i in range(count)]


@dataclass
class Taken:
    fates: dict[str, int]
    store: MemoryStore
    row: RowKeys

    def is_there(self, *users: str) -> list[bool]:
        asked = RowKeys(self.row.view, [user.encode() for user in users])
        (rows,) = self.store.read([asked])
        there: list[bool] = rows.present.tolist()
        return there


def taken_in(topic: Theirs, folder: Path, key: str = "user", **declared: Any) -> Taken:
    """Read the topic to its end by an app, and hold it to all that is promised of any."""
    given = {"event_id": "id", "event_time": "at", **declared}
    source = fr.Topic("visits", VISIT, log=topic.name, **given)
    view = fr.View("by_user", source, key=key, features={"n": fr.count(over="6h")})
    app = fr.App(f"any{uuid.uuid4().hex[:8]}", topics=[source], views=[view])
    before = topic.state()
    readable = topic.readable()
    store = MemoryStore()
    log = KafkaLog(topic.broker)
    totals: dict[str, int] = {}
    with LocalRun(app, folder, store, log=log) as local:
        local.step(HOUR, 2 * HOUR, {}, {})
        facts = {task.name: task.facts() for o in local.operators for task in o.tasks()}
        for partition, count in enumerate(readable):
            own = facts[f"intake:visits:{partition}"]["fates"]
            assert sum(own.values()) == count, "each record has one fate"
            for fate, n in own.items():
                if n:
                    totals[fate] = totals.get(fate, 0) + n
    log = KafkaLog(topic.broker)
    url = str(folder / "checkpoints")
    for partition in range(len(readable)):
        _, kept = kept_by_run.ledger(log, url, source, topic.name, partition)
        recorded = kept_by_run.taken_on(log, url, source, topic.name, partition)
        told = kept_by_run.told(log, app.dead_log, source, partition)
        headers = list(source.headers.values())
        found = kept_by_run.records(log, topic.name, partition, 0, headers)
        assert recompute(source, found, told, recorded) == kept
    log.close()
    assert topic.state() == before, "nothing was written, nothing was changed"
    return Taken(totals, store, RowKeys(app.stored_as(view), []))


@pytest.mark.parametrize("codec", CODECS)
def test_every_codec_is_read(theirs: Make, tmp_path: Path, codec: str) -> None:
    topic = theirs()
    topic.produce(visits(300), **{"compression.type": codec, "linger.ms": 50})
    taken = taken_in(topic, tmp_path)
    assert taken.fates == {"applied": 300}
    assert taken.is_there("ann", "bob") == [True, False]


def test_a_topic_that_takes_small_records_alone_is_read(theirs: Make, tmp_path: Path) -> None:
    topic = theirs(max_message_bytes="400")
    topic.produce([(0, None, event(i)) for i in range(50)], **{"batch.num.messages": 1})
    # What freshet makes of them may be larger than all that this topic takes.
    assert taken_in(topic, tmp_path).fates == {"applied": 50}


def test_the_brokers_own_times_are_read(theirs: Make, tmp_path: Path) -> None:
    topic = theirs(message_timestamp_type="LogAppendTime")
    topic.produce(visits(40))
    assert taken_in(topic, tmp_path, event_time=None).fates == {"applied": 40}


def test_many_partitions_are_read_though_few_are_declared(theirs: Make, tmp_path: Path) -> None:
    topic = theirs(40)
    topic.produce(visits(400, 40))
    assert taken_in(topic, tmp_path, partitions=3).fates == {"applied": 400}


def test_what_was_aborted_leaves_gaps_and_nothing_else(theirs: Make, tmp_path: Path) -> None:
    topic = theirs()
    settings = {"bootstrap.servers": topic.broker, "transactional.id": topic.name}
    producer = Producer(settings)
    producer.init_transactions(30)
    number = 0
    for commits in (False, True, True, False, True, False):
        producer.begin_transaction()
        for _ in range(10):
            producer.produce(topic.name, event(number), b"k", number % 2, timestamp=HOUR + number)
            number += 1
        # Else an abort finds nothing that was sent.
        producer.flush()
        if commits:
            producer.commit_transaction(30)
        else:
            producer.abort_transaction(30)
    _, spans = topic.state()
    # Ten records each of three that count and three that do not, and a marker of each.
    assert [after - first for first, after in spans.values()] == [36, 36]
    assert taken_in(topic, tmp_path).fates == {"applied": 30}


def test_an_open_transaction_holds_up_nothing_before_it(theirs: Make, tmp_path: Path) -> None:
    topic = theirs(1)
    topic.produce([(0, None, event(i)) for i in range(5)])
    settings = {"bootstrap.servers": topic.broker, "transactional.id": topic.name}
    producer = Producer(settings)
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic.name, event(5), partition=0, timestamp=HOUR + 5)
    producer.flush()
    assert taken_in(topic, tmp_path).fates == {"applied": 5}
    producer.abort_transaction(30)


# ------------------------------------------------------------------------------------- compaction
def compacted(theirs: Make) -> Theirs:
    """Two visits each of a hundred users, of whom the first fifty are gone by a tombstone; once
    the broker has compacted that."""
    topic = theirs(
        1,
        cleanup_policy="compact",
        segment_ms="100",
        min_cleanable_dirty_ratio="0.001",
        delete_retention_ms="86400000",
        message_timestamp_after_max_ms=str(2**62),
    )
    users = [f"u{i}" for i in range(100)]
    for turn in range(2):
        topic.produce(
            [(0, user.encode(), event(turn * 100 + i, user)) for i, user in enumerate(users)]
        )
    topic.produce([(0, user.encode(), None) for user in users[:50]])
    deadline = time.monotonic() + DEADLINE_SECONDS
    number = 1_000
    # A segment is closed by the record that comes after it, and only closed ones are compacted.
    while topic.readable()[0] > 160:
        assert time.monotonic() < deadline, "the broker did not compact"
        topic.produce([(0, b"last", event(number, "last"))], number)
        number += 1_000
    return topic


@pytest.mark.parametrize("tombstone", ["ignore", "delete"])
def test_a_compacted_topic_is_read_over_its_gaps(
    theirs: Make, tmp_path: Path, tombstone: str
) -> None:
    topic = compacted(theirs)
    _, spans = topic.state()
    assert topic.readable()[0] < spans[0][1] - spans[0][0], "there are gaps"
    taken = taken_in(topic, tmp_path, tombstone=tombstone)
    fate = {"ignore": "ignored", "delete": "erased"}[tombstone]
    assert taken.fates[fate] == 50
    assert "dead:undecodable" not in taken.fates
    # What went before a tombstone may be gone, too: then there is no row either way.
    assert taken.is_there("u50", "u99", "last") == [True, True, True]
    if tombstone == "delete":
        assert taken.is_there("u0", "u49") == [False, False]


def test_tombstones_erase_at_their_places(theirs: Make, tmp_path: Path) -> None:
    topic = theirs(2)
    topic.produce(
        [
            (0, b"ann", event(0, "ann")),
            (0, b"ann", None),
            (1, b"bob", event(1, "bob")),
            (1, b"bob", None),
            (1, b"bob", event(2, "bob")),
            (0, b"\xff", None),
            (0, None, None),
            (0, b"cleo", event(3, "cleo")),
            (0, b"nobody", None),
        ]
    )
    taken = taken_in(topic, tmp_path, tombstone="delete")
    assert taken.fates == {"applied": 4, "erased": 3, "dead:undecodable": 2}
    assert taken.is_there("ann", "bob", "cleo", "nobody") == [False, True, True, False]


# ---------------------------------------------------------------------------------------- headers
HEADERS = {"tenant": "x-tenant-id", "trace": "trace"}


def in_avro(number: int) -> bytes:
    """As a producer writes that knows nothing of headers: under the declared schema's id."""
    written = {"id": str(number), "at": HOUR + number, "user": "ann"}
    return EventWriter(EventSchema.parse(VISIT, "visit")).encode(written)


@pytest.mark.parametrize("encoded", [event, in_avro], ids=["json", "avro"])
def test_headers_are_fields(theirs: Make, tmp_path: Path, encoded: Callable[[int], bytes]) -> None:
    topic = theirs(2)
    tenant = "x-tenant-id"
    topic.produce(
        [
            (0, None, encoded(0), (tenant, b"blue")),
            (1, b"k", encoded(1), (tenant, b"red"), (tenant, "grün".encode())),
            (0, None, encoded(2)),
            (1, None, encoded(3), (tenant, None), ("trace", b"7")),
            (0, None, encoded(4), (tenant, b"\xff")),
            (0, None, encoded(5), ("X-Tenant-Id", b"other case")),
            (1, None, encoded(6), ("trace", b"\xff\xff"), (tenant, b"blue")),
            (1, None, encoded(7), (tenant, b"")),
            (0, None, encoded(8), (tenant, b"test")),
        ]
    )
    taken = taken_in(
        topic,
        tmp_path,
        key="tenant",
        source="tenant",
        headers=HEADERS,
        drop={"tests": pl.col("tenant") == "test"},
    )
    assert taken.fates == {"applied": 6, "dead:wrong_type": 2, "dropped:tests": 1}
    there = taken.is_there("blue", "red", "grün", "\\N", "", "test", "other case")
    assert there == [True, False, True, True, True, False, False]


def test_a_value_may_bring_what_no_header_does(theirs: Make, tmp_path: Path) -> None:
    topic = theirs(1)
    said = {"id": "0", "at": HOUR, "user": "ann", "tenant": "said"}
    topic.produce(
        [
            (0, None, json.dumps(said).encode()),
            (0, None, json.dumps({**said, "id": "1"}).encode(), ("x-tenant-id", b"told")),
        ]
    )
    taken = taken_in(topic, tmp_path, key="tenant", headers=HEADERS)
    assert taken.is_there("said", "told") == [True, True]
