"""Records go to the partition of their id, whatever their type and form, once each."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from freshet.audit.kept import Record
from freshet.audit.moved import faults
from freshet.schemas.errors import RegistryError
from freshet.schemas.events.codec import EventCodec
from freshet.schemas.events.decode import encode
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.registry.address import parsed
from freshet.schemas.registry.client import Registered, RegistryClient
from freshet.schemas.text.columns import Texts
from freshet.schemas.topics.topic import Topic
from freshet.schemas.wire import blocks
from freshet.streams.admission import admission
from freshet.streams.intake.task import CleanRoute, IntakePlan
from freshet.streams.operators.task import Append, Outputs
from freshet.streams.outages import Outages
from freshet.streams.registry.asking import Asking
from freshet.streams.registry.writers import Writers
from freshet.streams.repartition import task as repartition
from freshet.streams.repartition.intake import MovedIntakeTask
from freshet.streams.repartition.task import RepartitionPlan, RepartitionTask
from tests.serving.registry.served import served
from tests.streams.registry.test_writers import NOBODY, X, avro, topic, written
from tests.streams.repartition.hop import TO, Hop, once
from tests.streams.toy_events import START, Sent, batch_of, plan

WIDE = 4


def rows(out: Outputs) -> dict[int, list[dict[str, Any]]]:
    """What was moved, by where to."""
    found: dict[int, list[dict[str, Any]]] = {}
    for append in out.appends:
        for value in append.values:
            block = blocks.decode(value)
            if block.rows is not None:
                found.setdefault(append.partition, []).extend(block.rows.to_pylist())
    return found


def by_id(kind: Any) -> IntakePlan:
    schema = EventSchema.parse(
        {
            "type": "record",
            "name": "e",
            "fields": [{"name": "id", "type": kind}, {"name": "at", "type": "long"}],
        },
        "e",
    )
    topic = Topic("e", schema, "id", "at", partitions=WIDE, dedup_by="topic")
    return IntakePlan("log", topic, EventCodec(schema), (), (), "dead")


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("string", ["", "a", "b", "Zoë", "a|b", "\\N", "x" * 500]),
        ("long", [0, -1, 7, 1 << 40]),
        ("int", [0, -1, 7, 1 << 20]),
        ("boolean", [True, False]),
        ({"type": "enum", "name": "c", "symbols": ["A", "B"]}, ["A", "B"]),
        (
            {"type": "string", "logicalType": "uuid"},
            ["0A1b2c3d-0000-1111-2222-333344445555", "0a1b2c3d-0000-1111-2222-333344445555"],
        ),
    ],
)
def test_an_id_of_any_type_has_one_partition_wherever_it_comes(kind: Any, values: Any) -> None:
    made = by_id(kind)
    plan_ = RepartitionPlan(made, TO, WIDE)
    there: dict[int, list[Record]] = {p: [] for p in range(WIDE)}
    came = {}
    for source in range(3):
        events = [{"id": value, "at": START} for value in values]
        found = encode(made.topic.events, events)
        # As JSON, too: the same id is the same, however it is written.
        found += [json.dumps(event).encode() for event in events]
        batch = batch_of(found, range(len(found)), [START] * len(found), "log", source)
        came[source] = [Record(i, START, value) for i, value in enumerate(found)]
        for to, moved in rows(RepartitionTask(plan_, source).apply(batch)).items():
            there[to] += [
                Record(0, START, row["value"], source=(source, row["_offset"])) for row in moved
            ]
    assert list(faults(made.topic, came, there)) == []
    if len(values) > 3:
        assert sum(map(bool, there.values())) > 1, "they are spread"


def test_what_is_no_event_goes_where_its_source_partition_says() -> None:
    task = RepartitionTask(RepartitionPlan(by_id("long"), TO, WIDE), 6)
    found = rows(task.apply(batch_of([b"?", b"", b"{}"], [0, 1, 2], [START] * 3)))
    assert [len(moved) for moved in found.values()] == [3]
    assert list(found) == [2]


def test_a_tick_follows_in_every_partition_and_is_told_once() -> None:
    task = RepartitionTask(RepartitionPlan(by_id("long"), TO, WIDE), 1)
    told = task.tick(START, 3)
    assert [append.partition for append in told.appends] == list(range(WIDE))
    (block,) = {blocks.decode(append.values[0]) for append in told.appends}
    assert (block.origin, block.partition, block.tick, block.partitions) == ("e", 1, START, 3)
    assert task.tick(START, 3).appends == []
    again = RepartitionTask(RepartitionPlan(by_id("long"), TO, WIDE), 1)
    again.load(task.dump(True), [])
    assert again.finished == START
    assert again.tick(START, 3).appends == []


def test_append_times_are_bounded_by_the_clock_of_whoever_reads_first() -> None:
    task = RepartitionTask(RepartitionPlan(by_id("long"), TO, 1), 0)
    day = 86_400_000
    batch = batch_of([b"?", b"?"], [3, 4], [START, START + day])
    assert task.doubts(batch, START)
    assert not task.doubts(batch, START + day)
    task.vouch(batch, START)
    (moved,) = rows(task.apply(batch)).values()
    assert moved[0]["time"] == START
    assert START < moved[1]["time"] < START + day
    again = RepartitionTask(RepartitionPlan(by_id("long"), TO, 1), 0)
    again.load(task.dump(False), [])
    assert rows(again.apply(batch)) == {0: moved}


def test_a_partition_that_is_added_is_waited_for() -> None:
    sources = [[Sent(START, tick=START)], [Sent(START, tick=START + 1)]]
    hop = Hop(plan(1, dedup_by="topic"), sources, 1)
    hop.move(0, 1)
    hop.take(0, 9)
    assert hop.takers[0].finished == blocks.NO_TICK
    hop.move(1, 1)
    hop.take(0, 9)
    assert hop.takers[0].finished == START


def test_an_event_is_late_only_by_its_own_source_partition() -> None:
    """However far another one was read."""

    def sent(i: int, at: int) -> Sent:
        event = {
            "id": f"f{i}", "at": at, "gate": "a", "carrier": "AA", "runway": None, "delay": None,
            "wind": None, "temp": None, "seats": None, "mileage": None, "crew": 1, "gust": None,
            "late": False,
        }  # fmt: skip
        return Sent(at, event)

    day = 86_400_000
    sources = [[sent(0, START + day), sent(1, START)], [sent(2, START), sent(3, START - day)]]
    hop = Hop(plan(1, dedup_by="topic"), sources, 1)
    hop.finish()
    (task,) = hop.takers
    fates = task.facts()["fates"]
    assert (fates["applied"], fates["dropped:late"]) == (2, 2)
    assert [late["source"] for late in task.facts()["late_sources"]] == ["AA", "AA"]
    again = MovedIntakeTask(hop.plan, 0, 1)
    again.load(task.dump(True), [])
    assert again.facts() == task.facts()


def test_ids_are_forgotten_by_the_partition_that_is_read_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else its repeats of what another one brought would be events of their own."""
    monkeypatch.setattr(admission, "MANY_IDS", 1)
    minute = 60_000
    plain = {
        "at": START, "gate": "a", "carrier": None, "runway": None, "delay": None, "wind": None,
        "temp": None, "seats": None, "mileage": None, "crew": 1, "gust": None, "late": False,
    }  # fmt: skip

    def sent(i: int, appended: int) -> Sent:
        return Sent(appended, {"id": f"f{i}", **plain, "at": appended})

    ahead = [sent(0, START), sent(1, START + 10 * minute), sent(2, START + 20 * minute)]
    behind = [sent(3, START), sent(0, START + 1), Sent(0, tick=START + 30 * minute)]
    hop = Hop(plan(1, dedup_by="topic"), [ahead, behind], 1)
    (task,) = hop.takers

    def step(source: int) -> bool:
        hop.move(source, 1)
        hop.take(0, 9)
        return task.turn(len(hop.moved[0]), None)

    assert [step(0), step(1), step(0), step(0)] == [False] * 4
    assert not step(1)
    assert task.facts()["fates"]["deduplicated"] == 1
    assert step(1), "it is read as far as the other"
    assert task.finished == blocks.NO_TICK


# ---------------------------------------------------------------------------------- crashes
def crashing(hop: Hop, monkeypatch: pytest.MonkeyPatch, on: str) -> None:
    """Intake crashes on events of this id."""
    settle = type(hop.takers[0]._intake)._settle

    def settled(self: Any, columns: Any, times: Any, read: Any) -> Any:
        ids = columns.key("id").to_arrow().to_pylist()
        if any(id_ == on for id_, bad in zip(ids, columns.reason.tolist()) if not bad):
            raise ValueError("a fault of ours")
        return settle(self, columns, times, read)

    monkeypatch.setattr(type(hop.takers[0]._intake), "_settle", settled)


@pytest.mark.parametrize("on", ["f1", "f7"])
def test_of_a_block_on_which_intake_crashes_the_culprit_alone_is_refused(
    monkeypatch: pytest.MonkeyPatch, on: str
) -> None:
    plain = {
        "at": START, "gate": "a", "carrier": "AA", "runway": None, "delay": None, "wind": None,
        "temp": None, "seats": None, "mileage": None, "crew": 1, "gust": None, "late": False,
    }  # fmt: skip
    sources = [[Sent(START, {"id": f"f{i}", **plain}) for i in range(8)]]
    hop = Hop(plan(1, dedup_by="topic"), sources, 1)
    hop.move(0, 8)
    crashing(hop, monkeypatch, on)
    (task,) = hop.takers
    with pytest.raises(ValueError, match="a fault of ours"):
        task.apply(hop.batch(0, 0, 1))
    task = MovedIntakeTask(hop.plan, 0, 1)
    out = task.skip(hop.batch(0, 0, 1))
    assert task.facts()["fates"]["applied"] == 7
    assert task.facts()["fates"]["dead:crash"] == 1
    (letter,) = once(out.appends)["dead", 0]
    assert letter[0] == "crash"
    assert letter[-2:] == (0, int(on[1:]))
    assert task.apply(hop.batch(0, 0, 1)).appends == [], "it has had them"


def test_what_crashes_only_by_what_is_remembered_is_refused_as_a_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = MovedIntakeTask(by_id("long"), 0, 1)
    moved = RepartitionTask(RepartitionPlan(by_id("long"), TO, 1), 0)
    batch = batch_of([b'{"id": 1, "at": 0}'] * 3, [0, 1, 2], [START] * 3)
    (append,) = moved.apply(batch).appends
    monkeypatch.setattr(task, "_crashes", lambda rows: False)
    task.skip(batch_of(append.values, [0], [START], TO))
    assert task.facts()["fates"]["dead:crash"] == 3


def test_bytes_that_are_no_block_are_passed_over() -> None:
    task = MovedIntakeTask(by_id("long"), 0, 1)
    assert task.skip(batch_of([b"not ours"], [0], [START], TO)).appends == []


def test_a_record_on_which_moving_crashes_is_moved_and_refused() -> None:
    made = by_id("long")
    batch = batch_of([b'{"id": 1, "at": 0}'], [5], [START], "log", 2)
    out = RepartitionTask(RepartitionPlan(made, TO, 1), 2).skip(batch)
    (append,) = out.appends
    task = MovedIntakeTask(made, 0, 1)
    letters = once(task.apply(batch_of(append.values, [0], [START], TO)).appends)["dead", 0]
    assert [(row[0], *row[-2:]) for row in letters] == [("crash", 2, 5)]
    assert repartition.CRASH == 8


# -------------------------------------------------------------------------------- tombstones
def test_a_tombstone_keeps_its_place_among_the_events_of_its_id() -> None:
    schema = by_id("long").topic.events
    topic = Topic(
        "e", schema, "id", "at", partitions=WIDE, dedup_by="topic", tombstone="delete", dedup="1m"
    )
    clean = (CleanRoute("clean", 1, ("id",), ("at",)),)
    made = IntakePlan("log", topic, EventCodec(schema), clean, (), "dead")
    values = [b'{"id": %d, "at": %d}' % (i, START) for i in range(9)]
    batch = batch_of([*values, *[b""] * 9], range(18), [START] * 18)
    keys = Texts.from_arrow(pa.array([*[None] * 9, *[b"%d" % i for i in range(9)]], pa.binary()))
    nulls = np.array([False] * 9 + [True] * 9)
    mover = RepartitionTask(RepartitionPlan(made, TO, WIDE), 0)
    out = mover.apply(replace(batch, nulls=nulls, keys=keys))
    assert len(out.appends) > 1
    for append in out.appends:
        assert erased(made, append) == erased_in_order(append)


def erased(made: IntakePlan, append: Append) -> list[tuple[str, bool]]:
    """Keys of the clean log, each with whether it is erased."""
    task = MovedIntakeTask(made, append.partition, WIDE)
    found = task.apply(batch_of(append.values, [0], [START], TO, append.partition))
    rows_ = blocks.decode(found.appends[0].values[0]).rows
    assert rows_ is not None
    return [(row["key"], row[blocks.ERASED]) for row in rows_.to_pylist()]


def erased_in_order(append: Append) -> list[tuple[str, bool]]:
    out = []
    for row in rows(Outputs([append]))[append.partition]:
        if row["value"] is None:
            out.append((row["key"].decode(), True))
        else:
            out.append((str(json.loads(row["value"])["id"]), False))
    return out


# ------------------------------------------------------------ records of a schema registry
def test_an_id_is_the_same_whichever_schema_it_was_written_by(tmp_path: Path) -> None:
    url = str(tmp_path / "checkpoints")
    by_id = replace(topic(X), dedup_by="topic", partitions=WIDE)
    plan = IntakePlan("log", by_id, EventCodec(by_id.events), (), (), "dead")
    values = [written(1, avro(), at=START), written(2, avro(X), at=START, x=2.0)]
    batch = batch_of([*values, written(9, avro())], [0, 1, 2], [START] * 3)
    with served(tmp_path / "registry") as address:
        with closing(RegistryClient(parsed(address))) as client:
            client.register("t-value", Registered(json.dumps(avro())))
            client.register("t-value", Registered(json.dumps(avro(X))))
        with closing(Asking(parsed(address))) as asking:
            writers = Writers(by_id, "log", url, asking, Outages())
            own = replace(plan, writers=writers)
            mover = RepartitionTask(RepartitionPlan(own, "to", WIDE), 0)
            mover.prepare(batch)
            moved = mover.apply(batch).appends
    fates = {"applied": 0, "deduplicated": 0, "dead:unknown_type": 0}
    # What was asked for once is known, whether anybody is there to ask or not.
    with closing(Asking(parsed(NOBODY))) as nobody:
        for append in moved:
            writers = Writers(by_id, "log", url, nobody, Outages())
            own = replace(plan, writers=writers)
            task = MovedIntakeTask(own, append.partition, WIDE)
            taken = batch_of(append.values, [0], [START], "to", append.partition)
            task.prepare(taken)
            task.apply(taken)
            for fate in fates:
                fates[fate] += task.facts()["fates"][fate]
    assert fates == {"applied": 1, "deduplicated": 1, "dead:unknown_type": 1}


def test_nothing_is_moved_or_settled_while_a_schema_is_not_known(tmp_path: Path) -> None:
    by_id = replace(topic(X), dedup_by="topic")
    plan = IntakePlan("log", by_id, EventCodec(by_id.events), (), (), "dead")
    batch = batch_of([written(1, avro(), at=START)], [0], [START])
    (append,) = RepartitionTask(RepartitionPlan(plan, "to", 1), 0).apply(batch).appends
    with closing(Asking(parsed(NOBODY))) as nobody:
        writers = Writers(by_id, "log", str(tmp_path), nobody, Outages())
        own = replace(plan, writers=writers)
        with pytest.raises(RegistryError, match="cannot be reached"):
            RepartitionTask(RepartitionPlan(own, "to", 1), 0).prepare(batch)
        task = MovedIntakeTask(own, 0, 1)
        with pytest.raises(RegistryError, match="cannot be reached"):
            task.prepare(batch_of(append.values, [0], [START], "to"))
        task.prepare(batch_of([b"no block"], [1], [START], "to"))
