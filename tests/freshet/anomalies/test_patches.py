"""A patch is the field as it would have to be: with it the anomaly is gone, and what was written
before is still read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from freshet.anomalies.compare import compare
from freshet.anomalies.patches import next_version, patch
from freshet.samples.sample import Sample, of_files
from freshet.schemas.events.evolution import BACKWARD, breaks
from freshet.schemas.events.schema import EventSchema


def schema_of(*fields: dict[str, Any]) -> EventSchema:
    avro = {"type": "record", "name": "thing", "schema_id": 7, "version": 3, "fields": [*fields]}
    return EventSchema.parse(avro, "thing")


def sample_of(folder: Path, *rows: dict[str, Any]) -> Sample:
    (folder / "things.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return of_files(str(folder / "things.jsonl"))


ENUM = {"type": "enum", "name": "e", "symbols": ["A", "B"]}
PATCHED: dict[str, tuple[dict[str, Any], list[Any], dict[str, Any] | None]] = {
    "nulls": (
        {"name": "a", "type": "long"},
        [1, None],
        {"name": "a", "type": ["null", "long"], "default": None},
    ),
    "nulls where they were required not to be": (
        {"name": "a", "type": ["null", "long"], "required": True},
        [1, None],
        {"name": "a", "type": ["null", "long"], "default": None},
    ),
    "a larger number": ({"name": "a", "type": "int"}, [2**31], {"name": "a", "type": "long"}),
    "fractions": ({"name": "a", "type": "int"}, [1.5], {"name": "a", "type": "double"}),
    "fractions beside null": (
        {"name": "a", "type": ["long", "null"]},
        [1.5],
        {"name": "a", "type": ["double", "null"]},
    ),
    "texts for numbers": ({"name": "a", "type": "long"}, ["many"], None),
    "numbers for truths": ({"name": "a", "type": "boolean"}, [2], None),
    "what counts time": ({"name": "a", "type": {"type": "long", "logicalType": "timestamp-millis"}}, [1.5], None),
    "words, the commonest first": (
        {"name": "a", "type": "string", "domain": ["x"]},
        ["z", "y", "y"],
        {"name": "a", "type": "string", "domain": ["x", "y", "z"]},
    ),
    "words without end": (
        {"name": "a", "type": "string", "domain": ["x"]},
        [f"w{i}" for i in range(40)],
        {"name": "a", "type": "string"},
    ),
    "symbols": (
        {"name": "a", "type": ["null", ENUM]},
        ["C"],
        {"name": "a", "type": ["null", {**ENUM, "symbols": ["A", "B", "C"]}]},
    ),
    "symbols that are no names": ({"name": "a", "type": ENUM}, ["not a name"], None),
    "numbers beyond the range": (
        {"name": "a", "type": "double", "range": [0, 1]},
        [-2, 0.5, 7.5],
        {"name": "a", "type": "double", "range": [-2.0, 7.5]},
    ),
    "no uuid": (
        {"name": "a", "type": {"type": "string", "logicalType": "uuid"}},
        ["x"],
        {"name": "a", "type": "string"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", PATCHED)
def test_the_field_as_it_would_have_to_be(what: str, tmp_path: Path) -> None:
    field, values, expected = PATCHED[what]
    schema = schema_of(field)
    sample = sample_of(tmp_path, *({"a": value} for value in values))
    (anomaly,) = compare(sample, 100, schema, None).anomalies
    assert patch(schema, anomaly, sample.as_text) == expected
    avro, _ = next_version(schema, [anomaly], sample.as_text)
    assert avro["version"] == 4
    now = EventSchema.parse(avro, "thing")
    assert not [direction for direction, _ in breaks(schema, now) if direction == BACKWARD]
    left = compare(sample, 100, now, None).anomalies
    assert bool(left) == (expected is None)


def test_a_new_column_is_a_field_that_may_be_missing(tmp_path: Path) -> None:
    schema = schema_of({"name": "a", "type": "long"})
    sample = sample_of(tmp_path, {"a": 1, "b (c)": 1.5}, {"a": 2, "b (c)": 2.5})
    (anomaly,) = compare(sample, 100, schema, None).anomalies
    made = patch(schema, anomaly, sample.as_text)
    assert made is not None
    assert (made["name"], made["type"], made["default"]) == ("b_c", ["null", "double"], None)
    assert made["aliases"] == ["b (c)"]


def test_rules_keep_the_id_of_the_bytes_and_types_raise_it(tmp_path: Path) -> None:
    ruled = schema_of({"name": "a", "type": "long", "range": [0, 1]})
    sample = sample_of(tmp_path, {"a": 5})
    avro, unread = next_version(ruled, compare(sample, 9, ruled, None).anomalies, False)
    assert (avro["schema_id"], avro["version"], unread) == (7, 4, [])
    typed = schema_of({"name": "a", "type": "long"})
    sample = sample_of(tmp_path, {"a": None})
    avro, unread = next_version(typed, compare(sample, 9, typed, None).anomalies, False)
    assert (avro["schema_id"], avro["version"]) == (8, 4)
    assert unread == [
        "forward (old readers, new records): field 'a' may be null for writers but not for "
        'readers. Keep it a union with null; to refuse nulls set "required": true.'
    ]


def test_two_anomalies_of_a_field_are_mended_together(tmp_path: Path) -> None:
    schema = schema_of({"name": "a", "type": "int", "range": [0, 1]})
    sample = sample_of(tmp_path, {"a": None}, {"a": 5}, {"a": 0.5})
    avro, _ = next_version(schema, compare(sample, 9, schema, None).anomalies, False)
    assert avro["fields"] == [
        {"name": "a", "type": ["null", "double"], "range": [0, 5], "default": None}
    ]
    assert not compare(sample, 9, EventSchema.parse(avro, "thing"), None).anomalies


def test_a_record_of_a_new_column_has_a_name_of_its_own(tmp_path: Path) -> None:
    at = {"type": "record", "name": "b_record", "fields": [{"name": "x", "type": "long"}]}
    schema = schema_of({"name": "a", "type": {"type": "array", "items": at}})
    sample = sample_of(tmp_path, {"a": [{"x": 1}], "b": {"y": "s"}})
    after, _ = next_version(schema, compare(sample, 9, schema, None).anomalies, False)
    made = EventSchema.parse(after, "thing")
    assert {field.name for field in made.fields} == {"a", "b.y"}
