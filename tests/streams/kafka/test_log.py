"""What is particular to Kafka: logins, outages, groups, sizes, and its two readers. The contract:
`contracts/`."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from confluent_kafka import KafkaError, Producer
from confluent_kafka.admin import NewPartitions

from freshet.schemas.errors import ComponentError, LogError
from freshet.servers.kafka_server import KafkaServer
from freshet.servers.server import free_ports
from freshet.streams.kafka import admin as kafka_admin
from freshet.streams.kafka import cluster as kafka_cluster
from freshet.streams.kafka import health as kafka_health
from freshet.streams.kafka import librdkafka
from freshet.streams.kafka import reader as kafka_reader
from freshet.streams.kafka import writer as kafka_writer
from freshet.streams.kafka.client import Assigned, Fault, Revoked
from freshet.streams.kafka.confluent_client import ConfluentClient
from freshet.streams.kafka.errors import Fenced
from freshet.streams.kafka.librdkafka_client import LibrdkafkaClient
from freshet.streams.kafka.log import KafkaLog
from freshet.streams.log.contract import WHOLE, Batch, Reader, TopicPartition, joined
from freshet.streams.outages import Outages
from tests.contracts.log_battery import DEADLINE_SECONDS, fill, raised, read

BOTH = pytest.mark.parametrize("fast", [True, False], ids=["fast", "stock"])


@pytest.fixture(scope="module")
def own(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A broker of this module's own, which may be killed, with logins. (Asking for `kafka` skips
    where none can be.)"""
    server = KafkaServer(tmp_path_factory.mktemp("own"), password="secret")
    try:
        server.start()
    except ComponentError as error:
        pytest.skip(str(error))
    yield server
    server.stop()


@pytest.fixture
def log(kafka: str) -> Iterator[KafkaLog]:
    log = KafkaLog(kafka)
    yield log
    log.close()


def new_topic(log: KafkaLog, partitions: int) -> str:
    topic = f"app.{uuid.uuid4().hex}"
    log.ensure(topic, partitions)
    return topic


def wait_for(condition: Callable[[], object], *readers: Reader) -> None:
    """Poll the readers until the condition holds."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        for reader in readers:
            reader.poll(1000, 0.05)


@BOTH
def test_a_reader_that_has_all_of_a_transaction_stands_behind_its_marker(
    kafka: str, fast: bool
) -> None:
    log = KafkaLog(kafka, fast=fast)
    topic = new_topic(log, 1)
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": topic})
    producer.init_transactions(DEADLINE_SECONDS)
    for committed in (True, False):
        producer.begin_transaction()
        producer.produce(topic, b"one", partition=0)
        producer.flush()
        if committed:
            producer.commit_transaction()
        else:
            producer.abort_transaction()
    # Each transaction is a record and a marker, which the broker writes a moment after it has
    # answered.
    wait_for(lambda: log.bounds(topic).spans[0] == (0, 4))
    _, end = log.bounds(topic).spans[0]
    reader = log.reader([topic], None)
    assert [value for _, _, value in read(reader, 1)[0]] == [b"one"]
    wait_for(lambda: reader.position(topic, 0) == end, reader)
    reader.close()
    log.close()


def test_addresses_carry_logins_and_settings() -> None:
    log = KafkaLog.of_address(
        "ann:p%40ss@a:1,b:2?security.protocol=SASL_SSL&ssl.ca.location=/ca.pem", "view-1"
    )
    settings = log.client_settings()
    assert log.brokers == settings["bootstrap.servers"] == "a:1,b:2"
    assert (settings["sasl.username"], settings["sasl.password"]) == ("ann", "p@ss")
    assert (settings["security.protocol"], settings["ssl.ca.location"]) == ("SASL_SSL", "/ca.pem")
    assert settings["client.id"] == "view-1"
    with pytest.raises(LogError, match=r"no\.such\.setting"):
        KafkaLog.of_address("a:1?no.such.setting=1").bounds("t")


def test_a_wrong_address_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_admin, "REACH_SECONDS", 1.0)
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with pytest.raises(LogError, match=r"cannot be reached: .* refused"):
        KafkaLog(address).ensure("t", 1)


def test_a_refused_login_is_named_at_once(own: KafkaServer) -> None:
    good = KafkaLog.of_address(f"freshet:secret@{own.address}")
    topic = new_topic(good, 1)
    fill(good, topic, 3, [0])
    reader = good.reader([topic], None)
    assert len(read(reader, 3)[0]) == 3
    reader.close()
    bad = KafkaLog.of_address(f"freshet:wrong@{own.address}")
    for action in (
        lambda: bad.ensure("t", 1),
        lambda: bad.bounds(topic),
        lambda: bad.reader([topic], "g"),
    ):
        error = raised(action)
        assert "refused the login" in error.cause
        assert own.address in error.resource


def test_a_record_too_large_is_refused_before_anything_is_queued(log: KafkaLog) -> None:
    topic = new_topic(log, 1)
    writer = log.writer()
    largest = kafka_cluster.RECORD_BYTES - kafka_writer.RECORD_OVERHEAD_BYTES
    with pytest.raises(
        LogError, match=f"{largest + 1} bytes is larger than its limit of {largest}"
    ):
        writer.append(topic, 0, [b"small", bytes(largest + 1)], 1)
    writer.flush()
    assert log.bounds(topic).spans[0] == (0, 0)
    writer.append(topic, 0, [bytes(largest)], 1)
    writer.flush()
    writer.close()
    reader = log.reader([topic], None)
    assert len(read(reader, 1)[0][0][2]) == largest
    reader.close()


def test_topics_of_freshet_are_kept_without_limit_even_if_stamped_long_ago(log: KafkaLog) -> None:
    topic = new_topic(log, 1)
    resource = kafka_admin.ConfigResource(kafka_admin.ConfigResource.Type.TOPIC, topic)
    config = log.admin.client.describe_configs([resource])[resource].result()
    assert config["retention.ms"].value == "-1"
    assert config["message.timestamp.type"].value == "CreateTime"


@BOTH
def test_a_broker_that_goes_away_is_waited_for(
    own: KafkaServer, fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reader and writer go on by themselves, nothing is lost or repeated, and what is queued
    meanwhile is bounded."""
    monkeypatch.setitem(kafka_writer._SETTINGS, "queue.buffering.max.messages", 500)
    brokers = f"127.0.0.1:{own._inner}"
    log = KafkaLog(brokers, "view-1", fast=fast)
    topic = new_topic(log, 2)
    # a group may deal its partitions anew after an outage: the checkpoint says where to go on
    reader = log.reader([topic], f"group-{topic}", on_assign=lambda new: {(topic, 0): start})
    idle = log.reader([topic], f"idle-{topic}")
    writer, start = log.writer(), 0
    writer.append(topic, 0, [b"before"], 1)
    writer.flush()
    assert [v for _, _, v in read(reader, 1)[0]] == [b"before"]
    start = 1
    own.kill()
    values = [str(i).encode() for i in range(2_000)]

    def append() -> None:
        writer.append(topic, 1, values, 2)
        writer.flush()

    thread = threading.Thread(target=append)
    thread.start()
    wait_for(lambda: log.trouble is not None and len(writer._producer) >= 500, reader)
    assert log.trouble is not None
    assert brokers in log.trouble.resource
    idle.poll(1, 0.05)
    idle.commit({(topic, 0): 0})
    idle.close()  # ends, broker or no broker
    assert thread.is_alive(), "beyond its limit a writer waits"
    own.start()
    assert [v for _, _, v in read(reader, 2_000)[1]] == values
    thread.join(DEADLINE_SECONDS)
    assert log.trouble is None
    reader.close()
    writer.close()


def test_a_process_that_is_to_end_waits_no_outage_out(own: KafkaServer) -> None:
    outages = Outages()
    log = KafkaLog(f"127.0.0.1:{own._inner}", "intake-1", outages=outages)
    topic = new_topic(log, 1)
    writer = log.writer()
    # The topic is known to it, so that only its records wait.
    writer.append(topic, 0, [b"before"], 1)
    writer.flush()
    own.kill()
    ended: list[LogError] = []

    def write() -> None:
        try:
            writer.append(topic, 0, [b"never sent"], 1)
            writer.flush()
        except LogError as error:
            ended.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    wait_for(lambda: log.trouble is not None)
    assert not ended
    outages.ending.set()
    thread.join(DEADLINE_SECONDS)
    assert ended
    assert not thread.is_alive()
    own.start()
    writer.close()
    log.close()


def test_an_outage_is_over_also_for_a_process_whose_clients_are_idle(own: KafkaServer) -> None:
    outages = Outages()
    log = KafkaLog(f"127.0.0.1:{own._inner}", "release-1", outages=outages)
    topic = new_topic(log, 1)
    writer, reader = log.writer(), log.reader([topic], None)
    writer.append(topic, 0, [b"before"], 1)
    writer.flush()
    assert read(reader, 1)
    own.kill()
    wait_for(lambda: reader.poll(1, 0.05) or outages.current())
    (outage,) = outages.current()
    assert (outage.component, log.brokers in outage.resource) == ("log", True)
    own.start()
    wait_for(lambda: time.sleep(0.05) or not outages.current())  # nobody reads, nobody writes
    assert log.trouble is None
    reader.close()
    writer.close()
    log.close()


def test_a_trouble_that_is_over_before_it_has_held_is_no_outage(
    kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_health, "HOLD_SECONDS", 0.01)
    outages = Outages()
    log = KafkaLog(kafka, outages=outages)
    # of an idle connection
    log.health.heard(KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"))
    assert log.trouble is not None
    wait_for(lambda: time.sleep(0.01) or log.trouble is None)
    assert outages.begun == 0
    log.close()


@BOTH
def test_two_processes_of_one_instance_end_in_an_error_and_not_in_a_fight(
    kafka: str, log: KafkaLog, fast: bool
) -> None:
    """Also right after an outage, when a member that was fenced takes itself for the one who did
    it."""
    topic, logs = new_topic(log, 1), [KafkaLog(kafka, "view-1", fast=fast) for _ in range(2)]
    readers = [x.reader([topic], f"group-{topic}") for x in logs]
    for x in logs:
        x.health.back_at = time.monotonic()
    failed: list[LogError] = []

    def fenced() -> bool:
        for reader in readers:
            try:
                reader.poll(1, 0.05)
            except LogError as error:
                failed.append(error)
        return bool(failed)

    wait_for(fenced)
    assert isinstance(failed[0], Fenced)
    assert sum(len(r._rejoined) for r in readers) <= 2 * kafka_reader.REJOINS
    for reader in readers:
        reader.close()


class Forgetful:
    """A client that loses its partitions once, and is told nothing by its group from then on."""

    made: list[Forgetful]

    def __init__(self) -> None:
        self.given = bool(self.made)  # only the first client is ever given a partition
        self.made.append(self)

    def subscribe(self, topics: list[str], assigned: Assigned, revoked: Revoked) -> None:
        self.topic = topics[0]
        self.assigned = assigned
        self.revoked = revoked

    def poll(self, max_records: int, seconds: float) -> tuple[list[Batch], list[Fault]]:
        if not self.given:
            self.given = True
            self.assigned([(self.topic, 0)])
            self.revoked([(self.topic, 0)], True)
        return [], []

    def close(self) -> None:
        pass


class Clock:
    """Stands in for the module `time` of a reader: what waits there waits until the test says
    so."""

    def __init__(self) -> None:
        self.now = time.monotonic()

    def monotonic(self) -> float:
        return self.now


def test_a_member_that_lost_its_partitions_and_hears_nothing_more_joins_anew(
    kafka: str, log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(kafka_reader, "time", clock)
    monkeypatch.setattr(Forgetful, "made", [], raising=False)
    monkeypatch.setattr(kafka_reader, "open_client", lambda *given: Forgetful())
    reader = log.reader([new_topic(log, 1)], "forgotten")
    # not before the log's own clock, which says since when the brokers answer
    clock.now = time.monotonic()
    reader.poll(1, 0.0)
    clock.now += kafka_reader.UNTOLD_SECONDS
    reader.poll(1, 0.0)
    assert len(Forgetful.made) == 1  # the group has until then to say something
    clock.now += 1
    reader.poll(1, 0.0)
    assert len(Forgetful.made) == 2
    Forgetful.made[-1].assigned([])  # it is told that all are others'
    clock.now += 2 * kafka_reader.UNTOLD_SECONDS
    reader.poll(1, 0.0)
    assert len(Forgetful.made) == 2
    reader.close()


class Member:
    """A reader of a group that notes what its callbacks are told."""

    def __init__(
        self, kafka: str, topic: str, fast: bool, instance: str | None = None, session: float = 6.0
    ) -> None:
        self.log = KafkaLog(kafka, instance, session_seconds=session, fast=fast)
        self.mine: set[TopicPartition] = set()
        self.revoked: list[TopicPartition] = []
        self.lost: list[TopicPartition] = []
        self.got: list[tuple[int, int]] = []
        reader = self.log.reader([topic], f"group-{topic}", self.assign, self.revoke, self.lose)
        self.inner = reader

    def assign(self, parts: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        self.mine.update(parts)
        return {}

    def revoke(self, parts: Sequence[TopicPartition]) -> None:
        self.revoked += parts
        self.mine.difference_update(parts)

    def lose(self, parts: Sequence[TopicPartition]) -> None:
        self.lost += parts
        self.mine.difference_update(parts)

    def poll(self, max_records: int, max_wait: float) -> list[Batch]:
        batches = self.inner.poll(max_records, max_wait)
        for b in batches:
            assert (b.topic, b.partition) in self.mine
            self.got += [(b.partition, int(o)) for o in b.offsets]
        return batches


@BOTH
def test_a_group_shares_partitions_and_gives_them_over(
    kafka: str, log: KafkaLog, fast: bool
) -> None:
    topic = new_topic(log, 4)
    everything = {(topic, p) for p in range(4)}
    fill(log, topic, 10, range(4))
    one = Member(kafka, topic, fast)
    wait_for(lambda: len(one.got) == 40, one)
    two = Member(kafka, topic, fast)
    wait_for(lambda: len(one.mine) == len(two.mine) == 2, one, two)
    assert one.mine | two.mine == everything
    assert set(one.revoked) == two.mine
    assert one.lost == two.lost == []
    wait_for(lambda: len(two.got) == 20, one, two)
    two.inner.close()
    wait_for(lambda: one.mine == everything, one)
    one.inner.close()


@BOTH
def test_a_member_that_comes_back_in_time_gets_its_partitions_without_a_rebalance(
    kafka: str, log: KafkaLog, fast: bool
) -> None:
    topic = new_topic(log, 4)
    one, two = (Member(kafka, topic, fast, name, session=30.0) for name in ("view-1", "view-2"))
    wait_for(lambda: len(one.mine) == len(two.mine) == 2, one, two)
    kept, one.revoked = set(one.mine), []
    two.inner.close()
    again = Member(kafka, topic, fast, "view-2", session=30.0)
    wait_for(lambda: again.mine, one, again)
    assert again.mine == two.mine
    assert one.mine == kept
    assert one.revoked == one.lost == []
    usurper = Member(kafka, topic, fast, "view-1", session=30.0)
    wait_for(lambda: usurper.mine, again, usurper)
    assert "took this member's place" in raised(lambda: one.poll(1, 0.1)).cause
    for member in (one, again, usurper):
        member.inner.close()


@BOTH
def test_partitions_that_are_added_are_shared_and_read_within_seconds(
    kafka: str, log: KafkaLog, fast: bool
) -> None:
    topic = new_topic(log, 1)
    fill(log, topic, 10, [0])
    one, two = (Member(kafka, topic, fast, name) for name in ("intake-1", "intake-2"))
    wait_for(lambda: len(one.got + two.got) == 10, one, two)
    log.admin.client.create_partitions([NewPartitions(topic, 3)])[topic].result()
    wait_for(lambda: len(log.bounds(topic).spans) == 3, one, two)
    fill(log, topic, 10, [1, 2])
    everything = {(p, offset) for p in range(3) for offset in range(10)}
    wait_for(lambda: {*one.got, *two.got} == everything, one, two)
    assert one.mine | two.mine == {(topic, p) for p in range(3)}
    assert not one.mine & two.mine
    for member in (one, two):
        # an operator rests, and reads again from a checkpoint
        member.inner.pause(member.mine)
        member.inner.pause(member.mine, False)
        for _, p in member.mine:
            member.inner.seek(topic, p, 9)
        member.got.clear()
        wait_for(lambda of=member: {p for p, _ in of.got} == {p for _, p in of.mine}, member)
        member.inner.close()


@BOTH
@pytest.mark.parametrize("others", [(0, 1, 2), (0,), (0, 2)], ids=["more", "fewer", "others"])
def test_a_member_that_comes_back_with_other_topics_gets_those(
    kafka: str, log: KafkaLog, fast: bool, others: tuple[int, ...]
) -> None:
    """And never what it does not read any more, whatever its group remembers of it."""
    topics = [new_topic(log, 2) for _ in range(3)]
    wanted = {(topics[i], p) for i in others for p in range(2)}
    named = KafkaLog(kafka, "view-1", session_seconds=6.0, fast=fast)
    mine: set[TopicPartition] = set()

    def assign(parts: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        mine.update(parts)
        return {}

    before = named.reader(topics[:2], f"group-{topics[0]}", assign)
    wait_for(lambda: len(mine) == 4, before)
    before.close()
    mine.clear()
    again = named.reader([topics[i] for i in others], f"group-{topics[0]}", assign)
    wait_for(lambda: mine >= wanted, again)
    assert mine == wanted
    again.close()


@BOTH
def test_an_error_in_a_callback_comes_out_of_poll(kafka: str, log: KafkaLog, fast: bool) -> None:
    topic = new_topic(log, 1)

    def fail(parts: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        raise ZeroDivisionError

    reader = KafkaLog(kafka, fast=fast).reader([topic], f"group-{topic}", on_assign=fail)
    with pytest.raises(ZeroDivisionError):
        wait_for(lambda: False, reader)
    reader.close()


def test_what_a_rebalance_takes_away_in_the_middle_of_a_poll_is_left_out(log: KafkaLog) -> None:
    topic = new_topic(log, 2)
    fill(log, topic, 10, [1])
    reader = log.reader([topic], f"group-{topic}", on_assign=lambda new: {(topic, 1): 4})
    wait_for(lambda: reader._next, reader)
    client = reader._client
    data, one = np.zeros(1, np.uint8), np.ones(1, np.int64)
    stale = [Batch(topic, p, data, one - 1, one, one * 7, one) for p in (0, 1)]

    class Rebalancing:
        seek = client.seek

        def poll(self, max_records: int, seconds: float) -> tuple[list[Batch], list[object]]:
            reader._revoked([(topic, 0), (topic, 1)], False)
            reader._assigned([(topic, 1)])
            return stale, []

    reader._client = Rebalancing()
    assert reader.poll(10, 0.0) == []
    reader._client = client
    assert [r[0] for r in read(reader, 6)[1]] == [4, 5, 6, 7, 8, 9]
    reader.close()


def columns(log: KafkaLog, topic: str, fast: bool, count: int) -> dict[int, list[np.ndarray]]:
    """All records of a topic as one set of columns per partition."""
    log.fast = fast
    reader = log.reader([topic], None)
    got: dict[int, list[Batch]] = {}
    while count > 0:
        for b in reader.poll(700, 1.0):
            got.setdefault(b.partition, []).append(b)
            count -= len(b)
    reader.close()
    out = {}
    for p, batches in got.items():
        for b in batches:
            assert (b.start[0], b.end[-1]) == (0, len(b.data))
            assert (b.start[1:] == b.end[:-1]).all()
        lengths = np.concatenate([b.end - b.start for b in batches])
        parts = [
            [b.data for b in batches],
            [b.offsets for b in batches],
            [b.times for b in batches],
        ]
        out[p] = [lengths, *(np.concatenate(part) for part in parts)]
    return out


def test_both_readers_give_the_very_same_columns(log: KafkaLog) -> None:
    topic = new_topic(log, 3)
    rng = np.random.default_rng(5)
    writer = log.writer()
    count = 0
    for _ in range(60):
        sizes = rng.integers(0, 400, rng.integers(1, 120)) * (rng.random() < 0.9)
        values = [rng.bytes(int(n)) for n in sizes]
        writer.append(topic, int(rng.integers(3)), values, int(rng.integers(1, 2**41)))
        count += len(values)
    writer.flush()
    writer.close()
    fast, stock = columns(log, topic, True, count), columns(log, topic, False, count)
    assert fast.keys() == stock.keys()
    for p in fast:
        for a, b in zip(fast[p], stock[p], strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


def test_the_fast_reader_is_the_default_and_the_stock_one_stands_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = {"bootstrap.servers": "127.0.0.1:1", "group.id": "g", "error_cb": lambda error: None}
    assert librdkafka.available()
    client = kafka_reader.open_client(settings, None)
    assert isinstance(client, LibrdkafkaClient)
    client.close()

    def absent() -> None:
        raise OSError

    monkeypatch.setattr(librdkafka, "load", absent)
    client = kafka_reader.open_client(settings, None)
    assert isinstance(client, ConfluentClient)
    client.close()


def test_a_server_that_cannot_start_says_why(kafka: str, tmp_path: Path) -> None:
    server = KafkaServer(tmp_path, process_roles="nonsense")
    with pytest.raises(ComponentError, match="nonsense"):
        server.start()


@pytest.mark.parametrize("fast", [True, False])
def test_records_without_a_value_are_told_from_empty_ones_and_keep_their_keys(
    kafka: str, fast: bool
) -> None:
    name = f"nulls.{uuid.uuid4().hex}"
    log = KafkaLog(kafka, fast=fast)
    log.ensure(name, 1)
    producer = Producer({"bootstrap.servers": kafka})
    sent: list[tuple[bytes | None, bytes | None]] = [
        (b"a", b"value"),
        (b"b", None),
        (None, None),
        (b"", None),
        (b"c", b""),
        (b"\xff\0", None),
        (None, b"value"),
    ]
    for key, value in sent:
        producer.produce(name, value, key)
    producer.flush()
    reader = log.reader([name], None)
    batches: list[Batch] = []
    while sum(map(len, batches)) < len(sent):
        batches += reader.poll(10, 1.0)
    (found,) = joined(batches)
    assert found.nulls is not None
    assert found.keys is not None
    assert found.nulls.tolist() == [value is None for _, value in sent]
    keys = found.keys.to_arrow().cast(pa.binary()).to_pylist()
    assert keys == [key if value is None else None for key, value in sent]
    assert [bytes(found.value(i)) for i in range(len(sent))] == [value or b"" for _, value in sent]
    reader.close()
    log.close()


@BOTH
def test_headers_that_were_asked_for_come_with_their_records(kafka: str, fast: bool) -> None:
    name = f"headers.{uuid.uuid4().hex}"
    log = KafkaLog(kafka, fast=fast)
    log.ensure(name, 1)
    producer = Producer({"bootstrap.servers": kafka})
    sent: list[list[tuple[str, bytes | None]]] = [
        [],
        [("a", b"1")],
        [("a", b"1"), ("b", b"x"), ("a", b"22")],
        [("a", None)],
        [("a", b"1"), ("a", None)],
        [("b", b"\xff\0"), ("c", b"unasked")],
        [("a", b""), ("b", b"y" * 5_000)],
    ]
    for i, headers in enumerate(sent):
        producer.produce(name, str(i).encode(), headers=headers)
    producer.flush()
    reader = log.reader([name], None, headers={name: ["a", "b"], "another": ["a"]})
    batches: list[Batch] = []
    while sum(map(len, batches)) < len(sent):
        batches += reader.poll(3, 1.0)
    (found,) = joined(batches)
    told = [column.to_arrow().cast(pa.binary()).to_pylist() for column in found.headers]
    expected = [dict(headers) for headers in sent]
    assert told == [[headers.get(asked) for headers in expected] for asked in ("a", "b")]
    (last,) = found.rows(6, 7).headers[1].to_arrow().cast(pa.binary()).to_pylist()
    assert last == b"y" * 5_000
    reader.close()
    plain = log.reader([name], None)
    assert all(batch.headers == () for batch in plain.poll(10, 5.0))
    plain.close()
    log.close()


@pytest.mark.parametrize("fast", [True, False])
def test_a_topic_that_is_read_whole_comes_with_all_keys_and_headers(kafka: str, fast: bool) -> None:
    name = f"whole.{uuid.uuid4().hex}"
    log = KafkaLog(kafka, fast=fast)
    log.ensure(name, 1)
    producer = Producer({"bootstrap.servers": kafka})
    sent: list[tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]] = [
        (b"k", b"value", [("a", b"1"), ("a", b"2"), ("ü", None)]),
        (None, b"", []),
        (b"", None, [("empty", b"")]),
        (b"\xff\x00", b"x" * 100, [("", b"\x00")]),
    ]
    for key, value, headers in sent:
        producer.produce(name, value, key, headers=headers)
    producer.flush()
    reader = log.reader([name], None, headers={name: [WHOLE, "a"], "another": [WHOLE]})
    parts: list[Batch] = []
    while sum(map(len, parts)) < len(sent):
        parts += reader.poll(10, 5.0)
    reader.close()
    (found,) = joined(parts)
    assert found.keys is not None
    assert found.nulls is not None
    assert found.all_headers is not None
    assert found.keys.to_arrow().cast(pa.binary()).to_pylist() == [key for key, _, _ in sent]
    assert found.nulls.tolist() == [value is None for _, value, _ in sent]
    assert [bytes(found.value(i)) for i in range(len(found))] == [
        value or b"" for _, value, _ in sent
    ]
    expected = [
        [{"name": header.encode(), "value": value} for header, value in headers]
        for _, _, headers in sent
    ]
    assert found.all_headers.to_pylist() == expected
    assert found.headers[0].to_arrow().cast(pa.binary()).to_pylist() == [b"2", None, None, None]
    assert found.rows(2, 4).all_headers.to_pylist() == expected[2:]
    assert found.where(np.array([3, 0])).all_headers.to_pylist() == [expected[3], expected[0]]
    log.close()


@pytest.mark.parametrize("codec", ["none", "zstd", "lz4", "gzip", "snappy"])
@pytest.mark.parametrize("is_mixed", [True, False])
def test_headers_are_found_wherever_the_broker_put_their_record(
    kafka: str, codec: str, is_mixed: bool
) -> None:
    """The fast client looks for their number behind the value, in what the broker sent."""
    name = f"behind.{uuid.uuid4().hex}"
    log = KafkaLog(kafka, fast=True)
    log.ensure(name, 1)
    producer = Producer({"bootstrap.servers": kafka, "compression.type": codec, "linger.ms": 100})
    draw = random.Random(codec)
    sent: list[tuple[bytes | None, list[tuple[str, bytes | None]]]] = []
    for at in range(3_000):
        # Zeros, so that what is behind a value is told from what it ends with.
        value = draw.choice([None, b"", bytes(draw.randint(1, 900)), b"\1" * draw.randint(1, 90)])
        headers: list[tuple[str, bytes | None]] = []
        if is_mixed and draw.random() < 0.1:
            headers = [("h", str(at).encode())] * draw.choice([1, 2, 128, 256])
        sent.append((value, headers))
        producer.produce(name, value, headers=headers)
    producer.flush()
    reader = log.reader([name], None, headers={name: [WHOLE]})
    parts: list[Batch] = []
    while sum(map(len, parts)) < len(sent):
        parts += reader.poll(1_000, 5.0)
    reader.close()
    (found,) = joined(parts)
    assert found.all_headers is not None
    assert found.keys is not None
    assert not found.keys.valid.any()
    assert [bytes(found.value(i)) for i in range(len(found))] == [value or b"" for value, _ in sent]
    told = [[(one["name"], one["value"]) for one in own] for own in found.all_headers.to_pylist()]
    assert told == [[(key.encode(), value) for key, value in headers] for _, headers in sent]
    log.close()
