"""Fields of a record are found by name and alias, values within it by path."""

from __future__ import annotations

from freshet.replay.nesting import Top, tops
from freshet.schemas.avro.json_values import value_at
from freshet.schemas.events.schema import EventSchema


def test_the_record_s_own_fields() -> None:
    fields = [
        {"name": "a", "type": "long", "aliases": ["A (1)", "a.b"]},
        {"name": "b", "type": ["null", "string"], "default": None},
    ]
    schema = EventSchema.parse({"type": "record", "name": "r", "fields": fields}, "r")
    assert tops(schema) == [
        Top("a", ("a", "A (1)", "a.b"), False, False, False),
        Top("b", ("b",), True, True, False),
    ]


def test_what_is_not_there_is_said_so() -> None:
    lacking = object()
    for row in ({}, {"a": None}, {"a": 1}, {"a": {}}, {"a": [{"b": 1}]}):
        assert value_at(row, "a.b", lacking) is lacking
