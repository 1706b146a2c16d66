"""Single events are what intake makes of their records: the same values, reasons and partitions."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freshet.schemas.durations import milliseconds
from freshet.schemas.events.columns import REASONS
from freshet.schemas.events.decode import EventCodec, encode
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.events.validation import validate
from freshet.schemas.events.writer import Misfit
from freshet.schemas.text.columns import Texts
from freshet.schemas.topics.reader import EventReader, partition_of
from freshet.schemas.topics.topic import Topic
from tests.schemas.events.strategies import columns_of, rows_of, same
from tests.streams import toy_events

TOPIC = toy_events.topic()
APPENDED = toy_events.START + 100
AVRO = toy_events.RECORDS.filter(lambda sent: sent.tick is None).map(lambda sent: sent.value)
WRONG = st.sampled_from(
    [{"delay": "x"}, {"crew": None}, {"gate": "z"}, {"runway": "M"}, {"delay": 1e9}, {"id": 7}]
)
JSON = st.builds(
    lambda event, more: json.dumps({**event, **more}).encode(),
    toy_events.EVENTS,
    st.just({}) | WRONG,
)
BROKEN = st.binary(max_size=40) | JSON.map(lambda text: text[:-3]) | st.just(b"\xff{")


def test_one_event_of_several_in_a_record_is_read_by_its_place() -> None:
    counts = {"name": "counts", "type": {"type": "map", "values": "int"}}
    fields = [{"name": "id", "type": "string"}, {"name": "at", "type": "long"}, counts]
    schema = {"type": "record", "name": "r", "fields": fields}
    topic = Topic("r", schema, event_id="id", event_time="at", explode="counts")
    reader = EventReader(topic)
    event = {"id": "1", "at": APPENDED, "counts": {"a": 1, "b": 2}}
    (record,) = encode(topic.records, [event])
    assert reader.read_one(record, APPENDED, (), 1) == {
        "id": "1",
        "at": APPENDED,
        "counts.key": "b",
        "counts.value": 2,
    }
    whole = reader.read(record, APPENDED)
    assert whole["counts"] == [{"key": "a", "value": 1}, {"key": "b", "value": 2}]
    assert reader.event_id(record) == "1"
    (empty,) = encode(topic.records, [{**event, "counts": {}}])
    for value, place in ((record, 2), (empty, 0)):
        with pytest.raises(Misfit):
            reader.read_one(value, APPENDED, (), place)


def in_columns(records: list[bytes], codec: EventCodec) -> list[tuple[str, dict[str, Any]]]:
    """Reason and event of each record as intake has them, all in one batch."""
    columns = columns_of(records, codec)
    times = np.full(len(records), APPENDED)
    future = milliseconds(TOPIC.freshness.max_future)
    validate(columns, times, TOPIC.event_time, columns.integers(TOPIC.event_time)[0], future)
    return [(REASONS[r], row) for r, row in zip(columns.reason, rows_of(columns))]


@given(st.lists(AVRO | JSON | BROKEN, min_size=1, max_size=20))
def test_an_event_or_why_there_is_none_is_as_in_a_batch(records: list[bytes]) -> None:
    reader = EventReader(TOPIC)
    for record, (reason, row) in zip(records, in_columns(records, EventCodec(TOPIC.events))):
        if reason == "ok":
            assert same(reader.read(record, APPENDED), row)
            assert reader.event_id(record) == row["id"]
        else:
            with pytest.raises(Misfit) as refused:
                reader.read(record, APPENDED)
            assert REASONS[refused.value.reason] == reason


def test_the_time_of_the_append_decides_what_is_far_in_the_future() -> None:
    record = encode(TOPIC.events, [{**dict.fromkeys(TOPIC.events.positions), "id": "a", "at": 10**6, "gate": "a", "crew": 1,
                                    "late": False}])[0]  # fmt: skip
    reader = EventReader(TOPIC)
    assert reader.read(record, 10**6)["at"] == 10**6
    with pytest.raises(Misfit, match="far_future"):
        reader.read(record, 0)


def test_records_of_an_earlier_schema_are_read_by_its_wire_id() -> None:
    fields = [{"name": "id", "type": "string"}, {"name": "at", "type": "long"}]
    before = EventSchema.parse(
        {"type": "record", "name": "e", "schema_id": 1, "fields": fields}, "e"
    )
    now = {
        "type": "record",
        "name": "e",
        "schema_id": 2,
        "fields": [*fields, {"name": "x", "type": "int", "default": 5}],
    }
    record = encode(before, [{"id": "a", "at": 1}])[0]
    assert EventReader(Topic("e", now, "id", "at"), {1: before}).read(record, 1) == {
        "id": "a",
        "at": 1,
        "x": 5,
    }
    with pytest.raises(Misfit, match="unknown_type"):
        EventReader(Topic("e", now, "id", "at")).read(record, 1)


@given(st.lists(st.text(max_size=20), min_size=1), st.integers(1, 64))
def test_an_id_has_the_partition_that_it_has_among_others(ids: list[str], partitions: int) -> None:
    assert [partition_of(i, partitions) for i in ids] == Texts.of(ids).partitions(
        partitions
    ).tolist()
