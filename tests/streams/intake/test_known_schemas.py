"""Schemas that a topic has had: kept once each, and asked of every later one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from freshet.schemas.errors import SchemaError
from freshet.schemas.events.schema import EventSchema
from freshet.streams.intake.known_schemas import earlier, keep

X = {"name": "x", "type": "double"}
OPTIONAL = {"name": "y", "type": ["null", "double"], "default": None}


def schema(schema_id: int, *fields: dict[str, Any]) -> EventSchema:
    return EventSchema.parse(
        {"type": "record", "name": "r", "schema_id": schema_id, "fields": list(fields)}, "r"
    )


def test_a_schema_that_reads_all_earlier_ones_is_kept_with_them(tmp_path: Path) -> None:
    first, second = schema(1, X), schema(2, X, OPTIONAL)
    for s in (first, first, second, second):
        keep(str(tmp_path), "app.t", s)
    assert earlier(str(tmp_path), "app.t", second) == {1: first}
    assert earlier(str(tmp_path), "app.t", first) == {2: second}
    assert earlier(str(tmp_path), "app.other", first) == {}
    assert len(list(tmp_path.rglob("*.json"))) == 2


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        (
            schema(3, {"name": "x", "type": "int"}),
            "field 'x' is double for writers and int for readers",
        ),
        (
            schema(3, X, {"name": "z", "type": "double"}),
            "field 'z' is not written and has no default",
        ),
        (schema(1, X, OPTIONAL), "other fields are written under the same schema_id 1"),
    ],
)
def test_one_that_cannot_is_refused_and_not_kept(
    tmp_path: Path, changed: EventSchema, cause: str
) -> None:
    keep(str(tmp_path), "app.t", schema(1, X))
    with pytest.raises(SchemaError, match=cause) as told:
        keep(str(tmp_path), "app.t", changed)
    assert str(told.value).startswith("schema of topic app.t: ")
    keep(str(tmp_path), "app.t", schema(1, X))
    assert len(list(tmp_path.rglob("*.json"))) == 1


def test_rules_may_change_under_one_id_since_records_stay_as_they_are(tmp_path: Path) -> None:
    keep(str(tmp_path), "app.t", schema(1, X))
    stricter = schema(1, {**X, "range": [0, 1]})
    keep(str(tmp_path), "app.t", stricter)
    assert earlier(str(tmp_path), "app.t", stricter) == {}
