"""Headers of records as fields of events: nullable texts beside those of the topic's schema.

A header is no part of a record's value, so no writer's schema has such a field. Events are read by
a schema that has them, with null as their default, and an id that follows from them; records of the
schema as it was declared are read as of an earlier one. So an event may also bring the field in its
value, as pushes do and files of a replay: the header counts where a record has one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from freshet.schemas.errors import DefinitionError
from freshet.schemas.events.codec import frozen
from freshet.schemas.events.columns import (
    OK,
    WRONG_TYPE,
    Columns,
)
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.text.columns import Texts

NO_ID = (1 << 32) - 1  # of a schema that a registry gave no id
# Ids of registries rise from 1 to 2**31 - 1, so those of schemas with headers are in the upper half
# of these: so many that no two sets of fields that a topic ever has share one.
IDS = 1 << 30
Rows = npt.NDArray[np.intp]
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check(headers: Mapping[str, str], schema: EventSchema, where: str) -> None:
    """Raises `DefinitionError` for a field that no schema can have, or that it has already, and for
    a header without a name."""
    for field, header in headers.items():
        cause = ""
        if not isinstance(field, str) or not _FIELD.fullmatch(field):
            cause = f"headers name a field {field!r}, which is no name of one"
        elif field in schema.positions:
            cause = f"headers name a field {field!r}, which its schema has, too"
        elif not isinstance(header, str) or not header or "\0" in header:
            cause = f"headers[{field!r}] is {header!r}, which is no name of a header"
        if cause:
            raise DefinitionError(where, cause, 'Write {"tenant": "x-tenant-id"}: field, header.')


def extended(schema: EventSchema, fields: Sequence[str], topic: str) -> EventSchema:
    """The schema with nullable texts after its fields."""
    own = [{"name": name, "type": ["null", "string"], "default": None} for name in fields]
    avro = dict(schema.avro)
    avro["fields"] = [*avro["fields"], *own]
    avro["schema_id"] = _id_of(schema, fields)
    made = EventSchema.parse(avro, topic)
    # Of a topic whose records have ids of a registry: no record has this one.
    if schema.schema_id == NO_ID:
        return replace(made, schema_id=schema.schema_id)
    return made


def _id_of(schema: EventSchema, fields: Sequence[str]) -> int:
    """Of the schema with these fields, and with no others: once a topic has others, what was
    written with these is of an earlier schema."""
    text = json.dumps([schema.schema_id, *fields]).encode()
    number = int.from_bytes(hashlib.sha256(text).digest()[:4], "big")
    return number % IDS + IDS


def fill(columns: Columns, fields: Sequence[str], headers: Sequence[Texts]) -> None:
    """Put headers (bytes as they came, one column for each field) into events. One that is no UTF-8
    makes its event a dead letter, as any text of that kind would."""
    read = columns.reason == OK
    for name, header in zip(fields, headers):
        rows = np.flatnonzero(header.valid & read)
        if not len(rows):
            continue
        at = columns.schema.position(name)
        base = len(columns.data)
        columns.data = frozen(np.concatenate([columns.data, header.data]))
        columns.words[at, 0, rows] = header.start[rows] + base
        columns.words[at, 1, rows] = header.end[rows] + base
        columns.valid[at, rows] = True
        wrong = _not_text(header, rows)
        # What reads texts, also those of dead letters, expects UTF-8.
        columns.valid[at, wrong] = False
        columns.words[at, :, wrong] = 0
        columns.refuse(wrong, WRONG_TYPE, name)


def _not_text(header: Texts, rows: Rows) -> Rows:
    """The rows whose bytes are no UTF-8."""
    whole = header.data.tobytes()
    # Nearly always: whatever is text as a whole is so in its parts, which no cut runs through.
    if whole.isascii():
        return rows[:0]
    wrong = [row for row in rows.tolist() if not _is_text(whole, header, row)]
    return np.array(wrong, np.intp)


def _is_text(data: bytes, header: Texts, row: int) -> bool:
    try:
        data[header.start[row] : header.end[row]].decode()
    except UnicodeDecodeError:
        return False
    return True
