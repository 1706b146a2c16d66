"""Partitions of a topic add up to what one partition with all of its events would have told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.schemas.topics.topic import Topic
from freshet.serving.board.rate import WINDOW_SECONDS, Rate
from freshet.serving.board.topic import TopicBoard
from freshet.serving.board.topic_figures import OTHER, topic_figures
from tests.toy_app import topics

PAYMENTS = topics()[1]
NUMBERS = st.lists(st.floats(-1e6, 1e6), max_size=8)


def numbers(values: list[float]) -> dict[str, Any]:
    """Facts of a field, as intake tells them."""
    x = np.array(values)
    figures = [float(f(x)) for f in (np.min, np.max, np.mean, np.std)] if values else [None] * 4
    return {
        "seen": len(x) + 1,
        "missing": 1,
        "imputed": 1,
        **dict(zip(("min", "max", "mean", "std"), figures)),
    }


def facts(late: list[float] = [], **changed: Any) -> dict[str, Any]:  # noqa: B006
    return {"fates": {}, "fields": {"late": numbers(late)}, "sources": {}, **changed}


@given(parts=st.lists(NUMBERS, min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_numbers_of_partitions_combine_to_those_of_all_values(parts: list[list[float]]) -> None:
    (field,) = topic_figures(PAYMENTS, [facts(p) for p in parts]).fields
    values = np.array([x for p in parts for x in p])
    assert (field.seen, field.missing, field.imputed) == (len(values), len(parts), len(parts))
    if len(values):
        assert (field.min, field.max) == (values.min(), values.max())
        assert field.mean == pytest.approx(values.mean(), rel=1e-9, abs=1e-6)
        assert field.deviation == pytest.approx(values.std(), rel=1e-9, abs=1e-3)
    else:
        assert (field.min, field.max, field.mean, field.deviation) == (None, None, None, None)


def test_a_mean_that_one_partition_cannot_tell_is_not_told_of_the_others_alone() -> None:
    broken = facts([1.0])
    broken["fields"]["late"] |= {"mean": None, "std": None}
    (field,) = topic_figures(PAYMENTS, [facts([5.0]), broken]).fields
    assert (field.mean, field.deviation, field.max) == (None, None, 5.0)


def test_texts_count_by_value_and_those_without_a_place_together() -> None:
    shops = [
        {"seen": 5, "missing": 0, "imputed": 0, "values": v, "other": n}
        for v, n in (({"a": 3}, 2), ({"a": 1, "b": 4}, 0))
    ]
    (field,) = topic_figures(PAYMENTS, [facts(fields={"shop": x}) for x in shops]).fields
    assert field.values == {"a": 4, "b": 4, OTHER: 2}


def source(events: int, newest: int | None, rate: float | None, late: int = 0) -> dict[str, Any]:
    return {"events": events, "late": late, "dead": 1, "newest_ms": newest, "rate_per_hour": rate}


def test_sources_add_up_with_the_newest_moment_and_the_sum_of_their_rates() -> None:
    one = facts(
        sources={"JFK": source(5, 10, 3.0), "LGA": source(0, None, None)},
        other_sources=source(0, None, None, 7),
    )
    two = facts(sources={"JFK": source(2, 30, 1.5)}, other_sources=source(0, None, None))
    jfk, lga, other = topic_figures(PAYMENTS, [one, two]).sources
    assert (jfk.name, jfk.events, jfk.dead, jfk.newest_ms, jfk.rate_per_hour) == (
        "JFK",
        7,
        2,
        30,
        4.5,
    )
    assert (lga.events, lga.newest_ms, lga.rate_per_hour) == (0, None, None)
    assert (other.name, other.late) == (OTHER, 7)


def test_fates_add_up() -> None:
    fates = {"applied": 3, "dropped:late": 1, "dropped:spam": 0, "dead:crash": 2}
    told = topic_figures(
        PAYMENTS, [facts(fates=fates, newest_ms=5), facts(fates=fates, newest_ms=9)]
    )
    assert (told.records, told.applied, told.newest_ms) == (12, 6, 9)
    assert (told.dropped, told.dead) == ({"late": 2}, {"crash": 4})


@pytest.mark.parametrize(("tombstone", "fate"), [("ignore", "ignored"), ("delete", "erased")])
def test_tombstones_are_counted_beside_the_other_fates(tombstone: str, fate: str) -> None:
    topic = Topic("t", PAYMENTS.events, "order_id", "at", tombstone=tombstone)
    fates = {"applied": 3, fate: 4}
    told = topic_figures(topic, [facts(fates=fates), facts(fates=fates)])
    assert (told.records, told.applied, told.tombstones) == (14, 6, 8)
    assert (told.dropped, told.dead) == ({}, {})


def test_where_partitions_begin_is_told_of_those_that_were_decided() -> None:
    topic = Topic("t", PAYMENTS.events, "order_id", "at", start="latest")
    told = topic_figures(topic, [facts(start=[1, 70]), facts(), facts(start=[0, 8])])
    assert (told.start, list(told.starts.items())) == ("latest", [("0", 8), ("1", 70)])


def test_a_topic_nobody_told_of_has_nothing_but_its_declaration() -> None:
    topic = Topic(
        "t", PAYMENTS.events, "order_id", "at", partitions=4, owner="ops", description="paid"
    )
    told = topic_figures(topic, [])
    assert (told.records, told.fields, told.sources, told.newest_ms) == (0, [], [], None)
    assert (told.partitions, told.owner, told.description) == (4, "ops", "paid")


def test_figures_follow_what_is_told_anew_even_by_one_of_its_partitions() -> None:
    board = TopicBoard(PAYMENTS)
    one, two, three = (facts(fates={"applied": n}) for n in (1, 10, 100))
    assert [
        board.figures(told, PAYMENTS.freshness, 0).records
        for told in ([one, two], [one, three], [one])
    ] == [
        11,
        101,
        1,
    ]


def test_a_rate_is_that_of_the_newest_seconds() -> None:
    rate = Rate()
    assert rate.per_second == 0.0
    for second in range(60):
        rate.sample(second, 1_000 if second < 50 else 1_000 + 10 * (second - 49))
    assert rate.per_second == pytest.approx(10.0)
    assert 5 < WINDOW_SECONDS + 1 < 9
    rate.sample(60, 3)  # a process came back with less
    assert rate.per_second == 0.0
