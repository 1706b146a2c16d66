"""Fields that come from headers: declared beside a schema, read of records of either."""

from __future__ import annotations

import json
from dataclasses import replace
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import freshet as fr
from freshet.schemas.errors import DefinitionError
from freshet.schemas.events.codec import EventCodec
from freshet.schemas.events.columns import REASONS
from freshet.schemas.events.decode import decode
from freshet.schemas.events.writer import EventWriter, Misfit
from freshet.schemas.text.columns import Texts
from freshet.schemas.topics import headers
from freshet.schemas.topics.reader import EventReader
from freshet.streams.intake import known_schemas
from tests.streams.toy_events import batch_of

SCHEMA = {
    "type": "record",
    "name": "order",
    "fields": [{"name": "id", "type": "string"}, {"name": "at", "type": "long"}],
}
HEADERS = {"tenant": "x-tenant-id"}


def topic(**declared: Any) -> fr.Topic:
    given = {"schema": SCHEMA, "headers": HEADERS, **declared}
    return fr.Topic("orders", event_id="id", event_time="at", **given)


def test_it_is_a_nullable_text_like_any_other() -> None:
    declared = topic(source="tenant", drop={"tests": pl.col("tenant") == "test"})
    assert declared["tenant"] == fr.schemas.topics.topic.FieldRef("orders", "tenant", True)
    assert [field.name for field in declared.events.fields] == ["id", "at", "tenant"]
    by_tenant = fr.View("by_tenant", declared, key="tenant", features={"n": fr.count(over="1h")})
    fr.App("shop", topics=[declared], views=[by_tenant])
    assert replace(declared, owner="me").events == declared.events


def test_another_header_is_another_topic_and_none_is_as_it_was() -> None:
    plain = fr.Topic("orders", SCHEMA, "id", "at")
    other = topic(headers={"tenant": "tenant"})
    assert len({declared.digest for declared in (plain, topic(), other)}) == 3
    assert plain.digest == topic(headers={}).digest
    assert plain.written == {}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"id": "x"}, "headers name a field 'id', which its schema has, too"),
        ({"x-tenant": "x"}, "headers name a field 'x-tenant', which is no name of one"),
        ({"tenant": ""}, "headers['tenant'] is '', which is no name of a header"),
        ({"tenant": 7}, "headers['tenant'] is 7, which is no name of a header"),
        (["tenant"], "headers=['tenant'] is of type list"),
    ],
)
def test_what_cannot_be_is_refused_by_name(given: Any, why: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        topic(headers=given)
    assert why in str(refused.value)


@given(
    st.lists(
        st.tuples(st.none() | st.binary(max_size=4) | st.just("Zoë".encode()), st.integers(0, 3)),
        min_size=1,
        max_size=8,
    )
)
def test_a_header_counts_before_the_value_whatever_wrote_that(rows: list[tuple[Any, int]]) -> None:
    declared = topic()
    plain = EventWriter(fr.Topic("orders", SCHEMA, "id", "at").events)
    whole = EventWriter(declared.events)
    event = {"id": "1", "at": 5}
    values = [
        (plain.encode(event), None, "ok"),
        (whole.encode({**event, "tenant": "own"}), "own", "ok"),
        (json.dumps({**event, "tenant": "json"}).encode(), "json", "ok"),
        (b"\xff", None, "undecodable"),
    ]
    chosen = [values[which] for _, which in rows]
    batch = batch_of([value for value, _, _ in chosen], range(len(rows)), [0] * len(rows))
    codec = EventCodec(declared.events, declared.written)
    columns = decode(batch.data, batch.start, batch.end, codec)
    told = Texts.from_arrow(pa.array([header for header, _ in rows], pa.binary()))
    headers.fill(columns, ["tenant"], [told])
    for i, ((header, _), (_, own, reason)) in enumerate(zip(rows, chosen)):
        expected = own
        if header is not None and reason == "ok":
            try:
                expected = header.decode()
            except UnicodeDecodeError:
                reason = "wrong_type"
        assert REASONS[columns.reason[i]] == reason
        if reason == "ok":
            assert columns.text("tenant").to_arrow(np.array([i])).to_pylist() == [expected]


def test_one_event_is_read_with_its_headers() -> None:
    declared = topic()
    value = EventWriter(fr.Topic("orders", SCHEMA, "id", "at").events).encode({"id": "1", "at": 5})
    reader = EventReader(declared)
    assert reader.read(value, 5) == {"id": "1", "at": 5, "tenant": None}
    assert reader.read(value, 5, [Texts.of(["blue"])])["tenant"] == "blue"
    wrong = Texts.from_arrow(pa.array([b"\xff"], pa.binary()))
    with pytest.raises(Misfit):
        reader.read(value, 5, [wrong])


FIELDS = st.lists(st.sampled_from(["tenant", "zone", "trace", "lane"]), unique=True, max_size=3)


@given(st.lists(FIELDS, min_size=1, max_size=5), st.sampled_from([0, 1, (1 << 31) - 1]))
def test_headers_may_change_and_records_of_any_time_are_read(
    history: list[list[str]], schema_id: int
) -> None:
    with TemporaryDirectory() as url:
        written = []
        for fields in history:
            schema = {**SCHEMA, "schema_id": schema_id}
            declared = topic(schema=schema, headers={name: f"x-{name}" for name in fields})
            for known in (*declared.written.values(), declared.events):
                known_schemas.keep(url, "orders", known)
            own = dict.fromkeys(fields, "t")
            written.append((own, EventWriter(declared.events).encode({"id": "1", "at": 5} | own)))
        reader = EventReader(declared, known_schemas.earlier_of(url, "orders", declared))
        for own, record in written:
            expected = {name: own.get(name) for name in declared.headers}
            assert reader.read(record, 5) == {"id": "1", "at": 5, **expected}


def test_an_id_of_headers_is_none_that_a_registry_gives_first() -> None:
    for fields in (["a"], ["a", "b"], ["b", "a"]):
        made = topic(headers={name: name for name in fields}).events.schema_id
        assert 1 << 30 <= made < 1 << 31
    assert topic(registry="orders-value").events.schema_id == headers.NO_ID
