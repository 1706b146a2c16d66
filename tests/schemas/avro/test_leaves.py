"""The columns of a record, and of what stands at one place of it."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from hypothesis import given, settings

from freshet.schemas.avro.leaves import leaves, leaves_at
from freshet.schemas.avro.parse import parse
from freshet.schemas.avro.tree import Record, recursive_at
from tests.schemas.avro.strategies import schemas


@settings(deadline=None, max_examples=200)
@given(schemas())
def test_the_columns_at_a_field_are_those_that_the_record_has_of_it(raw: Any) -> None:
    record = parse(raw, "r")
    if not isinstance(record, Record) or recursive_at(record):
        return
    of_fields = {name: [] for name, _ in ((own.name, own) for own in record.fields)}
    for name, own in groupby(leaves(record), key=lambda leaf: leaf.path.partition(".")[0]):
        of_fields[name] = [leaf.path for leaf in own]
    for own in record.fields:
        assert leaves_at(own.type, own.name) == of_fields[own.name]
