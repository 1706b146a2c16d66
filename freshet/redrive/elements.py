"""Records that hold several events: one of these read, and put back as it was patched. The others
stay as they are; they are not sent."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping
from typing import Any

from freshet.audit.avro import Unreadable, read_values
from freshet.redrive.chosen import Chosen
from freshet.schemas.avro.json_values import nested, value_at
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.events.writer import is_json

HEAD = 5  # bytes before an Avro body: a zero, and the id of its schema


def record_of(one: Chosen, earlier: Mapping[int, EventSchema]) -> dict[str, Any] | None:
    """The record of a letter as nested objects; None where it cannot be read."""
    value = one.letter.value
    records = one.topic.records
    try:
        if is_json(value):
            found = json.loads(value)
            return dict(found) if isinstance(found, dict) else None
        (wire,) = struct.unpack(
            ">I",
            value[1:HEAD],
        )
        known = {**earlier, records.schema_id: records}
        stream = io.BytesIO(value[HEAD:])
        columns = dict(read_values(stream, known[wire].tree))
    except (ValueError, KeyError, RecursionError, struct.error, Unreadable):
        return None
    if stream.read(1):
        return None  # bytes follow the last field
    return dict(nested(columns))


def event_of(one: Chosen, record: Mapping[str, Any]) -> dict[str, Any] | None:
    """The event that a letter is about, by its fields; None where it is not there."""
    path = one.topic.explode or ""
    elements = value_at(
        record,
        path,
    )
    place = one.element
    if not isinstance(elements, list) or place is None or not 0 <= place < len(elements):
        return None
    element = elements[place]
    found = {}
    for name in one.topic.events.positions:
        if name == path:
            found[name] = element
        elif name.startswith(f"{path}."):
            found[name] = value_at(element, name.removeprefix(f"{path}."))
        else:
            found[name] = value_at(
                record,
                name,
            )
    return found


def put_back(one: Chosen, record: dict[str, Any], event: Mapping[str, Any]) -> dict[str, Any]:
    """The record with this event in place of its own; `record` is changed."""
    path = one.topic.explode or ""
    elements = value_at(
        record,
        path,
    )
    assert one.element is not None
    for name in one.topic.events.positions:
        value = event[name]
        if name == path:
            elements[one.element] = value
        elif name.startswith(f"{path}."):
            _set(elements[one.element], name.removeprefix(f"{path}."), value)
        else:
            _set(
                record,
                name,
                value,
            )
    return record


def _set(within: dict[str, Any], path: str, value: Any) -> None:
    """What stands at a path; where nothing leads to it there is nothing to be another."""
    first, _, rest = path.partition(".")
    if not rest:
        within[first] = value
    elif isinstance(within.get(first), dict):
        _set(
            within[first],
            rest,
            value,
        )
