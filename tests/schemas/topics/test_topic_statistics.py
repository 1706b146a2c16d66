"""What is declared of statistics: held to what it takes, and of no matter to results."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

import freshet as fr
from freshet.schemas.errors import DefinitionError

SCHEMA = {
    "type": "record",
    "name": "order",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": "long"},
        {"name": "price", "type": "double"},
    ],
}
DAY = 24
MAY = int(datetime(2026, 5, 1, tzinfo=UTC).timestamp()) // 3_600


def topic(statistics: Any) -> fr.Topic:
    return fr.Topic("orders", SCHEMA, "id", "at", statistics=statistics)


@pytest.mark.parametrize(
    "reference",
    [
        ("2026-05-01", "2026-05-03"),
        ["2026-05-01T00:00Z", date(2026, 5, 3)],
        (datetime(2026, 5, 1), "2026-05-03T01:00+01:00"),
        # Of days that are cut nothing counts.
        ("2026-04-30T00:01", "2026-05-03T23:59"),
    ],
)
def test_a_span_is_its_whole_days(reference: Any) -> None:
    found = fr.Statistics(reference=reference)
    assert found.span == (MAY, MAY + 2 * DAY)
    assert found.reference_name.endswith(" UTC")


def test_by_default_it_is_the_weeks_before() -> None:
    assert fr.Statistics().span is None
    assert fr.Statistics().reference_name == "the same hours of the weeks before"


def test_nothing_of_it_is_a_fact() -> None:
    usual = fr.Topic("orders", SCHEMA, "id", "at")
    assert topic(None).digest == usual.digest
    other = fr.Statistics(bounds={"price": 0.3}, reference=("2026-05-01", "2026-05-03"))
    assert topic(other).digest == usual.digest


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"bounds": [0.3]}, "bounds=.* is of type list"),
        ({"bounds": {"price": 0.0}}, "is no distance"),
        ({"bounds": {"price": 1}}, "is no distance"),
        ({"bounds": {"price": True}}, "is no distance"),
        ({"bounds": {"price": float("nan")}}, "is no distance"),
        ({"bounds": {"price": "0.3"}}, "is no distance"),
        ({"bounds": {3: 0.3}}, "is no distance"),
        ({"reference": None}, "is no span"),
        ({"reference": "training"}, "is no span"),
        ({"reference": ("2026-05-01",)}, "is no span"),
        ({"reference": (1, 2)}, "is of type int"),
        ({"reference": ("2026-05-01", "soon")}, "'soon' is no moment"),
        ({"reference": ("2026-05-01", "2026-05-01")}, "has no whole day"),
        ({"reference": ("2026-05-01T12:00", "2026-05-02T12:00")}, "has no whole day"),
        ({"reference": ("1800-01-01", "2026-05-02")}, "is before 1900"),
    ],
)
def test_what_is_none_of_it_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(DefinitionError, match=told):
        fr.Statistics(**given)


def test_bounds_name_fields_of_the_topic() -> None:
    assert topic(fr.Statistics(bounds={"price": 0.3})).statistics is not None
    with pytest.raises(DefinitionError, match=r"statistics.bounds 'cost' is not in its schema"):
        topic(fr.Statistics(bounds={"cost": 0.3}))
    with pytest.raises(DefinitionError, match="statistics=False is of type bool"):
        topic(False)
