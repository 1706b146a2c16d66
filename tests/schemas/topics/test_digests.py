"""A topic's digest changes with what becomes of an event, and with nothing else."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

import freshet as fr
from freshet.schemas.errors import DefinitionError

FIELDS = [
    {"name": "id", "type": "string"},
    {"name": "at", "type": "long"},
    {"name": "shop", "type": ["null", "string"]},
    {"name": "town", "type": ["null", "string"]},
    {"name": "price", "type": ["null", "double"]},
]
TEST = pl.col("shop") == "test"
CHEAP = pl.col("price") < 1.0


def topic(fields: list[dict[str, Any]] | None = None, **declared: Any) -> fr.Topic:
    schema = {"type": "record", "name": "order", "fields": fields or FIELDS}
    return fr.Topic("orders", schema, event_id="id", event_time="at", **declared)


def with_field(name: str, **changes: Any) -> fr.Topic:
    return topic([{**f, **changes} if f["name"] == name else f for f in FIELDS])


CONSTANT, MEDIAN = fr.impute.constant(1.0), fr.impute.median(by="shop")
SHOP = fr.impute.constant("none")
SAME: dict[str, tuple[fr.Topic, fr.Topic]] = {
    "freshness": (topic(), topic(freshness=fr.Freshness(feature_slo="9s", lateness="5m"))),
    "owner and description": (topic(), topic(owner="ann", description="orders")),
    "a duration written otherwise": (topic(dedup="1h"), topic(dedup="60m")),
    "a field that nothing reads": (topic(), topic([*FIELDS, {"name": "x", "type": ["null", "int"]}])),
    "the order of fields": (topic(), topic(FIELDS[::-1])),
    "a wider number": (
        topic([{**f, "type": "int"} if f["name"] == "at" else f for f in FIELDS[:1]] + FIELDS[1:]),
        topic(),
    ),
    "a field's description": (topic(), with_field("price", doc="in euros")),
    "the order of imputes": (
        topic(impute={"price": CONSTANT, "shop": SHOP}),
        topic(impute={"shop": SHOP, "price": CONSTANT}),
    ),
    "a helper that makes the same filter": (
        topic(drop={"test": TEST}),
        topic(drop={"test": (lambda name: pl.col("shop") == name)("test")}),
    ),
}  # fmt: skip
OTHER: dict[str, tuple[fr.Topic, fr.Topic]] = {
    "a filter": (topic(), topic(drop={"test": TEST})),
    "a filter's expression": (topic(drop={"test": TEST}), topic(drop={"test": CHEAP})),
    "a filter's literal, of another type": (
        topic(drop={"cheap": CHEAP}),
        topic(drop={"cheap": pl.col("price") < pl.lit(1.0, pl.Float32)}),
    ),
    "the order of filters": (
        topic(drop={"test": TEST, "cheap": CHEAP}),
        topic(drop={"cheap": CHEAP, "test": TEST}),
    ),
    "what is filled in": (topic(impute={"price": CONSTANT}), topic(impute={"price": MEDIAN})),
    "the order of imputes, where one is by another": (
        topic(impute={"price": MEDIAN, "shop": SHOP}),
        topic(impute={"shop": SHOP, "price": MEDIAN}),
    ),
    "a range": (topic(), with_field("price", range=[0, 10])),
    "a domain": (topic(), with_field("town", domain=["Lyon"])),
    "a field that must be there": (topic(), with_field("town", required=True)),
    "dedup": (topic(), topic(dedup="2h")),
    "the source": (topic(), topic(source="shop")),
    "another source": (topic(source="shop"), topic(source="town")),
    "the id": (topic(), fr.Topic("orders", topic().events, event_id="at", event_time="at")),
}


@pytest.mark.parametrize("what", SAME)
def test_what_changes_no_result_leaves_a_topic_as_it_is(what: str) -> None:
    one, other = SAME[what]
    assert one.digest == other.digest


@pytest.mark.parametrize("what", OTHER)
def test_what_changes_a_result_makes_another_topic(what: str) -> None:
    one, other = OTHER[what]
    assert one.digest != other.digest


def test_another_unit_or_zone_is_another_topic_and_milliseconds_are_what_they_were() -> None:
    schema = {"type": "record", "name": "order", "fields": FIELDS}

    def digest(event_time: Any) -> str:
        return fr.Topic("orders", schema, "id", event_time).digest

    assert digest("at") == digest(fr.time("at")) == digest(fr.time("at", unit="ms"))
    elsewhere = fr.Topic("orders", schema, "id", "at", log="orders.v1").digest
    assert elsewhere != digest("at")
    others = (fr.time("at", unit="s"), fr.time("at", unit="us"), None)
    assert len({digest("at"), *map(digest, others)}) == 4


# ------------------------------------------------------------ within what repeats are found
VISIT = {
    "type": "record",
    "name": "visit",
    "fields": [{"name": "id", "type": "string"}, {"name": "at", "type": "long"}],
}


def test_where_repeats_are_found_over_all_partitions_it_is_another_topic() -> None:
    plain = fr.Topic("visits", VISIT, "id", "at")
    assert fr.Topic("visits", VISIT, "id", "at", dedup_by="partition").facts == plain.facts
    by_id = fr.Topic("visits", VISIT, "id", "at", dedup_by="topic")
    assert by_id.facts == {**plain.facts, "dedup_by": "topic"}


def test_repeats_are_found_within_a_partition_or_a_topic_and_by_an_id() -> None:
    with pytest.raises(DefinitionError, match="dedup_by='id' is unknown"):
        fr.Topic("visits", VISIT, "id", "at", dedup_by="id")
    with pytest.raises(DefinitionError) as refused:
        fr.Topic("visits", VISIT, None, "at", dedup_by="topic")
    assert str(refused.value) == (
        'definition topic visits: dedup_by="topic" finds repeats by their id, and event_id=None '
        "says that no event has one. Name the field that tells events apart as event_id, or leave "
        "dedup_by out."
    )


def test_records_of_several_ids_are_not_moved_by_their_ids() -> None:
    counted = {"name": "counts", "type": {"type": "array", "items": "int"}}
    visit = {**VISIT, "fields": [*VISIT["fields"], counted]}
    with pytest.raises(DefinitionError, match="explode='counts' one record has events of several"):
        fr.Topic("visits", visit, "id", "at", dedup_by="topic", explode="counts")
