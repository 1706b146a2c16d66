"""A start is `earliest`, `latest` or a moment, and one text however it was written."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

import freshet as fr
from freshet.schemas.errors import DefinitionError
from freshet.schemas.topics.start import canonical, moment_ms

SCHEMA = {
    "type": "record",
    "name": "order",
    "fields": [{"name": "id", "type": "string"}, {"name": "at", "type": "long"}],
}
NEW_YEAR = "2026-01-01T00:00:00+00:00"


def topic(start: object) -> fr.Topic:
    return fr.Topic("orders", SCHEMA, "id", "at", log="orders.v1", start=start)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "written",
    [
        "2026-01-01",
        "20260101",
        "2026-01-01T00:00Z",
        "2026-01-01 01:00+01:00",
        date(2026, 1, 1),
        datetime(2026, 1, 1),
        datetime(2025, 12, 31, 19, tzinfo=timezone(-timedelta(hours=5))),
    ],
)
def test_one_moment_is_one_definition(written: object) -> None:
    assert topic(written).start == NEW_YEAR
    assert topic(written).digest == topic(NEW_YEAR).digest


@given(st.datetimes(datetime(1900, 1, 2), datetime(9999, 12, 30)))
def test_a_canonical_start_is_itself_and_its_own_moment(moment: datetime) -> None:
    text = canonical(moment, "topic orders")
    assert canonical(text, "topic orders") == text
    assert moment_ms(text) == round(moment.replace(tzinfo=UTC).timestamp() * 1_000)


def test_another_start_is_another_topic_and_the_first_record_is_as_it_was() -> None:
    starts = ["earliest", "latest", "2026-01-01", "2026-01-02"]
    assert len({topic(start).digest for start in starts}) == len(starts)
    before = fr.Topic("orders", SCHEMA, "id", "at", log="orders.v1")
    assert topic("earliest").digest == before.digest
    assert "start" not in before.facts


@pytest.mark.parametrize(
    ("start", "why"),
    [
        ("newest", "start='newest' is no moment. Write \"earliest\""),
        ("", "start='' is no moment"),
        ("2026-02-30", "start='2026-02-30' is no moment"),
        ("1899-12-31", "start='1899-12-31' is before 1900 or after 9999"),
        ("0001-01-01T00:00+05:00", "is before 1900 or after 9999"),
        (1_700_000_000, "start=1700000000 is of type int"),
        (None, "start=None"),
    ],
)
def test_what_is_no_start_is_refused_by_name(start: object, why: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        topic(start)
    assert "topic orders" in str(refused.value)
    assert why in str(refused.value)
